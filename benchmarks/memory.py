"""The memory of a process and all its descendants, as the kernel shares it out among them."""

import contextlib
import os
import threading
from typing import Self

_PAUSE = 0.1  # seconds between two looks


class MemoryWatch:
    """Looks at a process tree from entering to leaving; `peak` is the largest sum seen so far, in bytes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, sum(_share_of(pid) for pid in _family(self._pid)))
            if self._ending.wait(_PAUSE):
                return


def _family(oldest: int) -> list[int]:
    """A process and all its descendants at this moment."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # proc(5): the name in brackets may hold anything, so count from its end.
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    family = [oldest]
    for member in family:
        family += children.get(member, [])
    return family


def _share_of(pid: int) -> int:
    """A process's proportional share of memory in bytes (`Pss`, proc(5)); 0 where it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0
