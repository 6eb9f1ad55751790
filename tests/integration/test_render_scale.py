"""At which scale a JPEG is decoded, and what that costs in quality."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from ghostroll.demo.photos import make_textured_jpeg
from ghostroll.render.raster import draft
from ghostroll.render.scale import fit, shrink

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def make_blank(size: tuple[int, int]) -> io.BytesIO:
    """A JPEG of this size, quickly."""
    file = io.BytesIO()
    Image.new("L", size).save(file, "JPEG")
    return file


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((6000, 4000), (2250, 1500)),  # 24 megapixels: 3/8
        ((4000, 6000), (1500, 2250)),
        ((5472, 3648), (2736, 1824)),  # 20: 3/8 would leave 2052, too few
        ((8256, 5504), (3096, 2064)),  # 45: 1/4 would
        ((9504, 6336), (2376, 1584)),  # 60: 1/4
        ((4592, 3448), (2296, 1724)),  # 16: 1/2
        ((4032, 3024), (4032, 3024)),  # 12: as it is
        ((2048, 1365), (2048, 1365)),
        ((6001, 33), (2251, 13)),  # a strip, in which every line counts
    ],
)
def test_scale_leaves_some_pixels_to_spare(size: tuple[int, int], decoded: tuple[int, int]) -> None:
    """A JPEG is decoded at the smallest scale that leaves a tenth more pixels than the picture will have."""
    with Image.open(make_blank(size)) as image:
        draft(image, fit(size, 2048))
        image.load()
        assert image.size == decoded


def test_other_libraries_than_libjpeg_turbo_decode_at_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow was built with a libjpeg that may know no 3/8, its own scales are used."""
    monkeypatch.setattr(features, "check", lambda feature: feature != "libjpeg_turbo")
    with Image.open(make_blank((6000, 400))) as image:
        draft(image, fit(image.size, 2048))
        assert isinstance(image, ImageFile.ImageFile)
        image.load()
        assert image.size == (3000, 200)


def decibels(one: Image.Image, other: Image.Image) -> float:
    """Peak signal to noise (PSNR) of two pictures of one size."""
    first, second = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (one, other))
    error: Array = (first - second) ** 2
    return float(10 * math.log10(255**2 / error.mean()))


def test_three_eighths_are_as_good_as_half() -> None:
    """Decoded at 3/8 and scaled by Lanczos, a share picture is as near to the ideal as from 1/2 by bicubic, as JPEG."""
    data = make_textured_jpeg(3, 6.0, 2_000_000)
    with Image.open(io.BytesIO(data)) as image:
        target = fit(image.size, round(max(image.size) * 2048 / 6000))
        ideal = image.convert("RGB").resize(target, Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, target)
        half = image.resize(target, Image.Resampling.BICUBIC)
    with Image.open(io.BytesIO(data)) as image:
        draft(image, target)
        image.load()
        assert image.width == 3000 * 3 // 8
        ours = shrink(image, target)
    assert decibels(_as_jpeg(ours), ideal) > decibels(_as_jpeg(half), ideal) - 0.1


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
@pytest.mark.parametrize(
    ("size", "edge"),
    [
        ((720, 480), 655),
        ((481, 719), 300),
        ((900, 3), 500),
        ((5, 4), 3),
        ((1, 1000), 100),
        ((16, 9), 1),
        ((2_500_000, 1), 512),  # longer than FFmpeg takes
    ],
)
def test_every_way_to_scale_gives_the_same_picture(mode: str, size: tuple[int, int], edge: int) -> None:
    """Whatever scales a picture, it has the wanted size, and nowhere more than a step beside what Pillow makes of it."""
    slope = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    bands = [slope.point(lambda value, n=n: 255 - value if n % 2 else value) for n in range(len(mode))]
    picture = slope if mode == "L" else Image.merge(mode, bands)
    target = fit(size, edge)
    pillows = picture.resize(target, Image.Resampling.LANCZOS)
    ours = shrink(picture, target)
    assert (ours.size, ours.mode) == (target, mode)
    apart = np.abs(np.asarray(ours, dtype=np.int16) - np.asarray(pillows, dtype=np.int16))
    inside = apart[6:-6, 6:-6] if min(target) > 12 else apart[:0]  # at the border the two differ, and may
    assert inside.max(initial=0) <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_plain_surface_stays_as_it_is(mode: str, value: int) -> None:
    """Neither black nor white nor what is between gains or loses a step by scaling."""
    plain = Image.new(mode, (300, 200), value if mode == "L" else (value,) * len(mode))
    extrema = shrink(plain, (205, 137)).getextrema()
    assert np.unique(np.asarray(extrema)).tolist() == [value]


def test_of_a_picture_that_becomes_a_line_all_lines_count() -> None:
    """Where one side ends at a single pixel, that pixel still is the mean of what was there."""
    striped = Image.merge("RGB", [Image.linear_gradient("L").resize((2048, 2), Image.Resampling.NEAREST)] * 3)
    low, high = np.asarray(striped)[:, 0, 0]
    (value,) = np.unique(np.asarray(shrink(striped, (600, 1))))
    assert abs(int(value) - (int(low) + int(high)) / 2) <= 1


def _as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return Image.open(file)
