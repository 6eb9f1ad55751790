"""Whether many files cost more each than few: the rate of an ingest over its time, and its memory.

A card of tiny pictures (48 x 32 pixels in 20 KiB), so that it is all rows, names, logs and galleries and hardly any
bytes; on request real photos come last, when the rows of all the others are there already. The rates are those of the
tiny pictures by the library's own ledger, which is read beside the ingest ten times a second. Memory is the
proportional share of all processes, beside that of a card with a hundred tiny pictures and the same photos.
"""

import argparse
import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Cost, Figure, give_up, option_parser, report
from staging import Stage, forget_run, make_photo_card, make_small_card, open_stage

_FEW = 100
_SIZE = 20 * 1024  # bytes
_MEGAPIXELS = 24
_LOOK = 0.1  # seconds
_MIB = 2**20
_STORED = "SELECT count(*) FROM source WHERE job_id = 1 AND state = 'stored'"
_SHOWN = "SELECT count(*) FROM picture"


@dataclass(frozen=True, slots=True)
class Course:
    """How a count grew: moments and what it was then."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def tell_seconds(self, first: int, last: int) -> float:
        """How long it took from one count to another."""
        return self._tell_moment(last) - self._tell_moment(first)

    def _tell_moment(self, count: int) -> float:
        """When the count was reached, on a straight line between two looks."""
        for (before, less), (after, more) in itertools.pairwise(self.samples):
            if less <= count <= more and less < more:
                return before + (after - before) * (count - less) / (more - less)
        raise ValueError(count)


def main() -> None:
    """A small card and a large one, in turns."""
    parser = option_parser("whether many files cost more each than few")
    parser.add_argument("--files", type=int, default=10_000, help="on the large card")
    parser.add_argument(
        "--photos", type=int, default=0, help="of 24 megapixels behind the others, on both cards"
    )
    parser.add_argument("--part", type=int, default=1000, help="files of which the time is told")
    parser.add_argument("--rounds", type=int, default=1, help="of everything")
    options = parser.parse_args()
    if min(options.files, options.part, options.rounds) <= 0:
        parser.error("files, part and rounds must be more than 0")
    if options.photos < 0:
        parser.error("photos must be 0 or more")
    if options.files < 2 * options.part:
        parser.error("files must be two parts at least")
    with open_stage(options.cache) as stage:
        few = _make_card(options, stage.folder / "few", min(_FEW, options.files))
        many = _make_card(options, stage.folder / "many", options.files)
        rounds = [(_ingest(stage, few), _ingest(stage, many)) for _ in range(options.rounds)]
    report(options, [*_tell(options, rounds)])


def _make_card(options: argparse.Namespace, folder: Path, files: int) -> Path:
    """A card of tiny pictures, and of photos in a folder that comes last."""
    card = make_small_card(folder, files=files, size=_SIZE)
    if options.photos:
        photos = make_photo_card(
            options.cache, folder / "photos", photos=options.photos, megapixels=_MEGAPIXELS
        )
        (photos / "DCIM" / "100BENCH").rename(card / "DCIM" / "999BENCH")
    return card


@dataclass(frozen=True, slots=True)
class Taken:
    """An ingest, and how its counts grew."""

    cost: Cost
    stored: Course
    shown: Course


def _ingest(stage: Stage, card: Path) -> Taken:
    with _watch(stage.state) as (stored, shown):
        document, cost = stage.ingest(card, watch_memory=True)
    if document["new"] != document["files"] or document["renditions"] != 2 * document["files"]:
        give_up("the ingest did not store and render every file")
    forget_run(stage)
    return Taken(cost, stored, shown)


@contextmanager
def _watch(state: Path) -> Iterator[tuple[Course, Course]]:
    """How the counts of a ledger grow that comes into being. After the last look both are whole."""
    courses = {_STORED: Course(), _SHOWN: Course()}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK):
            _look(state, courses)

    watching = threading.Thread(target=watch, name="ledger-watch")
    watching.start()
    try:
        yield courses[_STORED], courses[_SHOWN]
    finally:
        over.set()
        watching.join()
    _look(state, courses)


def _look(state: Path, courses: dict[str, Course]) -> None:
    if not state.exists():
        return
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as db:
        for question, course in courses.items():
            try:
                (count,) = db.execute(question).fetchone()
            except sqlite3.OperationalError:  # it has no tables yet
                return
            course.samples.append((time.monotonic(), count))


def _tell(options: argparse.Namespace, rounds: Sequence[tuple[Taken, Taken]]) -> Iterator[Figure]:
    files, part = options.files, options.part
    for name, courses in (
        ("stored", [many.stored for _, many in rounds]),
        ("with a picture", [many.shown for _, many in rounds]),
    ):
        yield Figure(
            f"the last {part} files {name}, beside the first {part}",
            "s",
            tuple(course.tell_seconds(files - part, files) for course in courses),
            tuple(course.tell_seconds(0, part) for course in courses),
        )
        for start in range(0, files - part + 1, max(part, files // 5)):
            seconds = tuple(course.tell_seconds(start, start + part) for course in courses)
            yield Figure(f"{part} files {name} after {start}", "s", seconds)
    yield Figure(
        f"peak memory with {files} files, beside {min(_FEW, files)}",
        "MiB",
        tuple(many.cost.peak_memory / _MIB for _, many in rounds),
        tuple(few.cost.peak_memory / _MIB for few, _ in rounds),
    )
    yield Figure(
        "CPU a file, without the start of the processes",
        "ms",
        tuple(1000 * (many.cost.cpu - few.cost.cpu) / max(1, files - _FEW) for few, many in rounds),
    )


if __name__ == "__main__":
    main()
