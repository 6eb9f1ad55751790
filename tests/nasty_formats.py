"""Spoiling a picture file where it hurts: in the lengths, counts and offsets of its own format.

Each function takes the dice, the file and another file of its family. A file that has nothing of the
format in it comes back as it was.
"""

import random
import struct
import zlib
from collections.abc import Iterator

_COUNTS = (0, 1, 2, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_SIZES = (0, 1, 7, 8, 9, 15, 16, 0xFFFF, 0x10000, 2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1)
_FRAMES = (0xC0, 0xC1, 0xC2)  # markers of a frame's header: ITU-T T.81, table B.1
_POINTERS = (0x014A, 0x8769, 0x8825, 0xA005, 0x002E)  # tags that point to directories
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"IIU\0", b"IIRO", b"IIRS")
_FOLDERS = frozenset(
    b"moov trak mdia minf stbl edts udta meta iprp ipco dinf mvex moof traf grpl CNCV CCTP ilst".split()
)
_FULL = frozenset(b"meta iloc iinf iref pitm".split())  # boxes with four bytes of version and flags


def spoil_jpeg(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """A segment's length, a frame's size, or a segment that is gone, there again and again, or another's."""
    segments = list(find_segments(data))
    if not segments:
        return data
    start, end = dice.choice(segments)
    out = bytearray(data)
    match dice.choice(("length", "size", "double", "drop", "swap", "inside", "crowd")):
        case "length":
            _put(out, start + 2, ">H", dice.choice(_COUNTS))
        case "size":
            for at, _ in segments:
                if data[at + 1] in _FRAMES:
                    _put(out, at + 5, ">2H", *dice.choices(_COUNTS, k=2))
        case "double":
            out[end:end] = data[start:end] * dice.choice((1, 3, 300 if end - start < 1000 else 3))
        case "drop":
            del out[start:end]
        case "swap":
            theirs = list(find_segments(other))
            out[start:end] = other[slice(*dice.choice(theirs))] if theirs else b""
        case "inside":
            out[dice.randrange(start, end)] = dice.randrange(256)
        case _:
            size = dice.choice((0, 1, 4, 100))
            out[start:start] = (b"\xff\xfe" + struct.pack(">H", size + 2) + bytes(size)) * 1000
    return bytes(out)


def find_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of a JPEG's segments, up to its coded pixels."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield at, min(end, len(data))
        if data[at + 1] == 0xDA:
            return
        at = end


def spoil_tiff(dice: random.Random, data: bytes, _other: bytes) -> bytes:
    """A directory's length, its successor, or an entry's type, count, or value."""
    headers = [at for mark in _TIFF_MARKS for at in _find_all(data, mark)]
    if not headers:
        return data
    base = dice.choice(headers)
    order = ">" if data[base : base + 1] == b"M" else "<"
    folders = list(find_directories(data, base, order))
    if not folders:
        return data
    folder, entries = dice.choice(folders)
    out = bytearray(data)
    entry = folder + 2 + 12 * dice.randrange(max(1, entries))
    offsets = (*_SIZES, folder - base, entry - base, len(data) - base, len(data) - base - 1, 8)
    match dice.choice(("entries", "next", "tag", "type", "count", "value", "value", "crowd")):
        case "entries":
            _put(out, folder, order + "H", dice.choice(_COUNTS))
        case "next":
            _put(out, folder + 2 + 12 * entries, order + "I", dice.choice(offsets))
        case "tag":
            _put(out, entry, order + "H", dice.choice((*_POINTERS, 273, 279, 324, 34675, 700, 330, 50740)))
        case "type":
            _put(out, entry + 2, order + "H", dice.choice((*range(14), 16, 17, 18, 0xFFFF)))
        case "count":
            _put(out, entry + 4, order + "I", dice.choice(offsets))
        case "value":
            _put(out, entry + 8, order + "I", dice.choice(offsets))
        case _:  # every entry points to its own directory
            for at in range(folder + 2, folder + 2 + 12 * entries, 12):
                _put(out, at, order + "HHII", dice.choice(_POINTERS), 4, 1, folder - base)
    return bytes(out)


def find_directories(data: bytes, base: int, order: str) -> Iterator[tuple[int, int]]:
    """Where a TIFF's directories are, and how many entries they have; each once, two dozen at most."""
    wanted = [base + _take(data, base + 4, order + "I")]
    seen: set[int] = set()
    while wanted and len(seen) < 24:
        at = wanted.pop()
        if at in seen or not 0 < at <= len(data) - 2:
            continue
        seen.add(at)
        entries = min(_take(data, at, order + "H"), 200)
        yield at, entries
        places = range(at + 2, at + 2 + 12 * entries, 12)
        pointers = (entry for entry in places if _take(data, entry, order + "H") in _POINTERS)
        wanted += [base + _take(data, entry + 8, order + "I") for entry in pointers]
        wanted.append(base + _take(data, at + 2 + 12 * entries, order + "I"))


def spoil_boxes(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """A box's size, its name, a number at its start, or a box that is gone, twice there, or another's."""
    boxes = list(find_boxes(data, 0, len(data)))
    if len(boxes) < 2:
        return data
    start, end = dice.choice(boxes)
    out = bytearray(data)
    match dice.choice(
        ("size", "size", "name", "number", "number", "number", "double", "drop", "swap", "inside")
    ):
        case "size":
            _put(
                out, start, ">I", dice.choice((*_SIZES, end - start + 1, end - start - 1, end - start + 4096))
            )
        case "name":
            at, _ = dice.choice(boxes)
            out[start + 4 : start + 8] = data[at + 4 : at + 8]
        case "number":
            at = start + 8 + 4 * dice.randrange(max(1, min(12, (end - start - 8) // 4)))
            _put(out, at, ">I", dice.choice(_SIZES))
        case "double":
            out[end:end] = data[start:end] * dice.choice((1, 2, 100 if end - start < 2000 else 2))
        case "drop":
            del out[start:end]
        case "swap":
            theirs = list(find_boxes(other, 0, len(other)))
            out[start:end] = other[slice(*dice.choice(theirs))] if theirs else b""
        case _:
            at = dice.randrange(start, end)
            out[at : at + 1] = dice.randbytes(1)
    return bytes(out)


def find_boxes(data: bytes, at: int, end: int, depth: int = 0) -> Iterator[tuple[int, int]]:
    """Start and end of the boxes of ISO base media, those inside of others too."""
    while at + 8 <= end:
        size, name = _take(data, at, ">I"), data[at + 4 : at + 8]
        if size < 8 or at + size > end or not name.isascii():
            return
        yield at, at + size
        if name in _FOLDERS and depth < 10:
            yield from find_boxes(data, at + (12 if name in _FULL else 8), at + size, depth + 1)
        at += size


def spoil_chunks(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """As `spoil_boxes`, for PNG (whose checksums are mended mostly, so that it is read on) and RIFF."""
    is_png = data.startswith(b"\x89PNG")
    chunks = list(find_chunks(data))
    if not chunks:
        return data
    start, end = dice.choice(chunks)
    size_at = start if is_png else start + 4
    out = bytearray(data)
    match dice.choice(("size", "number", "number", "double", "drop", "swap", "inside")):
        case "size":
            _put(out, size_at, ">I" if is_png else "<I", dice.choice(_SIZES))
        case "number":
            at = start + 8 + 4 * dice.randrange(max(1, min(6, (end - start - 8) // 4)))
            _put(out, at, dice.choice("<>") + dice.choice("HI"), dice.choice(_COUNTS))
        case "double":
            out[end:end] = data[start:end] * dice.choice((1, 2, 500 if end - start < 500 else 2))
        case "drop":
            del out[start:end]
        case "swap":
            theirs = list(find_chunks(other))
            out[start:end] = other[slice(*dice.choice(theirs))] if theirs else b""
        case _:
            at = dice.randrange(start, end)
            out[at : at + 1] = dice.randbytes(1)
    if is_png and dice.random() < 0.8:
        _mend_checksums(out)
    return bytes(out)


def find_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the chunks of a PNG or RIFF file."""
    is_png, is_riff = data.startswith(b"\x89PNG"), data.startswith(b"RIFF")
    at = 8 if is_png else 12
    while (is_png or is_riff) and at + 8 <= len(data):
        size = _take(data, at, ">I") if is_png else _take(data, at + 4, "<I")
        end = at + size + 12 if is_png else at + size + size % 2 + 8
        yield at, min(end, len(data))
        if data[at : at + 4] == b"LIST" and is_riff:
            end = at + 12  # what is inside follows
        at = end


def _mend_checksums(png: bytearray) -> None:
    for start, end in list(find_chunks(bytes(png))):
        if end - start >= 12:
            struct.pack_into(">I", png, end - 4, zlib.crc32(png[start + 4 : end - 4]))


def _find_all(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _take(data: bytes, at: int, layout: str) -> int:
    size = struct.calcsize(layout)
    return int(struct.unpack(layout, data[at : at + size].ljust(size, b"\0"))[0])


def _put(out: bytearray, at: int, layout: str, *values: int) -> None:
    """Write as much of it as there is room for."""
    size = struct.calcsize(layout)
    packed = struct.pack(
        layout, *(value & 0xFFFF if layout[-1] == "H" else value & 2**32 - 1 for value in values)
    )
    if 0 <= at < len(out):
        out[at : at + size] = packed[: len(out) - at]
