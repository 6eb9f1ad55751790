"""A session's link: in a file to copy it from, as a QR code to send or print, and as one for a terminal.

QR codes after ISO/IEC 18004: the quiet zone of four modules, versions of 17 + 4 times
version modules a side, 2,953 bytes at most.
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from ghostroll.faults import crash_point
from ghostroll.publish.replacing import replace_files
from ghostroll.publish.wording import say_span

if TYPE_CHECKING:
    import segno

LINK_FILE = b"link.txt"
CODE_FILE = b"link.png"
_QUIET = 4  # modules of white around the code
_LEAST_PIXELS = 1000  # a side
_LARGEST_CORRECTED = 109  # modules a side; beyond, larger modules are worth more to a print than correction
# Of the 256 colours those that no theme changes: 16 is black, 231 white.
_PAINTS = {
    (True, True): ("48;5;16", " "),
    (False, False): ("48;5;231", " "),
    (True, False): ("38;5;16;48;5;231", "▀"),
    (False, True): ("38;5;16;48;5;231", "▄"),
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A QR code as text, newline at its end, and the columns and lines of a terminal that it takes."""

    text: str
    columns: int
    lines: int


def write_link(session_dir: bytes, link: str, sentence: str) -> None:
    """Write `link.png`, then `link.txt`: the link on its first line, then a sentence about its end.

    On return both would survive a power cut. Each is replaced as a whole, and readable for nobody who may not
    read the folder. Where no QR code can hold the link there is no picture afterwards, not even an old one.
    Raises OSError as it comes; the old files are then still there, and whole.
    """
    code = _make_code(link, "m", "l")
    crash_point("link.writing")
    replace_files(
        session_dir,
        {
            CODE_FILE: None if code is None else [_paint_code(code)],
            LINK_FILE: [f"{link}\n{sentence}\n".encode()],
        },
        private=True,
    )
    crash_point("link.written")


def draw_link(link: str) -> Drawing | None:
    """A QR code for a terminal of any theme that shows 256 colours and half blocks; None for too long a link.

    Two modules stand above each other in one character cell. Nothing is as likely to be damaged on a screen as
    on paper, so it has the least correction and is as small as it can be.
    """
    code = _make_code(link, "l")
    if code is None:
        return None
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = ["".join(_draw_line(upper, lower)) for upper, lower in zip(rows[::2], rows[1::2], strict=True)]
    return Drawing("".join(f"{line}\x1b[0m\n" for line in lines), len(rows[0]), len(lines))


def say_end(expires: datetime | None, now: datetime | None = None, *, is_assumed: bool = False) -> str:
    """`works until 29 November 2026, 14:30 (7 days)`: a link's end in its own time zone.

    Without `now` the zone is said instead of what is left: `works until 29 November 2026, 14:30 CET`. None never
    ends by itself. `is_assumed`: the credentials that signed it may end before, and nothing tells when.
    """
    if expires is None:
        return "works until the pictures are taken from the bucket"
    moment = f"{say_span((expires.date(),))}, {expires:%H:%M}"
    doubt = ", or until the temporary credentials end, which don't say when" if is_assumed else ""
    if now is None:
        return f"works until {moment} {expires.tzname() or ''}".rstrip() + doubt
    if expires <= now:
        return f"ended on {moment}"
    return f"works until {moment} ({_say_left(expires - now)}){doubt}"


def _say_left(left: timedelta) -> str:
    minutes = max(1, round(left / timedelta(minutes=1)))
    hours = round(minutes / 60)
    if hours >= 48:
        return f"{round(hours / 24)} days"
    if minutes >= 120:
        return f"{hours} hours"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _make_code(link: str, *corrections: str) -> "segno.QRCode | None":
    """The code with the first of these corrections that is good for it; None where none can hold the link."""
    import segno  # noqa: PLC0415  # 20 ms and urllib, which no command needs that makes no link

    for correction in corrections:
        with suppress(segno.DataOverflowError):
            code = segno.make_qr(link, error=correction)
            modules, _ = code.symbol_size(border=0)
            if correction == "l" or modules <= _LARGEST_CORRECTED:
                return code
    return None


def _paint_code(code: "segno.QRCode") -> bytes:
    """A PNG of black and white whose modules are all of the same size, in whole pixels."""
    modules, _ = code.symbol_size(border=_QUIET)
    png = io.BytesIO()
    code.save(png, kind="png", border=_QUIET, scale=-(-_LEAST_PIXELS // modules), dark="black", light="white")
    return png.getvalue()


def _draw_line(upper: list[bool], lower: list[bool]) -> Iterator[str]:
    for cell, run in groupby(zip(upper, lower, strict=True)):
        colours, letter = _PAINTS[cell]
        yield f"\x1b[{colours}m" + letter * sum(1 for _ in run)
