"""Colours as the viewer will see them: whatever a picture says it is, out comes sRGB."""

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms

from ghostroll.render.profiles import ADOBE_GAMMA, ADOBE_PRIMARIES, matrix_profile

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's colour space as Pillow's mode
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_LARGEST_PROFILE = 8 * 2**20  # bytes; printer profiles have 2 MiB


@lru_cache(maxsize=1)
def adobe_rgb() -> bytes:
    """A profile for Adobe RGB (1998), which many cameras mean without embedding one."""
    return matrix_profile(ADOBE_PRIMARIES, ADOBE_GAMMA)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` (mode L, RGB or CMYK) as sRGB in mode RGB.

    Without a profile, or with one that is broken or for another kind of picture, values are taken
    for sRGB.
    """
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return transform.apply(image)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """How to get from this profile to sRGB; None where there is nothing to do or nothing to be had."""
    if len(profile) > _LARGEST_PROFILE:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space) != mode:
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB", _INTENT)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a grid of colours comes out as it went in: most pictures say sRGB in many words."""
    steps = range(0, 256, 17)
    grid = bytes(value for r in steps for g in steps for b in steps for value in (r, g, b))
    image = Image.frombytes("RGB", (len(steps) ** 2, len(steps)), grid)
    out = transform.apply(image).tobytes()
    return all(abs(before - after) <= 1 for before, after in zip(grid, out, strict=True))
