"""The whole ingest of a card that is as fast as you say, beside its floors and beside the classic design.

Everything is taken in each round: a plain sequential read of the card's files (the card's floor), a bare loop of
Pillow over the same files by as many processes as there are cores (the floor of the pictures), `sequential.py`, and
`ghostroll ingest` into an empty library. The card is put in anew for each, so that nothing of it is in the page
cache. Memory is the proportional share of all processes together, ten times a second. A speed needs root; without
it there is only an unlimited card, which is a folder that was dropped from the cache.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Cost, Figure, give_up, measure, option_parser, report
from slow_cards import Slot, open_slot
from staging import (
    Stage,
    drop_from_cache,
    forget_run,
    list_files,
    make_photo_card,
    open_stage,
    warm_cache,
)

_HERE = Path(__file__).parent
_BARE, _SEQUENTIAL = _HERE / "bare_ingest.py", _HERE / "sequential.py"
_MIB = 2**20
_LOOK = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Round:
    """What was taken in one round."""

    read: Cost
    bare: Cost
    classic: Cost
    classic_stages: dict[str, float]
    ours: Cost
    seconds: dict[str, float]
    first_picture: float  # from the start of the process until gallery.json had one


def main() -> None:
    """Rounds of everything; medians."""
    options = _read_options()
    with contextlib.ExitStack() as undo:
        stage = undo.enter_context(open_stage(options.cache))
        card = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        slot = undo.enter_context(open_slot(card, options.speed))
        rounds = [_take(stage, slot, card, options.photos) for _ in range(options.rounds)]
    report(options, [*_tell(rounds, options.photos)])


def _read_options() -> argparse.Namespace:
    parser = option_parser("the whole ingest of a card, beside its floors and the classic design")
    parser.add_argument("--photos", type=int, default=100, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--speed", type=float, default=90, help="of the card in MB/s; 0 is no limit")
    parser.add_argument("--rounds", type=int, default=1, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.megapixels, options.rounds) <= 0 or options.speed < 0:
        parser.error("photos, megapixels and rounds must be more than 0, speed 0 or more")
    return options


def _take(stage: Stage, slot: Slot, made: Path, photos: int) -> Round:
    with slot.insert() as card:
        read = _succeed(measure(slot.enter("cat", *list_files(card)), stage.environment, keep_out=False))
    files = list_files(made)
    warm_cache(files)
    with tempfile.TemporaryDirectory(dir=stage.folder) as into:
        bare = _succeed(
            measure(
                [sys.executable, _BARE, "render-by-all", into, *files], stage.environment, watch_memory=True
            )
        )
    drop_from_cache(files)
    classic, told = _import_classically(stage, slot, photos)
    ours, seconds, first_picture = _ingest(stage, slot, photos)
    return Round(read, bare, classic, told["seconds"], ours, seconds, first_picture)


def _import_classically(stage: Stage, slot: Slot, photos: int) -> tuple[Cost, dict[str, Any]]:
    into = stage.folder / "classic"
    os.sync()
    with slot.insert() as card:
        command = slot.enter(sys.executable, _SEQUENTIAL, card, into)
        cost = _succeed(measure(command, stage.environment, watch_memory=True))
    shutil.rmtree(into)
    told: dict[str, Any] = json.loads(cost.out)
    if told["photos"] != photos:
        give_up("the classic import did not make a picture of every photo")
    return cost, told


def _ingest(stage: Stage, slot: Slot, photos: int) -> tuple[Cost, dict[str, float], float]:
    os.sync()
    with slot.insert() as card, _watch_gallery(stage.library) as seen:
        began = time.monotonic()
        document, cost = stage.ingest(card, enter=slot.enter, watch_memory=True)
    if document["new"] != photos or document["renditions"] != 2 * photos:
        give_up("the ingest did not store and render every photo")
    forget_run(stage)
    return cost, document["seconds"], seen[0] - began


@contextlib.contextmanager
def _watch_gallery(library: Path) -> Iterator[list[float]]:
    """The moment at which a gallery in a library has its first picture, once it has."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not seen and not over.wait(_LOOK):
            if any(json.loads(each.read_bytes())["items"] for each in library.glob("*/gallery.json")):
                seen.append(time.monotonic())

    watching = threading.Thread(target=look, name="gallery-watch")
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def _succeed(cost: Cost) -> Cost:
    if cost.code != 0:
        give_up(f"what ghostroll is measured beside failed with exit code {cost.code}")
    return cost


def _tell(rounds: Sequence[Round], photos: int) -> Iterator[Figure]:
    def over(
        name: str, unit: str, value: Callable[[Round], float], floor: Callable[[Round], float]
    ) -> Figure:
        return Figure(name, unit, tuple(map(value, rounds)), tuple(map(floor, rounds)))

    def alone(name: str, unit: str, value: Callable[[Round], float]) -> Figure:
        return Figure(name, unit, tuple(map(value, rounds)))

    def physical_floor(one: Round) -> float:
        return max(one.read.wall, one.bare.wall)

    yield over(
        "secured, beside a plain read of the card",
        "s",
        lambda one: one.seconds["secured"],
        lambda one: one.read.wall,
    )
    yield over(
        "whole process, beside the slower of that read and bare renders",
        "s",
        lambda one: one.ours.wall,
        physical_floor,
    )
    yield alone("bare renders by all cores", "s", lambda one: one.bare.wall)
    yield over(
        "wall of the classic design, beside ghostroll's",
        "s",
        lambda one: one.classic.wall,
        lambda one: one.ours.wall,
    )
    yield over(
        "CPU of the classic design, beside ghostroll's",
        "s",
        lambda one: one.classic.cpu,
        lambda one: one.ours.cpu,
    )
    yield over(
        "peak memory, beside the classic design's",
        "MiB",
        lambda one: one.ours.peak_memory / _MIB,
        lambda one: one.classic.peak_memory / _MIB,
    )
    yield over(
        "CPU a photo, beside bare renders",
        "s",
        lambda one: one.ours.cpu / photos,
        lambda one: one.bare.cpu / photos,
    )
    yield alone("CPU a photo of all but the render workers", "s", lambda one: one.ours.own_cpu / photos)
    yield alone(
        "first picture in the gallery, from the start of the process", "s", lambda one: one.first_picture
    )
    for stage in rounds[0].classic_stages:
        seconds = tuple(one.classic_stages[stage] for one in rounds)
        yield Figure(f"the classic design's stage: {stage}", "s", seconds)


if __name__ == "__main__":
    main()
