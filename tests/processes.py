"""What a process holds: descriptors, threads and children, as the kernel counts them."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Belongings:
    """Numbers of what a process holds."""

    descriptors: int
    threads: int
    children: int
    zombies: int


def count_belongings(pid: int) -> Belongings:
    """What a process holds at this moment."""
    states = [state for state, parent in _list_processes() if parent == pid]
    return Belongings(
        len(os.listdir(f"/proc/{pid}/fd")),
        len(os.listdir(f"/proc/{pid}/task")),
        len(states),
        states.count("Z"),
    )


def _list_processes() -> list[tuple[str, int]]:
    """State and parent of every process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                found.append((state, int(parent)))
    return found
