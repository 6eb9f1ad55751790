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


class MemoryGroup:
    """A new control group whose members have so much memory between them, and no swap."""

    def __init__(self, name: str, size: int) -> None:
        """Raises OSError where none can be made. `size` is in bytes."""
        self._folder, is_new = _find_memory()
        self._folder /= name
        self._kills, self._key = (
            ("memory.events", "oom_kill") if is_new else ("memory.oom_control", "oom_kill")
        )
        self._folder.mkdir()
        try:
            (self._folder / ("memory.max" if is_new else "memory.limit_in_bytes")).write_text(str(size))
            swap = self._folder / ("memory.swap.max" if is_new else "memory.memsw.limit_in_bytes")
            if swap.exists():
                swap.write_text("0" if is_new else str(size))
        except OSError:
            self.remove()
            raise

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from now on is in as well."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def start_in(self) -> list[str]:
        """What to start a command by, so that it is in."""
        return ["sh", "-c", f'echo $$ > "{self._folder}/cgroup.procs" && exec "$@"', "sh"]

    def count_kills(self) -> int:
        """How many processes the kernel has killed here because memory ran out."""
        lines = (self._folder / self._kills).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == self._key)

    def remove(self) -> None:
        """Remove the group, whose processes must have ended."""
        self._folder.rmdir()


def _find_memory() -> tuple[Path, bool]:
    """Where groups can have a limit on memory, and whether that is version 2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = Path(before.split()[4])
        if kind == "cgroup" and "memory" in options.split(" ")[-1].split(","):
            return place, False
        if kind == "cgroup2" and "memory" in (place / "cgroup.controllers").read_text().split():
            (place / "cgroup.subtree_control").write_text("+memory")
            return place, True
    raise FileNotFoundError("no memory controller is mounted")
