"""Whether the library is there, and is the one that the state knows."""

import contextlib
import os
import re
import shlex
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ghostroll.cards.fstab import FSTAB
from ghostroll.cards.mounts import is_below, read_mounts
from ghostroll.doctor.commands import read_text
from ghostroll.doctor.finding import Check, Finding, Level, could_not_look, finding, join_names, ok
from ghostroll.doctor.surroundings import Surroundings
from ghostroll.errors import LibraryNotThere, StateUnusable
from ghostroll.library.identity import read_marker
from ghostroll.state.database import open_reader
from ghostroll.state.jobs import get_library_id

_WHY = "nothing can be copied, and cards wait until it is there"
_NO_STRANGERS = frozenset({"lost+found", ".ghostroll"})


@dataclass(frozen=True, slots=True)
class LibraryFacts:
    """`recorded` is the id that the state knows, `remembered` the witness outside, `found` the marker's.

    `forgotten` is why the witness can't be read, where only it would know. `trouble` is why the folder can't be opened (`there` and `forbidden` say more), `damage` why its marker can't be
    read, and `refused` whether that is a matter of rights: the `writer`'s. `strangers` are what stands in a folder without a marker. `unmounted` is a mount point of fstab, at or
    above the library, where nothing is mounted now.
    """

    path: str
    writer: str
    recorded: str | None = None
    remembered: str | None = None
    forgotten: str | None = None
    there: bool = True
    forbidden: bool = False
    trouble: str | None = None
    found: str | None = None
    damage: str | None = None
    refused: bool = False
    strangers: tuple[str, ...] = ()
    unmounted: str | None = None
    witness: str | None = None

    @property
    def expected(self) -> str | None:
        """The library that was here before, as far as anybody knows."""
        return self.recorded or self.remembered


def look_at_library(surroundings: Surroundings) -> list[Finding]:
    """The library's folder and its marker."""
    return judge_library(read_library(surroundings))


def is_usable(surroundings: Surroundings) -> bool:
    """Whether there is a library, or one can begin."""
    return all(one.level is Level.OK for one in judge_library(read_library(surroundings)))


def judge_library(facts: LibraryFacts) -> list[Finding]:
    """One sentence about the library: there, new, or why it can't be used."""
    where = f"the library {facts.path}"
    if facts.forbidden:
        return [could_not_look(Check.LIBRARY, where, "this user may not look into it")]
    if facts.damage is not None:
        return [_say_damaged(facts, facts.damage)]
    if facts.trouble is not None and facts.there:
        return [_say_closed(facts, facts.trouble)]
    if facts.forgotten is not None:
        why = "without it an empty folder may be one whose disk is not mounted, so that no library is begun"
        what = f"{facts.witness} can't be read: {facts.forgotten}"
        return [finding(Check.LIBRARY, what, why, "check its disk, or move that file away")]
    if facts.found is not None and facts.found == (facts.expected or facts.found):
        return [ok(Check.LIBRARY, f"{where} is there")]
    return [_judge_new(facts) if facts.expected is None else _say_missing(facts)]


def _judge_new(facts: LibraryFacts) -> Finding:
    if facts.strangers:
        return finding(
            Check.LIBRARY,
            f"{facts.path} is not empty and no library: {join_names(facts.strangers)}",
            "a library begins in an empty folder, so that it mixes with nothing",
            "set library.path to an empty or a new folder ('ghostroll config show' tells where it is set)",
        )
    if facts.unmounted is not None:
        why = "the first card would begin a library on the disk below, instead of the one that belongs there"
        return finding(Check.LIBRARY, f"{facts.unmounted} is not mounted", why, _remedy_missing(facts))
    return ok(Check.LIBRARY, f"the library {facts.path} is new: the first card begins it")


def _say_missing(facts: LibraryFacts) -> Finding:
    if facts.found is not None:
        known = "the state knows" if facts.recorded else f"{facts.witness} remembers"
        why = "nothing is written to it: a card would be called safe in the wrong place"
        what = f"{facts.path} is another library than {known}"
        return finding(Check.LIBRARY, what, why, _remedy_missing(facts))
    gone = "its folder holds no library" if facts.there else "there is no such folder"
    what = f"the library {facts.path} is gone: {gone}"
    return finding(Check.LIBRARY, what, _WHY, _remedy_missing(facts))


def _say_closed(facts: LibraryFacts, trouble: str) -> Finding:
    return finding(
        Check.LIBRARY,
        f"the library {facts.path} can't be opened: {trouble}",
        _WHY,
        f"ls -ld {shlex.quote(facts.path)} shows whose it is: let the one who runs ghostroll in, or change library.path",
    )


def _remedy_missing(facts: LibraryFacts) -> str:
    if facts.unmounted is not None:
        return f"sudo mount {shlex.quote(facts.unmounted)}"
    look = (
        "lsblk -o NAME,SIZE,LABEL,MOUNTPOINTS  # shows the disks: mount the library's, or change library.path"
    )
    if facts.recorded is None and facts.witness is not None:
        look += f"; if that library is gone for good, remove its line from {facts.witness}"
    return look


def _say_damaged(facts: LibraryFacts, damage: str) -> Finding:
    marker = os.path.join(facts.path, ".ghostroll", "library.json")
    remedy = f"restore {marker}"
    if facts.refused:
        remedy = f"sudo chown {facts.writer}: {shlex.quote(marker)} && sudo chmod u+rw {shlex.quote(marker)}"
    elif facts.expected is not None:
        content = shlex.quote(f'{{"id": "{facts.expected}"}}')
        remedy = f"echo {content} | sudo tee {shlex.quote(marker)}"
    what = f"the library's marker {marker} can't be read: {damage}"
    return finding(Check.LIBRARY, what, "nothing is written to what may be another library", remedy)


def read_library(surroundings: Surroundings) -> LibraryFacts:
    """What there is at library.path. May wait for a dying disk."""
    path = os.fsencode(surroundings.settings.library.path)
    recorded = _recall(os.fspath(surroundings.settings.state_path))
    remembered = forgotten = None
    try:
        remembered = None if recorded else surroundings.witness.recall(path)
    except OSError as error:
        forgotten = error.strerror
    facts = LibraryFacts(
        os.fsdecode(path),
        surroundings.writer_name,
        recorded=recorded,
        remembered=remembered,
        forgotten=forgotten,
        unmounted=find_unmounted(
            os.path.realpath(path), read_text(FSTAB) or "", [one.point for one in read_mounts()]
        ),
        witness=surroundings.witness.file,
    )
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        return replace(facts, forbidden=not surroundings.sees_as_writer, trouble=error.strerror)
    except OSError as error:
        return replace(facts, there=not isinstance(error, FileNotFoundError), trouble=error.strerror)
    try:
        found = read_marker(root)
        names = [] if found else sorted(set(os.listdir(root)) - _NO_STRANGERS)
        return replace(facts, found=found, strangers=tuple(names))
    except LibraryNotThere as error:
        cause = error.__cause__
        refused = isinstance(cause, PermissionError)
        damage = cause.strerror if isinstance(cause, OSError) else "it is damaged"
        return replace(
            facts, damage=damage, refused=refused, forbidden=refused and not surroundings.sees_as_writer
        )
    except OSError as error:
        return replace(facts, trouble=error.strerror)
    finally:
        os.close(root)


def find_unmounted(path: bytes, fstab: str, mounted: Sequence[bytes]) -> str | None:
    """The innermost mount point of an fstab(5) that a path is on, if nothing is mounted there."""
    points = [os.fsencode(_unescape(fields[1])) for fields in _split(fstab) if fields[1].startswith("/")]
    above = [point for point in points if point != b"/" and is_below(path, point)]
    best = max(above, key=len, default=None)
    return None if best is None or best in mounted else os.fsdecode(best)


def _split(fstab: str) -> list[list[str]]:
    lines = (line.split() for line in fstab.splitlines())
    return [fields for fields in lines if len(fields) > 2 and not fields[0].startswith("#")]


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _recall(state: str) -> str | None:
    """The library that the state belongs to; what is wrong with the state is said elsewhere."""
    with (
        contextlib.suppress(StateUnusable, sqlite3.DatabaseError),
        contextlib.closing(open_reader(state)) as db,
    ):
        return get_library_id(db)
    return None
