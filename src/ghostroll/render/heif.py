"""HEIC and HIF by libheif, which turns the picture itself: EXIF's orientation is not applied again."""

from typing import Any

import pillow_heif
from PIL import Image

from ghostroll.render.cicp import profile_for
from ghostroll.render.metadata import describe, tags_of_tiff
from ghostroll.render.raster import check_pixels, finish
from ghostroll.render.scale import fit
from ghostroll.render.source import Opened, Picture

pillow_heif.options.DECODE_THREADS = 1

_BAND_ROWS = 256


def read_heif(opened: Opened, edge: int) -> Picture:
    """The primary picture of a HEIF file, upright and in sRGB, at most `edge` pixels long."""
    heif = pillow_heif.open_heif(opened.file, convert_hdr_to_8bit=True)
    check_pixels(heif.size)
    target = fit(heif.size, edge)
    image = _reduced(heif, target)
    info = heif.info
    exif = info.get("exif")
    tags = tags_of_tiff(exif) if isinstance(exif, bytes) else {}
    profile = info.get("icc_profile") or profile_for(info.get("nclx_profile"))
    return Picture(finish(image, target, profile, None), describe(tags))


def _reduced(heif: "pillow_heif.HeifFile", target: tuple[int, int]) -> Image.Image:
    """The pixels, box-averaged to no less than twice the target, band by band.

    So 200 megapixels are in memory once, as libheif has them, and not a second time as Pillow does.
    """
    width, height = heif.size
    mode = heif.mode
    factor = max(1, int(width / target[0] / 2))
    pixels, stride = memoryview(heif.data), heif.stride
    rows = _BAND_ROWS * factor
    out = Image.new(mode, (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        count = min(rows, height - top)
        part: Any = pixels[top * stride : (top + count) * stride]  # Pillow takes any buffer
        band = Image.frombuffer(mode, (width, count), part, "raw", mode, stride, 1)
        out.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return out
