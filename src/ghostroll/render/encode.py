"""JPEG out: baseline, optimised, sRGB by convention, and not one byte of metadata."""

from io import BytesIO

from PIL import Image

from ghostroll.model import PhotoInfo, Rendered
from ghostroll.render.limits import RenderLimits
from ghostroll.render.scale import fit, shrink


def encode(share: Image.Image, info: PhotoInfo, limits: RenderLimits) -> Rendered:
    """Both renditions of an upright sRGB image in mode RGB that is already of share size.

    The thumb is made from the share, at a fraction of the work; how near it comes to one made of the full picture
    stands in `docs/performance.md`.
    """
    thumb = shrink(share, fit(share.size, limits.thumb_edge), keep=True)
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
