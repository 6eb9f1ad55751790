"""Landscapes drawn by code, for tests and for the pictures of the documentation."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]  # height, width, 3; 0 to 1
Line = NDArray[np.float64]  # one value per column

_PALETTES = (  # of the sky above, the sky at the horizon, the far and the near ridge
    ((72, 116, 168), (232, 214, 196), (150, 164, 184), (38, 52, 58)),  # a clear morning
    ((58, 54, 98), (246, 166, 112), (160, 108, 118), (34, 26, 40)),  # sunset
    ((150, 178, 196), (236, 238, 236), (176, 192, 198), (62, 82, 80)),  # mist
    ((14, 20, 44), (64, 84, 122), (44, 58, 92), (8, 12, 24)),  # night
    ((98, 158, 206), (240, 236, 214), (214, 176, 128), (134, 84, 48)),  # dunes
    ((104, 134, 142), (218, 222, 204), (122, 150, 126), (30, 54, 36)),  # forest
)


@dataclass(frozen=True)
class _Scene:
    random: Random
    width: int
    height: int
    horizon: float
    colours: tuple[Pixels, ...]


def draw_landscape(seed: int, width: int, height: int) -> Image.Image:
    """A picture in sRGB of `width` by `height` pixels; the same seed gives the same one."""
    random = Random(seed)
    palette = _PALETTES[seed % len(_PALETTES)]
    colours = tuple(np.array(colour) / 255 for colour in palette)
    scene = _Scene(random, width, height, random.uniform(0.42, 0.62), colours)
    pixels = _draw_sky(scene)
    ridges = random.randint(3, 6)
    for number in range(ridges):
        _draw_ridge(scene, pixels, (number + 1) / ridges)
    if random.random() < 0.45:
        _draw_lake(scene, pixels)
    grain = np.random.default_rng(seed).normal(0, 0.004, (height, width, 1))
    pixels += grain
    return Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8), "RGB")


def _draw_sky(scene: _Scene) -> Pixels:
    rows, columns = np.mgrid[0 : scene.height, 0 : scene.width]
    down = np.clip(rows / (scene.height * scene.horizon), 0, 1)[..., None] ** 1.4
    pixels: Pixels = scene.colours[0] * (1 - down) + scene.colours[1] * down
    x, y = (
        scene.random.uniform(0.15, 0.85) * scene.width,
        scene.horizon * scene.random.uniform(0.35, 0.85) * scene.height,
    )
    distance = np.hypot(columns - x, rows - y)[..., None] / min(scene.width, scene.height)
    pixels += 0.35 * np.exp(-distance * 5) + 0.8 / (1 + np.exp((distance - 0.035) * 260))
    if scene.colours[0].sum() < 0.5:
        stars = np.random.default_rng(scene.random.randrange(1 << 30)).random((scene.height, scene.width, 1))
        pixels += np.where(stars > 0.9985, 0.7, 0) * (1 - down)
    return pixels


def _draw_ridge(scene: _Scene, pixels: Pixels, near: float) -> None:
    rough = _rough_line(scene.random, scene.width, 0.62 - 0.14 * near)
    top = scene.height * (scene.horizon - 0.2 * (1 - near) + 0.4 * near * near) + rough * scene.height * 0.16
    rows = np.arange(scene.height)[:, None]
    inside = np.clip(rows - top[None, :], 0, 1)[..., None]
    colour = scene.colours[2] * (1 - near) + scene.colours[3] * near
    haze = np.clip((rows - top[None, :]) / (scene.height * 0.35), 0, 1)[..., None] * (0.35 * (1 - near))
    pixels[:] = pixels * (1 - inside) + inside * (colour * (1 - haze) + scene.colours[1] * haze)


def _draw_lake(scene: _Scene, pixels: Pixels) -> None:
    shore = int(scene.height * scene.random.uniform(0.7, 0.8))
    deep = scene.height - shore
    ripple = (np.sin(np.arange(deep) ** 1.3 * 0.9) * 2).astype(int)
    source = np.clip(shore - 1 - np.arange(deep) * 1 + ripple, 0, scene.height - 1)
    pixels[shore:] = pixels[source] * 0.82 + scene.colours[0] * 0.1


def _rough_line(random: Random, width: int, roughness: float) -> Line:
    """A line of mountains by midpoint displacement, about -1 to 1."""
    points = [random.uniform(-0.6, 0.6), random.uniform(-0.6, 0.6)]
    step = 1.0
    while len(points) < 260:
        step *= roughness
        between = [(a + b) / 2 + random.uniform(-step, step) for a, b in pairwise(points)]
        points = [value for pair in zip(points, between, strict=False) for value in pair] + [points[-1]]
    return np.interp(np.linspace(0, 1, width), np.linspace(0, 1, len(points)), points)
