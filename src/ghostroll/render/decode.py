"""From a file to its two renditions: which decoder reads it, and what its failure is called.

Decoders are imported when the first file asks for them: a card of JPEG files needs Pillow's alone.
"""

import errno
from typing import assert_never

from PIL import UnidentifiedImageError

from ghostroll.errors import PermanentError, TransientError
from ghostroll.model import Kind, Rendered
from ghostroll.render.encode import encode
from ghostroll.render.limits import RenderLimits
from ghostroll.render.raster import read_raster
from ghostroll.render.source import Opened, Picture, is_complaint, open_source

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
# What a damaged file makes its decoder ask for, and no disk has; any other error number is the disk's trouble.
_PLACES_THAT_ARE_NOT = (errno.EINVAL, errno.EOVERFLOW)
_RASTER_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")


def render(path: bytes, kind: Kind, limits: RenderLimits) -> Rendered:
    """The renditions of the file at `path`.

    Raises PermanentError with a reason for a photographer where it holds no picture that can be
    decoded, TransientError where the disk fails, MemoryError where the limit was met.
    """
    with open_source(path) as opened:
        try:
            picture = _read(opened, kind, limits.share_edge)
        except Exception as error:
            if not is_complaint(error):
                raise
            if isinstance(error, OSError) and error.errno not in (None, *_PLACES_THAT_ARE_NOT):
                raise TransientError(f"the stored file can't be read: {error.strerror}") from error
            raise _name(error) from error
    return encode(picture.image, picture.info, limits)


def _read(opened: Opened, kind: Kind, edge: int) -> Picture:
    match kind:
        case Kind.JPEG | Kind.IMAGE | Kind.HEIF:
            return _read_still(opened, kind, edge)
        case Kind.RAW:
            from ghostroll.render.raw import read_raw  # noqa: PLC0415  # see the module's docstring

            return read_raw(opened, edge)
        case Kind.VIDEO:
            from ghostroll.render.video import read_video  # noqa: PLC0415  # see the module's docstring

            return read_video(opened, edge)
        case Kind.SIDECAR | Kind.OTHER:
            raise PermanentError("this kind of file holds no picture")
        case _:
            assert_never(kind)


def _read_still(opened: Opened, kind: Kind, edge: int) -> Picture:
    """By content where that is plain, by name else: phones call HEIC files .jpg, and the other way."""
    is_heif = opened.head[4:8] == b"ftyp" and opened.head[8:12] in _HEIF_BRANDS
    if is_heif or (kind is Kind.HEIF and not opened.head.startswith(_RASTER_STARTS)):
        from ghostroll.render.heif import read_heif  # noqa: PLC0415  # see the module's docstring

        return read_heif(opened, edge)
    return read_raster(opened, edge)


def _name(error: Exception) -> Exception:
    """A decoder's complaint as a sentence for a photographer; its words may hold anything."""
    said = str(error).lower()
    if "memory" in said and "security limit" not in said:  # libheif's limits bound counts that no picture has
        return MemoryError()
    if isinstance(error, UnidentifiedImageError):
        return PermanentError("the file is no picture of its kind, or its start is damaged")
    if isinstance(error, EOFError) or any(
        word in said for word in ("truncated", "end of file", "insufficient", "size too small", "incomplete")
    ):
        return PermanentError("the file is truncated")
    return PermanentError("the picture is damaged and can't be decoded")
