"""Captions from metadata, honest and hostile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ghostroll.render.metadata import (
    APERTURE,
    DIGITISED,
    FOCAL_LENGTH,
    LENS,
    LENS_RANGE,
    MAKE,
    MODEL,
    OFFSET_TAKEN,
    SENSITIVITY,
    SHUTTER,
    TAKEN,
    describe,
    describe_camera,
    describe_exposure,
    describe_moment,
    is_adobe_rgb,
    tags_of_tiff,
)
from ghostroll.render.wire import TEXT_LARGEST, clean


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 40D", "Canon EOS 40D"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("SONY", "ILCE-7M3", "SONY ILCE-7M3"),
        ("OLYMPUS IMAGING CORP.  ", "E-M5MarkII", "OLYMPUS E-M5MarkII"),
        ("EASTMAN KODAK COMPANY", "KODAK CX7530 ZOOM", "KODAK CX7530 ZOOM"),
        ("Minolta Co., Ltd.", "Dimage 7", "Minolta Dimage 7"),
        ("samsung", "Galaxy S24 Ultra", "samsung Galaxy S24 Ultra"),
        ("Jolla", "Jolla", "Jolla"),
        ("FUJIFILM", "", "FUJIFILM"),
        ("", "X100V", "X100V"),
        ("", "", None),
        ("\x1b[31m", "\x07", "[31m"),
    ],
)
def test_a_camera_is_named_without_saying_its_make_twice(make: str, model: str, camera: str | None) -> None:
    """Make and model become one name, without the company's legal form."""
    assert describe_camera(make, model) == camera


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1 / 250, 2.8, 400, 50), "1/250 s, f/2.8, ISO 400, 50 mm"),
        ((30, 8, 100, 24.0), "30 s, f/8, ISO 100, 24 mm"),
        ((0.5, 1.8, None, None), "0.5 s, f/1.8"),
        ((1 / 8000, 1.2, 102400, 85.3), "1/8000 s, f/1.2, ISO 102400, 85.3 mm"),
        ((None, None, None, None), None),
        ((0, 0, 0, 0), None),
        ((1e300, 1e300, 1e300, 1e300), None),
    ],
)
def test_an_exposure_reads_as_photographers_write_it(
    values: tuple[float | None, float | None, float | None, float | None], words: str | None
) -> None:
    """What is unknown or absurd is left out; nothing left is None."""
    assert describe_exposure(*values) == words


@pytest.mark.parametrize(
    ("moment", "offset", "taken"),
    [
        ("2026:11:22 14:30:15", "", "2026-11-22T14:30:15"),
        ("2026:11:22 14:30:15.25", "+02:00", "2026-11-22T14:30:15+02:00"),
        ("2026:11:22 14:30:15", "+99:00", "2026-11-22T14:30:15"),
        ("2026:11:22 14:30:15", "  :  ", "2026-11-22T14:30:15"),
        ("0000:00:00 00:00:00", "", None),
        ("2026:02:30 14:30:15", "", None),
        ("    :  :     :  :  ", "", None),
        ("٢٠٢٦:11:22 14:30:15", "", None),
        ("", "+02:00", None),
    ],
)
def test_a_moment_is_local_time_with_the_cameras_offset(moment: str, offset: str, taken: str | None) -> None:
    """A time that no calendar has is no time, and an offset that no zone has is left out."""
    assert describe_moment(moment, offset) == taken


def test_all_of_a_caption_comes_from_the_tags() -> None:
    """Time, camera, lens and exposure are read from the tags of the standard."""
    info = describe(
        {
            MAKE: "Canon\0\0",
            MODEL: b"Canon EOS R5\0",
            TAKEN: "2026:11:22 14:30:15",
            OFFSET_TAKEN: "-05:00",
            SHUTTER: 0.004,
            APERTURE: (2.8,),
            SENSITIVITY: [400],
            FOCAL_LENGTH: 50,
            LENS: "RF24-70mm F2.8 L IS USM",
        }
    )
    assert info.taken == "2026-11-22T14:30:15-05:00"
    assert info.camera == "Canon EOS R5"
    assert info.lens == "RF24-70mm F2.8 L IS USM"
    assert info.exposure == "1/250 s, f/2.8, ISO 400, 50 mm"


def test_what_is_missing_is_taken_from_the_next_best_tag() -> None:
    """A lens without a name is its range, and the time of digitising stands in for that of taking."""
    info = describe({LENS: "----", LENS_RANGE: (24, 70, 2.8, 4), DIGITISED: "2026:11:22 14:30:15"})
    assert info.lens == "24-70 mm f/2.8"
    assert info.taken == "2026-11-22T14:30:15"


anything = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner),
)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.dictionaries(
        st.sampled_from([MAKE, MODEL, TAKEN, OFFSET_TAKEN, SHUTTER, APERTURE, SENSITIVITY, LENS, LENS_RANGE]),
        anything,
    )
)
def test_no_tag_value_breaks_a_caption(tags: dict[int, object]) -> None:
    """Whatever a tag holds, the caption is clean text of bounded length, or nothing."""
    info = describe(tags)
    for text in (info.taken, info.camera, info.lens, info.exposure):
        assert text is None or text == clean(text, TEXT_LARGEST) != ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks; a worker runs with -W ignore
@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=200))
def test_no_block_of_bytes_breaks_the_reader(block: bytes) -> None:
    """A broken Exif block costs the caption and nothing else."""
    assert isinstance(tags_of_tiff(b"Exif\0\0II*\0\x08\0\0\0" + block), dict)
    assert isinstance(tags_of_tiff(block), dict)


@pytest.mark.parametrize(
    ("space", "index", "name", "expected"),
    [
        (0xFFFF, "R03", b"IMG_0001.JPG", True),
        (0xFFFF, "R98", b"_MG_0001.JPG", False),
        (0xFFFF, None, b"_DSC0001.JPG", True),
        (0xFFFF, None, b"IMG_0001.JPG", False),
        (2, "R03", b"IMG_0001.JPG", True),
        (1, "R03", b"_MG_0001.JPG", False),
        (None, None, b"_MG_0001.JPG", False),
    ],
)
def test_adobe_rgb_is_known_by_the_rules_of_dcf(
    space: int | None, index: str | None, name: bytes, expected: bool
) -> None:
    """Not the name alone and not "uncalibrated" alone: Adobe RGB needs two signs that agree."""
    exif = Image.Exif()
    if index is not None:
        exif.get_ifd(0xA005)[1] = index
    assert is_adobe_rgb(exif, {0xA001: space}, name) is expected
