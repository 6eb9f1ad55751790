"""QR codes as people meet them: on a print, on a screen, in a terminal; and a decoder that is not ours."""

import contextlib
import fcntl
import io
import os
import pty
import random
import re
import string
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import zxingcpp
from PIL import Image, ImageFilter

_ALPHABET = string.ascii_letters + string.digits + "%"
_WALL = 150  # grey; what lies around a code
_COLOURS = {16: 0, 231: 255}  # of the 256 colours, those that are black and white in every theme
_PIECE = re.compile(r"\x1b\[([0-9;]*)m|(.)", re.DOTALL)


def make_link(length: int) -> str:
    """A link as long as this, of letters as a signature has them; the same one every time."""
    chance = random.Random(length)
    start = "https://my-pictures.s3.eu-central-1.amazonaws.com/sessions/2026-11-22_143015-EOS_DIGITAL-k3f7-"
    return start + "".join(chance.choices(_ALPHABET, k=length - len(start)))


def decode(image: Image.Image) -> list[str]:
    """What every code in a picture says."""
    return [found.text for found in zxingcpp.read_barcodes(image.convert("L"))]


def photograph(image: Image.Image, *, width: int, degrees: float, blur: float, quality: int) -> Image.Image:
    """The picture as a phone sees it: on a grey wall, turned, `width` pixels of it, soft, as a JPEG."""
    margin = image.width // 6
    wall = Image.new("L", (image.width + 2 * margin, image.height + 2 * margin), _WALL)
    wall.paste(image.convert("L"), (margin, margin))
    turned = wall.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=_WALL)
    size = (round(width * turned.width / image.width), round(width * turned.height / image.width))
    small = turned.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(blur))
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=quality)
    return Image.open(jpeg)


def show_terminal(text: str, *, cell: tuple[int, int], back: int, fore: int) -> Image.Image:
    """A terminal of these default greys showing a text, a margin of its own colour around it.

    Only what a drawing needs is known: spaces, half blocks, two of the 256 colours, and the way back to the
    defaults. Everything else is an error.
    """
    width, height = cell
    lines = [list(_read_cells(line, back=back, fore=fore)) for line in text.splitlines()]
    columns = max(map(len, lines))
    screen = Image.new("L", ((columns + 8) * width, (len(lines) + 4) * height), back)
    for row, line in enumerate(lines):
        for column, (upper, lower) in enumerate(line):
            left, top = (column + 4) * width, (row + 2) * height
            screen.paste(upper, (left, top, left + width, top + height // 2))
            screen.paste(lower, (left, top + height // 2, left + width, top + height))
    return screen


def _read_cells(line: str, *, back: int, fore: int) -> Iterator[tuple[int, int]]:
    """The greys of each cell's two halves."""
    paper, ink = back, fore
    for sequence, letter in _PIECE.findall(line):
        if letter:
            yield {" ": (paper, paper), "▀": (ink, paper), "▄": (paper, ink)}[letter]
            continue
        numbers = [int(number) for number in sequence.split(";")]
        while numbers:
            match numbers:
                case [0, *rest]:
                    paper, ink, numbers = back, fore, rest
                case [38, 5, colour, *rest]:
                    ink, numbers = _COLOURS[colour], rest
                case [48, 5, colour, *rest]:
                    paper, numbers = _COLOURS[colour], rest
                case _:
                    raise AssertionError(f"what is {sequence}?")
    assert (paper, ink) == (back, fore), "the colours leak into what follows"


def run_on_terminal(
    arguments: Sequence[str | bytes | Path], env: Mapping[str, str], size: tuple[int, int]
) -> str:
    """What a command prints on a terminal of so many columns and lines."""
    known = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    keyboard, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = subprocess.Popen(arguments, env=known, stdin=screen, stdout=screen, stderr=subprocess.DEVNULL)
    os.close(screen)
    shown = b""
    with os.fdopen(keyboard, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(65536):
            shown += part
    assert process.wait(60) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def scan(shown: str) -> list[str]:
    """What the code says that a terminal shows somewhere, if it shows one."""
    lines = [line for line in shown.splitlines() if line.startswith("\x1b[48;5;231m")]
    if not lines:
        return []
    return decode(show_terminal("\n".join(lines), cell=(8, 16), back=0, fore=200))
