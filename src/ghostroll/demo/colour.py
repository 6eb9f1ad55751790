"""ICC profiles of a camera's colour spaces, built from the public numbers of each space (ICC.1:2010, v4)."""

import io
import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Matrix = NDArray[np.float64]

# x, y of red, green, blue; the white of all three spaces is D65.
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
_DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # SMPTE EG 432-1
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # Adobe RGB (1998), section 4.3
_D65 = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every profile's connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

# ICC "para" curves: function type and its numbers.
_SRGB_CURVE = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
_ADOBE_CURVE = (0, (563 / 256,))


@lru_cache
def display_p3_profile() -> bytes:
    """Display P3: the wide colours of phones and screens, with sRGB's curve."""
    return _profile("Display P3", _DISPLAY_P3, _SRGB_CURVE)


@lru_cache
def adobe_rgb_profile() -> bytes:
    """A profile equal to Adobe RGB (1998), under a name of its own."""
    return _profile("Compatible with Adobe RGB (1998)", _ADOBE_RGB, _ADOBE_CURVE)


def to_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The sRGB picture's colours in the numbers of another profile."""
    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)), outputMode="RGB"
    )
    assert converted is not None  # only with inPlace
    converted.info.pop("icc_profile", None)
    return converted


def xyz_to_linear_srgb() -> Matrix:
    """3 by 3: CIE XYZ (D65, Y of white is 1) to linear sRGB."""
    return np.asarray(np.linalg.inv(_to_xyz(_SRGB)), np.float64)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> Matrix:
    """3 by 3: linear red, green, blue to XYZ under D65."""
    columns = np.array([_xyz(point) for point in primaries]).T
    return np.asarray(columns * np.linalg.solve(columns, _xyz(_D65)), np.float64)


def _xyz(point: tuple[float, float]) -> Matrix:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation() -> Matrix:
    """3 by 3: XYZ under D65 to XYZ under D50, by Bradford's method."""
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ _xyz(_D65))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gain) @ _BRADFORD, np.float64)


def _profile(
    name: str, primaries: tuple[tuple[float, float], ...], curve: tuple[int, tuple[float, ...]]
) -> bytes:
    """A display profile of three primaries and one curve."""
    adapt = _adaptation()
    red, green, blue = (adapt @ _to_xyz(primaries)).T
    tone = struct.pack(">4sIHH", b"para", 0, curve[0], 0) + _fixed(*curve[1])
    tags = {
        b"desc": _unicode(name),
        b"cprt": _unicode("No copyright, use freely"),
        b"wtpt": _xyz_tag(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*adapt.ravel()),
        b"rXYZ": _xyz_tag(red),
        b"gXYZ": _xyz_tag(green),
        b"bXYZ": _xyz_tag(blue),
        b"rTRC": tone,
        b"gTRC": tone,
        b"bTRC": tone,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s6H4sIIIIQI12s4s",
        *(128 + len(table) + len(body), b"\0\0\0\0", 0x04200000, b"mntr", b"RGB ", b"XYZ "),
        *(2025, 1, 1, 0, 0, 0, b"acsp", 0, 0, 0, 0, 0, 0, _fixed(*_D50), b"\0\0\0\0"),
    )
    return header.ljust(128, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    """s15Fixed16 numbers."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _xyz_tag(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _unicode(value: str) -> bytes:
    data = value.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(data), 28) + data
