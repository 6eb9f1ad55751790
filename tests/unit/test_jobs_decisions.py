"""What becomes of a job: the pure decisions, as properties."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ghostroll.jobs import (
    Candidate,
    SafetyFacts,
    choose_job_to_resume,
    choose_renders,
    count_pictures,
    decide_publication,
    decide_safety,
    find_common_offset,
    group_key,
    match_known,
    order_copies,
    tell_shortage,
)
from ghostroll.model import (
    AssetId,
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

SETTLED = (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)
QUARTER = 900 * 10**9  # ns
CARD = Volume("1234-ABCD", "EOS_DIGITAL", 1 << 30, "vfat")

names = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)
sizes = st.integers(0, 100)
mtimes = st.integers(0, 2**60)
files = st.dictionaries(names, st.tuples(sizes, mtimes), min_size=1, max_size=12)
quarters = st.integers(-56, 56)


def source(
    path: bytes = b"a",
    *,
    number: int = 1,
    size: int = 1,
    mtime: int = 1,
    kind: Kind = Kind.JPEG,
    state: SourceState = SourceState.PENDING,
) -> Source:
    """A file as a job has it."""
    asset = AssetId(number) if state in SETTLED else None
    return Source(SourceId(number), JobId(1), path, size, mtime, kind, state, asset, None)


def found(path: bytes, size: int, mtime: int, state: SourceState = SourceState.PENDING) -> Found:
    """A file as the card has it now."""
    return Found(path, size, mtime, Kind.JPEG, state)


def candidate(
    number: int,
    unsettled: Sequence[Source],
    *,
    volume: Volume = CARD,
    safety: Safety = Safety.INTERRUPTED,
) -> Candidate:
    """An earlier job."""
    return Candidate(JobId(number), volume, safety, tuple(unsettled))


def as_found(there: dict[bytes, tuple[int, int]]) -> list[Found]:
    """A card's inventory."""
    return [found(path, size, mtime) for path, (size, mtime) in there.items()]


def as_sources(there: dict[bytes, tuple[int, int]]) -> list[Source]:
    """The same files as a job has them."""
    return [
        source(path, number=number, size=size, mtime=mtime)
        for number, (path, (size, mtime)) in enumerate(there.items(), start=1)
    ]


# Same card again


@given(files, st.data())
def test_the_same_card_goes_on(there: dict[bytes, tuple[int, int]], data: st.DataObject) -> None:
    """A card that has every unsettled file of an interrupted job goes on with it, whatever else is on it."""
    unsettled = data.draw(st.lists(st.sampled_from(as_sources(there)), unique=True))
    assert choose_job_to_resume(CARD, as_found(there), [candidate(5, unsettled)]) == 5


@given(files, st.data())
def test_a_changed_file_makes_a_new_job(there: dict[bytes, tuple[int, int]], data: st.DataObject) -> None:
    """One unsettled file that is gone, or has another size or time, and it is another card."""
    unsettled = as_sources(there)
    path = data.draw(st.sampled_from(sorted(there)))
    size, mtime = there[path]
    now = dict(there)
    match data.draw(st.sampled_from(["gone", "size", "mtime"])):
        case "gone":
            del now[path]
        case "size":
            now[path] = (size + 1, mtime)
        case _:
            now[path] = (size, mtime + 1)
    assert choose_job_to_resume(CARD, as_found(now), [candidate(5, unsettled)]) is None


@given(files, st.permutations([3, 9, 5]))
def test_of_two_jobs_the_newest_goes_on(there: dict[bytes, tuple[int, int]], order: list[int]) -> None:
    """Of several jobs that fit, the newest goes on, in whatever order they come."""
    candidates = [candidate(number, as_sources(there)) for number in order]
    assert choose_job_to_resume(CARD, as_found(there), candidates) == 9


@pytest.mark.parametrize("safety", Safety)
def test_only_unfinished_jobs_go_on(safety: Safety) -> None:
    """Interrupted jobs and those that need attention go on; no other does."""
    goes_on = choose_job_to_resume(CARD, [found(b"a", 1, 1)], [candidate(5, [source()], safety=safety)])
    assert goes_on == (5 if safety in (Safety.INTERRUPTED, Safety.ATTENTION) else None)


@pytest.mark.parametrize(
    "other",
    [
        Volume("FFFF-FFFF", "EOS_DIGITAL", 1 << 30, "vfat"),
        Volume("1234-ABCD", "EOS_DIGITAL", 1 << 31, "vfat"),
        Volume(None, "EOS_DIGITAL", 1 << 30, "vfat"),
    ],
)
def test_another_volume_is_another_card(other: Volume) -> None:
    """Another UUID or size, or none, is another card, though every file is there; the label says nothing."""
    there = [found(b"a", 1, 1)]
    assert choose_job_to_resume(other, there, [candidate(5, [source()])]) is None
    assert choose_job_to_resume(other, there, [candidate(5, [source()], volume=other)]) == (
        None if other.uuid is None else 5
    )
    renamed = Volume(CARD.uuid, "RENAMED", CARD.size, "exfat")
    assert choose_job_to_resume(renamed, there, [candidate(5, [source()])]) == 5


def test_a_skipped_file_is_not_there() -> None:
    """A link that has taken a file's place is not the file."""
    there = [found(b"a", 1, 1, SourceState.SKIPPED)]
    assert choose_job_to_resume(CARD, there, [candidate(5, [source()])]) is None


# Known sources


@given(files, quarters)
def test_a_time_zone_is_one_offset(there: dict[bytes, tuple[int, int]], zone: int) -> None:
    """A whole card shifted by a multiple of 15 minutes, at most 14 hours, is known whole."""
    now = {path: (size, mtime + zone * QUARTER) for path, (size, mtime) in there.items()}
    earlier = {item.path: item for item in as_sources(there)}
    matched = match_known(as_found(now), earlier)
    assert {item.path for item, _ in matched} == set(there)
    assert all(item.path == old.path for item, old in matched)


@given(files, quarters, st.data())
def test_one_odd_file_stays_one(there: dict[bytes, tuple[int, int]], zone: int, data: st.DataObject) -> None:
    """A file that does not share the card's offset is read; all others are known."""
    assume(len(there) > 2)
    odd = data.draw(st.sampled_from(sorted(there)))
    by = data.draw(st.integers(-(2**50), 2**50).filter(lambda shift: shift != 0))
    now = {path: (size, mtime + zone * QUARTER + by * (path == odd)) for path, (size, mtime) in there.items()}
    earlier = {item.path: item for item in as_sources(there)}
    assert {item.path for item, _ in match_known(as_found(now), earlier)} == set(there) - {odd}


@given(files, st.integers(-(2**50), 2**50))
@example({b"a": (1, 1)}, 57 * QUARTER)
@example({b"a": (1, 1)}, -57 * QUARTER)
@example({b"a": (1, 1)}, QUARTER // 3)
@example({b"a": (1, 1)}, 1)
def test_any_other_shift_is_no_time_zone(there: dict[bytes, tuple[int, int]], shift: int) -> None:
    """A shift that is no multiple of 15 minutes, or more than 14 hours, makes every file unknown."""
    assume(shift % QUARTER or abs(shift) > 56 * QUARTER)
    now = {path: (size, mtime + shift) for path, (size, mtime) in there.items()}
    assert match_known(as_found(now), {item.path: item for item in as_sources(there)}) == []


@given(files)
def test_another_size_is_another_file(there: dict[bytes, tuple[int, int]]) -> None:
    """A file of another size is never known, though its name and time agree."""
    now = {path: (size + 1, mtime) for path, (size, mtime) in there.items()}
    assert match_known(as_found(now), {item.path: item for item in as_sources(there)}) == []


def test_what_is_not_there_is_not_known() -> None:
    """Nothing is known on a first card, of a new name, or of what can't be listed."""
    old = {b"a": source(b"a")}
    assert match_known([found(b"a", 1, 1)], {}) == []
    assert match_known([found(b"b", 1, 1)], old) == []
    assert match_known([found(b"a", 1, 1, SourceState.FAILED)], old) == []
    assert match_known([], old) == []


@given(st.lists(st.tuples(mtimes, mtimes), max_size=20))
def test_an_offset_is_one_that_occurs(pairs: list[tuple[int, int]]) -> None:
    """The offset is a shift of some file, plausible, and no plausible one occurs more often."""
    offset = find_common_offset(pairs)
    shifts = [now - then for now, then in pairs]
    plausible = [shift for shift in shifts if shift % QUARTER == 0 and abs(shift) <= 56 * QUARTER]
    if offset is None:
        assert plausible == []
    else:
        assert offset in plausible
        assert shifts.count(offset) == max(map(shifts.count, plausible))


def test_of_two_offsets_the_smaller() -> None:
    """Where two shifts are as frequent, no shift at all is the likelier one."""
    assert find_common_offset([(QUARTER, 0), (5, 5)]) == 0
    assert find_common_offset([(5, 5), (QUARTER, 0)]) == 0


# Safety and publication

SAFETIES = {
    # pending, failed, copying, card gone: from COPYING
    (0, 0, 0, 0): Safety.SECURED,
    (0, 0, 1, 0): Safety.SECURED,
    (0, 0, 0, 1): Safety.SECURED,
    (0, 0, 1, 1): Safety.SECURED,
    (1, 0, 1, 0): Safety.COPYING,
    (1, 0, 1, 1): Safety.COPYING,
    (1, 1, 1, 0): Safety.COPYING,
    (1, 1, 1, 1): Safety.COPYING,
    (0, 1, 1, 0): Safety.COPYING,
    (0, 1, 1, 1): Safety.COPYING,
    (1, 0, 0, 1): Safety.INTERRUPTED,
    (1, 1, 0, 1): Safety.INTERRUPTED,
    (0, 1, 0, 1): Safety.INTERRUPTED,
    (0, 1, 0, 0): Safety.ATTENTION,
    (1, 0, 0, 0): None,  # waits for room or the library: as it was
    (1, 1, 0, 0): None,
}


@pytest.mark.parametrize("facts", list(itertools.product((0, 1), repeat=4)))
@pytest.mark.parametrize("before", [Safety.COPYING, Safety.INTERRUPTED, Safety.ATTENTION])
def test_safety_follows_the_facts(facts: tuple[int, int, int, int], before: Safety) -> None:
    """Each combination of facts has one safety, from whichever unfinished state."""
    pending, failed, copying, card_gone = map(bool, facts)
    decided = decide_safety(SafetyFacts(before, True, pending, failed, copying, card_gone))
    assert decided is (SAFETIES[facts] or before)


@pytest.mark.parametrize("facts", list(itertools.product((False, True), repeat=4)))
@pytest.mark.parametrize("before", [Safety.SCANNING, Safety.SECURED, Safety.CLOSED])
def test_some_states_are_not_left_by_facts(facts: tuple[bool, bool, bool, bool], before: Safety) -> None:
    """Before the inventory is whole nothing is decided; what is secured or closed stays so."""
    assert decide_safety(SafetyFacts(before, True, *facts)) is before


@pytest.mark.parametrize("facts", list(itertools.product((False, True), repeat=4)))
@pytest.mark.parametrize("before", list(Safety))
def test_without_an_inventory_nothing_is_decided(
    facts: tuple[bool, bool, bool, bool], before: Safety
) -> None:
    """A card that was pulled before it was read has no open file, and is not safe for that."""
    assert decide_safety(SafetyFacts(before, False, *facts)) is before


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_secured_never_with_a_file_missing(
    pending: bool, failed: bool, copying: bool, card_gone: bool
) -> None:
    """No unfinished job becomes secured while a file is pending or failed."""
    for before in (Safety.SCANNING, Safety.COPYING, Safety.INTERRUPTED, Safety.ATTENTION, Safety.CLOSED):
        if decide_safety(SafetyFacts(before, True, pending, failed, copying, card_gone)) is Safety.SECURED:
            assert not pending
            assert not failed


@given(st.lists(st.sampled_from(Safety), max_size=4), st.booleans(), st.booleans())
def test_publication(safeties: list[Safety], rendering: bool, session: bool) -> None:
    """Complete is a gallery that won't grow by itself: no card is being read, no picture is open."""
    decided = decide_publication(safeties=iter(safeties), rendering=rendering, session=session)
    grows = rendering or Safety.SCANNING in safeties or Safety.COPYING in safeties
    if not session:
        assert decided is Publication.NONE
    else:
        assert decided is (Publication.LIVE if grows else Publication.COMPLETE)


# Pictures

PICTURES = [Kind.JPEG, Kind.IMAGE, Kind.HEIF, Kind.RAW, Kind.VIDEO, Kind.SIDECAR, Kind.OTHER]


def group(*members: tuple[Kind, SourceState]) -> list[Source]:
    """Files of one number."""
    return [
        source(b"DCIM/IMG_1.%d" % number, number=number, kind=kind, state=state)
        for number, (kind, state) in enumerate(members, start=1)
    ]


def render_all(members: Sequence[Source], broken: set[SourceId]) -> set[SourceId]:
    """Which of a group have a picture in the end: chosen again after each that turns out broken."""
    found_broken: set[SourceId] = set()
    while True:
        chosen = {item.id for item in choose_renders(members, found_broken.__contains__)}
        if chosen & broken <= found_broken:
            return chosen - broken
        found_broken |= chosen & broken


@pytest.mark.parametrize("jpeg", SourceState)
@pytest.mark.parametrize("raw", SourceState)
def test_raw_and_jpeg_are_one_item(jpeg: SourceState, raw: SourceState) -> None:
    """A RAW is shown by its JPEG; it stands in where the JPEG is not in this job's part of the library."""
    members = group((Kind.JPEG, jpeg), (Kind.RAW, raw))
    chosen = [item.kind for item in choose_renders(members, lambda _: False)]
    if jpeg is SourceState.STORED:
        assert chosen == [Kind.JPEG]
    elif raw is SourceState.STORED and jpeg is not SourceState.PENDING:
        assert chosen == [Kind.RAW]
    else:
        assert chosen == []


def test_raw_stands_in_for_a_broken_jpeg() -> None:
    """Where the JPEG's picture is broken the RAW is shown, and the JPEG still named as tried."""
    members = group((Kind.JPEG, SourceState.STORED), (Kind.RAW, SourceState.STORED))
    assert [item.id for item in choose_renders(members, {SourceId(1)}.__contains__)] == [1, 2]
    assert render_all(members, {SourceId(1)}) == {2}


members_of = st.lists(
    st.tuples(st.sampled_from(PICTURES), st.sampled_from(SourceState)), min_size=1, max_size=5
)


@given(members_of, st.data())
def test_the_total_is_what_will_be_shown(
    members: list[tuple[Kind, SourceState]], data: st.DataObject
) -> None:
    """When nothing more comes, the gallery's total is the number of pictures that renders will have made."""
    sources = group(*members)
    broken = {item.id for item in sources if data.draw(st.booleans())}
    shown = render_all(sources, broken)
    known_broken = {item.id for item in sources if item.id in broken and item.state is SourceState.STORED}
    left = [item for item in sources if item.id not in known_broken]
    assert count_pictures(left, waiting=False) == len(shown)


def test_a_raw_whose_jpeg_never_came_is_not_counted() -> None:
    """Of an interrupted card a RAW without its JPEG has no picture yet, and the total doesn't promise one."""
    members = group((Kind.JPEG, SourceState.PENDING), (Kind.RAW, SourceState.STORED))
    assert render_all(members, set()) == set()
    assert count_pictures(members, waiting=False) == 0
    assert count_pictures(members, waiting=True) == 1


@given(members_of)
def test_the_total_looks_ahead(members: list[tuple[Kind, SourceState]]) -> None:
    """While a card is being read, the total is what will be shown once everything pending is stored."""
    arrived = [
        (kind, SourceState.STORED if state is SourceState.PENDING else state) for kind, state in members
    ]
    assert count_pictures(group(*members), waiting=True) == len(render_all(group(*arrived), set()))


@given(st.lists(members_of, max_size=4), st.booleans())
def test_groups_count_apart(groups: list[list[tuple[Kind, SourceState]]], waiting: bool) -> None:
    """The total of a card is the sum over its file names, one after the other."""
    several = [
        [
            source(b"DCIM/IMG_%d.x" % number, number=item.id, kind=item.kind, state=item.state)
            for item in group(*members)
        ]
        for number, members in enumerate(groups)
    ]
    assert count_pictures(itertools.chain(*several), waiting=waiting) == sum(
        count_pictures(each, waiting=waiting) for each in several
    )


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"DCIM/IMG_1.JPG", b"DCIM/IMG_1"),
        (b"DCIM/IMG_1.JPG.XMP", b"DCIM/IMG_1.JPG"),
        (b"IMG_1", b"IMG_1"),
        (b"a.b/IMG_1", b"a.b/IMG_1"),
        (b"a/..JPG", b"a/."),
        (b"/IMG.x", b"/IMG"),
    ],
)
def test_a_name_ends_at_its_last_dot(path: bytes, key: bytes) -> None:
    """Files of one number share their folder and name up to the last dot."""
    assert group_key(path) == key


# Order and room


def test_what_people_look_at_is_copied_first() -> None:
    """Pictures come before RAW, RAW before clips, and both before what is never shown."""
    order = sorted(Kind, key=order_copies, reverse=True)
    assert set(order[:3]) == {Kind.JPEG, Kind.HEIF, Kind.IMAGE}
    assert order[3:5] == [Kind.RAW, Kind.VIDEO]
    assert order_copies(Kind.SIDECAR) == order_copies(Kind.OTHER) < order_copies(Kind.VIDEO)


@given(*[st.integers(0, 2**50)] * 3)
def test_shortage(needed: int, free: int, keep_free: int) -> None:
    """What is short is what would have to be made free: with so much more it fits exactly, with less it doesn't."""
    short = tell_shortage(needed, free, keep_free)
    assert (short == 0) == (needed == 0 or free - keep_free >= needed)
    if short:
        usable = max(free, keep_free)
        assert tell_shortage(needed, usable + short, keep_free) == 0
        assert tell_shortage(needed, usable + short - 1, keep_free) == 1
