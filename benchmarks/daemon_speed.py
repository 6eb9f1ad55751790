"""How fast cards are copied that are as slow as cards are: one alone, then two at once.

The cards are ext4 filesystems in memory on loop devices, which a control group (blkio, version 1) may read at
the speed of a card alone. The library is on the disk of the cache. What these cards give at best, and what the
disk takes, is measured in the same round: by `cat` in the same group, and by a bare loop that copies and verifies
the same files from memory.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daemons import RunningDaemon
from disks import Disk
from measuring import Figure, give_up, measure
from slow_cards import SlowCards, open_slots
from staging import Stage, forget_run, list_files, make_photo_card, warm_cache
from waiting import wait_for

_SPEED = 90_000_000  # bytes a second; a good SD card
_BARE = Path(__file__).with_name("bare_ingest.py")
PHOTOS, FILES = "photos", "other files"
_SUFFIXES = {PHOTOS: ".JPG", FILES: ".BIN"}
_NAMES = ("ONE", "TWO")
_MB = 1_000_000
_TIMEOUT = 300.0
_LOOK = 0.02  # seconds between two looks at the log, as `wait_for` takes them


@dataclass(frozen=True, slots=True)
class Span:
    """What was done with one card, in bytes, and seconds of one clock."""

    began: float
    ended: float
    size: int

    @property
    def rate(self) -> float:
        """Megabytes a second. What began and ended between two looks took no longer than from one to the next."""
        return self.size / _MB / max(self.ended - self.began, _LOOK)


def measure_speed(stage: Stage, kind: str, *, photos: int, megapixels: float, rounds: int) -> list[Figure]:
    """Read and copy one card with so many files, and two at once, in turns.

    `kind` is PHOTOS, or FILES for the same bytes under names that no picture is made of.
    """
    cards = _make_cards(stage, kind, photos, megapixels)
    files = [file for card in cards for file in list_files(card)]
    with open_slots() as slots:
        images = [slots.make_image(card, card.name) for card in cards]
        bench = _Bench(stage, slots)
        taken: dict[str, list[list[Span]]] = {"read": [], "copy": [], "read two": [], "copy two": []}
        disk = []
        for number in range(rounds):
            one = [images[number % 2]]
            taken["read"].append(bench.read(one))
            taken["copy"].append(bench.copy(one))
            taken["read two"].append(bench.read(images))
            taken["copy two"].append(bench.copy(images))
            disk.append(bench.copy_barely(files))
    return _compare(kind, taken, disk)


def _compare(kind: str, taken: dict[str, list[list[Span]]], disk: list[float]) -> list[Figure]:
    rates = {what: tuple(span.rate for spans in runs for span in spans) for what, runs in taken.items()}
    together = tuple(
        Span(min(one.began for one in spans), max(one.ended for one in spans), sum(one.size for one in spans)).rate
        for spans in taken["copy two"]
    )  # fmt: skip
    return [
        Figure(f"{kind} of a 90 MB/s card, copied beside read", "MB/s", rates["copy"], rates["read"]),
        Figure(f"{kind} of each of two such cards at once", "MB/s", rates["copy two"], rates["read two"]),
        Figure(f"{kind} of the two together, beside what the disk takes", "MB/s", together, tuple(disk)),
    ]


class _Bench:
    """Slow cards, and a daemon that is started for each run with an empty library."""

    def __init__(self, stage: Stage, slots: SlowCards) -> None:
        self._stage, self._slots = stage, slots
        # By name, so that no rule of udev has to make a reader of every loop device of this machine.
        self._environment = stage.environment | {
            "GHOSTROLL_CARDS__READERS": '["loop*"]',
            "GHOSTROLL_CARDS__FILESYSTEMS": '["ext4"]',
            "GHOSTROLL_CARDS__MOUNT_ROOTS": json.dumps([str(slots.folder)]),
        }

    def read(self, images: Sequence[Path]) -> list[Span]:
        """Cards are read, all at once, and nothing is done with what they give."""
        with self._slots.insert(images, _SPEED) as cards, ThreadPoolExecutor(len(images)) as threads:
            return list(threads.map(self._read_one, cards))

    def copy(self, images: Sequence[Path]) -> list[Span]:
        """Cards go in, all at once, and are copied."""
        forget_run(self._stage)
        daemon = RunningDaemon(self._stage.folder / "daemon", self._environment)
        try:
            self._slots.take(daemon.process.pid)
            daemon.wait_ready()
            with self._slots.insert(images, _SPEED):
                spans = _listen(daemon, len(images))
                daemon.stop()
        finally:
            daemon.end()
        return spans

    def copy_barely(self, files: Sequence[Path]) -> float:
        """Copy and verify files from the page cache by a bare loop; the rate in MB/s."""
        forget_run(self._stage)
        warm_cache(files)
        command = [sys.executable, str(_BARE), "copy", str(self._stage.library), *map(str, files)]
        cost = measure(command, self._stage.environment)
        if cost.code != 0:
            give_up("the bare copy loop failed")
        return sum(file.stat().st_size for file in files) / _MB / cost.wall

    def _read_one(self, card: Disk) -> Span:
        files = list_files(card.point)
        began = time.monotonic()
        subprocess.run(self._slots.enter("cat", *files), stdout=subprocess.DEVNULL, check=True)
        return Span(began, time.monotonic(), sum(file.stat().st_size for file in files))


def _listen(daemon: RunningDaemon, cards: int) -> list[Span]:
    """From each card's inventory to the word that it is safe, by the log."""
    began: dict[str, tuple[float, int]] = {}
    ended: dict[str, float] = {}

    def is_done() -> bool:
        now = time.monotonic()
        for line in daemon.lines():
            if line.get("stage") == "scan":
                began.setdefault(line["card"], (now, line["bytes"]))
            if line.get("safe") is True:
                ended.setdefault(line["card"], now)
        return len(ended) == cards

    try:
        wait_for(is_done, "", _TIMEOUT)
    except AssertionError:
        give_up(f"the cards were not copied: {daemon.text()}")
    return [Span(began[card][0], ended[card], began[card][1]) for card in sorted(ended)]


def _make_cards(stage: Stage, kind: str, photos: int, megapixels: float) -> list[Path]:
    """Two folders with different photos, as links into the cache."""
    files = list_files(
        make_photo_card(stage.folder.parent, stage.folder, photos=2 * photos, megapixels=megapixels)
    )
    cards = []
    for start, name in enumerate(_NAMES):
        card = stage.folder / kind / name
        folder = card / "DCIM" / "100BENCH"
        folder.mkdir(parents=True)
        for file in files[start :: len(_NAMES)]:
            file.rename(folder / f"{file.stem}{_SUFFIXES[kind]}")
        cards.append(card)
    shutil.rmtree(stage.folder / "card")
    return cards
