"""JPEG out: baseline, optimised, sRGB by convention, and not one byte of metadata."""

from io import BytesIO

from PIL import Image

from ghostroll.model import PhotoInfo, Rendered
from ghostroll.render.limits import RenderLimits

_GAP = 2.0  # how many times too large a picture may be when the exact scaling begins


def fit(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """`size` scaled so that its longer side is at most `edge` pixels; never larger than it was."""
    longest = max(size)
    if longest <= edge:
        return size
    width, height = (max(1, round(side * edge / longest)) for side in size)
    return width, height


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at `size`, by Lanczos; what is more than four times too large is halved by boxes first."""
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP)


def encode(share: Image.Image, info: PhotoInfo, limits: RenderLimits) -> Rendered:
    """Both renditions of an upright sRGB image in mode RGB that is already of share size.

    The thumb is made from the share, at a fraction of the work; how near it comes to one made of the full picture
    stands in `docs/performance.md`.
    """
    thumb = shrink(share, fit(share.size, limits.thumb_edge))
    return Rendered(
        share=_jpeg(share, limits.share_quality),
        share_size=share.size,
        thumb=_jpeg(thumb, limits.thumb_quality),
        thumb_size=thumb.size,
        info=info,
    )


def _jpeg(image: Image.Image, quality: int) -> bytes:
    image.info = {}  # Pillow writes a comment that it finds there
    file = BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
