"""A small but true RAW file: DNG 1.4 with a Bayer mosaic and a JPEG preview.

Tags and layout are those of Adobe's public DNG specification, version 1.4.0.0, chapters 2 and 4.
"""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ghostroll.demo import tiff
from ghostroll.demo.colour import xyz_to_linear_srgb
from ghostroll.demo.exif import Frame, main_directory
from ghostroll.demo.photos import CAMERA, draw_photo, encode_jpeg, exposure_at

BLACK, WHITE = 512, 16_000  # the sensor's numbers for no light and for all it can hold
_SENSITIVITY = np.array([0.5, 1.0, 0.625])  # of red, green and blue pixels to white light
_PREVIEW_SIZE, _SENSOR_SIZE = (1536, 1024), (900, 600)
_JPEG, _UNCOMPRESSED = 7, 1
_YCBCR, _CFA = 6, 32803


def make_raw(*, seed: int, taken: datetime, label: str | None = None, preview: bool = True) -> bytes:
    """A DNG of a drawn landscape: 900 by 600 sensor pixels and, where wanted, a preview of 1536 by 1024.

    The scene is the one that `make_photo` draws for the same seed and time. The same for the same arguments.
    """
    image = draw_photo(seed=seed, taken=taken, size=_PREVIEW_SIZE, label=label)
    frame = Frame(_PREVIEW_SIZE if preview else _SENSOR_SIZE, taken, CAMERA, exposure_at(taken, seed))
    shown = encode_jpeg(image, quality=85) if preview else None
    return make_dng(image.resize(_SENSOR_SIZE, Image.Resampling.LANCZOS), frame, shown)


def make_dng(image: Image.Image, frame: Frame, preview: bytes | None) -> bytes:
    """A DNG of the picture; `frame` gives the camera's tags and, where there is a preview, its size.

    `image` is upright sRGB with even sides; each of its pixels becomes one sensor pixel. `preview` is
    a JPEG, found first in the file; without one the file holds the mosaic alone.
    """
    mosaic = _mosaic(image)
    sensor: tiff.Ifd = {
        254: tiff.longs(0),  # NewSubFileType: the picture itself
        256: tiff.longs(image.width),
        257: tiff.longs(image.height),
        258: tiff.shorts(16),  # BitsPerSample
        259: tiff.shorts(_UNCOMPRESSED),
        262: tiff.shorts(_CFA),
        273: tiff.place_of(mosaic.tobytes()),  # StripOffsets
        277: tiff.shorts(1),  # SamplesPerPixel
        278: tiff.longs(image.height),  # RowsPerStrip
        279: tiff.longs(mosaic.nbytes),  # StripByteCounts
        284: tiff.shorts(1),  # PlanarConfiguration
        33421: tiff.shorts(2, 2),  # CFARepeatPatternDim
        33422: tiff.octets(0, 1, 1, 2),  # CFAPattern: red green, green blue
        50711: tiff.shorts(1),  # CFALayout: rectangular
        50714: tiff.shorts(BLACK),
        50717: tiff.shorts(WHITE),
    }
    if preview is None:
        return tiff.write_tiff(_camera_tags(frame) | sensor)
    return tiff.write_tiff(
        _camera_tags(frame) | _preview_tags(frame, preview) | {330: tiff.directories(sensor)}
    )


def _camera_tags(frame: Frame) -> tiff.Ifd:
    """The main directory with what a converter needs: the camera's colours and its white."""
    to_camera = _SENSITIVITY[:, None] * xyz_to_linear_srgb()
    return main_directory(frame) | {
        50706: tiff.octets(1, 4, 0, 0),  # DNGVersion
        50707: tiff.octets(1, 1, 0, 0),  # DNGBackwardVersion
        50708: tiff.text(frame.camera.model),  # UniqueCameraModel
        50721: tiff.signed_rationals(
            *to_camera.ravel().tolist()
        ),  # ColorMatrix1: XYZ to the camera's colours
        50728: tiff.rationals(*_SENSITIVITY.tolist()),  # AsShotNeutral
        50735: tiff.text(frame.camera.serial),  # CameraSerialNumber
        50778: tiff.shorts(21),  # CalibrationIlluminant1: D65
    }


def _preview_tags(frame: Frame, preview: bytes) -> tiff.Ifd:
    width, height = frame.size
    return {
        254: tiff.longs(1),  # NewSubFileType: a smaller version
        256: tiff.longs(width),
        257: tiff.longs(height),
        258: tiff.shorts(8, 8, 8),
        259: tiff.shorts(_JPEG),
        262: tiff.shorts(_YCBCR),
        273: tiff.place_of(preview),
        277: tiff.shorts(3),
        278: tiff.longs(height),
        279: tiff.longs(len(preview)),
        284: tiff.shorts(1),
        530: tiff.shorts(2, 1),  # YCbCrSubSampling
        531: tiff.shorts(2),  # YCbCrPositioning: co-sited
    }


def _mosaic(image: Image.Image) -> NDArray[np.uint16]:
    """What a sensor under red-green, green-blue filters would have counted."""
    shown = np.arange(256) / 255
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    counts = BLACK + linear[:, None] * _SENSITIVITY * (WHITE - BLACK)
    pixels = np.asarray(image.convert("RGB"))
    mosaic = np.empty(pixels.shape[:2], "<u2")
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = counts[:, colour].round().astype("<u2")[pixels[row::2, column::2, colour]]
    return mosaic
