"""Whether what ghostroll chooses by itself is as fast as the best that could be chosen for it.

A card is ingested with every fixed number of render workers and of copiers, and with what is chosen by itself, in
turns, on one core and on two and with a card of each speed. `--cores` are given by taskset. Needs root for a card
that is slow; without it only an unlimited card is taken.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    parser.add_argument("--workers", type=int, default=max(_WORKERS), help=f"at most, of {_WORKERS}")
    parser.add_argument("--copiers", type=int, default=max(_COPIERS), help=f"at most, of {_COPIERS}")
    parser.add_argument("--cores", type=int, default=max(_CORES), help=f"at most, of {_CORES}")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if (
        min(vars(options)[key] for key in ("photos", "megapixels", "workers", "copiers", "cores", "rounds"))
        <= 0
    ):
        parser.error("photos, megapixels, workers, copiers, cores and rounds must be more than 0")
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
                for cores in _up_to(min(options.cores, len(os.sched_getaffinity(0))), _CORES):
                    figures += _sweep(_Bench(stage, slot, cores), f"{speed} MB/s, {cores} cores", options)
    report(options, figures)


def _up_to(most: int, counts: Sequence[int]) -> list[int]:
    return [count for count in counts if count <= most]


@dataclass(frozen=True, slots=True)
class _Bench:
    stage: Stage
    slot: Slot
    cores: int

    def ingest(self, choice: Mapping[str, str]) -> float:
        """Seconds of the whole process, on so many cores and with these settings."""
        with self.slot.insert() as card:
            document, cost = self.stage.ingest(card, enter=self._enter, settings=choice)
        if not document["secured"] or document["failed"]:
            give_up("the ingest did not secure and render every photo")
        forget_run(self.stage)
        return cost.wall

    def _enter(self, *command: str | Path) -> list[str | Path]:
        return ["taskset", "-c", f"0-{self.cores - 1}", *self.slot.enter(*command)]


def _sweep(bench: _Bench, name: str, options: argparse.Namespace) -> Iterator[Figure]:
    """Every choice in turns: by itself is the empty one."""
    choices: list[dict[str, str]] = [{}] + [
        {"GHOSTROLL_RENDER__WORKERS": str(workers), "GHOSTROLL_COPY__THREADS_PER_CARD": str(copiers)}
        for workers in _up_to(options.workers, _WORKERS)
        for copiers in _up_to(options.copiers, _COPIERS)
    ]
    taken: list[list[float]] = [[] for _ in choices]
    for _ in range(options.rounds):
        for choice, walls in zip(choices, taken, strict=True):
            walls.append(bench.ingest(choice))
    own, *fixed = taken
    best = min(range(len(fixed)), key=lambda number: statistics.median(fixed[number]))
    workers, copiers = choices[best + 1].values()
    label = f"{name}: by itself, beside the best ({workers} workers, {copiers} copiers)"
    yield Figure(label, "s", tuple(own), tuple(fixed[best]))
    for choice, walls in zip(choices[1:], fixed, strict=True):
        workers, copiers = choice.values()
        yield Figure(f"{name}: {workers} workers, {copiers} copiers", "s", tuple(walls))


if __name__ == "__main__":
    main()
