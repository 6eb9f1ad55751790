"""Pictures of every kind through a real worker: upright, in sRGB, small enough, and bare of metadata."""

import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import pillow_heif
import pytest
from integration.render_making import (
    UPRIGHT,
    fields,
    is_upright,
    jpeg_markers,
    opened,
    quadrants,
    stored_quadrants,
    write_dng,
)
from PIL import Image

from ghostroll.errors import PermanentError
from ghostroll.model import Kind, PhotoInfo
from ghostroll.render.decode import render
from ghostroll.render.lane import Lane, RenderLimits
from ghostroll.render.profiles import ADOBE_GAMMA, ADOBE_PRIMARIES, P3_PRIMARIES, matrix_profile, srgb_curve

pillow_heif.register_heif_opener()

BARE = {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9}  # JFIF, tables, one baseline scan: nothing else


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    lane = Lane(RenderLimits())
    yield lane
    lane.close()


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(320, 200), (3000, 1500)], ids=["as it is", "scaled down"])
@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png", "a.webp"])
def test_every_orientation_is_turned_upright(
    lane: Lane, tmp_path: Path, name: str, size: tuple[int, int], orientation: int
) -> None:
    """However the camera was held, both renditions show the scene as it was."""
    path = tmp_path / name
    stored_quadrants(size, orientation).save(path, exif=exif_with(orientation))
    rendered = lane.render(bytes(path), Kind.IMAGE)
    assert rendered.share_size == (size if size[0] < 2048 else (2048, 1024))
    assert opened(rendered.share).size == rendered.share_size
    assert opened(rendered.thumb).size == rendered.thumb_size
    assert is_upright(rendered.share)
    assert is_upright(rendered.thumb)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(
    lane: Lane, tmp_path: Path, orientation: int
) -> None:
    """A camera's nonsense leaves the picture as it is."""
    path = tmp_path / "a.jpg"
    quadrants((320, 200)).save(path, exif=exif_with(orientation))
    assert is_upright(lane.render(bytes(path), Kind.JPEG).share)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once(lane: Lane, tmp_path: Path, orientation: int) -> None:
    """The decoder turns the picture by itself, and the EXIF beside it turns it no second time."""
    path = tmp_path / "a.heic"
    stored_quadrants((320, 256), orientation).save(
        path, "HEIF", exif=exif_with(orientation).tobytes(), quality=95
    )
    assert (b"irot" in path.read_bytes() or b"imir" in path.read_bytes()) is (orientation > 1)
    rendered = lane.render(bytes(path), Kind.HEIF)
    assert rendered.share_size == (320, 256)
    assert is_upright(rendered.share)


@pytest.mark.parametrize(
    ("preview", "orientation"),
    [(preview, orientation) for preview in (None, "as stored") for orientation in range(1, 9)]
    + [("turned already", orientation) for orientation in (1, 5, 6, 7, 8)],  # a half turn can't be seen
)
def test_raw_is_upright(lane: Lane, tmp_path: Path, preview: str | None, orientation: int) -> None:
    """Developed or by its preview, also by one that the camera has turned already."""
    size = (300, 200)
    data = io.BytesIO()
    if preview == "turned already":
        quadrants((900, 600) if orientation < 5 else (600, 900)).save(data, "JPEG")
    elif preview:
        scene = (900, 600) if orientation < 5 else (600, 900)
        stored_quadrants(scene, orientation).save(data, "JPEG")
    path = tmp_path / "a.dng"
    write_dng(path, size, orientation, data.getvalue() or None)
    rendered = lane.render(bytes(path), Kind.RAW)
    assert max(rendered.share_size) == (900 if preview else 150)
    assert (rendered.share_size[0] > rendered.share_size[1]) is (orientation < 5)
    assert is_upright(rendered.share, tolerance=40)
    assert rendered.info.taken == "2026-11-22T14:30:15"
    assert rendered.info.camera == "Ghost Roll One"


def test_a_tiny_preview_is_worth_less_than_a_development(lane: Lane, tmp_path: Path) -> None:
    """A preview below 512 pixels is passed over where the RAW itself can be developed, and only there."""
    data = io.BytesIO()
    Image.new("RGB", (160, 120), "gray").save(data, "JPEG")
    path = tmp_path / "a.dng"
    write_dng(path, (300, 200), 1, data.getvalue())
    assert lane.render(bytes(path), Kind.RAW).share_size == (150, 100)
    whole = path.read_bytes()
    start = whole.index(data.getvalue()) + len(data.getvalue())
    path.write_bytes(whole[:start] + bytes(300 * 200 * 2) + whole[start + 300 * 200 * 2 :])
    assert lane.render(bytes(path), Kind.RAW).share_size == (160, 120)


@pytest.mark.parametrize(
    ("name", "turn"),
    [(name, turn) for name in ("a.mp4", "a.mov") for turn in (0, 90, -90, 180)]
    + [("a.avi", 0), ("a.mts", 0)],  # these have no display matrix
)
def test_a_clip_shows_an_upright_frame(lane: Lane, tmp_path: Path, name: str, turn: int) -> None:
    """The poster is turned by the display matrix, where the container has one."""
    path = tmp_path / name
    scene = quadrants((320, 240) if turn in (0, 180) else (240, 320)).rotate(-turn, expand=True)
    write_clip(path, [scene] * 20, turn)
    rendered = lane.render(bytes(path), Kind.VIDEO)
    assert is_upright(rendered.share, tolerance=40)
    assert rendered.info.duration == pytest.approx(2.0, abs=0.2)


def test_a_clip_that_fades_in_from_black_shows_what_comes_later(lane: Lane, tmp_path: Path) -> None:
    """A flat first frame is passed over."""
    path = tmp_path / "a.mp4"
    black = Image.new("RGB", (320, 240))
    write_clip(path, [black] * 15 + [quadrants((320, 240))] * 25, 0)
    assert is_upright(lane.render(bytes(path), Kind.VIDEO).share, tolerance=40)


def test_a_playlist_called_mp4_opens_nothing_else(lane: Lane, tmp_path: Path) -> None:
    """A hostile clip can't make the decoder read another file: only real containers are let in."""
    made = tmp_path / "made.mts"
    write_clip(made, [quadrants((320, 240))] * 10, 0)
    real = made.rename(tmp_path / "real.ts")
    drawn = io.BytesIO()
    quadrants((320, 240)).save(drawn, "PNG")
    for content in (
        f"ffconcat version 1.0\nfile '{real}'\n".encode(),
        f"#EXTM3U\n#EXTINF:1,\n{real}\n#EXT-X-ENDLIST\n".encode(),
        drawn.getvalue(),
    ):
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        with pytest.raises(PermanentError, match="clip is damaged"):
            lane.render(bytes(path), Kind.VIDEO)


def write_clip(path: Path, frames: list[Image.Image], turn: int) -> None:
    with av.open(str(path), "w", format="mpegts" if path.suffix == ".mts" else None) as container:
        stream = container.add_stream(
            "mpeg2video" if path.suffix == ".mts" else "mpeg4", rate=10 if path.suffix != ".mts" else 25
        )
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        if turn:
            stream.set_display_rotation(turn)
        if path.suffix == ".mts":
            frames = [frame for frame in frames for _ in range(5)][::2]
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))  # type: ignore[no-untyped-call]  # PyAV's stub forgot it
        container.mux(stream.encode(None))


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


def png_of(width: int, height: int, *, bits: int, data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def test_a_picture_of_several_is_its_first(lane: Lane, tmp_path: Path) -> None:
    """MPO, animated PNG and WebP, and TIFF with pages show the first picture."""
    for name, format_name in (("a.jpg", "MPO"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")):
        path = tmp_path / name
        second = Image.new("RGB", (320, 200), "black")
        quadrants((320, 200)).save(path, format_name, save_all=True, append_images=[second])
        assert is_upright(lane.render(bytes(path), Kind.JPEG).share), name


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


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic", "a.mp4", "a.dng"])
def test_a_truncated_file_is_named_as_such(lane: Lane, tmp_path: Path, name: str) -> None:
    """A file that ends early fails with a reason in words, at once and for good."""
    path = tmp_path / name
    kind = {"a.heic": Kind.HEIF, "a.mp4": Kind.VIDEO, "a.dng": Kind.RAW}.get(name, Kind.IMAGE)
    match name:
        case "a.mp4":
            write_clip(path, [quadrants((320, 240))] * 10, 0)
        case "a.dng":
            write_dng(path, (300, 200), 1)
        case _:
            noise = Image.effect_noise((640, 480), 80).convert("RGB")
            noise.save(path, "HEIF" if name == "a.heic" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PermanentError, match=r"truncated|damaged"):
        lane.render(bytes(path), kind)


@pytest.mark.parametrize("kind", [Kind.JPEG, Kind.IMAGE, Kind.HEIF, Kind.RAW, Kind.VIDEO, Kind.OTHER])
@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 5000, b"\xff\xd8\xff", b"<svg/>", b"%!PS-Adobe-3.0 EPSF\n"]
)
def test_what_is_no_picture_says_so(lane: Lane, tmp_path: Path, content: bytes, kind: Kind) -> None:
    """Any bytes under any kind end in a sentence for a person, without a Python object in it."""
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        lane.render(bytes(path), kind)
    assert "<" not in str(caught.value)
    assert str(caught.value) == "the file is empty" or content


def test_a_picture_that_claims_to_be_huge_is_refused_unread(lane: Lane, tmp_path: Path) -> None:
    """A few bytes that announce 60,000 x 60,000 pixels cost neither memory nor time."""
    path = tmp_path / "a"
    path.write_bytes(png_of(60000, 60000, bits=8, data=b""))
    with pytest.raises(PermanentError, match="60000 x 60000 pixels"):
        lane.render(bytes(path), Kind.IMAGE)
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    at = small.getvalue().index(b"\xff\xc0") + 5
    path.write_bytes(small.getvalue()[:at] + struct.pack(">HH", 60000, 60000) + small.getvalue()[at + 4 :])
    with pytest.raises(PermanentError, match="60000 x 60000 pixels"):
        lane.render(bytes(path), Kind.JPEG)


def test_a_file_is_known_by_its_content_where_the_name_lies(lane: Lane, tmp_path: Path) -> None:
    """HEIC called .jpg and JPEG called .heic are both shown."""
    path = tmp_path / "a.jpg"
    quadrants((320, 256)).save(path, "HEIF")
    assert is_upright(lane.render(bytes(path), Kind.JPEG).share)
    quadrants((320, 256)).save(path, "JPEG")
    assert is_upright(lane.render(bytes(path), Kind.HEIF).share)


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


def test_a_name_that_is_not_utf8_is_read(lane: Lane, tmp_path: Path) -> None:
    """Names come from a card byte for byte, for every decoder."""
    for kind in (Kind.JPEG, Kind.RAW, Kind.VIDEO):
        path = bytes(tmp_path) + b"/\xff\xfe " + kind.value.encode()
        made = tmp_path / "made"
        match kind:
            case Kind.RAW:
                write_dng(made, (300, 200), 1)
            case Kind.VIDEO:
                write_clip(made.with_suffix(".mp4"), [quadrants((320, 240))] * 10, 0)
                made = made.with_suffix(".mp4")
            case _:
                quadrants((320, 200)).save(made, "JPEG")
        os.rename(made, path)
        assert is_upright(lane.render(path, kind).share, tolerance=40)


def test_the_scene_of_these_tests_is_what_it_says() -> None:
    """The pictures that are made here have the corners that the tests look for."""
    assert fields(quadrants((40, 20))) == list(UPRIGHT)
    assert fields(stored_quadrants((40, 20), 6).rotate(-90, expand=True)) == list(UPRIGHT)
