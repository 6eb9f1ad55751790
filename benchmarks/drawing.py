"""Bars over time as a picture in SVG, without a library for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 40, 20, 56, 36  # pixels
_ROW = 4
_COLOURS = ("#2f6f9f", "#d9dee3", "#d98324", "#7fb685")
_MOST_TICKS = 14
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted; seconds. Bars of one label have one colour."""

    label: str
    begun: float
    ended: float


def draw(rows: Sequence[Sequence[Bar]], marks: Mapping[str, float]) -> str:
    """An SVG document: one line per row, a legend in the order of the first row, marks across all of it."""
    end = max([*marks.values(), *(bar.ended for row in rows for bar in row)])
    height = _TOP + _ROW * len(rows) + _BOTTOM
    colours = dict(zip((bar.label for bar in rows[0]), _COLOURS, strict=True))
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        *_draw_legend(colours),
        *_draw_axis(end, scale, height),
        *_draw_rows(rows, colours, scale),
        *_draw_marks(marks, scale, height),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _draw_legend(colours: Mapping[str, str]) -> Iterator[str]:
    step = (_WIDTH - _LEFT - _RIGHT) // max(1, len(colours))
    for number, (label, colour) in enumerate(colours.items()):
        x = _LEFT + number * step
        yield f'<rect x="{x}" y="10" width="14" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="19">{escape(label)}</text>'


def _draw_axis(end: float, scale: float, height: int) -> Iterator[str]:
    step = next((step for step in _STEPS if end / step <= _MOST_TICKS), end)
    bottom = height - _BOTTOM
    for number in range(int(end / step) + 1):
        x = _LEFT + number * step * scale
        yield f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#eeeeee"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number * step:g} s</text>'


def _draw_rows(rows: Sequence[Sequence[Bar]], colours: Mapping[str, str], scale: float) -> Iterator[str]:
    """All bars of one colour in one path: a picture of a hundred rows stays small."""
    for label, colour in colours.items():
        path = "".join(
            f"M{_LEFT + bar.begun * scale:.1f} {_TOP + number * _ROW}h{(bar.ended - bar.begun) * scale:.1f}v{_ROW - 1}"
            f"H{_LEFT + bar.begun * scale:.1f}z"
            for number, row in enumerate(rows)
            for bar in row
            if bar.label == label
        )
        yield f'<path d="{path}" fill="{colour}"/>'


def _draw_marks(marks: Mapping[str, float], scale: float, height: int) -> Iterator[str]:
    for label, moment in marks.items():
        x = _LEFT + moment * scale
        yield f'<path d="M{x:.1f} {_TOP - 6}V{height - _BOTTOM}" stroke="#333333" stroke-dasharray="4 3"/>'
        yield f'<text x="{x:.1f}" y="{_TOP - 10}" text-anchor="end">{escape(label)} {moment:.1f} s</text>'
