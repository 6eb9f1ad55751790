"""Ingests onto a disk that records, and what is left of them when the power fails somewhere."""

import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemons import RunningDaemon
from disk_log import Operation, find_node, find_words, read_log
from disks import Disks, run
from forking import fork_command
from power_cut import Disk, Odds, Tree
from promises import (
    ask,
    check_finished,
    check_stored,
    has_records,
    hash_tree,
    list_renditions,
)
from recording_disk import record
from running import KILLED, command, environment

IMAGE = "disk.img"
_EXT4_MIB = 32
_SABOTAGED = "\nfrom ghostroll.cli import main; main()"
_SECURED = re.compile(rb'safe to remove|SECURED|"state": ?"secured"')  # the log, the terminal, the status


@dataclass(frozen=True, slots=True)
class Step:
    """One ingest of a card. What it says goes to files in the folder that it is given.

    `killed_at` is a crash point at which it is killed; `sabotage` is Python that its process runs before it starts;
    `by_daemon`: a daemon runs and does it.
    """

    card: Path
    killed_at: str | None = None
    sabotage: str = ""
    by_daemon: bool = False

    def take(self, env: Mapping[str, str], said: Path) -> None:
        """Do it, to its end."""
        said.mkdir(parents=True)
        if not self.by_daemon:
            self._ingest(env, said)
            return
        daemon = RunningDaemon(said / "d", env)
        try:
            daemon.wait_ready()
            self._ingest(env, said)
            assert daemon.stop() == 0, daemon.text()
        finally:
            daemon.end()

    def _ingest(self, env: Mapping[str, str], said: Path) -> None:
        start = [sys.executable, "-c", self.sabotage + _SABOTAGED] if self.sabotage else command()
        armed = env if self.killed_at is None else {**env, "GHOSTROLL_CRASH_AT": self.killed_at}
        with (said / "out").open("wb") as out, (said / "err").open("wb") as err:
            done = subprocess.run(
                [*start, "ingest", self.card], env=armed, stdout=out, stderr=err, timeout=100, check=False
            )
        assert done.returncode == (KILLED if self.killed_at else 0), (said / "err").read_text()


@dataclass(frozen=True, slots=True)
class Saying:
    """That a card had been called secured once there were so many operations."""

    position: int
    card: Path


@dataclass(frozen=True, slots=True)
class Recording:
    """Ingests that went to their end, as their disk saw them: library, state, home and everything they said.

    `began`: how many operations there were before the first. All cards are in the folder `cards`.
    """

    place: Path
    cards: Path
    env: Mapping[str, str]
    log: Sequence[Operation]
    began: int
    sayings: Sequence[Saying]
    renditions: Mapping[bytes, str]

    @property
    def library(self) -> Path:
        """Where the library was, and is again after `put_back`."""
        return self.place / "disk" / "library"

    def cut(self, position: int, odds: Odds, chance: random.Random) -> Tree:
        """One of the things that the disk may hold if the power fails after so many operations."""
        disk = Disk()
        disk.tell_all(self.log[:position])
        return disk.cut(odds, chance)

    def put_back(self, tree: Tree) -> None:
        """Lay what is left of the disk down where it was."""
        shutil.rmtree(self.place / "disk")
        (self.place / "disk").mkdir()
        lay_down(tree, self.place / "disk")

    def list_said(self, position: int) -> list[Path]:
        """The cards that had been called secured after so many operations."""
        return [saying.card for saying in self.sayings if saying.position <= position]


def record_steps(
    place: Path,
    steps: Sequence[Step],
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] = lambda _disk: None,
) -> Recording:
    """Take these steps on a recording disk, which is prepared before.

    What they say are files on that disk as well, so that each sentence has its place among the operations.
    """
    behind, disk = place / "behind", place / "disk"
    behind.mkdir(parents=True)
    disk.mkdir()
    env = _settle(disk) | {"GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM": "true"} | dict(settings or {})
    with record(behind, disk, place / "log"):
        prepare(disk)
        _take(steps, env, disk)
    return _conclude(place, steps, env, list_renditions(behind / "library"))


def record_steps_on_ext4(
    place: Path, steps: Sequence[Step], disks: Disks, settings: Mapping[str, str]
) -> Recording:
    """As `record_steps`, onto ext4 on a loop device whose backing file lies on the recording disk.

    Each request of the block layer comes there as a write, each flush as an fsync (linux/drivers/block/loop.c; it
    takes no FUA writes, so the kernel makes them a write and a flush). So every state of the medium can be made again.
    """
    behind, recorded = place / "behind", place / "recorded"
    behind.mkdir(parents=True)
    recorded.mkdir()
    _make_ext4(behind / IMAGE)
    env = _settle(place / "disk") | dict(settings)
    with record(behind, recorded, place / "log"):
        disk = disks.mount(recorded / IMAGE, read_only=False)
        try:
            _take(steps, env, recorded)
            renditions = list_renditions(disk.point / "library")
        finally:
            disk.unmount()
    return _conclude(place, steps, env, renditions)


def _settle(disk: Path) -> dict[str, str]:
    return environment(disk / "home", disk / "library")


def _make_ext4(image: Path) -> None:
    """An empty filesystem to which nothing is written later that nobody asked for."""
    with image.open("wb") as file:
        file.truncate(_EXT4_MIB << 20)
    whole = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E", whole, image)


def _take(steps: Sequence[Step], env: Mapping[str, str], said: Path) -> None:
    for number, step in enumerate(steps):
        step.take(env, said / _name_said(number))


def _name_said(number: int) -> str:
    return f"said{number}"


def _conclude(
    place: Path, steps: Sequence[Step], env: Mapping[str, str], renditions: Mapping[bytes, str]
) -> Recording:
    log = read_log(place / "log")
    sayings = []
    for number, step in enumerate(steps):
        moment = find_words(log, find_node(log, _name_said(number)), _SECURED)
        if moment is not None:
            sayings.append(Saying(moment, step.card))
        else:
            assert step.killed_at, "never called secured"
    first = find_node(log, _name_said(0))
    began = next(number for number, one in enumerate(log) if getattr(one, "node", None) == first)
    return Recording(place, steps[0].card.parent, env, log, began, sayings, renditions)


def lay_down(tree: Tree, place: Path) -> None:
    """Make the folders and files that a cut left, in an empty folder."""
    start = os.fsencode(place)
    for path, content in tree.items():
        here = os.path.join(start, os.fsencode(path))
        if content is None:
            os.mkdir(here)
        else:
            with open(here, "wb") as file:
                file.write(content)


@functools.cache
def hash_card(card: Path) -> set[str]:
    """The checksums of all that is on a card: none changes once it was made."""
    return set(hash_tree(card).values())


def check_cut(library: Path, cards: Path, said: Sequence[Path]) -> None:
    """The promises to a disk after a power cut, before anything runs on it. `said`: cards that were called secured."""
    originals = check_stored(library, hash_card(cards))
    stored = set(originals.values())
    for card in said:
        missing = hash_card(card) - stored
        assert not missing, f"said to be secured, and {len(missing)} contents are not there"
    recorded = has_records(library)
    assert recorded or not said, "said, and there is no record"
    secured = ask(library, "SELECT label FROM job WHERE safety = 'secured'") if recorded else []
    for (label,) in secured:
        missing = hash_card(cards / label) - stored
        assert not missing, f"on record as secured, and {len(missing)} contents are not there"
    assert {card.name for card in said} <= {label for (label,) in secured}, "said, and not on record"
    for manifest in library.glob("*/manifest.json"):
        for job in _load(manifest)["jobs"]:
            if job["safety"] == "secured":
                contents = {source.get("sha256") for source in job["sources"]}
                assert contents <= stored, "a manifest says secured with files missing"
    for sums in library.glob("*/SHA256SUMS"):
        for line in sums.read_bytes().splitlines():
            checksum, _, path = line.partition(b"  ")
            there = originals.get(os.path.join(os.fsencode(sums.parent.name), path))
            assert there is not None, f"{path!r} stands in SHA256SUMS and is not there"
            assert there.encode() == checksum, f"{path!r} stands in SHA256SUMS and is another"
    for gallery in library.glob("*/gallery.json"):
        _load(gallery)


def _load(path: Path) -> dict[str, Any]:
    """A document that is there as a whole or not at all."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise AssertionError(f"half a {path.name}: {error}") from error
    assert isinstance(found, dict)
    return found


def check_restart(recording: Recording, cards: Sequence[Path]) -> None:
    """The same ingests once more, on what a cut left, end exactly as the undisturbed ones did."""
    for card in cards:
        again = fork_command(recording.env, "ingest", card, "--json")
        assert again.code == 0, again.err
        assert again.document["secured"] is True
    check_finished(recording.library, recording.cards)
    renditions = list_renditions(recording.library)
    assert renditions == recording.renditions, "other renditions than an undisturbed run has"


def blame_cut(check: Callable[[], None], position: int, odds: Odds, seed: object) -> None:
    """Check something; if it fails, also say which cut it was, so that it can be made again."""
    try:
        check()
    except AssertionError as error:
        raise AssertionError(f"{error}: cut after operation {position}, {odds}, seed {seed!r}") from error
