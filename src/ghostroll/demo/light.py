"""The colours of an hour of the day: sky, sun, clouds and land."""

import math
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue, 0 to 255, as on a screen (sRGB)


@dataclass(frozen=True, slots=True)
class Light:
    """What an hour looks like. `stars` runs from 0 to 1.

    `height` is the sun's (at night the moon's) place between the horizon, 0, and the upper edge, 1.
    """

    zenith: Colour
    upper: Colour
    horizon: Colour
    glow: Colour
    cloud: Colour
    land: Colour
    stars: float
    height: float


# hour: zenith, upper sky, horizon, glow, cloud, land, stars
_NIGHT = ((8, 12, 36), (20, 32, 74), (62, 84, 132), (200, 212, 255), (66, 80, 122), (7, 12, 24), (255,))
_HOURS: dict[float, tuple[tuple[float, ...], ...]] = {
    0: _NIGHT,
    4.5: _NIGHT,
    6: (
        (54, 70, 128),
        (170, 122, 156),
        (255, 192, 146),
        (255, 206, 150),
        (246, 158, 148),
        (36, 36, 58),
        (20,),
    ),
    7.5: (
        (84, 134, 192),
        (160, 192, 216),
        (252, 226, 192),
        (255, 240, 205),
        (255, 238, 226),
        (32, 58, 60),
        (0,),
    ),
    12: (
        (36, 104, 188),
        (102, 166, 222),
        (206, 230, 242),
        (255, 252, 236),
        (255, 255, 255),
        (28, 76, 50),
        (0,),
    ),
    16.5: (
        (52, 112, 178),
        (134, 178, 208),
        (240, 228, 198),
        (255, 236, 192),
        (255, 246, 228),
        (54, 80, 44),
        (0,),
    ),
    18.5: (
        (70, 98, 154),
        (214, 162, 134),
        (255, 208, 124),
        (255, 194, 96),
        (255, 184, 126),
        (58, 46, 40),
        (0,),
    ),
    19.7: ((44, 40, 98), (172, 68, 106), (255, 130, 72), (255, 152, 74), (242, 100, 94), (32, 21, 38), (0,)),
    20.8: (
        (18, 24, 66),
        (66, 60, 124),
        (208, 124, 134),
        (255, 158, 130),
        (112, 82, 134),
        (15, 17, 34),
        (90,),
    ),
    22: _NIGHT,
    24: _NIGHT,
}
_SUNRISE, _SUNSET = 5.6, 20.1


def light_at(hour: float) -> Light:
    """The light of an hour (0 to 24), blended between the hours that are written down above."""
    keys = list(_HOURS)

    def blend(part: int, channel: int) -> float:
        return float(np.interp(hour, keys, [_HOURS[key][part][channel] for key in keys]))

    zenith, upper, horizon, glow, cloud, land = (
        (blend(part, 0), blend(part, 1), blend(part, 2)) for part in range(6)
    )
    return Light(zenith, upper, horizon, glow, cloud, land, stars=blend(6, 0) / 255, height=_height(hour))


def _height(hour: float) -> float:
    """The sun rises and sets along a sine; the moon stands low in the dusk and high at night."""
    if _SUNRISE <= hour <= _SUNSET:
        return 0.9 * math.sin(math.pi * (hour - _SUNRISE) / (_SUNSET - _SUNRISE))
    return 0.62 if hour < _SUNRISE or hour > 21.5 else 0.12


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """`part` 0 is all of the first colour, 1 all of the second."""
    red, green, blue = (a + (b - a) * part for a, b in zip(first, second, strict=True))
    return red, green, blue
