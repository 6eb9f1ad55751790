"""Card readers that stand on the table: high-numbered loop devices, empty or with a card in. Needs root.

A reader is there, as an empty disk, before a card is in it and after. Whatever a machine does to a card by
itself (media-change events, another `diskseq`, partitions that stay while they are in use) the kernel does here as well.
Nobody else gets these devices by `losetup --find`, which takes the lowest free number.
"""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from slots import write_table
from waiting import wait_for

# linux/loop.h
_CONFIGURE, _CHANGE_FD = 0x4C0A, 0x4C06
_ADD, _REMOVE = 0x4C80, 0x4C81
_REREAD = 0x125F  # BLKRRPART of linux/fs.h
_READ_ONLY, _AUTOCLEAR, _PARTSCAN = 1, 4, 8
_STATUS = struct.Struct("=QQQQQIIII64s64s32sQQ")
_LOCKS = Path("/run/ghostroll-tests")  # one place for the whole machine, as the numbers are
_FIRST, _LAST, _PER_SHELF = 1000, 1990, 10


class Shelf:
    """Ten numbers of loop devices that are one container's for as long as this process lives."""

    def __init__(self) -> None:
        self._control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        self._numbers: list[int] = []
        _LOCKS.mkdir(mode=0o700, exist_ok=True)
        for first in range(_FIRST, _LAST, _PER_SHELF):
            self._lock = (_LOCKS / f"readers-{first}.lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                continue
            self._free = list(range(first, first + _PER_SHELF))
            self.pattern = f"loop{first // _PER_SHELF}[0-9]"
            self._clear(self._free)  # what a run that was killed has left
            return
        message = "every number for card readers is in use"
        raise AssertionError(message)

    def add(self) -> str:
        """Plug an empty reader in; the kernel's name of it."""
        while True:
            assert self._free, "ten readers are all there are"
            number = self._free.pop(0)
            # A number that an earlier run left in use is passed over.
            with contextlib.suppress(FileExistsError):
                self._numbers.append(fcntl.ioctl(self._control, _ADD, number))
                return f"loop{number}"

    def remove(self, name: str) -> None:
        """Unplug a reader that is empty and not in use; OSError (EBUSY) else. Its number is not given out again."""
        fcntl.ioctl(self._control, _REMOVE, int(name.removeprefix("loop")))

    def end(self) -> None:
        """Unplug all that are still there; one that somebody holds stays until a later run clears it away."""
        self._clear(self._numbers)
        os.close(self._control)
        self._lock.close()

    def _clear(self, numbers: list[int]) -> None:
        for number in numbers:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._control, _REMOVE, number)


class Reader:
    """One reader, and the card that is in it."""

    def __init__(
        self, shelf: Shelf, folder: Path, hold_events: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`folder` is for what is made here; `hold_events` makes udevd wait while a card goes in."""
        self._shelf, self._folder, self._hold_events = shelf, folder, hold_events
        self.name = shelf.add()
        self.node = f"/dev/{self.name}"
        self._device: int | None = None
        self._partitioned = False
        self._size = 0

    @property
    def diskseq(self) -> int:
        """The kernel's number of the medium that is in, or of its absence."""
        return int(self._sysfs("diskseq").read_text())

    @property
    def is_empty(self) -> bool:
        """Whether the kernel sees no medium."""
        return self._sysfs("size").read_text() == "0\n"

    def point(self, number: int | None = None) -> str:
        """Where this card is mounted in the machine: by default its first partition, or the disk where there is no table."""
        if number is None:
            number = 1 if self._partitioned else 0
        return f"/run/ghostroll/cards/{self.diskseq}-{number}"

    def insert(self, image: Path, *, partitioned: bool = False) -> None:
        """Put a card in; the slot must be empty, or become so within 20 s.

        `image` is a filesystem (see `disks.Disks.format`) or a whole card; `partitioned` puts a table in front of
        it. Nobody is told before its partitions are there, as from a real kernel.
        """
        card = self._wrap(image) if partitioned else image
        self._partitioned = partitioned
        self._size = card.stat().st_size
        wait_for(lambda: self.is_empty, f"{self.name} is still in use by somebody", timeout=20)
        with self._hold_events():
            self._device = os.open(self.node, os.O_RDONLY | os.O_CLOEXEC)
            self._configure(card)
            if partitioned:
                self._read_table()

    def pull(self) -> None:
        """Take the card out, whoever reads it: from now on reads fail and `diskseq` is another; returns at once.

        The slot is empty (size 0) when nobody holds the card any more: see `wait_until_empty`.
        """
        assert self._device is not None, "no card is in"
        nothing = self._folder / f"{self.name}.nothing"
        nothing.unlink(missing_ok=True)
        with nothing.open("xb") as file:
            os.truncate(nothing, self._size)
            fcntl.ioctl(self._device, _CHANGE_FD, file.fileno())
        os.truncate(nothing, 0)
        os.close(self._device)  # the last one who closes it empties the slot
        self._device = None

    def wait_until_empty(self, timeout: float = 20) -> None:
        """Wait until everybody has let go of the card that was pulled."""
        wait_for(lambda: self.is_empty, f"somebody holds the card that was in {self.name}", timeout=timeout)

    def swap(self, image: Path, *, partitioned: bool = False) -> None:
        """Another card of the same size is in at once, faster than anybody looks.

        A card with a table: returns when its partition is there, which waits until the old one is let go of (30 s). The
        kernel would do that when the mounter opens the disk; here it is done a moment later, so that the mounter may say
        once that somebody holds the old card, and try again after a second.
        """
        assert self._device is not None, "no card is in"
        card = self._wrap(image) if partitioned else image
        assert card.stat().st_size == self._size, "only cards of one size can be swapped"
        with card.open("rb") as file:
            fcntl.ioctl(self._device, _CHANGE_FD, file.fileno())
        self._partitioned = partitioned
        if partitioned:
            self._read_table()

    def unplug(self) -> None:
        """Take the reader away, with the card that is in it: a `remove` once everybody has let go."""
        if self._device is not None:
            self.pull()
        self.wait_until_empty()
        wait_for(self._remove, f"somebody has {self.name} open")

    def end(self) -> None:
        """Let go of the card, if one is in."""
        if self._device is not None:
            os.close(self._device)
            self._device = None

    def _remove(self) -> bool:
        with contextlib.suppress(OSError):
            self._shelf.remove(self.name)
        return not Path(f"/sys/block/{self.name}").exists()

    def _sysfs(self, name: str) -> Path:
        return Path(f"/sys/block/{self.name}/{name}")

    def _wrap(self, image: Path) -> Path:
        card = self._folder / f"{image.stem}.card"
        write_table(card, [image])
        return card

    def _configure(self, card: Path) -> None:
        """Attach the card. The last one who closes the device detaches it, even if this process is killed."""
        assert self._device is not None
        flags = _READ_ONLY | _AUTOCLEAR | _PARTSCAN
        info = _STATUS.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(card)[-63:], b"", b"", 0, 0)
        with card.open("rb") as file:
            fcntl.ioctl(self._device, _CONFIGURE, struct.pack("=II", file.fileno(), 512) + info + bytes(64))

    def _read_table(self) -> None:
        """Do the kernel's part: a loop device's table is not read by itself, and some kernels have no parser of tables."""

        def is_read() -> bool:
            assert self._device is not None
            try:
                fcntl.ioctl(self._device, _REREAD)  # old partitions are gone after it
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
            if not partition.exists():
                subprocess.run(["partx", "--add", self.node], check=True, capture_output=True)
            return True

        partition = self._sysfs(f"{self.name}p1")
        wait_for(is_read, f"somebody holds a partition of {self.name} that is there no more")
