"""A landscape being painted: its canvas, its light, its lie of the land."""

from dataclasses import dataclass

import numpy as np

from ghostroll.demo.light import Colour, Light
from ghostroll.demo.noise import Floats


@dataclass(frozen=True, slots=True)
class Terrain:
    """A kind of landscape. Heights are parts of the picture's height."""

    horizon: float  # from the upper edge
    ridges: int
    relief: float  # how high the ridges stand
    bumps: float  # hills across the farthest ridge
    smooth: bool
    water: bool = False
    snow: bool = False
    trees: float = 0.0  # height of the tallest
    sand: float = 0.0  # how much of the land's colour is the sun's


@dataclass(slots=True)
class Scene:
    """A picture being painted: `canvas` is (colour, height, width), 0 to 255; y grows downwards."""

    canvas: Floats
    rng: np.random.Generator
    light: Light
    terrain: Terrain
    sun: tuple[float, float]  # x, y in pixels

    @property
    def height(self) -> int:
        """Pixels from the upper to the lower edge."""
        return int(self.canvas.shape[1])

    @property
    def width(self) -> int:
        """Pixels from the left to the right edge."""
        return int(self.canvas.shape[2])

    @property
    def horizon(self) -> int:
        """The row at which the sky ends."""
        return int(self.terrain.horizon * self.height)


def blend(canvas: Floats, colour: Colour, alpha: Floats) -> None:
    """Lay a colour over the canvas, in place; `alpha` is (height, width) or (height, 1), 0 to 1."""
    for layer, value in zip(canvas, colour, strict=True):
        step = np.float32(value) - layer
        step *= alpha
        layer += step  # noqa: PLW2901  # in place: the layer is a view of the canvas
