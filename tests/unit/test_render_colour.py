"""Profiles made from primaries, against formulas that know nothing of ICC."""

import random
import struct

import pytest
from PIL import Image

from ghostroll.render.cicp import cicp_profile, hlg_to_nits, pq_to_nits
from ghostroll.render.colour import adobe_rgb, to_srgb
from ghostroll.render.profiles import P3_PRIMARIES, SRGB_PRIMARIES, matrix_profile, srgb_curve

# Matrices for D65 from Bruce Lindbloom's tables and, for Display P3, from SMPTE EG 432-1
ADOBE_TO_XYZ = (
    (0.5767309, 0.1855540, 0.1881852),
    (0.2973769, 0.6273491, 0.0752741),
    (0.0270343, 0.0706872, 0.9911085),
)
P3_TO_XYZ = (
    (0.4865709, 0.2656677, 0.1982173),
    (0.2289746, 0.6917385, 0.0792869),
    (0.0, 0.0451134, 1.0439444),
)
XYZ_TO_SRGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
TOLERANCE = 2  # of 255


def srgb_from(
    values: tuple[int, ...], to_xyz: tuple[tuple[float, ...], ...], *, gamma: float | None
) -> list[float]:
    """The sRGB values of a colour, by the definitions."""
    if gamma:
        linear = [(value / 255) ** gamma for value in values]
    else:
        linear = [
            value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4
            for value in values
        ]
    xyz = [sum(a * b for a, b in zip(row, linear, strict=True)) for row in to_xyz]
    out = []
    for row in XYZ_TO_SRGB:
        light = min(1.0, max(0.0, sum(a * b for a, b in zip(row, xyz, strict=True))))
        out.append(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))
    return out


def colours() -> list[tuple[int, ...]]:
    chance = random.Random(5)
    corners = [(r, g, b) for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 128, 255)]
    return corners + [tuple(chance.randrange(256) for _ in range(3)) for _ in range(200)]


def converted(profile: bytes, values: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    image = Image.new("RGB", (len(values), 1))
    image.putdata(values)
    out = to_srgb(image, profile)
    return [out.getpixel((x, 0)) for x in range(len(values))]  # type: ignore[misc]  # of RGB: a tuple


@pytest.mark.parametrize(
    ("profile", "to_xyz", "gamma"),
    [
        (adobe_rgb(), ADOBE_TO_XYZ, 563 / 256),
        (matrix_profile(P3_PRIMARIES, srgb_curve()), P3_TO_XYZ, None),
        (cicp_profile(12, 13), P3_TO_XYZ, None),
    ],
    ids=["Adobe RGB", "Display P3", "Display P3 by its code points"],
)
def test_colours_come_out_as_the_formula_says(
    profile: bytes, to_xyz: tuple[tuple[float, ...], ...], gamma: float | None
) -> None:
    """Every colour, also one outside sRGB, is within two steps of its definition."""
    for before, after in zip(colours(), converted(profile, colours()), strict=True):
        expected = srgb_from(before, to_xyz, gamma=gamma)
        assert after == pytest.approx(expected, abs=TOLERANCE), before


def test_srgb_in_many_words_is_left_alone() -> None:
    """A profile that changes nothing costs nothing: the very same image comes back."""
    image = Image.new("RGB", (2, 2), "teal")
    assert to_srgb(image, matrix_profile(SRGB_PRIMARIES, srgb_curve())) is image
    assert cicp_profile(1, 13) is None


@pytest.mark.parametrize(
    "profile", [b"", b"x", b"\0" * 200, adobe_rgb()[:150], adobe_rgb() + b"x" * 9_000_000]
)
def test_a_broken_profile_is_taken_for_srgb(profile: bytes) -> None:
    """A profile that can't be read changes nothing."""
    image = Image.new("RGB", (2, 2), (10, 200, 30))
    assert to_srgb(image, profile).getpixel((0, 0)) == (10, 200, 30)


def test_a_profile_for_another_kind_of_picture_is_taken_for_srgb() -> None:
    """An RGB profile in a CMYK or grey picture is ignored."""
    assert to_srgb(Image.new("L", (1, 1), 77), adobe_rgb()).getpixel((0, 0)) == (77, 77, 77)
    assert to_srgb(Image.new("CMYK", (1, 1), (0, 0, 0, 0)), adobe_rgb()).getpixel((0, 0)) == (255, 255, 255)


def test_grey_with_a_profile_becomes_srgb() -> None:
    """Linear grey comes out with the curve of sRGB."""
    curve = struct.pack(">4s4xI", b"curv", 0)  # no entries: linear
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    table = struct.pack(">I4sII4sII", 2, b"kTRC", 156, 12, b"wtpt", 168, 20)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x", 188, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp", 63190, 65536, 54061
    )
    grey = to_srgb(Image.new("L", (1, 1), 128), header + table + curve + white)
    assert grey.getpixel((0, 0)) == pytest.approx((188, 188, 188), abs=TOLERANCE)


def test_hdr_curves_meet_their_standards_and_rise() -> None:
    """PQ and HLG give the standards' light, and their pictures get brighter from black to white."""
    assert pq_to_nits(1.0) == pytest.approx(10000)
    assert pq_to_nits(0.5081) == pytest.approx(100, rel=0.01)
    assert hlg_to_nits(1.0) == pytest.approx(1000, rel=0.001)
    assert hlg_to_nits(0.75) == pytest.approx(203, rel=0.02)
    for transfer in (16, 18):
        profile = cicp_profile(9, transfer)
        assert profile is not None
        greys = converted(profile, [(value, value, value) for value in range(0, 256, 15)])
        assert greys == sorted(greys)
        assert len(set(greys)) >= len(greys) - 1
        assert greys[0] == (0, 0, 0)
        assert min(greys[-1]) > 240
