"""What `ghostroll link` prints on terminals of all sizes: the link to be copied, and a code where there is room."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from codes import make_link, run_on_terminal, scan

LINK = make_link(380)
CODE = (77, 40)  # columns and lines that its code takes, with a line for the prompt
SHOW = """
import json, sys
from rich.console import Console
from ghostroll.cli.sharing import _print_gallery
from ghostroll.cli.streams import open_streams
open_streams()
document, qr = json.loads(sys.argv[1])
_print_gallery(Console(highlight=False), document, qr=qr, as_json=False)
"""


def describe(**more: Any) -> dict[str, Any]:
    """A gallery in a bucket, as the station tells it."""
    return {
        "job": 42,
        "session": "session",
        "publication": "live",
        "index": "/library/session/index.html",
        "session_dir": "/library/session",
        "target": "s3",
        "link": LINK,
        "expires": "2126-11-29T14:30:00+00:00",
        "public": False,
        **more,
    }


def show(
    qr: bool | None, *, size: tuple[int, int] | None, document: dict[str, Any] | None = None, **more: str
) -> str:
    """What is printed, on a terminal of so many columns and lines, or into a pipe."""
    arguments = [sys.executable, "-c", SHOW, json.dumps([document or describe(), qr])]
    env = os.environ | {"TERM": "xterm-256color", "TZ": "UTC"} | more
    if size is None:
        return subprocess.run(arguments, env=env, check=True, capture_output=True).stdout.decode()
    return run_on_terminal(arguments, env, size)


@pytest.mark.parametrize("size", [None, (20, 5), (80, 24), (77, 40)])
def test_the_link_can_be_copied(size: tuple[int, int] | None) -> None:
    """The link is the first line, in one piece and without colours, in whatever terminal."""
    lines = show(None, size=size).splitlines()
    assert lines[0] == LINK
    assert lines[1].startswith("link     works until 29 November 2126, 14:30 (")
    assert lines[1].endswith(" days); anybody who has it sees the pictures")
    assert "can't be prolonged" in lines[2]
    assert lines[3:5] == ["gallery  still growing", "folder   /library/session"]
    assert lines[5].startswith("QR code  /library/session/link.png")


@pytest.mark.parametrize(
    ("qr", "size", "is_shown"),
    [
        (None, CODE, True),
        (None, (76, 40), False),
        (None, (77, 39), False),
        (None, (300, 200), True),
        (None, None, False),
        (True, (77, 10), True),
        (True, (76, 200), False),
        (True, None, True),
        (False, (300, 200), False),
        (False, None, False),
    ],
)
def test_a_code_where_there_is_room(qr: bool | None, size: tuple[int, int] | None, is_shown: bool) -> None:
    """Without an option the code comes where all of it is seen at once, with one where it can be made out at all."""
    shown = show(qr, size=size)
    assert scan(shown) == ([LINK] if is_shown else [])
    assert ("77 columns and 40 lines" in shown) == (not is_shown and size is not None and qr is not False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"TERM": "dumb"}, "(not here: the terminal has no colours)"),
        ({"PYTHONIOENCODING": "latin-1"}, "(not here: the terminal does not take UTF-8)"),
    ],
)
def test_terminals_that_cant(more: dict[str, str], words: str) -> None:
    """Where no code could be read there is none, and why."""
    shown = show(True, size=(300, 200), document=None, **more)
    assert words in shown
    assert "\x1b[48" not in shown


def test_no_colour_is_no_excuse() -> None:
    """Who wants no colours still gets a code that scans: its two colours are no decoration."""
    assert scan(show(None, size=CODE, NO_COLOR="1")) == [LINK]


def test_too_long_a_link() -> None:
    """A link that no code can hold is printed all the same."""
    shown = show(True, size=None, document=describe(link=make_link(3000)))
    assert shown.startswith(make_link(3000) + "\n")
    assert "QR code  none can hold so long a link" in shown


def test_a_public_gallery() -> None:
    """A public address never ends, so nothing is said of links sent before."""
    shown = show(None, size=None, document=describe(expires=None, public=True, publication="complete"))
    assert "works until the pictures are taken from the bucket" in shown
    assert "prolonged" not in shown
    assert "gallery  complete\n" in shown
