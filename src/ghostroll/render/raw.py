"""RAW files by LibRaw: the preview that the camera put in, or a half-size development without one."""

import io

import exifread
import numpy as np
import rawpy
from PIL import Image

from ghostroll.errors import PermanentError
from ghostroll.model import PhotoInfo
from ghostroll.render.metadata import (
    MAKE,
    ORIENTATION,
    complete,
    describe,
    describe_exposure,
    shorten,
    tags_of_tiff,
)
from ghostroll.render.raster import check_pixels, finish, read_image
from ghostroll.render.scale import fit
from ghostroll.render.source import BROKEN_METADATA, Opened, Picture, is_complaint

USABLE_EDGE = 512  # a preview below this is worth less than a development
_LEAST_EDGE = 64  # and below this it is not a picture
_LEAST_BITS_PER_PIXEL = 0.25  # lossy RAW needs several times as much: below it the file was cut
_CR3_HEADER = 256 * 1024  # bytes within which the boxes CMT1 and CMT2 stand

_ORIENTATION = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}  # LibRaw's flip as EXIF says it
_QUARTER_TURNS = (5, 6, 7, 8)  # of EXIF's


def read_raw(opened: Opened, edge: int) -> Picture:
    """The picture in a RAW file, upright and in sRGB, at most `edge` pixels long."""
    info = read_raw_info(opened)
    raw = rawpy.RawPy()
    try:
        raw.open_file(opened.address)
        preview = _read_preview(raw, opened, edge)
        if preview is not None and max(preview.image.size) >= min(USABLE_EDGE, edge):
            return Picture(preview.image, complete(info, preview.info))
        try:
            return Picture(_develop(raw, opened, edge), complete(info, _libraw_info(raw)))
        except (rawpy.LibRawError, PermanentError):
            if preview is None or max(preview.image.size) < _LEAST_EDGE:
                raise
            return Picture(preview.image, complete(info, preview.info))
    except (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawTooBigError) as error:
        raise MemoryError from error
    except rawpy.LibRawFileUnsupportedError as error:
        raise PermanentError("not a RAW file that LibRaw knows, or its start is damaged") from error
    except rawpy.LibRawError as error:
        raise PermanentError("the RAW file is damaged or truncated, and has no preview") from error
    finally:
        raw.close()


def upright_preview(flip: int, sensor: tuple[int, int], preview: tuple[int, int], own: object) -> int:
    """The EXIF orientation by which a preview must be turned.

    `flip` is LibRaw's for the sensor's picture, sizes are (width, height) as stored, `own` is what
    the preview's EXIF says, if it has any (LibRaw adds one to a preview without). A quarter turn that
    was done already shows in the preview's shape; a half turn doesn't, so that the words are believed.
    """
    orientation = own if isinstance(own, int) and 1 <= own <= 8 else _ORIENTATION.get(flip, 1)
    if orientation == 1 and _ORIENTATION.get(flip) in _QUARTER_TURNS:
        orientation = _ORIENTATION[flip]  # the preview's EXIF knows nothing of the turn
    turned = (sensor[0] > sensor[1]) != (preview[0] > preview[1])
    return 1 if turned and orientation in _QUARTER_TURNS else orientation


def read_raw_info(opened: Opened) -> PhotoInfo:
    """What the metadata says, as far as it can be read without decoding."""
    tags = tags_of_cr3(opened.file.read(_CR3_HEADER)) if opened.head[4:11] == b"ftypcrx" else {}
    opened.file.seek(0)
    try:
        tags = tags or _tags_of_exifread(opened)
    except BROKEN_METADATA:
        tags = {}
    finally:
        opened.file.seek(0)
    return describe(tags)


def tags_of_cr3(header: bytes) -> dict[int, object]:
    """The tags in the boxes CMT1 (first directory) and CMT2 (Exif) of a Canon CR3."""
    tags: dict[int, object] = {}
    for name in (b"CMT1", b"CMT2"):
        start = header.find(name)
        if start >= 4:
            size = int.from_bytes(header[start - 4 : start], "big")
            tags |= tags_of_tiff(header[start + 4 : start - 4 + size])
    return tags


def _tags_of_exifread(opened: Opened) -> dict[int, object]:
    tags: dict[int, object] = {}
    found = exifread.process_file(opened.file, details=False, extract_thumbnail=False)
    for name, field in found.items():
        if name.startswith(("Image ", "EXIF ")):
            values = field.values
            tags[field.tag] = values[0] if isinstance(values, list) and len(values) == 1 else values
    return tags if isinstance(tags.get(MAKE), str) else {}


def _read_preview(raw: "rawpy.RawPy", opened: Opened, edge: int) -> Picture | None:
    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError, rawpy.LibRawIOError):
        return None
    sensor = (raw.sizes.width, raw.sizes.height)
    try:
        if isinstance(thumb.data, bytes):
            return read_image(
                io.BytesIO(thumb.data),
                opened.name,
                edge,
                lambda size, tags: upright_preview(raw.sizes.flip, sensor, size, tags.get(ORIENTATION)),
            )
        image = Image.fromarray(thumb.data)
        orientation = upright_preview(raw.sizes.flip, sensor, image.size, None)
        return Picture(finish(image, fit(image.size, edge), None, orientation), PhotoInfo())
    except Exception as error:
        if not is_complaint(error):
            raise
        return None


def _develop(raw: "rawpy.RawPy", opened: Opened, edge: int) -> Image.Image:
    sensor = (raw.sizes.raw_width, raw.sizes.raw_height)
    check_pixels(sensor)
    if opened.size * 8 < sensor[0] * sensor[1] * _LEAST_BITS_PER_PIXEL:
        raise PermanentError("the RAW file is truncated, and has no preview")
    raw.unpack()
    if raw.raw_type == rawpy.RawType.Flat and not np.any(raw.raw_image_visible[-8:]):
        raise PermanentError("the RAW file is truncated, and has no preview")  # cameras never write pure zero
    pixels = raw.postprocess(half_size=True, use_camera_wb=True)  # upright already, and sRGB
    image = Image.fromarray(pixels)
    return finish(image, fit(image.size, edge), None, None)


def _libraw_info(raw: "rawpy.RawPy") -> PhotoInfo:
    """What LibRaw itself found, for files whose metadata is not EXIF."""
    other, taken = raw.other, None
    if other.timestamp.year > 1990:
        taken = other.timestamp.replace(microsecond=0, tzinfo=None).isoformat()
    exposure = describe_exposure(other.shutter_speed, other.aperture, other.iso_speed, other.focal_length)
    return PhotoInfo(taken=taken, lens=shorten(raw.lens.model), exposure=exposure)
