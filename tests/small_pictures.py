"""Small good files of the kinds that the samples are short of, to be spoilt by tests."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from integration.render_making import quadrants, write_dng
from PIL import Image

from ghostroll.render.profiles import P3_PRIMARIES, matrix_profile, srgb_curve

SIZE = (96, 64)
_CONTAINERS = {"mkv": ("matroska", "mpeg4"), "ts": ("mpegts", "mpeg2video"), "avi": ("avi", "mjpeg")}
_CONTAINERS |= {"mov": ("mov", "mjpeg"), "mxf": ("mxf", "mpeg2video"), "wmv": ("asf", "wmv2")}


def draw_jpegs() -> dict[str, bytes]:
    """Progressive, grey, CMYK, with restart markers, with all metadata there is, and several in one."""
    scene, dressed = quadrants(SIZE), _dressing()
    return {
        "drawn/progressive.jpg": _save(scene, "JPEG", progressive=True),
        "drawn/grey.jpg": _save(scene.convert("L"), "JPEG"),
        "drawn/cmyk.jpg": _save(scene.convert("CMYK"), "JPEG"),
        "drawn/restarts.jpg": _save(scene, "JPEG", restart_marker_blocks=2),
        "drawn/dressed.jpg": _save(scene, "JPEG", comment=b"a comment", **dressed),
        "drawn/several.jpg": _save(
            scene, "MPO", save_all=True, append_images=[scene.rotate(90)], exif=dressed["exif"]
        ),
    }


def draw_images() -> dict[str, bytes]:
    """PNG, TIFF and WebP in their modes, compressions and kinds of metadata."""
    scene, dressed = quadrants(SIZE), _dressing()
    clear = scene.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    deep = Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE[1], SIZE[0]) * 10)
    films = {"save_all": True, "append_images": [scene.rotate(90), scene.rotate(180)], "duration": 100}
    made = {
        "drawn/plain.png": _save(scene, "PNG"),
        "drawn/clear.png": _save(clear, "PNG", **dressed),
        "drawn/palette.png": _save(scene.quantize(16), "PNG", transparency=3),
        "drawn/deep.png": _save(deep, "PNG"),
        "drawn/bits.png": _save(scene.convert("1"), "PNG"),
        "drawn/film.png": _save(scene, "PNG", **films),
        "drawn/lossy.webp": _save(scene, "WEBP", **dressed),
        "drawn/lossless.webp": _save(clear, "WEBP", lossless=True),
        "drawn/film.webp": _save(scene, "WEBP", **films),
        "drawn/deep.tif": _save(deep, "TIFF"),
        "drawn/fax.tif": _save(scene.convert("1"), "TIFF", compression="group4"),
        "drawn/pages.tif": _save(scene, "TIFF", save_all=True, append_images=[scene.rotate(90)]),
        "drawn/separated.tif": _save(scene.convert("CMYK"), "TIFF", compression="tiff_lzw"),
    }
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        more = dressed if compression == "raw" else {}  # Pillow's libtiff can't write EXIF
        made[f"drawn/{compression}.tif"] = _save(scene, "TIFF", compression=compression, **more)
    return made


def draw_raws() -> dict[str, bytes]:
    """DNGs with and without a preview."""
    with tempfile.TemporaryDirectory() as folder:
        plain, dressed = Path(folder, "plain.dng"), Path(folder, "dressed.dng")
        write_dng(plain, SIZE, 1)
        write_dng(dressed, SIZE, 6, _save(quadrants((640, 426)), "JPEG"))
        return {"drawn/plain.dng": plain.read_bytes(), "drawn/dressed.dng": dressed.read_bytes()}


def draw_clips() -> dict[str, bytes]:
    """A second of moving fields in each container that is let in."""
    return {f"drawn/clip.{end}": make_clip(*kind) for end, kind in _CONTAINERS.items()}


def make_clip(container: str, codec: str, size: tuple[int, int] = SIZE) -> bytes:
    """Ten frames in a container."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, container_options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=25, options={"flags": "+bitexact"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in _move(size):
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()


def _move(size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    scene = np.asarray(quadrants(size))
    for number in range(10):
        yield av.VideoFrame.from_ndarray(np.roll(scene, number * 3, axis=1), format="rgb24")


def _dressing() -> dict[str, bytes]:
    """EXIF with a directory below, and a profile."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Ghost", "Roll One", 6
    exif.get_ifd(0x8769).update({0x9003: "2026:11:22 14:30:15", 0x829A: 0.004, 0xA434: "50 mm"})
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0)})
    return {"exif": exif.tobytes(), "icc_profile": matrix_profile(P3_PRIMARIES, srgb_curve())}


def _save(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
