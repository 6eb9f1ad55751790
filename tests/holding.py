"""Reads that wait: another process stands still in the middle of a file until the test lets it go on. Needs root."""

import contextlib
import ctypes
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path

# linux/fanotify.h
_CLASS_CONTENT, _CLOEXEC = 0x4, 0x1
_MARK_ADD = 0x1
_ACCESS_PERM = 0x20000
_ALLOW = 1
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")
_libc = ctypes.CDLL(None, use_errno=True)


class HeldReads:
    """Every `read` of one file waits in the kernel until it is passed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held: list[int] = []

    def catch(self, timeout: float = 30) -> None:
        """Wait until somebody reads; that read is held from now on."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        assert ready, "nobody has read the file"
        data = os.read(self._descriptor, _EVENT.size)
        self._held.append(_EVENT.unpack(data)[5])

    def let_one_go(self) -> None:
        """The oldest held read goes on."""
        event = self._held.pop(0)
        os.write(self._descriptor, struct.pack("=iI", event, _ALLOW))
        os.close(event)

    def end(self) -> None:
        """Everything goes on, now and later."""
        while self._held:
            self.let_one_go()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def hold_reads(path: Path) -> Iterator[HeldReads]:
    """Hold all reads of a file. fanotify(7): permission events."""
    descriptor = _libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "fanotify_init")
    held = HeldReads(descriptor)
    try:
        mask = ctypes.c_uint64(_ACCESS_PERM)
        if _libc.fanotify_mark(descriptor, _MARK_ADD, mask, _AT_FDCWD, os.fsencode(path)) != 0:
            raise OSError(ctypes.get_errno(), "fanotify_mark")
        yield held
    finally:
        held.end()
