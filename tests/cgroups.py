"""A control group of its own for something that is started here, where no systemd gives it one. Needs root."""

import contextlib
import os
from pathlib import Path


class ControlGroup:
    """The same new group in every hierarchy that systemd looks at."""

    def __init__(self, name: str) -> None:
        self._folders = [place / name for place in _find_hierarchies()]
        for folder in self._folders:
            folder.mkdir(exist_ok=True)

    @property
    def members(self) -> list[str]:
        """The files that a process writes its number to, to get in."""
        return [f"{folder}/cgroup.procs" for folder in self._folders]

    def remove(self) -> None:
        """Remove the groups, whose processes must have ended; one that is not empty stays."""
        for top in self._folders:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _find_hierarchies() -> list[Path]:
    """Where version 2 is mounted, and the named hierarchy that systemd uses beside version 1."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            found.append(Path(before.split()[4]))
    return found
