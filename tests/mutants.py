"""Spoilt picture files, made from good ones: the same seed gives the same bytes.

`python tests/mutants.py SAMPLES heic:123 > spoilt.heic` gives back the file that a failure named.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nasty_formats import spoil_boxes, spoil_chunks, spoil_jpeg, spoil_tiff
from small_pictures import draw_clips, draw_images, draw_jpegs, draw_raws

from ghostroll.model import Kind

LARGEST = 480_000  # bytes of a file that is spoilt; longer ones are cut
FAMILIES = {
    "jpeg": (Kind.JPEG, ("jpeg/*.jpg", "invalid/*.jpg"), draw_jpegs),
    "heic": (Kind.HEIF, ("heic/*.heic", "heic/*.heif", "heic/*.hif"), None),
    "raw": (Kind.RAW, ("raw/*", "invalid/*.raf", "invalid/*.rw2"), draw_raws),
    "video": (Kind.VIDEO, ("video/*",), draw_clips),
    "image": (Kind.IMAGE, (), draw_images),
}
_LARGEST_SAMPLES = {"jpeg": 160_000, "heic": 160_000}  # bytes; decoding takes the longer, the larger they are
_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
)

Bytes = bytes | bytearray
Spoil = Callable[[random.Random, bytes, bytes], Bytes]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One spoilt file: what it was made from, what was done, and its bytes."""

    name: str  # family and seed, as a failure names it
    kind: Kind
    story: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Stock:
    """Good files of one family, to be spoilt."""

    family: str
    kind: Kind
    files: list[tuple[str, bytes]]


def read_stock(samples: Path, family: str) -> Stock:
    """The small samples of a family, and small files that are drawn for it."""
    kind, patterns, draw = FAMILIES[family]
    largest = _LARGEST_SAMPLES.get(family, 2**20)
    found = {path for pattern in patterns for path in samples.glob(pattern)}
    files = [
        (str(path.relative_to(samples)), path.read_bytes()[:LARGEST])
        for path in sorted(found)
        if 0 < path.stat().st_size <= largest
    ]
    return Stock(family, kind, files + (list(draw().items()) if draw else []))


def make_mutant(stock: Stock, seed: int) -> Mutant:
    """The file of this seed: a good one, spoilt in one to four ways."""
    dice = random.Random(f"{stock.family}:{seed}")
    name, data = dice.choice(stock.files)
    other = dice.choice(stock.files)[1]
    steps = []
    for _ in range(dice.choice((1, 1, 2, 3, 4))):
        spoil = dice.choice(_STRUCTURED if dice.random() < 0.5 else _PLAIN)
        data = bytes(spoil(dice, data, other))[: 2 * LARGEST] or b"\0"
        steps.append(spoil.__name__)
    return Mutant(f"{stock.family}:{seed}", stock.kind, f"{name}: {', '.join(steps)}", data)


def flip_bits(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """One bit, or up to two hundred, anywhere or near the start."""
    out = bytearray(data)
    reach = min(len(out), dice.choice((64, 1024, len(out))))
    for _ in range(dice.choice((1, 2, 8, 200))):
        out[dice.randrange(reach)] ^= 1 << dice.randrange(8)
    return out


def set_run(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """A run of equal or random bytes."""
    out = bytearray(data)
    start, end = _pick_span(dice, data, 4096)
    out[start:end] = dice.choice((bytes(end - start), b"\xff" * (end - start), dice.randbytes(end - start)))
    return out


def cut_short(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """The end is missing."""
    return data[: dice.randrange(1, len(data) + 1)]


def drop_piece(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """A piece is missing from the middle."""
    start, end = _pick_span(dice, data, len(data))
    return data[:start] + data[end:]


def double_piece(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """A piece stands there several times."""
    start, end = _pick_span(dice, data, 8192)
    return data[:start] + data[start:end] * dice.choice((2, 3, 40)) + data[end:]


def splice(dice: random.Random, data: bytes, other: bytes) -> Bytes:
    """A piece of another file stands over or between this one's bytes."""
    start, end = _pick_span(dice, other, len(other))
    at = dice.randrange(len(data))
    return data[:at] + other[start:end] + data[at + dice.choice((0, end - start)) :]


def join_halves(dice: random.Random, data: bytes, other: bytes) -> Bytes:
    """The head of one on the body of another."""
    return data[: dice.randrange(1, len(data) + 1)] + other[dice.randrange(len(other)) :]


def put_number(dice: random.Random, data: bytes, _other: bytes) -> Bytes:
    """Numbers at the edge of what fits, where a header is likely to be."""
    out = bytearray(data)
    reach = min(len(out), dice.choice((64, 1024, len(out))))
    for _ in range(dice.choice((1, 1, 4))):
        width = dice.choice((1, 2, 4, 8))
        number = dice.choice(_NUMBERS) & (1 << 8 * width) - 1
        at = dice.randrange(reach)
        out[at : at + width] = number.to_bytes(width, dice.choice(("big", "little")))[: len(out) - at]
    return out


def _pick_span(dice: random.Random, data: bytes, longest: int) -> tuple[int, int]:
    start = dice.randrange(len(data))
    return start, min(len(data), start + dice.randrange(1, longest + 1))


_PLAIN: tuple[Spoil, ...] = (
    *(flip_bits, set_run, cut_short, drop_piece, double_piece, splice, join_halves, put_number),
)
_STRUCTURED: tuple[Spoil, ...] = (spoil_jpeg, spoil_tiff, spoil_boxes, spoil_chunks)

if __name__ == "__main__":
    family, _, number = sys.argv[2].partition(":")
    mutant = make_mutant(read_stock(Path(sys.argv[1]), family), int(number))
    sys.stderr.write(f"{mutant.story}\n")
    sys.stdout.buffer.write(mutant.data)
