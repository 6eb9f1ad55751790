"""Ears in a whole machine: what happened when, by one clock.

Every moment is of CLOCK_MONOTONIC, in seconds, which a container shares with the machine around it: udevd's events
are stamped by `udevadm monitor`, journal entries by journald, and changes of a folder when they are heard of.
"""

import ctypes
import os
import re
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any, Self

from container import LIBRARY, Container
from waiting import wait_for

_EVENT = struct.Struct("iIII")  # struct inotify_event, before its name
_CLOEXEC = os.O_CLOEXEC  # IN_CLOEXEC is the same
_PAUSE = 0.2  # seconds between two looks whether to end
_TOLD = re.compile(r"(KERNEL|UDEV) *\[([\d.]+)\] +\w+ +(\S+) ")
_COPY = re.compile(rb"\d+-\d+")  # the name of a file that is being copied, until it gets its own
_libc = ctypes.CDLL(None, use_errno=True)


class Act(IntFlag):
    """What happens to a file that is being copied; linux/inotify.h."""

    WRITTEN = 0x2
    READ_BACK = 0x10  # closed by somebody who could not write
    MOVED = 0x40


_ALL = Act.WRITTEN | Act.READ_BACK | Act.MOVED


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that happened to a file that is being copied."""

    moment: float
    act: Act


class IncomingEar:
    """Hears what happens to the files that are being copied into a library, while it is entered."""

    def __init__(self, library: Path) -> None:
        self._folder = library / ".ghostroll" / "incoming"
        self._heard: list[Heard] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="incoming-ear")
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = _libc.inotify_init1(_CLOEXEC)
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(self._folder), int(_ALL)) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(self._folder))
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ending.set()
        self._thread.join()
        os.close(self._descriptor)

    def moments(self, act: Act, since: float) -> list[float]:
        """The moments of these acts, oldest first."""
        return [one.moment for one in list(self._heard) if act in one.act and one.moment >= since]

    def wait_for(self, act: Act, since: float, *, times: int = 1) -> None:
        """Wait until it happened so often."""
        wait_for(
            lambda: len(self.moments(act, since)) >= times, f"{act.name} was not heard {times} times", 60
        )

    def _listen(self) -> None:
        while not self._ending.is_set():
            if select.select([self._descriptor], [], [], _PAUSE)[0]:
                data = os.read(self._descriptor, 1 << 16)
                now = time.monotonic()
                self._heard += [
                    Heard(now, Act(mask & _ALL)) for mask, name in _parse(data) if _COPY.fullmatch(name)
                ]


def _parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        _, mask, _, length = _EVENT.unpack_from(data, place)
        place += _EVENT.size
        yield mask, data[place : place + length].rstrip(b"\0")
        place += length


class EventEar:
    """Hears what the kernel and udevd tell in a machine, while it is entered."""

    def __init__(self, machine: Container, folder: Path) -> None:
        self._machine, self._file = machine, folder / "events"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        told = ("udevadm", "monitor", "--kernel", "--udev", "--subsystem-match=block")
        with self._file.open("wb") as file:  # a pipe that is full would delay the stamps
            self._process = subprocess.Popen(
                self._machine.enter(*told), stdout=file, stdin=subprocess.DEVNULL
            )
        wait_for(lambda: "KERNEL - " in self._file.read_text(), "udevadm does not listen")
        return self

    def __exit__(self, *failure: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def first(self, source: str, disk: str, since: float) -> float:
        """When KERNEL or UDEV first told of a disk or its partitions after a moment."""
        place = f"/devices/virtual/block/{disk}"
        moments = [
            float(match[2])
            for match in _TOLD.finditer(self._file.read_text())
            if match[1] == source and (match[3] == place or match[3].startswith(f"{place}/"))
        ]
        return min(moment for moment in moments if moment >= since)


def seen_in(machine: Container, path: str) -> Path:
    """A path as a machine's processes see it, mounts and all."""
    return Path(f"/proc/{machine._leader}/root{path}")  # noqa: SLF001  # nobody else needs it


def library_of(machine: Container) -> Path:
    """The library in a machine, once its daemon has opened it."""
    place = seen_in(machine, LIBRARY)
    wait_for((place / ".ghostroll" / "incoming").is_dir, "the daemon did not open its library")
    return place


def moment_of(entry: dict[str, Any]) -> float:
    """When journald took an entry."""
    return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
