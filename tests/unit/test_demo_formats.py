"""The demo's file formats: EXIF, ICC, DNG tags, sidecars."""

import io
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from ghostroll.demo import sidecars, tiff
from ghostroll.demo.colour import adobe_rgb_profile, display_p3_profile, to_profile
from ghostroll.demo.exif import Camera, Exposure, Frame, exif_block

TAKEN = datetime(2025, 9, 20, 18, 30, 4, tzinfo=timezone(timedelta(hours=2)))


def read_exif(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


def test_a_directory_is_sorted_and_its_values_stand_at_even_places() -> None:
    """Fields come in order of their tags, whatever order they were given in, and long values are word-aligned."""
    data = tiff.write_tiff({315: tiff.text("four"), 270: tiff.text("odd len."), 271: tiff.text("x")})
    tags = [int.from_bytes(data[10 + 12 * index : 12 + 12 * index], "little") for index in range(3)]
    places = [int.from_bytes(data[18 + 12 * index : 22 + 12 * index], "little") for index in (0, 2)]
    assert tags == [270, 271, 315]
    assert [data[place : place + 4] for place in places] == [b"odd ", b"four"]
    assert all(place % 2 == 0 for place in places)


def test_exif_says_who_took_what_where_and_how() -> None:
    """Pillow reads back camera, lens, exposure, time with offset, owner, serial numbers and the place."""
    camera = Camera(
        make="Maker", model="Model 1", lens="50mm", serial="S-1", lens_serial="L-2", owner="Ö Who"
    )
    frame = Frame((600, 400), TAKEN, camera, Exposure(Fraction(1, 60), 2.8, 400, 50), orientation=6)
    exif = read_exif(exif_block(frame))
    details, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert (exif[271], exif[272], exif[274], exif[315]) == ("Maker", "Model 1", 6, "? Who")
    assert (details[42033], details[42037], details[42036]) == ("S-1", "L-2", "50mm")
    assert (details[33434], details[33437], details[34855], details[37386]) == (Fraction(1, 60), 2.8, 400, 50)
    assert (details[36867], details[36881]) == ("2025:09:20 18:30:04", "+02:00")
    assert (place[7], place[29]) == ((16, 30, 4), "2025:09:20")
    degrees = [float(part) for part in place[2]]
    assert degrees[0] + degrees[1] / 60 + degrees[2] / 3600 == pytest.approx(camera.place[0], abs=1e-6)


def test_a_time_without_an_offset_writes_none() -> None:
    """A camera that doesn't know its time zone leaves the offset tags out."""
    frame = Frame((6, 4), TAKEN.replace(tzinfo=None), Camera(), Exposure())
    assert 36881 not in read_exif(exif_block(frame)).get_ifd(ExifTags.IFD.Exif)


def test_south_west_and_below_the_sea() -> None:
    """Negative coordinates become positive numbers with their reference letters."""
    frame = Frame((6, 4), TAKEN, Camera(place=(-1.5, -2.25, -3.0)), Exposure())
    place = read_exif(exif_block(frame)).get_ifd(ExifTags.IFD.GPSInfo)
    assert (place[1], place[2], place[3], place[4]) == ("S", (1, 30, 0), "W", (2, 15, 0))
    assert (place[5], place[6]) == (b"\1", 3)


@pytest.mark.parametrize("adobe_rgb", [True, False])
def test_adobe_rgb_is_told_by_exif_alone(adobe_rgb: bool) -> None:
    """ColorSpace is 'uncalibrated' and the interoperability index R03 for Adobe RGB, else 1 and R98."""
    exif = read_exif(exif_block(Frame((6, 4), TAKEN, Camera(), Exposure(), adobe_rgb=adobe_rgb)))
    space = exif.get_ifd(ExifTags.IFD.Exif)[40961]
    index = exif.get_ifd(ExifTags.IFD.Interop)[1]
    assert (space, index) == ((0xFFFF, "R03") if adobe_rgb else (1, "R98"))


@pytest.mark.parametrize(
    ("profile", "green"),
    [
        # sRGB's pure green in each space, 8 bits, from the spaces' published matrices and curves
        (display_p3_profile(), (117, 251, 76)),
        (adobe_rgb_profile(), (144, 255, 60)),
    ],
    ids=["p3", "adobe"],
)
def test_a_profile_places_colours_where_its_space_does(profile: bytes, green: tuple[int, int, int]) -> None:
    """White stays white, and sRGB's green is the less saturated number that the wider space gives it."""
    image = Image.new("RGB", (2, 1), (255, 255, 255))
    image.putpixel((1, 0), (0, 255, 0))
    converted = np.asarray(to_profile(image, profile)).astype(int)
    assert np.abs(converted[0, 0] - 255).max() <= 1
    assert np.abs(converted[0, 1] - green).max() <= 2


@pytest.mark.parametrize("profile", [display_p3_profile(), adobe_rgb_profile()], ids=["p3", "adobe"])
def test_colours_come_back_from_a_profile(profile: bytes) -> None:
    """Converting to the profile and back to sRGB changes nothing but what rounding does to deep colours."""
    ramp = np.random.default_rng(1).integers(20, 236, (16, 16, 3), np.uint8)
    there = to_profile(Image.fromarray(ramp), profile)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    back = ImageCms.profileToProfile(there, opened, ImageCms.createProfile("sRGB"))
    assert back is not None
    errors = np.abs(np.asarray(back).astype(int) - ramp)
    assert errors.mean() < 0.5
    assert errors.max() <= 8


def test_sidecars_are_well_formed() -> None:
    """The XML files parse and carry the rating, the time and the serial number; the print order names its picture."""
    xmp = ET.fromstring(sidecars.make_xmp(taken=TAKEN, rating=4).decode())  # noqa: S314  # our own bytes
    notes = ET.fromstring(sidecars.make_clip_notes(taken=TAKEN, camera=Camera(serial="S-9")))  # noqa: S314
    ET.fromstring(sidecars.make_media_profile())  # noqa: S314
    ratings = [value for node in xmp.iter() for name, value in node.attrib.items() if name.endswith("Rating")]
    serials = [node.get("serialNo") for node in notes.iter() if node.get("serialNo")]
    order = sidecars.make_print_order(taken=TAKEN.astimezone(UTC), picture="../DCIM/A.JPG")
    assert (ratings, serials) == (["4"], ["S-9"])
    assert order.endswith(b'<IMG SRC = "../DCIM/A.JPG">\r\n')
