"""What becomes of a job: pure decisions over facts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ghostroll.model import (
    PICTURE_KINDS,
    RANK_BITS,
    Cause,
    Found,
    JobId,
    Kind,
    Publication,
    Safety,
    Source,
    SourceId,
    SourceState,
    Volume,
)

_QUARTER = 15 * 60 * 10**9  # ns; time zones differ by multiples of 15 minutes
_FARTHEST = 14 * 3600 * 10**9  # ns; and by 14 hours at most
_SHOWN_ALONE = frozenset({Kind.JPEG, Kind.IMAGE, Kind.HEIF, Kind.VIDEO})
_STANDS_FOR_RAW = frozenset({Kind.JPEG, Kind.IMAGE, Kind.HEIF})
RESUMED_CAUSES = (Cause.CARD_GONE, Cause.UNREADABLE, Cause.NO_SPACE, Cause.LIBRARY_GONE)
COPY_PRIORITY = {Kind.JPEG: 3, Kind.HEIF: 3, Kind.IMAGE: 3, Kind.RAW: 2, Kind.VIDEO: 1}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An earlier job that a card may be the continuation of, with its unsettled files."""

    job: JobId
    volume: Volume
    safety: Safety
    unsettled: tuple[Source, ...]


def choose_job_to_resume(
    volume: Volume, found: Sequence[Found], candidates: Iterable[Candidate]
) -> JobId | None:
    """The interrupted job that this card goes on with, if any.

    UUID and device size are equal, and every unsettled file of the job is there with its size and
    mtime; of two such jobs the newest. A volume without a UUID is never recognised.
    """
    if volume.uuid is None:
        return None
    there = {(item.path, item.size, item.mtime_ns) for item in found if item.state is not SourceState.SKIPPED}
    fitting = [
        candidate.job
        for candidate in candidates
        if candidate.safety in (Safety.INTERRUPTED, Safety.ATTENTION)
        and (candidate.volume.uuid, candidate.volume.size) == (volume.uuid, volume.size)
        and all((source.path, source.size, source.mtime_ns) in there for source in candidate.unsettled)
    ]
    return max(fitting, default=None)


def find_common_offset(pairs: Iterable[tuple[int, int]]) -> int | None:
    """The one shift between (now, then) mtimes in ns that a change of time zone explains, most frequent first.

    FAT stores local time. None where no shift is a multiple of 15 minutes within 14 hours.
    """
    shifts = Counter(now - then for now, then in pairs)
    plausible = [shift for shift in shifts if shift % _QUARTER == 0 and abs(shift) <= _FARTHEST]
    return max(plausible, key=lambda shift: (shifts[shift], -abs(shift)), default=None)


def match_known(found: Sequence[Found], earlier: Mapping[bytes, Source]) -> list[tuple[Found, Source]]:
    """Files that look like those of an earlier secured job of the same volume.

    Path and size are equal, and so is mtime after one offset for the whole card. Still to be shown:
    that their heads are equal and their assets there.
    """
    pairs = [
        (item, earlier[item.path])
        for item in found
        if item.state is SourceState.PENDING and item.path in earlier and earlier[item.path].size == item.size
    ]
    offset = find_common_offset((item.mtime_ns, source.mtime_ns) for item, source in pairs)
    return [(item, source) for item, source in pairs if item.mtime_ns - source.mtime_ns == offset]


@dataclass(frozen=True, slots=True)
class SafetyFacts:
    """What a job's safety is decided by. Facts about sources, and whether any copy can still go on by itself."""

    safety: Safety
    scanned: bool  # the inventory is committed; it names at least one file
    pending: bool  # some source is not in the library and has not failed
    failed: bool  # some source can't be read or listed
    copying: bool  # some copy is ready or running
    card_gone: bool  # some copy waits for the card


def decide_safety(facts: SafetyFacts) -> Safety:
    """What a job's safety should be now. SECURED is still to be looked at and promised before it is said."""
    if facts.safety in (Safety.SECURED, Safety.CLOSED, Safety.SCANNING) or not facts.scanned:
        return facts.safety
    if not facts.pending and not facts.failed:
        return Safety.SECURED
    if facts.copying:
        return Safety.COPYING
    if facts.card_gone:
        return Safety.INTERRUPTED
    if facts.failed and not facts.pending:
        return Safety.ATTENTION
    return facts.safety


def decide_gallery(rendered: Publication, *, uploading: bool) -> Publication:
    """What a bucket's gallery is, where `rendered` is what it would be if everything made were there."""
    return Publication.LIVE if uploading and rendered is Publication.COMPLETE else rendered


def combine_publications(states: Iterable[Publication]) -> Publication:
    """What people can see of a job that is shown in several places."""
    there = set(states)
    return there.pop() if len(there) == 1 else Publication.LIVE


def decide_publication(*, safeties: Iterable[Safety], rendering: bool, session: bool) -> Publication:
    """What a gallery's state is once it has been written: complete when nothing more will come by itself."""
    if not session:
        return Publication.NONE
    under_way = any(safety in (Safety.SCANNING, Safety.COPYING) for safety in safeties)
    return Publication.LIVE if under_way or rendering else Publication.COMPLETE


def choose_renders(
    group: Sequence[Source], is_broken: Callable[[SourceId], bool], *, waiting: bool = True
) -> list[Source]:
    """Which files of one name (`IMG_0001.*` of one folder) get a picture of their own.

    RAW and JPEG of one number are one item, shown by the JPEG. The RAW stands in where the JPEG is not
    in this job's part of the library, or its picture is broken. `waiting`: whether pending ones still come.
    """
    there = (SourceState.STORED, SourceState.PENDING) if waiting else (SourceState.STORED,)
    chosen = [
        source for source in group if source.state is SourceState.STORED and source.kind in _SHOWN_ALONE
    ]
    stands = any(
        source.kind in _STANDS_FOR_RAW and source.state in there and not is_broken(source.id)
        for source in group
    )
    if not stands:
        chosen += [
            source for source in group if source.state is SourceState.STORED and source.kind is Kind.RAW
        ]
    return chosen


def count_pictures(
    sources: Iterable[Source], *, waiting: bool, shows: Callable[[Source], bool] = lambda _: True
) -> int:
    """How many items a gallery of these sources will have. `waiting`: whether pending ones still come.

    A RAW file that its JPEG stands for is none, also where that JPEG is not among what the gallery `shows`.
    """
    counted = {SourceState.STORED, SourceState.PENDING} if waiting else {SourceState.STORED}
    there = [
        source
        for source in sources
        if source.state in (SourceState.STORED, SourceState.PENDING) and source.kind in PICTURE_KINDS
    ]
    named = {group_key(source.path) for source in there if source.kind in _STANDS_FOR_RAW}
    return sum(
        source.state in counted
        and shows(source)
        and (source.kind is not Kind.RAW or group_key(source.path) not in named)
        for source in there
    )


def group_key(path: bytes) -> bytes:
    """What files of one number in one folder have in common: all before the last dot of the name."""
    folder, slash, name = path.rpartition(b"/")
    stem, dot, _ = name.rpartition(b".")
    return folder + slash + (stem if dot else name)


def believe_locks(found: Sequence[Found]) -> tuple[list[Found], bool]:
    """The inventory with its locks, and whether the mount tells locks at all.

    Where every file looks locked it is the mount's mask that speaks, or everything is: it can't be told,
    so nothing counts as locked, and nothing is shown that was not meant to be.
    """
    files = [item for item in found if item.state is SourceState.PENDING]
    told = any(not item.protected for item in files) or not files
    return [item if told else replace(item, protected=False) for item in found], told


def order_copies(found: Kind) -> int:
    """How urgent a copy is: what people look at first comes first, larger is sooner."""
    return COPY_PRIORITY.get(found, 0)


PICTURES, OTHERS = 1, 0  # ranks of uploads: people wait for pictures, so these have threads of their own


def order_uploads(kind: str, job: JobId) -> int:
    """How urgent an upload is, larger is sooner: its rank, then archives before originals, the newest card first."""
    rank = PICTURES if kind == "picture" else OTHERS
    return (rank << RANK_BITS) + (int(kind == "archive") << (RANK_BITS - 1)) + job


FOLDERS, BUCKETS = 1, 0  # ranks of pages: a folder's waits for no bucket, however slowly that answers


def order_pages(*, in_folder: bool, renewed: bool = False) -> int:
    """How urgent the writing of a gallery is, larger is sooner: its rank, then what is new before what is renewed."""
    return ((FOLDERS if in_folder else BUCKETS) << RANK_BITS) + int(not renewed)


def tell_shortage(needed: int, free: int, keep_free: int) -> int:
    """How many bytes are missing on the library's disk for what is to be copied; 0 if it fits."""
    return max(0, needed - max(0, free - keep_free))
