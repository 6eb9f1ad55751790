"""The upper part of a landscape: gradient, stars, sun or moon, clouds."""

import numpy as np

from ghostroll.demo.light import mix
from ghostroll.demo.noise import clouds, smoothstep
from ghostroll.demo.scene import Scene, blend


def paint_sky(scene: Scene) -> None:
    """A gradient of three colours, stars, the sun's disc and its glow."""
    light = scene.light
    rows = np.linspace(0, 1 / scene.terrain.horizon, scene.height)
    stops = (light.zenith, light.upper, light.horizon)
    for channel in range(3):
        column = np.interp(rows, (0, 0.55, 1), [stop[channel] for stop in stops])
        scene.canvas[channel] = column[:, None]
    _paint_stars(scene)
    unit = np.float32(scene.height)
    x = (np.arange(scene.width, dtype=np.float32) - np.float32(scene.sun[0])) / unit
    y = (np.arange(scene.height, dtype=np.float32) - np.float32(scene.sun[1])) / unit
    distance = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    night = light.stars > 0.5
    radius = 0.03 if night else 0.042
    blend(scene.canvas, light.glow, np.exp(distance * (-9 if night else -4)) * (0.4 if night else 0.75))
    disc = 1 - smoothstep(radius, radius + 0.004, distance)
    blend(scene.canvas, mix(light.glow, (255, 255, 250), 0.75), disc)


def _paint_stars(scene: Scene) -> None:
    """Small bright squares, more of them faint than bright."""
    for _ in range(int(420 * scene.light.stars)):
        x, y, power = scene.rng.random(3)
        dot = max(round(scene.height / 700), 1) + (power > 0.95)
        top, left = int(y * scene.horizon * 0.9), int(x * (scene.width - 3))
        spot = scene.canvas[:, top : top + dot, left : left + dot]
        spot += (255 - spot) * np.float32(power**3 * 0.9 * scene.light.stars)


def paint_clouds(scene: Scene) -> None:
    """Long banks of cloud, brighter towards the sun, thinner towards the upper edge."""
    rows = scene.horizon
    field = clouds(scene.rng, (scene.width, rows), cells=(2, 5), octaves=5)
    cover = smoothstep(scene.rng.uniform(0.5, 0.6), 0.86, field)
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    cover = cover * (0.2 + 0.7 * smoothstep(0.05, 0.6, down)) * np.float32(1 - 0.45 * scene.light.stars)
    shade = smoothstep(0.55, 1.0, field) * 0.45
    sky = scene.canvas[:, :rows]
    blend(sky, scene.light.cloud, cover)
    blend(sky, scene.light.upper, cover * shade)
