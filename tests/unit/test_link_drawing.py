"""The QR code in a terminal: an ordinary decoder reads it off the screen, whatever the theme."""

import re

import pytest
from codes import decode, make_link, photograph, show_terminal

from ghostroll.publish.link import draw_link

THEMES = {"dark": (0, 220), "light": (255, 30), "grey": (128, 128)}
_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("length", [120, 380, 800, 1700, 2953])
def test_a_drawing_scans(length: int, theme: str) -> None:
    """A screenshot of a terminal gives the link back, on dark, light and grey ones."""
    link = make_link(length)
    drawing = draw_link(link)
    assert drawing is not None
    back, fore = THEMES[theme]
    assert decode(show_terminal(drawing.text, cell=(8, 16), back=back, fore=fore)) == [link]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("cell", [(7, 14), (9, 19), (10, 22)])
@pytest.mark.parametrize("length", [380, 800, 1700])
def test_a_screen_can_be_photographed(length: int, cell: tuple[int, int], theme: str) -> None:
    """A phone that looks at a screen a little askew reads the link, also where cells are not twice as high as wide."""
    link = make_link(length)
    drawing = draw_link(link)
    assert drawing is not None
    back, fore = THEMES[theme]
    screen = show_terminal(drawing.text, cell=cell, back=back, fore=fore)
    seen = photograph(screen, width=4 * drawing.columns, degrees=4, blur=1.2, quality=70)
    assert decode(seen) == [link]


@pytest.mark.parametrize("length", [120, 380, 1700])
def test_a_drawing_is_as_large_as_it_says(length: int) -> None:
    """Each line has the columns that are told, there are as many lines as told, and each ends in the terminal's own colours."""
    drawing = draw_link(make_link(length))
    assert drawing is not None
    lines = drawing.text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == drawing.lines
    assert {len(_SEQUENCE.sub("", line)) for line in lines} == {drawing.columns}
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_a_drawing_is_small() -> None:
    """The link of a store with plain keys takes 77 columns and 39 lines."""
    drawing = draw_link(make_link(380))
    assert drawing is not None
    assert (drawing.columns, drawing.lines) == (77, 39)


def test_too_long_a_link_has_no_drawing() -> None:
    """What no QR code can hold is not drawn."""
    assert draw_link(make_link(2954)) is None
