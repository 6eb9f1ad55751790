"""Whether what ghostroll chooses by itself is as fast as the best that could be chosen for it.

A card is ingested with every fixed number of render workers and of copiers, and with what is chosen by itself, in
turns, on one core and on two and with a card of each speed. `--cores` are given by taskset. Needs root for a card
that is slow; without it only an unlimited card is taken.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import Figure, give_up, option_parser, report
from slow_cards import Slot, find_obstacle, open_slot
from staging import Stage, forget_run, make_photo_card, open_stage

_WORKERS = (1, 2, 4)
_COPIERS = (1, 2, 4)
_SPEEDS = (20, 90)  # MB/s
_CORES = (1, 2)


def main() -> None:
    """Sweep; what is chosen by itself beside the best of the fixed choices."""
    parser = option_parser("what ghostroll chooses by itself, beside the best fixed choice")
    parser.add_argument("--photos", type=int, default=40, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.megapixels, options.rounds) <= 0:
        parser.error("photos, megapixels and rounds must be more than 0")
    obstacle = find_obstacle()
    if obstacle is not None:
        sys.stderr.write(f"adaptive.py: the card is a folder: {obstacle}\n")
    figures: list[Figure] = []
    with open_stage(options.cache) as stage:
        made = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        for speed in _SPEEDS if obstacle is None else (0,):
            with open_slot(made, speed) as slot:
                for cores in (count for count in _CORES if count <= len(os.sched_getaffinity(0))):
                    figures += _sweep(stage, slot, cores, f"{speed} MB/s, {cores} cores", options.rounds)
    report(options, figures)


def _sweep(stage: Stage, slot: Slot, cores: int, name: str, rounds: int) -> Iterator[Figure]:
    """Every choice in turns: by itself is the empty one."""
    choices: list[dict[str, str]] = [{}] + [
        {"GHOSTROLL_RENDER__WORKERS": str(workers), "GHOSTROLL_COPY__THREADS_PER_CARD": str(copiers)}
        for workers, copiers in itertools.product(_WORKERS, _COPIERS)
    ]
    taken: list[list[float]] = [[] for _ in choices]
    for _ in range(rounds):
        for choice, walls in zip(choices, taken, strict=True):
            walls.append(_ingest(stage, slot, cores, choice))
    own, *fixed = taken
    best = min(range(len(fixed)), key=lambda number: sorted(fixed[number])[rounds // 2])
    said = ", ".join(choices[best + 1].values())
    yield Figure(f"{name}: by itself, beside the best ({said})", "s", tuple(own), tuple(fixed[best]))
    for choice, walls in zip(choices[1:], fixed, strict=True):
        workers, copiers = choice.values()
        yield Figure(f"{name}: {workers} workers, {copiers} copiers", "s", tuple(walls))


def _ingest(stage: Stage, slot: Slot, cores: int, choice: dict[str, str]) -> float:
    def enter(*command: str | Path) -> list[str | Path]:
        return ["taskset", "-c", f"0-{cores - 1}", *slot.enter(*command)]

    with slot.insert() as card:
        document, cost = stage.ingest(card, enter=enter, settings=choice)
    if not document["secured"] or document["failed"]:
        give_up("the ingest did not secure and render every photo")
    forget_run(stage)
    return cost.wall


if __name__ == "__main__":
    main()
