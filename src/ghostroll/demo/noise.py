"""Seeded shapes of nature: ridge lines, clouds and ripples as sums of ever finer random grids."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]


def ridge_line(rng: np.random.Generator, width: int, *, bumps: float, octaves: int, smooth: bool) -> Floats:
    """A line of `width` heights, -1 to 1, with about `bumps` hills across it.

    Straight pieces between the random points look like rock; smooth ones like dunes and meadows.
    """
    line = np.zeros(width)
    for octave in range(octaves):
        points = rng.random(int(bumps * 2**octave) + 3) * 2 - 1
        place = np.linspace(0, len(points) - 1.001, width)
        whole = place.astype(int)
        part = place - whole
        if smooth:
            part = part * part * (3 - 2 * part)
        line += (points[whole] * (1 - part) + points[whole + 1] * part) * 0.5**octave
    peak = max(float(np.abs(line).max()), 1e-6)
    return (line / peak).astype(np.float32)


def clouds(
    rng: np.random.Generator, size: tuple[int, int], *, cells: tuple[int, int], octaves: int
) -> Floats:
    """A field of shape (height, width), 0 to 1, with about `cells` blobs across and down."""
    width, height = size
    # Made small and enlarged: the finest octave has no detail that a full-size field would show.
    small = (max(width // 3, 8), max(height // 3, 8))
    total = np.zeros((small[1], small[0]), np.float32)
    for octave in range(octaves):
        across, down = (cell * 2**octave + 2 for cell in cells)
        grid = Image.fromarray(rng.random((down, across)).astype(np.float32))
        total += np.asarray(grid.resize(small, Image.Resampling.BICUBIC)) * np.float32(0.5**octave)
    low, high = float(total.min()), float(total.max())
    field = Image.fromarray((total - low) / max(high - low, 1e-6))
    return np.asarray(field.resize(size, Image.Resampling.BILINEAR), np.float32)


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below `low`, 1 above `high`, a soft curve between."""
    part = (values - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(part, 0, 1, out=part)
    return np.asarray(part * part * (3 - 2 * part), np.float32)
