"""What a whole ingest costs per photo: CPU seconds, wall seconds and memory, beside bare loops over the same files.

The floor of the CPU is one process that makes the same pictures with Pillow alone. `ghostroll ingest`
also hashes every byte twice, writes it, reads it back, and keeps a ledger: the last rows say how much
of that a bare loop needs.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measuring import Cost, Figure, give_up, measure, option_parser, report
from staging import Stage, drop_from_cache, forget_run, list_files, make_photo_card, open_stage, warm_cache

_BARE = Path(__file__).with_name("bare_ingest.py")
_MIB = 2**20


def main() -> None:
    """Take rounds of bare loops and ingests in turns; report medians."""
    parser = option_parser("the cost of an ingest, per photo")
    parser.add_argument("--photos", type=int, default=48, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.rounds, options.megapixels) <= 0:
        parser.error("photos, rounds and megapixels must be more than 0")
    with open_stage(options.cache) as stage:
        card = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        files = list_files(card)
        renders, copies, ingests, seconds = [], [], [], []
        for _ in range(options.rounds):
            warm_cache(files)
            renders.append(_run_bare(stage, "render", files))
            drop_from_cache(files)
            copies.append(_run_bare(stage, "copy", files))
            drop_from_cache(files)
            document, cost = stage.ingest(card, watch_memory=True)
            if document["new"] != options.photos or document["renditions"] != 2 * options.photos:
                give_up("the ingest did not store and render every photo")
            ingests.append(cost)
            seconds.append(document["seconds"])
            forget_run(stage)
    report(
        options,
        [
            *_costs(ingests, renders, copies, options.photos),
            Figure("wall seconds until secured, a photo", "s", _per([s["secured"] for s in seconds], options.photos)),
            Figure("wall seconds until published, a photo", "s", _per([s["published"] for s in seconds], options.photos)),
            Figure("wall seconds until the first picture", "s", tuple(s["first_picture"] for s in seconds)),
        ],
    )  # fmt: skip


def _costs(ingests: list[Cost], renders: list[Cost], copies: list[Cost], photos: int) -> list[Figure]:
    whole = _per([cost.cpu for cost in ingests], photos)
    render = _per([cost.cpu for cost in renders], photos)
    copy = _per([cost.cpu for cost in copies], photos)
    both = tuple(one + other for one, other in zip(render, copy, strict=True))
    return [
        Figure("CPU seconds a photo, beside bare renders", "s", whole, render),
        Figure("CPU seconds a photo, beside bare renders and copies", "s", whole, both),
        Figure(
            "peak memory of all processes, beside the bare render's",
            "MiB",
            tuple(cost.peak_memory / _MIB for cost in ingests),
            tuple(cost.peak_memory / _MIB for cost in renders),
        ),
        Figure(
            "wall seconds a photo, beside bare renders by one process",
            "s",
            _per([cost.wall for cost in ingests], photos),
            _per([cost.wall for cost in renders], photos),
        ),
    ]


def _run_bare(stage: Stage, what: str, files: Sequence[Path]) -> Cost:
    with tempfile.TemporaryDirectory(dir=stage.folder) as into:
        command = [sys.executable, str(_BARE), what, into, *map(str, files)]
        cost = measure(command, stage.environment, watch_memory=True)
    if cost.code != 0:
        give_up(f"the bare {what} loop failed")
    return cost


def _per(values: Sequence[float], photos: int) -> tuple[float, ...]:
    return tuple(value / photos for value in values)


if __name__ == "__main__":
    main()
