"""A link on a terminal: whole and to be copied, until when it works, and as a QR code where there is room."""

import os
import sys
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ghostroll.observe.wording import say_name
from ghostroll.publish.link import CODE_FILE, Drawing, draw_link, say_end

_HALF_BLOCKS = "▀▄"


def print_link(console: Console, link: str, expires: str | None, *, is_assumed: bool) -> None:
    """The link on a line of its own, as long as it is, and below until when it works. `expires` is ISO 8601."""
    typer.echo(link)  # not by way of rich, which may break lines and colour addresses
    now = datetime.now().astimezone()
    end = None if expires is None else datetime.fromisoformat(expires).astimezone()
    print_line(
        console, f"link     {say_end(end, now, is_assumed=is_assumed)}; anybody who has it sees the pictures"
    )


def print_code(console: Console, document: dict[str, Any], *, wanted: bool | None) -> None:
    """Where the link's QR code lies, and the code itself: where it is `wanted`, or None and it fits."""
    drawing = draw_link(document["link"])
    if drawing is None:
        print_line(console, "QR code  none can hold so long a link")
        return
    here = sys.stdout.isatty() if wanted is None else wanted
    obstacle = _say_obstacle(console, drawing, scrolling=wanted is True) if here else ""
    place = say_name(os.path.join(document["session_dir"], CODE_FILE.decode()))
    print_line(console, f"QR code  {place}{obstacle}")
    if here and not obstacle:
        sys.stdout.write(drawing.text)  # as it is: its colours are no decoration


def print_line(console: Console, text: str, style: str = "") -> None:
    """One line, however long."""
    console.print(Text(text, style=style), soft_wrap=True)


def _say_obstacle(console: Console, drawing: Drawing, *, scrolling: bool) -> str:
    """Why a code can't be shown here, as the end of a line; empty where it can. `scrolling`: it may be too high."""
    try:
        _HALF_BLOCKS.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return " (not here: the terminal does not take UTF-8)"
    if not sys.stdout.isatty():
        return ""
    if console.is_dumb_terminal:
        return " (not here: the terminal has no colours)"
    if drawing.columns > console.width or (drawing.lines >= console.height and not scrolling):
        return f" (here too, in a terminal of {drawing.columns} columns and {drawing.lines + 1} lines)"
    return ""
