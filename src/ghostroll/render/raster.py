"""JPEG, TIFF, PNG and WebP by Pillow: one decode, at the smallest scale that is large enough."""

import math
from collections.abc import Callable
from typing import BinaryIO

from PIL import Image, ImageFile, features
from PIL.JpegImagePlugin import JpegImageFile as Jpeg
from PIL.PngImagePlugin import PngImageFile as Png
from PIL.TiffImagePlugin import TiffImageFile as Tiff
from PIL.WebPImagePlugin import WebPImageFile as WebP

from ghostroll.errors import PermanentError
from ghostroll.render.colour import adobe_rgb, to_srgb
from ghostroll.render.metadata import ORIENTATION, Tags, describe, exif_of, is_adobe_rgb, tags_of
from ghostroll.render.scale import fit, shrink
from ghostroll.render.source import Opened, Picture

FORMATS = tuple(plugin.format for plugin in (Jpeg, Png, Tiff, WebP))  # JPEG's opens MPO as well
LARGEST_PIXELS = 512 * 10**6  # above two 200-megapixel sensors; time and memory are bounded anyway

Image.MAX_IMAGE_PIXELS = None  # checked here, with a sentence for people

# A scaled decode is soft at its finest details; with a tenth more pixels than wanted they are scaled away.
_MARGIN = 1.09  # docs/performance.md has the decibels
_HALF, _THREE_EIGHTHS = (2, 0), (3, 0)  # the scale's denominator; not Pillow's quick and rough transform

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF 2.32, tag Orientation


def read_raster(opened: Opened, edge: int) -> Picture:
    """The picture in a file that Pillow reads, upright and in sRGB, at most `edge` pixels long."""
    return read_image(opened.file, opened.name, edge, lambda _, tags: tags.get(ORIENTATION))


def read_image(
    file: BinaryIO, name: bytes, edge: int, orient: Callable[[tuple[int, int], Tags], object]
) -> Picture:
    """As `read_raster`, for an open file; `orient` gives the EXIF orientation of a size and its tags."""
    with Image.open(file, formats=FORMATS) as image:
        check_pixels(image.size)
        exif = exif_of(image)
        tags = tags_of(exif)
        profile = image.info.get("icc_profile")
        if not profile and is_adobe_rgb(exif, tags, name):
            profile = adobe_rgb()
        orientation = orient(image.size, tags)
        target = fit(image.size, edge)
        draft(image, target)
        image.load()
        if image.format == "TIFF":  # Pillow has turned it already
            orientation, target = None, fit(image.size, edge)
        return Picture(finish(image, target, profile, orientation), describe(tags))


def check_pixels(size: tuple[int, int]) -> None:
    """Refuse a picture that says it is larger than any camera's, before memory is spent on it."""
    width, height = size
    if width * height > LARGEST_PIXELS:
        raise PermanentError(f"says it has {width} x {height} pixels, more than any camera's picture")


def draft(image: Image.Image, target: tuple[int, int]) -> None:
    """Let a JPEG decode at 1/2, 3/8, 1/4 or 1/8, the smallest that leaves some pixels more than `target` has.

    Pillow asks for 1/8, 1/4 and 1/2 by a denominator; libjpeg-turbo rounds the scale 1/3 up to the next that it
    has, 3/8 (its `libjpeg.txt`, "scale_num, scale_denom"; older libjpegs make 1/2 of it). So a 24-megapixel photo
    is decoded at 2250 pixels instead of 3000: less to transform, less to scale, less memory.
    """
    width, height = image.size
    least = math.ceil(target[0] * _MARGIN), math.ceil(target[1] * _MARGIN)
    image.draft(None, least)
    if not isinstance(image, Jpeg) or image.decoderconfig != _HALF or not features.check("libjpeg_turbo"):
        return
    scaled = -(-width * 3 // 8), -(-height * 3 // 8)
    if scaled[0] >= least[0] and scaled[1] >= least[1]:
        ((codec, _, offset, mode),) = image.tile
        image.tile = [ImageFile._Tile(codec, (0, 0, *scaled), offset, mode)]  # noqa: SLF001  # Pillow has no other way
        image._size, image.decoderconfig = scaled, _THREE_EIGHTHS  # noqa: SLF001  # the same


def finish(
    image: Image.Image, target: tuple[int, int], profile: bytes | None, orientation: object
) -> Image.Image:
    """Scale, then colour, then turn: each step works on as few pixels as it can."""
    flat = flatten(image, target)
    coloured = to_srgb(flat, profile if isinstance(profile, bytes) else None)
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return coloured if turn is None else coloured.transpose(turn)


def flatten(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    """`image` at `target` size, in mode L, RGB or CMYK, what was transparent on white."""
    if image.mode in ("L", "RGB", "CMYK"):
        return shrink(image, target)
    if image.has_transparency_data:
        clear = shrink(image.convert("RGBA"), target)
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    if image.mode.startswith("I") or image.mode == "F":
        return shrink(_to_eight_bits(image), target)
    return shrink(image.convert("L" if image.mode == "1" else "RGB"), target)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits; integers and floats beyond that by their own range."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    scale = 255 / (high - low) if high > low else 0
    return image.convert("F").point(lambda value: value * scale + -low * scale).convert("L")
