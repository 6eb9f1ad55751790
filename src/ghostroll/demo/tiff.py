"""Writes TIFF structures: the frame of EXIF blocks and of DNG files (TIFF 6.0, section 2)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that stand somewhere in the file; the field holds their place."""

    data: bytes


class Code(IntEnum):
    """The types of a field's values."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    UNDEFINED = 7
    SRATIONAL = 10


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a directory: its TIFF type, how many values, and the values or what is pointed at."""

    code: Code
    count: int
    value: "bytes | Blob | tuple[Ifd, ...]"


Ifd = dict[int, Field]  # an image file directory: fields by tag


def text(value: str) -> Field:
    """ASCII, ended by a zero; other characters become question marks."""
    data = value.encode("ascii", "replace") + b"\0"
    return Field(Code.ASCII, len(data), data)


def octets(*values: int) -> Field:
    """Unsigned 8-bit numbers."""
    return Field(Code.BYTE, len(values), bytes(values))


def opaque(value: bytes) -> Field:
    """Bytes that mean something to their reader only."""
    return Field(Code.UNDEFINED, len(value), value)


def shorts(*values: int) -> Field:
    """Unsigned 16-bit numbers."""
    return Field(Code.SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def longs(*values: int) -> Field:
    """Unsigned 32-bit numbers."""
    return Field(Code.LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def rationals(*values: Fraction | float) -> Field:
    """Unsigned fractions of two 32-bit numbers."""
    return Field(Code.RATIONAL, len(values), _fractions("<II", values))


def signed_rationals(*values: Fraction | float) -> Field:
    """Signed fractions of two 32-bit numbers."""
    return Field(Code.SRATIONAL, len(values), _fractions("<ii", values))


def place_of(data: bytes) -> Field:
    """The offset at which `data` stands: strips of an image, an embedded JPEG."""
    return Field(Code.LONG, 1, Blob(data))


def directories(*ifds: Ifd) -> Field:
    """The offsets of further directories: EXIF, GPS, SubIFDs."""
    return Field(Code.LONG, len(ifds), ifds)


def _fractions(form: str, values: Iterable[Fraction | float]) -> bytes:
    exact = (Fraction(value).limit_denominator(1_000_000) for value in values)
    return b"".join(struct.pack(form, value.numerator, value.denominator) for value in exact)


def write_tiff(*ifds: Ifd) -> bytes:
    """A little-endian TIFF of these directories, chained in this order.

    Offsets count from the first byte returned. Fields are sorted by tag, values are word-aligned,
    as the format demands.
    """
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4  # where the offset of the next directory is to be written
    for ifd in ifds:
        start, link_after = _append_ifd(out, ifd)
        struct.pack_into("<I", out, link, start)
        link = link_after
    return bytes(out)


def _append_ifd(out: bytearray, ifd: Ifd) -> tuple[int, int]:
    """Append a directory and all it points at; where it stands, and where its link stands."""
    start = _append(out, bytes(2 + 12 * len(ifd) + 4))
    struct.pack_into("<H", out, start, len(ifd))
    for index, (tag, field) in enumerate(sorted(ifd.items(), key=lambda item: item[0])):
        data = _value(out, field.value)
        if len(data) > 4:
            data = struct.pack("<I", _append(out, data))
        struct.pack_into("<HHI4s", out, start + 2 + 12 * index, tag, field.code, field.count, data)
    return start, start + 2 + 12 * len(ifd)


def _value(out: bytearray, value: bytes | Blob | tuple[Ifd, ...]) -> bytes:
    """The value's bytes; of what is pointed at, which is appended, the offsets."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Blob):
        return struct.pack("<I", _append(out, value.data))
    return struct.pack(f"<{len(value)}I", *[_append_ifd(out, child)[0] for child in value])


def _append(out: bytearray, data: bytes) -> int:
    """Append at an even place, and say where."""
    out += bytes(len(out) % 2)
    place = len(out)
    out += data
    return place
