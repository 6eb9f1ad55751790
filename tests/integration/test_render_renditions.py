"""Renditions as a real worker makes them: in sRGB, exactly as large as they may be, and bare of metadata."""

import contextlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pillow_heif
import pytest
from integration.render_making import exif_with, jpeg_markers, opened, png_of, quadrants
from PIL import Image

from ghostroll.model import Kind, PhotoInfo
from ghostroll.render.decode import render
from ghostroll.render.lane import Lane, RenderLimits
from ghostroll.render.profiles import ADOBE_GAMMA, ADOBE_PRIMARIES, P3_PRIMARIES, matrix_profile, srgb_curve

BARE = {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9}  # JFIF, tables, one baseline scan: nothing else


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    """A lane for all of these pictures."""
    with contextlib.closing(Lane(RenderLimits())) as lane:
        yield lane


@pytest.mark.parametrize("profile", ["embedded", "by EXIF"])
def test_adobe_rgb_becomes_srgb(tmp_path: Path, profile: str) -> None:
    """A colour in Adobe RGB looks the same, whether a profile says so or only the camera's EXIF."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    path = tmp_path / "IMG_0001.JPG"
    picture = Image.new("RGB", (64, 64), (120, 180, 60))
    if profile == "embedded":
        picture.save(
            path, quality=100, subsampling=0, icc_profile=matrix_profile(ADOBE_PRIMARIES, ADOBE_GAMMA)
        )
    else:
        picture.save(path, quality=100, subsampling=0, exif=exif)
    assert central_pixel(path) == pytest.approx(
        (80.5, 181.5, 42.2), abs=4
    )  # by the formula of Adobe RGB (1998)


def test_display_p3_becomes_srgb(tmp_path: Path) -> None:
    """A phone's colours keep their look."""
    path = tmp_path / "IMG_0001.JPG"
    profile = matrix_profile(P3_PRIMARIES, srgb_curve())
    Image.new("RGB", (64, 64), (180, 120, 60)).save(path, quality=100, subsampling=0, icc_profile=profile)
    assert central_pixel(path) == pytest.approx(
        (190.3, 116.6, 44.7), abs=4
    )  # by the formula of SMPTE EG 432-1


def central_pixel(path: Path) -> tuple[int, ...]:
    lane = Lane(RenderLimits(share_quality=95))
    try:
        return opened(lane.render(bytes(path), Kind.JPEG).share).getpixel((32, 32))  # type: ignore[return-value]  # of RGB: a tuple
    finally:
        lane.close()


@pytest.mark.parametrize(
    ("made", "name", "expected"),
    [
        (("L", 100), "a.png", (100, 100, 100)),
        (("L", 100), "a.jpg", (100, 100, 100)),
        (("1", 1), "a.tif", (255, 255, 255)),
        (("I;16", 100 * 257), "a.png", (100, 100, 100)),
        (("I;16", 100 * 257), "a.tif", (100, 100, 100)),
        (("LA", (0, 0)), "a.png", (255, 255, 255)),
        (("RGBA", (255, 0, 0, 0)), "a.png", (255, 255, 255)),
        (("RGBA", (200, 100, 0, 255)), "a.png", (200, 100, 0)),
        (("RGBA", (0, 0, 0, 128)), "a.webp", (127, 127, 127)),
        (("CMYK", (0, 0, 0, 0)), "a.jpg", (255, 255, 255)),
        (("CMYK", (0, 0, 0, 255)), "a.tif", (0, 0, 0)),
        (("YCbCr", (128, 128, 128)), "a.tif", (128, 128, 128)),
        (("P", 0), "a.png", (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("size", [(40, 30), (3000, 60)], ids=["as it is", "scaled down"])
def test_every_mode_becomes_plain_rgb(
    tmp_path: Path,
    size: tuple[int, int],
    made: tuple[str, int | tuple[int, ...]],
    name: str,
    expected: tuple[int, ...],
) -> None:
    """Grey, 16 bits, palettes, CMYK, and what is transparent on white."""
    mode, colour = made
    path = tmp_path / name
    picture = Image.new(mode, size, colour)
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(path, compression="tiff_lzw") if name == "a.tif" else picture.save(path)
    rendered = render(bytes(path), Kind.IMAGE, RenderLimits())
    assert opened(rendered.share).mode == "RGB"
    assert opened(rendered.share).getpixel((15, 15)) == pytest.approx(expected, abs=3)


def test_sixteen_bits_of_colour_become_eight(lane: Lane, tmp_path: Path) -> None:
    """A 16-bit RGB PNG keeps its tones."""
    row = b"\0" + struct.pack(">3H", 200 * 257, 100 * 257, 50 * 257) * 32
    path = tmp_path / "a.png"
    path.write_bytes(png_of(32, 32, bits=16, data=row * 32))
    assert opened(lane.render(bytes(path), Kind.IMAGE).share).getpixel((16, 16)) == pytest.approx(
        (200, 100, 50), abs=3
    )


def test_nothing_is_enlarged(lane: Lane, tmp_path: Path) -> None:
    """A picture smaller than a rendition keeps its size, down to a single pixel."""
    for size in ((1, 1), (100, 40), (511, 512), (2048, 3)):
        path = tmp_path / "a.png"
        Image.new("RGB", size, "teal").save(path)
        rendered = lane.render(bytes(path), Kind.IMAGE)
        assert rendered.share_size == size
        assert rendered.thumb_size == (size if max(size) <= 512 else (512, 1))


@pytest.mark.parametrize("size", [(4096, 2731), (4095, 2731), (8193, 4097), (16385, 20), (2049, 2049)])
def test_the_longer_side_is_exact(lane: Lane, tmp_path: Path, size: tuple[int, int]) -> None:
    """The share's longer side is 2048 pixels and the thumb's 512, whatever scale the decoder offers."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", size, "teal").save(path)
    rendered = lane.render(bytes(path), Kind.JPEG)
    assert max(rendered.share_size) == 2048
    assert max(rendered.thumb_size) == 512
    assert rendered.share_size[1] == max(1, round(size[1] * 2048 / size[0]))


def test_a_share_is_as_sharp_as_it_can_be(lane: Lane, tmp_path: Path) -> None:
    """The decoder's scale is never smaller than the share: lines one pixel wide are still there."""
    stripes = Image.new("L", (4096, 8))
    stripes.putdata([255 * (x // 2 % 2) for _ in range(8) for x in range(4096)])
    path = tmp_path / "a.jpg"
    stripes.resize((4096, 512), Image.Resampling.NEAREST).save(path, quality=95)
    share = opened(lane.render(bytes(path), Kind.JPEG).share).convert("L")
    line = [share.getpixel((x, 100)) for x in range(1000, 1020)]
    assert max(line) > 200  # type: ignore[type-var,operator]  # of one band: numbers
    assert min(line) < 55  # type: ignore[type-var,operator]  # of one band: numbers


@pytest.mark.parametrize("profile", [None, matrix_profile(ADOBE_PRIMARIES, ADOBE_GAMMA)])
@pytest.mark.parametrize("size", [(640, 480), (3000, 2000)])
def test_a_rendition_holds_no_metadata(
    lane: Lane, tmp_path: Path, size: tuple[int, int], profile: bytes | None
) -> None:
    """No EXIF, place, serial number, comment, XMP or profile gets into a rendition."""
    exif = exif_with(1)
    exif[0x010F], exif[0x0110], exif[0x8298] = "Ghost", "Roll One", "SECRET owner"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (51.0, 30.0, 12.0)
    exif.get_ifd(0x8769)[0xA431] = "SECRET serial"
    path = tmp_path / "a.jpg"
    quadrants(size).save(
        path, exif=exif, comment=b"SECRET comment", xmp=b"<x>SECRET</x>", icc_profile=profile, dpi=(300, 300)
    )
    rendered = lane.render(bytes(path), Kind.JPEG)
    for data in (rendered.share, rendered.thumb):
        assert set(jpeg_markers(data)) == BARE
        assert jpeg_markers(data).count(0xE0) == 1
        assert b"SECRET" not in data
        assert len(opened(data).getexif()) == 0
    assert rendered.info == PhotoInfo(camera="Ghost Roll One")


def test_the_hardest_picture_to_compress_is_compressed(lane: Lane, tmp_path: Path) -> None:
    """Pure noise, larger coded than any photo, fits the encoder and the channel."""
    chance = random.Random(3)
    path = tmp_path / "a.png"
    Image.frombytes("RGB", (2048, 2048), chance.randbytes(2048 * 2048 * 3)).save(path, compress_level=0)
    assert lane.render(bytes(path), Kind.IMAGE).share_size == (2048, 2048)


def test_heic_in_display_p3_by_code_points_becomes_srgb(lane: Lane, tmp_path: Path) -> None:
    """A profile that is only named by numbers is heeded."""
    path = tmp_path / "a.heic"
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64), (180, 120, 60)))
    heif.info["nclx_profile"] = {
        "color_primaries": 12,
        "transfer_characteristics": 13,
        "matrix_coefficients": 6,
        "full_range_flag": 1,
    }
    heif.save(
        path, quality=-1, chroma=444, save_nclx_profile=True, color_primaries=12, transfer_characteristics=13
    )
    seen = opened(lane.render(bytes(path), Kind.HEIF).share).getpixel((32, 32))
    assert seen == pytest.approx((190.3, 116.6, 44.7), abs=6)
