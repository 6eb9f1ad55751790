"""The steps that make a file survive a power cut, each with what it promises.

All paths are bytes below an open folder descriptor, `root`, so that a disk which is unmounted in the
middle is either written to or not, but never its empty mount point instead. What POSIX promises of
rename and fsync, and that a failed fsync may drop the very pages it failed on: fsync(2), rename(2).
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ghostroll.errors import (
    LibraryFailing,
    LibraryNotThere,
    MachineShort,
    NoSpace,
    SourceUnreadable,
    TransientError,
)
from ghostroll.faults import crash_point
from ghostroll.model import HEAD_BYTES, Sha256

_CHUNK = 1 << 20
_PIECES = 1 << 16  # bytes of small pieces that are written at once
_libc = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE = 1


# What stands under a name, and no disk, is the trouble: a file where a folder is wanted.
_OF_A_NAME = frozenset(
    {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.EINVAL, errno.EILSEQ}
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: its size in bytes, its checksum and that of its first 64 KiB."""

    size: int
    sha256: Sha256
    head: Sha256


@contextlib.contextmanager
def library_errors(doing: str) -> Iterator[None]:
    """Turn what the library's disk says into what the caller must do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("the library's disk is full: make room and the copy goes on") from error
        MachineShort.check(error)
        if error.errno == errno.EROFS:
            raise LibraryNotThere("the library's disk is read-only: mount it writable") from error
        if error.errno == errno.ENAMETOOLONG:
            raise SourceUnreadable(
                "its name or path is too long for the library's disk: copy this one by hand"
            ) from error
        if error.errno in _OF_A_NAME:
            raise TransientError(f"{doing} failed in the library: {error.strerror}") from error
        raise LibraryFailing(
            f"{doing} failed on the library's disk ({error.strerror}): check that disk and it goes on"
        ) from error


class ContentReader:
    """Feeds a file's bytes to a hash and to whoever wants them, chunk by chunk."""

    def __init__(self, chunk: int = _CHUNK) -> None:
        # Anonymous memory starts on a page, as O_DIRECT needs it.
        self._buffer = mmap.mmap(-1, max(chunk, HEAD_BYTES))
        self._view = memoryview(self._buffer)

    def read(
        self,
        descriptor: int,
        *,
        sink: Callable[[memoryview], None] | None,
        check: Callable[[int], None],
        until: int | None = None,
    ) -> Content:
        """Read from the descriptor's place to its end, or `until` that many bytes or more were read.

        `check(bytes so far)` may raise after each chunk.
        """
        whole, head = hashlib.sha256(), hashlib.sha256()
        size = 0
        while (until is None or size < until) and (count := self._read_chunk(descriptor)):
            chunk = self._view[:count]
            whole.update(chunk)
            if size < HEAD_BYTES:
                head.update(chunk[: HEAD_BYTES - size])
            if sink is not None:
                sink(chunk)
            size += count
            check(size)
        return Content(size, Sha256(whole.digest()), Sha256(head.digest()))

    def _read_chunk(self, descriptor: int) -> int:
        try:
            return os.readv(descriptor, [self._buffer])
        except OSError as error:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
        # Behind a read that gave less than was asked for the place may be one that O_DIRECT does not take.
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return os.readv(descriptor, [self._buffer])

    def close(self) -> None:
        """Give the buffer back."""
        self._view.release()
        # The traceback of an error that is still held may hold a piece of it; then it goes with that error.
        with contextlib.suppress(BufferError):
            self._buffer.close()


def write_all(descriptor: int, data: memoryview) -> None:
    """Write every byte, however few the kernel takes at once."""
    while data:
        data = data[os.write(descriptor, data) :]


def sync_data(descriptor: int) -> None:
    """On return the file's bytes and size are on the medium. After an error they may be nowhere: write anew."""
    crash_point("library.data_syncing")
    os.fdatasync(descriptor)
    crash_point("library.data_synced")


def sync_file(root: int, path: bytes) -> None:
    """As `sync_data`, for a file that an earlier process has written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_content(root: int, path: bytes, reader: ContentReader, *, check: Callable[[int], None]) -> Content:
    """Read a stored file back from the medium, not from the page cache, where the filesystem can do that.

    O_DIRECT leaves the cached pages alone, which the render wants next. Where it is refused, the pages
    are given up first; that is advice, and on a memory filesystem nothing at all.
    """
    try:
        return _read_content(root, path, reader, check, os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return _read_content(root, path, reader, check, 0)


def _read_content(
    root: int, path: bytes, reader: ContentReader, check: Callable[[int], None], direct: int
) -> Content:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | direct, dir_fd=root)
    try:
        if not direct:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        # Up to the size and no further: behind it the place is no multiple of a block, which O_DIRECT wants.
        return reader.read(descriptor, sink=None, check=check, until=os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def rename_into_place(root: int, temp: bytes, final: bytes) -> None:
    """Give a file its final name, atomically, never over something: FileExistsError instead.

    It gets the group of its folder. Durable only after the folder is synced.
    """
    _give_to_group(root, temp, os.path.dirname(final))
    crash_point("library.renaming")
    result = _libc.renameat2(root, ctypes.c_char_p(temp), root, ctypes.c_char_p(final), _RENAME_NOREPLACE)
    if result != 0:
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), os.fsdecode(final))
        if exists(root, final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(final))
        os.rename(temp, final, src_dir_fd=root, dst_dir_fd=root)
    crash_point("library.renamed")


def _give_to_group(root: int, path: bytes, folder: bytes) -> None:
    """Let a file have the group of a folder, as the folder's set-group-id bit would, if this user is in it."""
    group = os.stat(folder or b".", dir_fd=root).st_gid
    if os.stat(path, dir_fd=root, follow_symlinks=False).st_gid != group:
        with contextlib.suppress(OSError):  # some filesystems know no groups
            os.chown(path, -1, group, dir_fd=root, follow_symlinks=False)


def exists(root: int, path: bytes) -> bool:
    """Whether anything has this name, a dangling link too."""
    return _look(root, path) is not None


def _look(root: int, path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=root, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def has_size(root: int, path: bytes, size: int) -> bool:
    """Whether a regular file of exactly this size is there."""
    found = _look(root, path)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size == size


def is_file(root: int, path: bytes) -> bool:
    """Whether a regular file is there."""
    found = _look(root, path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(root: int, path: bytes) -> bool:
    """Whether a folder is there."""
    found = _look(root, path)
    return found is not None and stat.S_ISDIR(found.st_mode)


class Folders:
    """Makes folders, and knows which of them still have to be synced.

    A folder made by a process that was killed may exist without being durable, so every folder up to
    the library is synced once by each process, and again whenever something new stands in it.
    """

    def __init__(self, group: int | None = None) -> None:
        """`group` (an id) owns the folders made from now on; None leaves them the group they get."""
        self._group = group
        self._may_set_bit = True
        self._lock = threading.Lock()
        self._changes: dict[bytes, int] = {}  # folder -> how often its entries changed, as far as we know
        self._durable: dict[bytes, int] = {}  # folder -> the change count that its last sync covered

    def make(self, root: int, folder: bytes) -> None:
        """See to it that a folder and those above it exist, group-writable. Durable after `sync`."""
        missing: list[bytes] = []
        while folder and not exists(root, folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            # Under the lock: who sees the new folder must also see that the one above it has changed.
            with self._lock, contextlib.suppress(FileExistsError):
                crash_point("library.folder_making")
                os.mkdir(path, 0o775, dir_fd=root)
                self.share(root, path)
                self._touch(os.path.dirname(path))
                crash_point("library.folder_made")

    def share(self, root: int, folder: bytes) -> None:
        """Let the group write in a folder and, where this process may say so, own what anybody makes in it."""
        if self._group is None:
            return
        os.chown(folder, -1, self._group, dir_fd=root, follow_symlinks=False)
        if self._may_set_bit:
            try:
                os.chmod(folder, 0o2775, dir_fd=root)  # noqa: S103  # the group that owns the library may write in it
            except PermissionError:
                self._may_set_bit = False  # RestrictSUIDSGID= of systemd.exec(5)
            else:
                return
        # Without the bit all that we make gets the group one by one. A bit from the folder above would go with a chmod.
        if os.stat(folder, dir_fd=root, follow_symlinks=False).st_mode & 0o2070 != 0o2070:
            os.chmod(folder, 0o775, dir_fd=root)  # noqa: S103  # as above

    def sync(self, root: int, changed: Iterable[bytes]) -> None:
        """On return the entries of these folders, and of all above them, are on the medium."""
        wanted: set[bytes] = {b""}
        with self._lock:
            for start in changed:
                folder = start
                self._touch(folder)
                while folder:
                    wanted.add(folder)
                    folder = os.path.dirname(folder)
            todo = {
                folder: self._changes.get(folder, 0)
                for folder in wanted
                if self._durable.get(folder) != self._changes.get(folder, 0)
            }
        for folder, change in sorted(todo.items(), reverse=True):
            crash_point("library.folder_syncing")
            sync_folder(root, folder)
            crash_point("library.folder_synced")
            with self._lock:
                self._durable[folder] = change

    def _touch(self, folder: bytes) -> None:
        self._changes[folder] = self._changes.get(folder, 0) + 1


def sync_folder(root: int, folder: bytes) -> None:
    """On return the entries of one folder are on the medium."""
    descriptor = os.open(
        folder or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root
    )
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(root: int, path: bytes, pieces: Iterable[bytes], temp: bytes) -> None:
    """Replace a file at once: readers see the old one or the new one, whole, with its folder's group.

    It is written as its pieces come, so that it is never in memory as a whole. Its bytes are on the medium on return;
    its name is once the folder is synced. Where that fails, nothing is left.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temp, flags, 0o664, dir_fd=root)
    try:
        try:
            with open(descriptor, "wb", buffering=_PIECES, closefd=False) as file:
                file.writelines(pieces)
            crash_point("library.whole_syncing")
            os.fdatasync(descriptor)
            crash_point("library.whole_synced")
        finally:
            os.close(descriptor)
        _give_to_group(root, temp, os.path.dirname(path))
        crash_point("library.whole_renaming")
        os.rename(temp, path, src_dir_fd=root, dst_dir_fd=root)
        crash_point("library.whole_renamed")
    except BaseException:
        remove_quietly(root, temp)
        raise


def remove_quietly(root: int, path: bytes) -> None:
    """Remove a temporary file of our own; one that is gone is fine, one that stays is cleared at the next start."""
    with contextlib.suppress(OSError):
        os.unlink(path, dir_fd=root)
