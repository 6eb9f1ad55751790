"""Drawn landscapes: a sky for the hour, ridges in the haze, water that mirrors them, trees in front."""

import numpy as np
from PIL import Image

from ghostroll.demo.land import paint_ridge, paint_trees
from ghostroll.demo.light import light_at, mix
from ghostroll.demo.noise import clouds, smoothstep
from ghostroll.demo.scene import Scene, Terrain, blend
from ghostroll.demo.sky import paint_clouds, paint_sky

TERRAINS = (
    Terrain(horizon=0.6, ridges=4, relief=0.2, bumps=4, smooth=False, water=True, trees=0.2),  # lake
    Terrain(horizon=0.62, ridges=4, relief=0.36, bumps=3, smooth=False, snow=True, trees=0.13),  # mountains
    Terrain(horizon=0.6, ridges=2, relief=0.07, bumps=3, smooth=True, water=True),  # sea
    Terrain(horizon=0.52, ridges=6, relief=0.12, bumps=2, smooth=True, trees=0.16),  # hills in the mist
    Terrain(horizon=0.66, ridges=4, relief=0.28, bumps=3, smooth=False, snow=True, water=True),  # high lake
    Terrain(horizon=0.6, ridges=5, relief=0.13, bumps=1.5, smooth=True, sand=0.9),  # dunes
)


def draw_landscape(seed: int, size: tuple[int, int], hour: float) -> Image.Image:
    """An RGB picture of `size` (width, height) pixels; the same for the same arguments.

    The hour (0 to 24) gives the light; the seed gives the kind of landscape and all its shapes, and
    seeds that follow one another give different kinds.
    """
    width, height = size
    rng = np.random.default_rng(seed)
    terrain = TERRAINS[seed % len(TERRAINS)]
    light = light_at(hour)
    side = rng.uniform(0.22, 0.42)
    sun_x = width * (side if rng.random() < 0.5 else 1 - side)
    sun_y = height * terrain.horizon * (1 - 0.1 - 0.85 * light.height)
    scene = Scene(np.zeros((3, height, width), np.float32), rng, light, terrain, (sun_x, sun_y))
    paint_sky(scene)
    paint_clouds(scene)
    for layer in range(terrain.ridges):
        paint_ridge(scene, layer)
    if terrain.water:
        _paint_water(scene)
    if terrain.trees:
        paint_trees(scene)
    scene.canvas += rng.random((height, width), np.float32)  # no steps in the sky's gradient
    pixels = np.clip(scene.canvas, 0, 255, out=scene.canvas).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, 2)))


def _paint_water(scene: Scene) -> None:
    """Below the horizon: what is above, mirrored, broken by ripples that grow towards the viewer."""
    rows, width = scene.height - scene.horizon, scene.width
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    ripple = clouds(scene.rng, (width, rows), cells=(5, 60), octaves=3) - np.float32(0.5)
    fall = np.arange(rows, dtype=np.float32)[:, None] * np.float32(
        0.92 * scene.horizon / max(rows, scene.horizon)
    )
    source_y = scene.horizon - 1 - fall + ripple * down**0.7 * np.float32(0.12 * scene.height)
    source_x = np.arange(width, dtype=np.float32)[None, :] + ripple * np.float32(0.012 * width)
    ys = np.clip(source_y, 0, scene.horizon - 1).astype(np.int32)
    xs = np.clip(source_x, 0, width - 1).astype(np.int32)
    water = scene.canvas[:, ys, xs]
    blend(
        water,
        mix(scene.light.zenith, scene.light.land, 0.45),
        0.14 + np.float32(0.42) * down,
    )
    across = (np.arange(width, dtype=np.float32) - np.float32(scene.sun[0])) / np.float32(width)
    path = np.exp(-((across[None, :] / (0.03 + 0.09 * down)) ** 2))
    blend(water, scene.light.glow, path * np.float32(0.45))
    glitter = smoothstep(0.06, 0.3, ripple) * path * np.float32(0.85 * (1 - 0.5 * scene.light.height))
    blend(water, mix(scene.light.glow, (255, 255, 255), 0.3), glitter)
    scene.canvas[:, scene.horizon :] = water
