"""Calls of the program under test that fail on demand: `faulty.c`, loaded into it before the C library.

Why so, and not by strace or a device that fails: a rule matches by folder and counts over all threads, costs
nothing that could be measured, needs neither root nor a device mapper, and reaches SQLite's calls like ours.
What the kernel itself does on a real disk is tested in `tests/system`.
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from forking import fork_command
from running import Run, need_tools

SOURCE = Path(__file__).with_name("faulty.c")
WRITES = ("create", "write", "sync", "rename", "mkdir", "unlink", "truncate")  # what a disk may refuse
READS = ("open", "read", "list", "stat")  # what a card may refuse
NEVER = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls of one kind on paths that match `glob` meet `action`, from the `first` to the `last` (0: for ever).

    Not those that match `but`, and only while `gate` is there, if it is given. The actions are those of `faulty.c`.
    """

    kind: str
    glob: str
    action: str
    first: int = 1
    last: int = 0
    but: str = "-"
    gate: Path | None = None

    def describe(self) -> str:
        """A line of `FAULTY_RULES`."""
        return "\t".join(
            (
                self.kind,
                self.glob,
                self.but,
                str(self.first),
                str(self.last),
                self.action,
                str(self.gate or "-"),
            )
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A call that some rule matched, and whether it failed."""

    kind: str
    path: str
    met: bool


class Faulty:
    """The library that makes calls fail, compiled once."""

    def __init__(self, folder: Path) -> None:
        need_tools(gcc="gcc")
        self._library = folder / "faulty.so"
        flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")
        subprocess.run(["gcc", *flags, "-o", self._library, SOURCE, "-ldl"], check=True)

    def arm(self, *faults: Fault, log: Path | None = None) -> dict[str, str]:
        """What to add to the environment of a process that is to meet these faults."""
        armed = {
            "LD_PRELOAD": str(self._library),
            "FAULTY_RULES": "\n".join(fault.describe() for fault in faults),
        }
        return armed if log is None else armed | {"FAULTY_LOG": str(log)}

    def run(self, env: Mapping[str, str], *arguments: str | bytes | Path, timeout: float = 100) -> Run:
        """Run an armed command to its end, from a fork that has the library loaded."""
        return fork_command(env, *arguments, timeout=timeout, preload=self._library)


def watch(glob: str, kinds: Iterable[str], *, but: str = "-") -> list[Fault]:
    """Rules that let everything pass, so that a log tells which calls there are."""
    return [Fault(kind, glob, "EIO", NEVER, but=but) for kind in kinds]


def list_calls(log: Path) -> list[Call]:
    """The calls that rules matched, in their order."""
    if not log.exists():
        return []
    calls = []
    for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        kind, _, path = line.partition("\t")
        calls.append(Call(kind.lstrip("!"), path, kind.startswith("!")))
    return calls


def count_met(log: Path) -> int:
    """How many calls failed."""
    return sum(call.met for call in list_calls(log))
