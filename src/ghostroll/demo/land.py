"""The land of a landscape: ridges in the haze, rock and snow, dunes, trees in front."""

import numpy as np
from PIL import Image, ImageDraw

from ghostroll.demo.light import Colour, mix
from ghostroll.demo.noise import Floats, clouds, ridge_line, smoothstep
from ghostroll.demo.scene import Scene, blend


def paint_ridge(scene: Scene, layer: int) -> None:
    """One ridge: the farther, the paler; mist lies at its foot."""
    terrain, light = scene.terrain, scene.light
    near = (layer + 1) / terrain.ridges
    crest = _crest(scene, layer)
    top, bottom = max(int(crest.min()) - 1, 0), _bottom(scene, layer)
    depth = np.arange(top, bottom, dtype=np.float32)[:, None] - crest[None, :]
    haze = mix(light.horizon, light.zenith, 0.3)
    body = np.empty((3, *depth.shape), np.float32)
    body[:] = np.array(_land_colour(scene, haze, near), np.float32)[:, None, None]
    if terrain.snow and layer < terrain.ridges - 1:
        _paint_rock(scene, body, crest, depth, near)
    elif terrain.sand:
        _paint_slopes(scene, body, crest, depth)
    mist = smoothstep(0, 0.3 * scene.height, depth) * np.float32(0.75 * (1 - near) + 0.05)
    blend(body, mix(haze, light.horizon, 0.6), mist)
    below = scene.canvas[:, top:bottom]
    body -= below
    body *= np.clip(depth + 0.5, 0, 1)
    below += body


def _crest(scene: Scene, layer: int) -> Floats:
    """The height of the ridge in every column, as pixels from the upper edge."""
    terrain = scene.terrain
    line = ridge_line(
        scene.rng,
        scene.width,
        bumps=terrain.bumps
        * (1 + layer * 0.6)
        * min(scene.width / scene.height / 1.5, 1),  # a portrait shows less
        octaves=2 if terrain.smooth else 7,
        smooth=terrain.smooth,
    )
    foot, relief = _ridge_place(scene, (layer + 1) / terrain.ridges)
    return np.asarray(scene.height * (foot - relief * (0.5 + 0.5 * line)), np.float32)


def _bottom(scene: Scene, layer: int) -> int:
    """The row below which the water or the next ridge covers this one anyway."""
    if scene.terrain.water:
        return scene.horizon
    if layer + 1 == scene.terrain.ridges:
        return scene.height
    foot, _ = _ridge_place(scene, (layer + 2) / scene.terrain.ridges)
    return min(int(scene.height * foot) + 2, scene.height)


def _land_colour(scene: Scene, haze: Colour, near: float) -> Colour:
    sand = mix(scene.light.glow, (196, 120, 70), 0.6)
    land = mix(scene.light.land, sand, scene.terrain.sand * (0.35 if scene.light.stars else 1))
    return mix(haze, land, 0.25 + 0.75 * near**1.4)


def _ridge_place(scene: Scene, near: float) -> tuple[float, float]:
    """Where a ridge's foot is and how high it stands, as parts of the picture's height."""
    terrain = scene.terrain
    if terrain.water:
        return terrain.horizon + 0.004, terrain.relief * (1.25 - near)
    foot = terrain.horizon + (0.97 - terrain.horizon) * near**1.5 * (0.9 if terrain.trees else 1)
    return foot, terrain.relief * (1.15 - 0.6 * near)


def _paint_rock(scene: Scene, body: Floats, crest: Floats, depth: Floats, near: float) -> None:
    """Lit and dark faces that run down from the crest, and snow on the upper part."""
    slope = _slope(scene, crest, max(scene.width // 55, 2))
    size = (depth.shape[1], depth.shape[0])
    lean = clouds(scene.rng, size, cells=(9, 1), octaves=2) - np.float32(0.5)
    rough = clouds(scene.rng, size, cells=(30, 14), octaves=4) - np.float32(0.5)
    fall = np.clip(depth, 0, None)
    reach = (
        np.arange(scene.width, dtype=np.float32)[None, :]
        + fall * lean * 0.6
        + rough * np.float32(0.05 * scene.height)
    )
    lit = smoothstep(-1.0, 1.0, slope[np.clip(reach, 0, scene.width - 1).astype(np.int32)])
    foot, relief = _ridge_place(scene, near)
    line = np.float32(scene.height) * (np.float32(foot - relief * 0.5) + rough * np.float32(0.55 * relief))
    snow = smoothstep(-0.01 * scene.height, 0.01 * scene.height, line - (depth + crest[None, :]))
    bright = mix(mix(scene.light.cloud, (255, 255, 255), 0.35), scene.light.zenith, 0.5 * scene.light.stars)
    blend(body, mix(scene.light.upper, bright, 0.12), snow * np.float32(0.55 + 0.4 * near))
    blend(body, bright, snow * lit * np.float32(0.85))
    blend(body, scene.light.glow, (1 - snow) * lit * np.float32(0.22))
    blend(body, mix(scene.light.land, scene.light.zenith, 0.4), (1 - lit) * np.float32(0.3))


def _paint_slopes(scene: Scene, body: Floats, crest: Floats, depth: Floats) -> None:
    """Dunes: a bright windward side and a soft shadow behind every crest."""
    slope = _slope(scene, crest, max(scene.width // 60, 2))
    reach = np.arange(scene.width, dtype=np.float32)[None, :] + np.clip(depth, 0, None) * np.float32(0.55)
    lit = smoothstep(-0.45, 0.45, slope[np.clip(reach, 0, scene.width - 1).astype(np.int32)])
    blend(body, scene.light.glow, lit * np.float32(0.35 * (1 - 0.8 * scene.light.stars)))
    fade = np.exp(np.clip(depth, 0, None) * np.float32(-7 / scene.height))
    blend(body, mix(scene.light.land, scene.light.zenith, 0.35), (1 - lit) * fade * np.float32(0.55))


def _slope(scene: Scene, crest: Floats, step: int) -> Floats:
    """How steeply the crest falls towards the sun's side, in every column; `step` pixels are looked at."""
    slope = (np.roll(crest, -step) - np.roll(crest, step)) / np.float32(step)
    slope[:step], slope[-step:] = slope[step], slope[-step - 1]  # not around the picture's edge
    return slope * np.float32(-1 if scene.sun[0] < scene.width / 2 else 1)


def paint_trees(scene: Scene) -> None:
    """Dark conifers along the lower edge, taller towards the sides so that they frame the picture."""
    double = (scene.width * 2, scene.height * 2)  # drawn at twice the size: Pillow's polygons have hard edges
    mask = Image.new("L", double)
    draw = ImageDraw.Draw(mask)
    ground = ridge_line(scene.rng, double[0], bumps=2, octaves=3, smooth=True)
    floor = double[1] * (0.95 - 0.02 * ground)
    for x in np.arange(0, double[0], double[1] * 0.011).tolist():
        away = abs(x / double[0] - 0.5) * 2
        tall = scene.terrain.trees * (0.16 + 0.84 * away**2.2) * scene.rng.uniform(0.55, 1.0)
        place = x + scene.rng.uniform(-0.5, 0.5) * double[1] * 0.012
        _draw_conifer(draw, (place, floor[int(x)] + double[1] * 0.01), tall * double[1])
    ground_line = zip(range(0, double[0], 8), floor[::8].tolist(), strict=True)
    draw.polygon([(0, double[1]), *ground_line, (double[0], float(floor[-1])), double], fill=255)
    top = int(scene.height * (0.9 - scene.terrain.trees))  # no tree is taller
    alpha = np.asarray(mask.crop((0, 2 * top, *double)).reduce(2), np.float32) * np.float32(1 / 255)
    blend(scene.canvas[:, top:], mix(scene.light.land, (4, 8, 12), 0.55), alpha)


def _draw_conifer(draw: ImageDraw.ImageDraw, foot: tuple[float, float], tall: float) -> None:
    """Tiers of branches, each wider than the one above."""
    x, y = foot
    tiers = 6
    left, right = [], []
    for tier in range(1, tiers + 1):
        wide = tall * 0.2 * (tier / tiers) ** 0.85
        level = y - tall * (1 - tier / tiers)
        left += [(x - wide, level), (x - wide * 0.45, level - tall * 0.02)]
        right += [(x + wide, level), (x + wide * 0.45, level - tall * 0.02)]
    draw.polygon([(x, y - tall * 1.05), *right, *reversed(left)], fill=255)
