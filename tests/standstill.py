"""A machine that stands still now and then: a command runs in a control group that is frozen at moments nobody chose.

`python tests/standstill.py SEED COMMAND...` (root) freezes all of its processes, or one of them, for up to two seconds,
again and again; it ends with the command's exit code. Clocks go on meanwhile, as where a laptop sleeps, a virtual
machine waits for its host, or a card of an old reader holds the bus. What waits for an event passes; what counts on who is
faster doesn't.
"""

import contextlib
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_GAPS = (0.2, 3.0)  # seconds between two standstills
_STANDSTILLS = (0.05, 0.2, 0.5, 1.0, 2.0)  # seconds


class Freezer:
    """A control group whose members can be frozen together, with one inside it for a member alone."""

    def __init__(self, name: str) -> None:
        """Raises OSError where none can be made."""
        top, self._file, self._words = _find_freezer()
        self._all = top / name
        self._one = self._all / "one"
        self._one.mkdir(parents=True)

    def start_in(self) -> list[str]:
        """What to start a command by, so that it is in."""
        return ["sh", "-c", f'echo $$ > "{self._all}/cgroup.procs" && exec "$@"', "sh"]

    def freeze_all(self, seconds: float) -> None:
        """Every member stands still for so long."""
        with self._frozen(self._all):
            select.select([], [], [], seconds)

    def freeze_one(self, chance: random.Random, seconds: float) -> None:
        """Some member stands still for so long; nothing happens where it ends meanwhile."""
        members = self.list_members()
        if not members:
            return
        try:
            _move(chance.choice(members), self._one)
            with self._frozen(self._one):
                select.select([], [], [], seconds)
        except ProcessLookupError:
            pass
        finally:
            for member in _list(self._one):  # and what it has started since
                with contextlib.suppress(ProcessLookupError):
                    _move(member, self._all)

    def list_members(self) -> list[str]:
        """The processes that are in."""
        return _list(self._all)

    def remove(self) -> None:
        """Remove the group, whose processes must have ended."""
        self._one.rmdir()
        self._all.rmdir()

    @contextlib.contextmanager
    def _frozen(self, group: Path) -> Iterator[None]:
        still, go_on = self._words
        try:
            (group / self._file).write_text(still)
            yield
        finally:
            (group / self._file).write_text(go_on)


def _find_freezer() -> tuple[Path, str, tuple[str, str]]:
    """Where groups can be frozen, by which file, and the words for it: version 1 has a hierarchy of its own for that."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = Path(before.split()[4])
        if kind == "cgroup" and "freezer" in options.split(" ")[-1].split(","):
            return place, "freezer.state", ("FROZEN", "THAWED")
        if kind == "cgroup2":
            found = place, "cgroup.freeze", ("1", "0")
    if found is None:
        raise FileNotFoundError("no control groups are mounted")
    return found


def _list(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()


def _move(pid: str, group: Path) -> None:
    (group / "cgroup.procs").write_text(pid)


def main() -> int:
    """Run a command to its end; say how often it stood still."""
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        sys.stderr.write("usage: python tests/standstill.py SEED COMMAND...\n")
        return 2
    chance = random.Random(int(sys.argv[1]))
    try:
        freezer = Freezer(f"ghostroll-standstill-{os.getpid()}")
    except OSError as error:
        sys.stderr.write(f"no control group can be frozen here ({error.strerror}): run this as root\n")
        return 2
    times, seconds = 0, 0.0
    with subprocess.Popen([*freezer.start_in(), *sys.argv[2:]]) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(*_GAPS))
                    break
                still = chance.choice(_STANDSTILLS)
                if chance.random() < 0.3:
                    freezer.freeze_all(still)
                else:
                    freezer.freeze_one(chance, still)
                times, seconds = times + 1, seconds + still
        except KeyboardInterrupt:  # the command has heard it too
            process.wait()
    with contextlib.suppress(OSError):  # something of it is left
        freezer.remove()
    sys.stdout.write(f"it stood still {times} times, {seconds:.0f} seconds in all\n")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
