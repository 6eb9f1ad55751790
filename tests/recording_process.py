"""The process of a recording disk: a folder passed through FUSE, every change of it written down in its order.

mfusepy stands on libfuse's high-level interface: paths, not inodes. One thread serves, so that there is one order,
and a write(2) or fsync(2) returns to the program only after it was put down. Nothing is held back in the kernel:
without its writeback cache every write(2) gets here at once. What is written through mmap gets here when the kernel
likes; of the files here only SQLite's `-shm` is, which a recovery makes anew (sqlite.org/walformat.html). O_DIRECT
reads what was written; flock and fcntl locks are the kernel's own.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import disk_log
from disk_log import TOP, Link, Make, Operation, Remove, Rename, Resize, Sync, Write
from mfusepy import FUSE, Operations
from recording_disk import READY

_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_blksize")
_STATVFS = (
    *("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree"),
    *("f_files", "f_flag", "f_frsize", "f_namemax"),
)


class Recorder(Operations):  # type: ignore[misc]  # it is not typed
    """Does what is asked in the folder behind, and puts it down."""

    use_ns = True

    def __init__(self, behind: str, log: BinaryIO, ready: Callable[[], None]) -> None:
        self._behind, self._log, self._ready = behind, log, ready
        self._names: dict[int, dict[str, int]] = {TOP: {}}
        self._made = TOP
        self._open: dict[int, int] = {}  # descriptor -> node
        self._put_down_what_is_there(TOP, behind)

    def _put_down_what_is_there(self, folder: int, path: str) -> None:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            node = self._make(folder, entry.name, is_folder=entry.is_dir())
            if entry.is_dir():
                self._put_down_what_is_there(node, entry.path)
            else:
                self._put_down_bytes(node, entry.path)
        self._put(Sync(folder))

    def _put_down_bytes(self, node: int, path: str) -> None:
        with open(path, "rb") as file:
            size, at = os.fstat(file.fileno()).st_size, 0
            with contextlib.suppress(OSError):  # ENXIO: only a hole is left
                while at < size:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                    at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                    self._put(Write(node, start, os.pread(file.fileno(), at - start, start)))
        self._put(Resize(node, size))
        self._put(Sync(node))

    def _put(self, operation: Operation) -> None:
        self._log.write(disk_log.encode(operation))

    def _make(self, folder: int, name: str, *, is_folder: bool) -> int:
        self._made += 1
        self._names[folder][name] = self._made
        if is_folder:
            self._names[self._made] = {}
        self._put(Make(self._made, folder, name, is_folder))
        return self._made

    def _node(self, path: str) -> int:
        node = TOP
        for name in path.split("/"):
            if name:
                node = self._names[node][name]
        return node

    def _split(self, path: str) -> tuple[int, str]:
        folder, name = os.path.split(path)
        return self._node(folder), name

    def _place(self, path: str) -> str:
        return self._behind + path

    def init(self, _path: str) -> None:
        self._ready()

    def destroy(self, _path: str) -> None:
        self._log.flush()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.fstat(fh) if fh in self._open else os.lstat(self._place(path))
        times = {f"st_{time}": getattr(found, f"st_{time}_ns") for time in ("atime", "mtime", "ctime")}
        return {name: getattr(found, name) for name in _STAT} | times

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._place(path))
        return {name: getattr(found, name) for name in _STATVFS}

    def readdir(self, path: str, _fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        place = self._place(path)
        for name in (".", "..", *os.listdir(place)):
            found = os.lstat(os.path.join(place, name))
            yield name, {"st_mode": found.st_mode, "st_ino": found.st_ino}, 0

    def create(self, path: str, mode: int, _flags: int = 0) -> int:
        descriptor = os.open(self._place(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._open[descriptor] = self._make(*self._split(path), is_folder=False)
        return descriptor

    def mknod(self, path: str, mode: int, device: int) -> int:
        os.mknod(self._place(path), mode, device)
        self._make(*self._split(path), is_folder=False)
        return 0

    def open(self, path: str, flags: int) -> int:
        # Not as it was asked: O_APPEND would move writes, O_DIRECT wants aligned ones.
        descriptor = os.open(self._place(path), os.O_RDWR | os.O_CLOEXEC | flags & os.O_TRUNC)
        self._open[descriptor] = self._node(path)
        if flags & os.O_TRUNC:
            self._put(Resize(self._open[descriptor], 0))
        return descriptor

    def read(self, _path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        written = os.pwrite(fh, data, offset)
        self._put(Write(self._open[fh], offset, data[:written]))
        return written

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._place(path) if fh is None else fh, length)
        self._put(Resize(self._node(path) if fh is None else self._open[fh], length))
        return 0

    def fsync(self, _path: str, _datasync: int, fh: int) -> int:
        self._put(Sync(self._open[fh]))
        return 0

    def fsyncdir(self, path: str, _datasync: int, _fh: int) -> int:
        self._put(Sync(self._node(path)))
        return 0

    def release(self, _path: str, fh: int) -> int:
        del self._open[fh]
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._place(path), mode)
        self._make(*self._split(path), is_folder=True)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._place(path))
        return self._remove(path)

    def rmdir(self, path: str) -> int:
        os.rmdir(self._place(path))
        return self._remove(path)

    def _remove(self, path: str) -> int:
        folder, name = self._split(path)
        del self._names[folder][name]
        self._put(Remove(folder, name))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._place(old), self._place(new))  # whether there may be something, the kernel has looked
        (folder, name), (to_folder, to_name) = self._split(old), self._split(new)
        node = self._names[folder].pop(name)
        self._names[to_folder][to_name] = node
        self._put(Rename(node, folder, name, to_folder, to_name))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._place(source), self._place(target))
        node = self._node(source)
        folder, name = self._split(target)
        self._names[folder][name] = node
        self._put(Link(node, folder, name))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._place(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._place(path), uid, gid, follow_symlinks=False)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if times is None:
            os.utime(self._place(path), follow_symlinks=False)
        else:
            os.utime(self._place(path), ns=times, follow_symlinks=False)
        return 0


def main(behind: str, point: str, log: str) -> None:
    """Serve until it is unmounted."""

    def ready() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()

    with open(log, "wb") as file:
        FUSE(
            Recorder(behind, file, ready),
            point,
            foreground=True,
            nothreads=True,
            use_ino=True,
            hard_remove=True,
            fsname="recording",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
