"""How many bytes are read from a card to ingest it, beside the bytes of its files: 1.00 is the aim.

The card is an ext4 filesystem on a loop device, mounted afresh before each pass, so that nothing of it
is in the page cache and the device's own counters see every read (`/sys/block/loopN/stat`). What
mounting and listing alone read is measured by a pass that only lists. Needs root.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import Figure, give_up, option_parser, report
from staging import Stage, forget_run, list_files, make_photo_card, open_stage

_SECTOR = 512  # bytes; the unit of the counters, whatever the device's own
_MIB = 2**20
_SPARE = 48 * _MIB  # for the filesystem itself
_HEAD = 64 * 1024  # bytes that a known file is recognised by
_TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")


def main() -> None:
    """List, ingest and re-insert one card, and count what its device read for each."""
    parser = option_parser("the bytes read from a card to ingest it")
    parser.add_argument("--photos", type=int, default=24, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--rounds", type=int, default=2, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.rounds, options.megapixels) <= 0:
        parser.error("photos, rounds and megapixels must be more than 0")
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        give_up("only root can mount a card and read its device's counters: run it with sudo")
    if missing:
        give_up(f"{', '.join(missing)} can't be found: install util-linux and e2fsprogs")
    with open_stage(options.cache) as stage:
        made = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        image = _make_image(stage, made)
        with _attach(image) as device:
            figures = _count(stage, device, options.photos, options.rounds)
    report(options, figures)


def _count(stage: Stage, device: str, photos: int, rounds: int) -> list[Figure]:
    point = stage.folder / "BENCH"
    point.mkdir()
    media: list[float] = []
    listed: list[float] = []
    first: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        listed.append(_read_during(device, point, lambda: media.append(_sum_sizes(point))) / _MIB)
        first.append(_read_during(device, point, lambda: _ingest(stage, point, "new", photos)) / _MIB)
        again.append(_read_during(device, point, lambda: _ingest(stage, point, "known", photos)) / _MIB)
        forget_run(stage)
    heads = tuple(photos * _HEAD / _MIB for _ in media)
    bytes_ = tuple(size / _MIB for size in media)
    return [
        Figure("read from the card, of its files' bytes", "MiB", _less(first, listed), bytes_),
        Figure("the same, with mounting and listing", "MiB", tuple(first), bytes_),
        Figure("mounting and listing alone", "MiB", tuple(listed)),
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


def _read_during(device: str, point: Path, do: Callable[[], None]) -> int:
    """Bytes that a device read from a fresh mount to the unmount, while something was done."""
    before = _bytes_read(device)
    with _mounted(device, point):
        do()
    return _bytes_read(device) - before


def _bytes_read(device: str) -> int:
    """Third field: sectors read (kernel: Documentation/block/stat.rst)."""
    counters = Path("/sys/block", Path(device).name, "stat").read_text().split()
    return int(counters[2]) * _SECTOR


def _make_image(stage: Stage, card: Path) -> Path:
    """An ext4 image that holds the card's files."""
    image = stage.folder / "card.img"
    size = sum(path.stat().st_size for path in list_files(card))
    with image.open("wb") as file:
        file.truncate(size + size // 20 + _SPARE)
    _run("mkfs.ext4", "-q", "-F", "-L", "BENCH", "-d", str(card), str(image))
    return image


@contextlib.contextmanager
def _attach(image: Path) -> Iterator[str]:
    """A loop device for an image, read-only; its name."""
    device = _run("losetup", "--find", "--show", "--read-only", str(image)).strip()
    try:
        yield device
    finally:
        _run("losetup", "--detach", device)


@contextlib.contextmanager
def _mounted(device: str, point: Path) -> Iterator[None]:
    _run("mount", "-t", "ext4", "-o", "ro,noload", device, str(point))
    try:
        yield
    finally:
        _run("umount", str(point))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        give_up(f"'{command[0]}' failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


if __name__ == "__main__":
    main()
