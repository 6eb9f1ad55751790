"""ICC profiles made from primaries and a tone curve, so that none has to be shipped.

The layout is that of ICC.1:2001-04 for a three-component matrix-based profile; white is adapted to
the D50 of the profile connection space by the linear Bradford transform.
"""

import struct
from collections.abc import Sequence

Chromaticity = tuple[float, float]  # x and y of CIE 1931
Primaries = tuple[Chromaticity, Chromaticity, Chromaticity]  # red, green, blue
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]  # by rows

ADOBE_PRIMARIES: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # Adobe RGB (1998), 4.3.1
ADOBE_GAMMA = (563,)  # in 1/256: 2.19921875, Adobe RGB (1998), 4.3.5
SRGB_PRIMARIES: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
P3_PRIMARIES: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # SMPTE EG 432-1
BT2020_PRIMARIES: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))  # ITU-R BT.2020, table 3

_D65: Chromaticity = (0.3127, 0.3290)
_D50: Vector = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def srgb_curve(steps: int = 1024) -> tuple[int, ...]:
    """The transfer function of sRGB (IEC 61966-2-1) as a table of 16-bit linear values."""
    return tuple(round(65535 * _srgb_to_linear(step / (steps - 1))) for step in range(steps))


def matrix_profile(primaries: Primaries, curve: Sequence[int]) -> bytes:
    """An ICC profile for RGB with these primaries and a D65 white.

    `curve` is one number for a pure gamma in 1/256, or a table of 16-bit linear values.
    """
    red, green, blue = _transpose(_adapted(primaries))
    tone = struct.pack(f">4s4xI{len(curve)}H", b"curv", len(curve), *curve)
    tags = {
        b"desc": struct.pack(">4s4xI1s78x", b"desc", 1, b"\0"),
        b"cprt": struct.pack(">4s4x1s", b"text", b"\0"),
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(red),
        b"gXYZ": _xyz(green),
        b"bXYZ": _xyz(blue),
        b"rTRC": tone,
        b"gTRC": tone,
        b"bTRC": tone,
    }
    return _assemble(tags)


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    body = b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    illuminant = (round(part * 65536) for part in _D50)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(body),
        0x02400000,  # version 2.4
        *(b"mntr", b"RGB ", b"XYZ ", b"acsp"),
        *illuminant,
    )
    return header + table + body


def _xyz(vector: Vector) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(part * 65536) for part in vector))


def _srgb_to_linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _adapted(primaries: Primaries) -> Matrix:
    """The matrix from linear RGB to XYZ relative to D50."""
    red, green, blue = (_to_xyz(xy) for xy in primaries)
    corners = _transpose((red, green, blue))
    white = _to_xyz(_D65)
    native = _multiply(corners, _diagonal(_apply(_invert(corners), white)))
    seen, wanted = _apply(_BRADFORD, white), _apply(_BRADFORD, _D50)
    gains = _diagonal((wanted[0] / seen[0], wanted[1] / seen[1], wanted[2] / seen[2]))
    adaptation = _multiply(_invert(_BRADFORD), _multiply(gains, _BRADFORD))
    return _multiply(adaptation, native)


def _to_xyz(chromaticity: Chromaticity) -> Vector:
    x, y = chromaticity
    return x / y, 1.0, (1 - x - y) / y


def _apply(matrix: Matrix, vector: Vector) -> Vector:
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z


def _transpose(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return (a, d, g), (b, e, h), (c, f, i)


def _multiply(left: Matrix, right: Matrix) -> Matrix:
    x, y, z = _transpose(right)
    return _transpose((_apply(left, x), _apply(left, y), _apply(left, z)))


def _diagonal(vector: Vector) -> Matrix:
    x, y, z = vector
    return (x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z)


def _invert(matrix: Matrix) -> Matrix:
    """By Cramer's rule: the rows are cross products of the columns."""
    x, y, z = _transpose(matrix)
    rows = (_cross(y, z), _cross(z, x), _cross(x, y))
    determinant = sum(a * b for a, b in zip(x, rows[0], strict=True))
    scale = _diagonal((1 / determinant, 1 / determinant, 1 / determinant))
    return _multiply(scale, rows)


def _cross(left: Vector, right: Vector) -> Vector:
    (a, b, c), (d, e, f) = left, right
    return b * f - c * e, c * d - a * f, a * e - b * d
