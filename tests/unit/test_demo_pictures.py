"""The demo's drawn pictures: deterministic, upright, in the light of their hour."""

import io
from datetime import datetime
from itertools import combinations

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageChops, ImageOps

from ghostroll.demo.colour import display_p3_profile
from ghostroll.demo.exif import COMMENT
from ghostroll.demo.landscape import TERRAINS, draw_landscape
from ghostroll.demo.light import light_at
from ghostroll.demo.photos import draw_photo, make_photo, make_textured_jpeg

SMALL = (180, 120)
NOON = datetime(2025, 9, 20, 12, 0)  # noqa: DTZ001  # a camera's own time
NIGHT = NOON.replace(hour=23)


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of all channels, 0 to 255."""
    return float(np.asarray(ImageChops.difference(first, second)).mean())


@pytest.mark.parametrize("seed", range(len(TERRAINS)))
def test_a_landscape_depends_on_seed_and_hour_alone(seed: int) -> None:
    """The same seed and hour give the same pixels; another seed of the same terrain gives another picture."""
    first = draw_landscape(seed, SMALL, 18.0)
    assert first.tobytes() == draw_landscape(seed, SMALL, 18.0).tobytes()
    assert difference(first, draw_landscape(seed + len(TERRAINS), SMALL, 18.0)) > 2


@pytest.mark.parametrize("seed", range(len(TERRAINS)))
def test_the_same_scene_at_another_size(seed: int) -> None:
    """A preview shows the scene of the full picture: sizes of one shape differ in detail only."""
    large = draw_landscape(seed, (720, 480), 9.0).resize(SMALL, Image.Resampling.BOX)
    assert difference(large, draw_landscape(seed, SMALL, 9.0)) < 9


def test_night_is_darker_than_noon() -> None:
    """The hour decides the light."""
    noon, night = (np.asarray(draw_landscape(3, SMALL, hour)).mean() for hour in (12.0, 23.0))
    assert night < noon / 2


def test_light_changes_without_jumps() -> None:
    """Within five minutes no colour of the sky changes by more than 12 of 255, around the clock."""
    hours = np.arange(0, 24 + 1e-9, 1 / 12)
    skies = np.array([(light.zenith, light.upper, light.horizon) for light in map(light_at, hours.tolist())])
    assert np.abs(np.diff(skies, axis=0)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_shows_the_picture_upright(orientation: int) -> None:
    """Stored pixels have the sensor's size; applying the EXIF orientation gives the picture as drawn."""
    data = make_photo(seed=1, taken=NOON, size=SMALL, orientation=orientation, quality=95, label="0001")
    stored = Image.open(io.BytesIO(data))
    upright_size = SMALL if orientation < 5 else SMALL[::-1]
    drawn = draw_photo(seed=1, taken=NOON, size=upright_size, label="0001")
    assert (stored.size, stored.getexif()[274]) == (SMALL, orientation)
    shown = ImageOps.exif_transpose(stored)
    assert shown.size == upright_size
    assert difference(shown, drawn) < 2
    if orientation > 1:
        assert stored.size != drawn.size or difference(stored, drawn) > 10


def test_a_photo_carries_comment_and_thumbnail() -> None:
    """There is a comment segment and an EXIF thumbnail, for what must not reach a shared picture."""
    image = Image.open(io.BytesIO(make_photo(seed=1, taken=NOON, size=SMALL)))
    assert image.info["comment"] == COMMENT.encode()
    small = image.getexif().get_ifd(ExifTags.IFD.IFD1)
    block = image.info["exif"][6:]
    thumbnail = Image.open(io.BytesIO(block[small[513] : small[513] + small[514]]))
    assert thumbnail.size == (160, 107)


def test_a_profile_is_embedded_and_used() -> None:
    """With a profile the file carries it, and its numbers are not sRGB's; Adobe RGB embeds nothing."""
    plain, wide, adobe = (
        Image.open(io.BytesIO(data))
        for data in (
            make_photo(seed=5, taken=NOON, size=SMALL),
            make_photo(seed=5, taken=NOON, size=SMALL, icc=display_p3_profile()),
            make_photo(seed=5, taken=NOON, size=SMALL, adobe_rgb=True),
        )
    )
    assert "icc_profile" not in plain.info
    assert wide.info["icc_profile"] == display_p3_profile()
    assert "icc_profile" not in adobe.info
    assert difference(plain, wide) > 2
    assert difference(plain, adobe) > 2


def test_textured_photos_are_near_their_size_and_all_different() -> None:
    """Benchmark pictures have the pixels and about the bytes asked for; seeds differ, one seed repeats."""
    first, *others, again = (make_textured_jpeg(seed, 1.5, 600_000) for seed in (1, 2, 3, 4, 1))
    assert Image.open(io.BytesIO(first)).size == (1500, 1000)
    assert 450_000 < len(first) < 620_000
    assert first == again
    pictures = [Image.open(io.BytesIO(data)) for data in (first, *others)]
    assert all(difference(one, other) > 5 for one, other in combinations(pictures, 2))
