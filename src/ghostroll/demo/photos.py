"""Pictures as a camera writes them: JPEG and HEIC with full EXIF, and large textured ones for benchmarks."""

import io
import math
from datetime import datetime
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pillow_heif
from PIL import Image, ImageChops, ImageDraw, ImageFont

from ghostroll.demo.colour import adobe_rgb_profile, to_profile
from ghostroll.demo.exif import COMMENT, Camera, Exposure, Frame, exif_block
from ghostroll.demo.landscape import draw_landscape
from ghostroll.demo.light import light_at

CAMERA = Camera()

# What a camera has done to the upright picture when it writes each EXIF orientation (EXIF 2.32, tag 274).
_STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})
_TEXTURE_SIZE = (1200, 800)


def make_photo(
    *,
    seed: int,
    taken: datetime,
    size: tuple[int, int] = (1800, 1200),
    orientation: int = 1,
    camera: Camera = CAMERA,
    quality: int = 85,
    icc: bytes | None = None,
    adobe_rgb: bool = False,
    label: str | None = None,
) -> bytes:
    """A JPEG of a drawn landscape in the light of the hour of `taken`, the same for the same arguments.

    `size` is of the stored pixels (width, height), which the EXIF orientation (1 to 8) then shows
    upright, so that 5 to 8 give a picture of height by width. With `icc` the colours are converted to
    that profile and it is embedded; with `adobe_rgb` they are Adobe RGB and only EXIF says so, as
    cameras do. `label` stands small in the lower left corner.
    """
    upright = draw_photo(
        seed=seed, taken=taken, size=size[::-1] if orientation in _SIDEWAYS else size, label=label
    )
    image = store_as(upright, orientation)
    if adobe_rgb or icc:
        image = to_profile(image, icc or adobe_rgb_profile())
    frame = Frame(size, taken, camera, exposure_at(taken, seed), orientation, adobe_rgb, _thumbnail(image))
    return encode_jpeg(image, quality=quality, exif=exif_block(frame), icc=icc)


def make_heic(
    *, seed: int, taken: datetime, size: tuple[int, int], camera: Camera = CAMERA, label: str | None = None
) -> bytes:
    """An HEIC of a drawn landscape with the camera's EXIF, the same for the same arguments."""
    image = draw_photo(seed=seed, taken=taken, size=size, label=label)
    exif = exif_block(Frame(size, taken, camera, exposure_at(taken, seed)))
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=80, exif=exif, enc_params={"preset": "ultrafast"})
    return out.getvalue()


def draw_photo(*, seed: int, taken: datetime, size: tuple[int, int], label: str | None = None) -> Image.Image:
    """The upright picture: a landscape in the light of the hour, with its label."""
    image = draw_landscape(seed, size, taken.hour + taken.minute / 60)
    if label:
        _write_label(image, label)
    return image


def store_as(upright: Image.Image, orientation: int) -> Image.Image:
    """The pixels as they are stored, so that `orientation` shows them upright."""
    return upright.transpose(_STORED_AS[orientation]) if orientation in _STORED_AS else upright


def exposure_at(taken: datetime, seed: int) -> Exposure:
    """A plausible exposure for the light: f/8 in the sun, seconds under the stars."""
    stars = light_at(taken.hour + taken.minute / 60).stars
    focal_length = (24, 35, 50, 70, 105)[seed % 5]
    if stars > 0.5:
        return Exposure(Fraction(8), 4.0, 1600, 24)
    if stars > 0:
        return Exposure(Fraction(1, 60), 4.0, 400, focal_length)
    return Exposure(Fraction(1, (250, 320, 500)[seed % 3]), 8.0, 100, focal_length)


def encode_jpeg(
    image: Image.Image, *, quality: int, exif: bytes | None = None, icc: bytes | None = None
) -> bytes:
    """The picture as a camera's JPEG: 4:2:2, with a comment segment where there is EXIF."""
    out = io.BytesIO()
    extra = {"exif": exif, "comment": COMMENT} if exif else {}
    image.save(out, "JPEG", quality=quality, subsampling="4:2:2", icc_profile=icc, **extra)
    return out.getvalue()


def make_textured_jpeg(seed: int, megapixels: float = 24, target_bytes: int = 9_000_000) -> bytes:
    """A photo for benchmarks: 3:2, with EXIF, a landscape under film grain, of about `target_bytes`.

    The size is as near below the target as whole steps of JPEG quality allow. All are made from one scene per size, shifted and mirrored by the seed, so that every block of
    pixels differs from seed to seed but a hundred are made quickly.
    """
    height = round(math.sqrt(megapixels * 1e6 / 1.5) / 8) * 8
    size = (round(height * 1.5), height)
    scene, quality = _scene(size, target_bytes)
    rng = np.random.default_rng(seed)
    image = ImageChops.offset(scene, int(rng.integers(size[0])), int(rng.integers(size[1] // 8)))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    taken = datetime(2025, 9, 20, 12, seed // 30 % 60, seed * 2 % 60)  # noqa: DTZ001  # a camera's own time
    exif = exif_block(Frame(size, taken, CAMERA, exposure_at(taken, seed), thumbnail=_thumbnail(image)))
    return encode_jpeg(image, quality=quality, exif=exif)


@lru_cache(maxsize=1)
def _scene(size: tuple[int, int], target_bytes: int) -> tuple[Image.Image, int]:
    """A grainy landscape of this size, and the JPEG quality that comes nearest to the bytes wanted."""
    width, height = size
    rng = np.random.default_rng(width)
    small = draw_landscape(1, _TEXTURE_SIZE, 16.0)
    grain = rng.normal(128, 9, (_TEXTURE_SIZE[1], _TEXTURE_SIZE[0], 3)).astype(np.uint8)
    sheet = Image.new("RGB", size)
    for left in range(0, width, _TEXTURE_SIZE[0]):
        for top in range(0, height, _TEXTURE_SIZE[1]):
            turned = np.roll(grain, rng.integers(0, 1000, 2), (0, 1))
            sheet.paste(Image.fromarray(turned), (left, top))
    scene = ImageChops.add(small.resize(size, Image.Resampling.BICUBIC), sheet, 1, -128)
    low, high = 30, 98
    while low < high:
        middle = (low + high + 1) // 2
        if len(encode_jpeg(scene, quality=middle)) <= target_bytes:
            low = middle
        else:
            high = middle - 1
    return scene, low


def _thumbnail(image: Image.Image) -> bytes:
    """The small JPEG inside EXIF: 160 pixels on the long edge, stored as the picture is."""
    small = image.resize(
        (160, round(160 * image.height / image.width)), Image.Resampling.BICUBIC, reducing_gap=2
    )
    return encode_jpeg(small, quality=80)


def _write_label(image: Image.Image, label: str) -> None:
    """The frame number, like a film's, on a faint dark plate."""
    size = max(min(image.size) // 30, 10)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image, "RGBA")
    left, top = size, image.height - 2.6 * size
    wide = draw.textlength(label, font)
    draw.rounded_rectangle((left, top, left + wide + size, top + 1.6 * size), size * 0.4, fill=(0, 0, 0, 70))
    draw.text((left + size / 2, top + 0.8 * size), label, (255, 255, 255, 215), font, anchor="lm")
