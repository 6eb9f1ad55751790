"""How many bytes are read from a card to ingest it, beside the bytes of its files: 1.00 is the aim.

The card is an ext4 filesystem on a loop device, mounted afresh before each pass, so that nothing of it
is in the page cache and the device's own counters see every read (`/sys/block/loopN/stat`) after the mount. What
listing alone reads is measured by a pass that only lists. Needs root.
"""

from collections.abc import Callable
from pathlib import Path

from measuring import Figure, give_up, option_parser, report
from slow_cards import SlowCards, find_obstacle, open_slots
from staging import Stage, forget_run, list_files, make_photo_card, open_stage

_SECTOR = 512  # bytes; the unit of the counters, whatever the device's own
_MIB = 2**20
_HEAD = 64 * 1024  # bytes that a known file is recognised by


def main() -> None:
    """List, ingest and re-insert one card, and count what its device read for each."""
    parser = option_parser("the bytes read from a card to ingest it")
    parser.add_argument("--photos", type=int, default=24, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--rounds", type=int, default=2, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.rounds, options.megapixels) <= 0:
        parser.error("photos, rounds and megapixels must be more than 0")
    obstacle = find_obstacle(slow=False)
    if obstacle is not None:
        give_up(obstacle)
    with open_stage(options.cache) as stage, open_slots() as slots:
        made = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        figures = _count(stage, slots, slots.make_image(made, "BENCH"), options.photos, options.rounds)
    report(options, figures)


def _count(stage: Stage, slots: SlowCards, image: Path, photos: int, rounds: int) -> list[Figure]:
    media: list[float] = []
    listed: list[float] = []
    first: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        listed.append(_read_during(slots, image, lambda card: media.append(_sum_sizes(card))) / _MIB)
        first.append(_read_during(slots, image, lambda card: _ingest(stage, card, "new", photos)) / _MIB)
        again.append(_read_during(slots, image, lambda card: _ingest(stage, card, "known", photos)) / _MIB)
        forget_run(stage)
    heads = tuple(photos * _HEAD / _MIB for _ in media)
    bytes_ = tuple(size / _MIB for size in media)
    return [
        Figure("read from the card, of its files' bytes", "MiB", _less(first, listed), bytes_),
        Figure("the same, with listing", "MiB", tuple(first), bytes_),
        Figure("listing alone", "MiB", tuple(listed)),
        Figure("a known card again, of its files' heads", "MiB", _less(again, listed), heads),
    ]


def _ingest(stage: Stage, point: Path, kind: str, photos: int) -> None:
    document, _ = stage.ingest(point)
    if document[kind] != photos:
        give_up(f"not every photo was {kind}, so the count would say nothing")


def _sum_sizes(point: Path) -> int:
    """What the card's files hold, in bytes; looks at names and sizes, opens nothing."""
    return sum(path.stat().st_size for path in list_files(point))


def _less(whole: list[float], part: list[float]) -> tuple[float, ...]:
    return tuple(one - other for one, other in zip(whole, part, strict=True))


def _read_during(slots: SlowCards, image: Path, do: Callable[[Path], None]) -> int:
    """Bytes that a device read from a fresh mount until something was done."""
    with slots.insert([image], 0) as (disk,):
        mounted = _bytes_read(disk.device)
        do(disk.point)
        return _bytes_read(disk.device) - mounted


def _bytes_read(device: str) -> int:
    """Third field: sectors read (kernel: Documentation/block/stat.rst)."""
    counters = Path("/sys/block", Path(device).name, "stat").read_text().split()
    return int(counters[2]) * _SECTOR


if __name__ == "__main__":
    main()
