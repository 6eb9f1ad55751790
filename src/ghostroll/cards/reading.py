"""Opening what is on a card: read-only, never through a link, and only believed while the card is there."""

import collections
import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator

from ghostroll.cards.volume import Medium
from ghostroll.errors import MachineShort, SourceUnreadable
from ghostroll.model import Source

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_AHEAD = 8  # files whose heads are asked for before they are read
_LATEST = 2**63 - 1  # ns since 1970; in the year 2262
_RETRY = "run 'ghostroll retry' with the card in"


@contextlib.contextmanager
def open_below(root: bytes, path: bytes, flags: int) -> Iterator[int]:
    """A descriptor of something below `root`, reached without following any link on the way. Raises OSError."""
    folders = path.split(b"/")
    name = folders.pop()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        inner = os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    try:
        yield inner
    finally:
        os.close(inner)


@contextlib.contextmanager
def open_source(medium: Medium, source: Source, *, around_cache: bool = False) -> Iterator[int]:
    """A card's file for reading from its start to its end; `around_cache`: whatever was read of it before.

    Leaving without an error vouches that the whole file was read, that it is as the inventory has it,
    and that the card is still the same one. Raises SourceUnreadable for a trouble of this file,
    CardGone where no byte of the card may be believed, MachineShort where nobody can tell.
    """
    try:
        with open_below(medium.root, source.path, _FILE) as descriptor:
            _check_same(os.fstat(descriptor), source)
            if around_cache:
                _leave_cache(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            yield descriptor
            if os.lseek(descriptor, 0, os.SEEK_CUR) != source.size:
                medium.check_present()
                raise SourceUnreadable(f"ended early: {_RETRY}")
            _check_same(os.fstat(descriptor), source)
            # The card's pages are not needed twice; the library's copy is what renders read.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        MachineShort.check(error)
        medium.check_present()
        raise SourceUnreadable(_explain(error)) from error
    medium.check_present()


def _leave_cache(descriptor: int) -> None:
    """Have what is read come from the medium. Where a filesystem knows no O_DIRECT, by advice alone."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)


def read_heads(medium: Medium, paths: Iterable[bytes], size: int) -> Iterator[bytes | None]:
    """The first `size` bytes of each file in turn, None for one that can't be read.

    The next files are on their way meanwhile, and no more of them than is wanted: a card reader that waits
    for each request, or that reads ahead by itself, takes several times as long.
    """
    ahead: collections.deque[int | None] = collections.deque()
    try:
        for path in paths:
            ahead.append(_open_head(medium, path, size))
            if len(ahead) > _AHEAD:
                yield _read_head(ahead.popleft(), size)
        while ahead:
            yield _read_head(ahead.popleft(), size)
    finally:
        for descriptor in ahead:
            if descriptor is not None:
                os.close(descriptor)


def _open_head(medium: Medium, path: bytes, size: int) -> int | None:
    try:
        with open_below(medium.root, path, _FILE) as descriptor:
            kept = os.dup(descriptor)
    except OSError:
        return None
    os.posix_fadvise(kept, 0, size, os.POSIX_FADV_WILLNEED)
    return kept


def _read_head(descriptor: int | None, size: int) -> bytes | None:
    if descriptor is None:
        return None
    try:
        return os.read(descriptor, size)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def tell_time(entry: os.stat_result) -> int:
    """A file's mtime in ns, as far as the ledger's 64 bits hold it: a damaged card may say the year 2400."""
    return max(-_LATEST, min(entry.st_mtime_ns, _LATEST))


def _check_same(found: os.stat_result, source: Source) -> None:
    if not stat.S_ISREG(found.st_mode) or (found.st_size, tell_time(found)) != (
        source.size,
        source.mtime_ns,
    ):
        raise SourceUnreadable(f"changed since the card was scanned: {_RETRY}")


def _explain(error: OSError) -> str:
    if error.errno == errno.EIO:
        return f"the card gives a read error here (a bad sector?): clean its contacts and {_RETRY}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return f"is not there any more: {_RETRY}"
    return f"can't be read ({error.strerror}): {_RETRY}"
