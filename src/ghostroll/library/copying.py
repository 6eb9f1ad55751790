"""From a card's file to a durable, verified file in the library: one pass, then the read-back.

A batch is read file by file into `.ghostroll/incoming/`; then each new content is synced, read back
from the medium, and renamed into place; then all folders that changed are synced at once. Only what
this module returns as stored or duplicate may be recorded.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ghostroll.errors import (
    GhostrollError,
    LibraryFailing,
    NoSpace,
    SourceUnreadable,
    Stopped,
    TransientError,
)
from ghostroll.faults import crash_point
from ghostroll.library.durable import (
    Content,
    ContentReader,
    Folders,
    has_size,
    is_file,
    is_folder,
    library_errors,
    read_content,
    remove_quietly,
    rename_into_place,
    sync_data,
    sync_file,
    write_all,
)
from ghostroll.library.healing import set_aside
from ghostroll.library.identity import INCOMING
from ghostroll.library.layout import vary_place
from ghostroll.library.leftovers import drop_leftover, find_leftovers
from ghostroll.model import Asset, Sha256, Source


@dataclass(frozen=True, slots=True)
class Stored:
    """A content that now lies durable and verified at `path`. `healed` names what it replaced, if anything."""

    source: Source
    content: Content
    path: bytes
    verified_at: int
    healed: Asset | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A content that the library had; `verified_at` is set where its file was read again just now.

    `asset` is None where an earlier file of the same batch has the same content.
    """

    source: Source
    content: Content
    asset: Asset | None
    verified_at: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that did not get into the library, and why."""

    source: Source
    error: GhostrollError


Copied = Stored | Duplicate | Failed


class Records(Protocol):
    """What copying asks of the ledger and the card. Answers are facts at the moment of the call."""

    def find_asset(self, sha256: Sha256) -> Asset | None:
        """The recorded asset of this content."""

    def find_asset_at(self, path: bytes) -> Asset | None:
        """The asset recorded at this place."""

    def place(self, source: Source) -> bytes:
        """Where this source's original goes; makes the session where there is none yet."""

    def find_place(self, source: Source) -> bytes | None:
        """The same, None where there is no session yet."""

    def open_source(
        self, source: Source, *, around_cache: bool = False
    ) -> contextlib.AbstractContextManager[int]:
        """The card's file, open for reading. Leaving it without an error vouches that the bytes were the card's.

        `around_cache`: read from the medium, whatever was read of it before.
        """

    def notice(self, sentence: str, path: bytes) -> None:
        """Something a person should know."""


class ContentClaims:
    """Contents and names under way.

    Of two cards with the same photo one waits until the other has settled; two files never get one name.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._taken: set[Sha256] = set()
        self._places: set[bytes] = set()
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """A number that nobody was given before."""
        return next(self._numbers)

    def take(self, contents: set[Sha256]) -> None:
        """Own these contents until `give_back`. All at once or none, so that two batches can't block each other."""
        with self._condition:
            self._condition.wait_for(lambda: not contents & self._taken)
            self._taken |= contents

    def reserve(self, place: bytes) -> bool:
        """Own a name in the library until `give_back`; False where another batch has it."""
        with self._condition:
            if place in self._places:
                return False
            self._places.add(place)
            return True

    def give_back(self, contents: set[Sha256], places: set[bytes]) -> None:
        """Let others have them: what was stored is recorded, or never will be."""
        with self._condition:
            self._taken -= contents
            self._places -= places
            self._condition.notify_all()


@dataclass(frozen=True, slots=True)
class CopyRules:
    """What the configuration says of copying. Sizes in bytes, times in seconds."""

    keep_free: int
    reverify_seconds: int
    chunk: int = 1 << 20
    reread: bool = False  # the card gives every file twice, and the same both times


@dataclass(frozen=True, slots=True)
class _Staged:
    source: Source
    temp: bytes
    descriptor: int  # open for writing until the batch ends, so that no write error goes unheard
    content: Content


class Copier:
    """One thread's hands for copying. The reader lock keeps it at one reader per card."""

    def __init__(
        self,
        rules: CopyRules,
        records: Records,
        folders: Folders,
        claims: ContentClaims,
        reader_lock: threading.Lock,
        *,
        now: Callable[[], int],
        progress: Callable[[int], None],
    ) -> None:
        self._rules, self._records, self._folders, self._claims = rules, records, folders, claims
        self._reader_lock, self._now, self._progress = reader_lock, now, progress
        self._reader = ContentReader(rules.chunk)
        self._owned: set[Sha256] = set()
        self._places: set[bytes] = set()
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """Make a batch under way end with Stopped; what is not placed yet is dropped."""
        self._interrupted.set()

    def release(self) -> None:
        """The last batch is recorded, or never will be: others may have its contents."""
        self._claims.give_back(self._owned, self._places)
        self._owned, self._places = set(), set()

    def close(self) -> None:
        """Give the buffer back."""
        self.release()
        self._reader.close()

    def copy_batch(self, root: int, sources: Sequence[Source]) -> list[Copied]:
        """Bring these files into the library below `root`, each with its own fate.

        On return every Stored file is under its final name, verified against the medium, and it and its
        folders would survive a power cut. The caller records that and then calls `release`.
        """
        staged, fates = self._read_all(root, sources)
        try:
            self._owned = {item.content.sha256 for item in staged}
            self._claims.take(self._owned)
            placed = self._place_all(root, staged)
            self._sync_places(root, placed)
        finally:
            _drop(root, staged)
        return fates + placed

    def _read_all(self, root: int, sources: Sequence[Source]) -> tuple[list[_Staged], list[Copied]]:
        staged: list[_Staged] = []
        failed: list[Copied] = []
        try:
            with self._reader_lock:
                for source in sources:
                    try:
                        staged.append(self._read_one(root, source))
                    except GhostrollError as error:
                        failed.append(Failed(source, error))
        except BaseException:
            _drop(root, staged)
            raise
        return staged, failed

    def _read_one(self, root: int, source: Source) -> _Staged:
        """Read a source: into a temporary file and the hash, and where that is wanted once more, to compare."""
        self._check_stop(0)
        with library_errors("asking for the free space"):
            free = os.fstatvfs(root)
        if free.f_bavail * free.f_frsize < source.size + self._rules.keep_free:
            raise NoSpace("there is no room for this file in the library: make room and the copy goes on")
        # Never a name that was used before: a thread that was left behind in a read may still write to its own file.
        temp = INCOMING + b"/%d-%d" % (source.id, self._claims.number())
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with library_errors("making a file"):
            target = os.open(temp, flags, 0o664, dir_fd=root)
        try:
            with self._records.open_source(source) as descriptor:
                content = self._reader.read(
                    descriptor,
                    sink=lambda chunk: self._write(target, chunk),
                    check=self._check_progress(source),
                )
                crash_point("copy.read")
            if self._rules.reread:
                self._read_again(source, content)
            return _Staged(source, temp, target, content)
        except BaseException:
            os.close(target)
            remove_quietly(root, temp)
            raise

    def _read_again(self, source: Source, content: Content) -> None:
        """Let the card give the same bytes from its medium; TransientError where it gives others."""
        with self._records.open_source(source, around_cache=True) as descriptor:
            again = self._reader.read(
                descriptor, sink=None, check=self._check_progress(source), until=source.size
            )
        if again != content:
            raise TransientError(
                "the card gives other bytes each time it is read: clean its contacts, try another reader, and run"
                " 'ghostroll retry' with the card in"
            )

    def _write(self, target: int, chunk: memoryview) -> None:
        with library_errors("writing"):
            write_all(target, chunk)
        self._progress(len(chunk))

    def _check_progress(self, source: Source) -> Callable[[int], None]:
        def check(size: int) -> None:
            self._check_stop(size)
            if size > source.size:  # a file that grows for ever must not fill the disk
                raise SourceUnreadable("grew while it was read: run 'ghostroll retry' with the card in")

        return check

    def _check_stop(self, _size: int) -> None:
        if self._interrupted.is_set():
            raise Stopped("stopped in the middle of a copy")

    def _place_all(self, root: int, staged: Sequence[_Staged]) -> list[Copied]:
        fates: list[Copied] = []
        stored: set[Sha256] = set()
        for item in staged:
            try:
                fate: Copied = Duplicate(item.source, item.content, None, None)
                with library_errors("storing"):
                    if item.content.sha256 not in stored:
                        fate = self._place_one(root, item)
                    if isinstance(fate, Duplicate):
                        self._drop_leftovers(root, item, fate.asset)
                fates.append(fate)
                if isinstance(fate, Stored):
                    stored.add(item.content.sha256)
            except GhostrollError as error:
                fates.append(Failed(item.source, error))
        return fates

    def _place_one(self, root: int, item: _Staged) -> Copied:
        asset = self._records.find_asset(item.content.sha256)
        if asset is not None and is_file(root, asset.path):
            return self._settle_known_content(root, item, asset)
        self._make_durable(root, item)
        path = self._give_name(root, item)
        return Stored(item.source, item.content, path, self._now(), healed=None)

    def _settle_known_content(self, root: int, item: _Staged, asset: Asset) -> Copied:
        """The library has this content, says its record. Look, unless somebody looked lately."""
        # An age below zero comes from a clock that was not set then or is not set now: it proves nothing.
        lately = 0 <= self._now() - asset.verified_at < self._rules.reverify_seconds
        if lately and asset.is_believed and has_size(root, asset.path, asset.size):
            return Duplicate(item.source, item.content, asset, None)
        if self._matches(root, asset.path, item.content):
            return Duplicate(item.source, item.content, asset, self._now())
        self._make_durable(root, item)
        self._set_aside(root, asset.path, "a stored file was damaged; the card's good copy took its place")
        rename_into_place(root, item.temp, asset.path)
        return Stored(item.source, item.content, asset.path, self._now(), healed=asset)

    def _make_durable(self, root: int, item: _Staged) -> None:
        """On return the temporary file's bytes are on the medium and hash to what the card gave."""
        sync_data(item.descriptor)
        crash_point("copy.reading_back")
        if read_content(root, item.temp, self._reader, check=self._check_stop) != item.content:
            raise LibraryFailing(
                "the library's disk gave back other bytes than were written: check that disk and its cable"
            )
        crash_point("copy.read_back")

    def _give_name(self, root: int, item: _Staged) -> bytes:
        for place in vary_place(self._records.place(item.source)):
            if not self._claims.reserve(place):
                continue  # another thread's, and not recorded yet
            self._places.add(place)
            taken = self._records.find_asset_at(place)
            if taken is not None and taken.sha256 != item.content.sha256:
                continue
            if is_folder(root, place):  # it may hold files that are secured
                continue
            self._folders.make(root, os.path.dirname(place))
            try:
                rename_into_place(root, item.temp, place)
            except FileExistsError:
                # A final name without a record: a copy whose record was lost, or something foreign.
                if self._matches(root, place, item.content):
                    return place
                self._set_aside(
                    root, place, "a file that no record knows stood in the way and was moved aside"
                )
                rename_into_place(root, item.temp, place)
            return place
        raise TransientError("no free name was found in the session's folder")

    def _drop_leftovers(self, root: int, item: _Staged, home: Asset | None) -> None:
        """An earlier run may have stored this file under its own name and lost the record: it is stored elsewhere.

        Nothing goes unless what is stored at `home` was read and is good; None: it was just verified, in this batch.
        """
        place = self._records.find_place(item.source)
        if place is None:
            return
        for path in find_leftovers(root, place, lambda one: self._records.find_asset_at(one) is not None):
            if not self._claims.reserve(path):
                continue  # another thread's, and not recorded yet
            self._places.add(path)
            good = home is None or self._matches(root, home.path, item.content)
            if good and self._matches(root, path, item.content):
                drop_leftover(root, path, self._folders)

    def _matches(self, root: int, path: bytes, content: Content) -> bool:
        if not has_size(root, path, content.size):
            return False
        try:
            sync_file(root, path)
            return read_content(root, path, self._reader, check=self._check_stop) == content
        except OSError:  # can't be synced or read any more: as good as damaged
            return False

    def _set_aside(self, root: int, path: bytes, why: str) -> None:
        set_aside(root, self._folders, path, self._now())
        self._records.notice(why, path)

    def _sync_places(self, root: int, fates: Sequence[Copied]) -> None:
        places = {os.path.dirname(fate.path) for fate in fates if isinstance(fate, Stored)}
        if places:
            with library_errors("syncing a folder"):
                self._folders.sync(root, places)


def _drop(root: int, staged: Sequence[_Staged]) -> None:
    for item in staged:
        os.close(item.descriptor)
        remove_quietly(root, item.temp)
