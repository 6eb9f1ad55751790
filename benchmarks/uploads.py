"""How fast pictures get into a bucket, and what it costs, beside others who send the same files.

Everybody sends the same folder to the same server on this machine, over the same line, in turns. A transfer lasts
from the moment at which the first file begins to arrive until the last one is there. What is before and after that,
the start of the process and what it asks the server first, counts in the figures "with the start": a station starts
once, a sync each time. CPU seconds are the client's alone, less those of the same process with an empty folder.
"""

import argparse
import contextlib
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# The store and the line of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from measuring import Cost, Figure, give_up, measure, option_parser, report
from senders import ADAPTING, AWS, OURS, RCLONE, RCLONE_TUNED, Sender, Sending, find_senders
from staging import open_stage
from stores import Store, serve_rclone
from wires import open_wire

_MEMORY = "/dev/shm"  # noqa: S108  # a folder of our own is made in it
_SIZES = {"share": 500_000, "thumbs": 40_000}  # bytes of a rendition, about
_THREADS = (1, 4, 8, 16)
_LOOK = 0.002  # seconds
_FEWER = 5  # times fewer files where each takes long


@dataclass(frozen=True, slots=True)
class Way:
    """From the client to the store: seconds there and back, and megabits a second; zeros are no line at all."""

    name: str
    round_trip: float
    megabits: float

    def takes_long(self, threads: int) -> bool:
        """Whether a few files take long enough to be measured."""
        return self.round_trip > 0 and (threads == 1 or self.megabits < 100)


_WAYS = (Way("no delay", 0, 0), Way("40 ms, 50 Mbit/s", 0.04, 50), Way("40 ms, 1 Gbit/s", 0.04, 1000))


@dataclass(frozen=True, slots=True)
class Taken:
    """What a sender took for so many files. Seconds; `idle_cpu` is what it takes for none."""

    files: int
    transfer: float
    wall: float
    cpu: float
    idle_cpu: float

    @property
    def speed(self) -> float:
        """Files a second, without the start."""
        return self.files / self.transfer

    @property
    def speed_with_start(self) -> float:
        """Files a second of the whole process."""
        return self.files / self.wall

    @property
    def cost(self) -> float:
        """CPU milliseconds a file, without the start."""
        return 1000 * (self.cpu - self.idle_cpu) / self.files


Cell = dict[str, list[Taken]]  # of every sender, in rounds


def main() -> None:
    """Every line with every number of threads."""
    options = _read_options()
    with open_stage(options.cache) as stage, tempfile.TemporaryDirectory(dir=_MEMORY) as memory:
        try:
            bench = _Bench(Path(memory), find_senders(stage.folder))
            with serve_rclone(bench.place / "store") as store:
                figures = [*_compare(_take_all(bench, store, options))]
        except pytest.skip.Exception as obstacle:  # what the store of the tests lacks
            give_up(str(obstacle.msg))
    report(options, [*figures, *bench.tell_idle()])


def _read_options() -> argparse.Namespace:
    parser = option_parser("how fast pictures get into a bucket, beside rclone and aws")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    parser.add_argument(
        "--files", type=int, default=400, help=f"of a run; {_FEWER} times fewer on a slow line"
    )
    parser.add_argument("--threads", type=int, default=max(_THREADS), help=f"at most, of {_THREADS}")
    options = parser.parse_args()
    if min(options.rounds, options.files, options.threads) <= 0:
        parser.error("rounds, files and threads must be more than 0")
    return options


def _take_all(bench: "_Bench", store: Store, options: argparse.Namespace) -> dict[str, Cell]:
    bench.take_idle(store, options.rounds)
    cells = {}
    for way in _WAYS:
        with _open_way(store, way) as reached:
            for threads in (number for number in _THREADS if number <= options.threads):
                files = max(2, options.files // (_FEWER if way.takes_long(threads) else 1))
                name = f"{way.name}, {threads} at once"
                cells[name] = bench.take(reached, threads, files, options.rounds)
    return cells


@contextlib.contextmanager
def _open_way(store: Store, way: Way) -> Iterator[Store]:
    if not way.round_trip:
        yield store
        return
    with open_wire(store.address, rtt=way.round_trip, bits_per_second=way.megabits * 1e6) as wire:
        yield store.at(wire.endpoint)


class _Bench:
    """Senders, and folders in memory that they send."""

    def __init__(self, place: Path, senders: Sequence[Sender]) -> None:
        self.place = place
        self._senders = list(senders)
        self._idle: dict[str, list[Cost]] = {sender.name: [] for sender in senders}
        self._runs = 0

    def take_idle(self, store: Store, rounds: int) -> None:
        """Have every sender send nothing; of its CPU seconds the least count, as more of them would flatter."""
        for _ in range(rounds):
            for sender in self._senders:
                self._idle[sender.name].append(self._send(sender, store, 1, self._make_folder(0))[0])

    def take(self, store: Store, threads: int, files: int, rounds: int) -> Cell:
        """Have every sender send as many files, in turns that begin with another one each round."""
        folder = self._make_folder(files)
        cell: Cell = {name: [] for name in self._idle}
        for _ in range(rounds):
            for sender in self._senders:
                idle = min(cost.cpu for cost in self._idle[sender.name])
                cost, transfer = self._send(sender, store, threads, folder)
                cell[sender.name].append(Taken(files, transfer, cost.wall, cost.cpu, idle))
            self._senders.append(self._senders.pop(0))
        return cell

    def tell_idle(self) -> list[Figure]:
        """What each sender takes for nothing, and where there is no delay."""
        return [
            Figure(f"{what} of {name} with nothing to send", "s", tuple(getattr(cost, key) for cost in costs))
            for what, key in (("seconds", "wall"), ("CPU seconds", "cpu"))
            for name, costs in sorted(self._idle.items())
        ]

    def _send(self, sender: Sender, store: Store, threads: int, folder: Path) -> tuple[Cost, float]:
        """What it took, and the seconds from the first sign of a file at the server until all were there."""
        self._runs += 1
        prefix = f"run-{self._runs}"
        command, environment = sender.tell(Sending(folder, store, prefix, threads))
        there = self.place / "store" / store.bucket / prefix
        with _watch_for(there) as seen_at:
            cost = measure([str(part) for part in command], environment)
        if cost.code != 0 or _list_sizes(there) != _list_sizes(folder):
            give_up(f"{sender.name} did not send everything: exit code {cost.code}")
        ended = max((path.stat().st_ctime for path in there.rglob("*")), default=0)
        shutil.rmtree(there, ignore_errors=True)
        return cost, ended - min(seen_at, default=0)

    def _make_folder(self, files: int) -> Path:
        """Half of them share pictures, half thumbs, no two of one size; noise, as a JPEG is to whoever sends it."""
        folder = self.place / f"files-{files}"
        folder.mkdir(exist_ok=True)
        rng = random.Random(files)
        for number in range(files):
            name, size = list(_SIZES.items())[number % len(_SIZES)]
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"IMG_{number:04}.jpg").write_bytes(
                os.urandom(round(size * rng.uniform(0.7, 1.3)))
            )
        return folder


@contextlib.contextmanager
def _watch_for(folder: Path) -> Iterator[list[float]]:
    """The moment at which a folder comes into being, once it has."""
    seen_at: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not seen_at and not over.wait(_LOOK):
            if folder.exists():
                seen_at.append(time.time())  # the clock of files

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen_at
    finally:
        over.set()
        looking.join()


def _list_sizes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }


def _compare(cells: dict[str, Cell]) -> Iterator[Figure]:
    """Ghostroll beside each of the others: how fast without the start, how fast with it, and at what cost."""
    for name, cell in cells.items():
        for other in cell:
            if other not in (OURS, ADAPTING):
                yield _figure(f"{name}: files a second, beside {other}", "", cell, (OURS, other), "speed")
        fastest = _find_fastest(cell, "speed")
        label = f"{name}: the same, threads left to ghostroll, beside {fastest}"
        yield _figure(label, "", cell, (ADAPTING, fastest), "speed")
    for name, cell in cells.items():
        fastest = _find_fastest(cell, "speed_with_start")
        label = f"{name}: files a second with the start, beside {fastest}"
        yield _figure(label, "", cell, (OURS, fastest), "speed_with_start")
    for name, cell in cells.items():
        for other in cell:
            if other not in (OURS, ADAPTING):
                yield _figure(f"{name}: CPU a file, beside {other}", "ms", cell, (OURS, other), "cost")


def _find_fastest(cell: Cell, what: str) -> str:
    """Of those that are programs for it."""
    there = [other for other in (RCLONE, RCLONE_TUNED, AWS) if other in cell]
    return max(there, key=lambda other: statistics.median(getattr(taken, what) for taken in cell[other]))


def _figure(name: str, unit: str, cell: Cell, pair: tuple[str, str], what: str) -> Figure:
    values, floors = (tuple(getattr(taken, what) for taken in cell[each]) for each in pair)
    return Figure(name, unit, values, floors)


if __name__ == "__main__":
    main()
