"""Pictures made for the render tests, and how their renditions are looked at."""

import io
import struct
import zlib
from pathlib import Path

import av
from PIL import Image

Colour = tuple[int, int, int]
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 30), (30, 30, 220), (250, 250, 250)
UPRIGHT = (RED, GREEN, BLUE, WHITE)  # top left, top right, bottom left, bottom right

# EXIF 2.32, Orientation: which sides of the scene the stored row 0 and column 0 are
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
_OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
_CORNERS = {
    frozenset(("top", "left")): RED,
    frozenset(("top", "right")): GREEN,
    frozenset(("bottom", "left")): BLUE,
    frozenset(("bottom", "right")): WHITE,
}


def quadrants(size: tuple[int, int], colours: tuple[Colour, ...] = UPRIGHT) -> Image.Image:
    """Four flat fields: top left, top right, bottom left, bottom right."""
    width, height = size
    image = Image.new("RGB", size)
    for index, colour in enumerate(colours):
        left, top = index % 2 * (width // 2), index // 2 * (height // 2)
        image.paste(
            colour, (left, top, width if index % 2 else width // 2, height if index > 1 else height // 2)
        )
    return image


def stored_quadrants(size: tuple[int, int], orientation: int) -> Image.Image:
    """The scene UPRIGHT of `size` pixels as a camera stores it that writes `orientation`."""
    row, column = SIDES[orientation]
    corners = [
        _CORNERS[frozenset((r, c))] for r in (row, _OPPOSITE[row]) for c in (column, _OPPOSITE[column])
    ]
    stored = size if row in ("top", "bottom") else (size[1], size[0])
    return quadrants(stored, tuple(corners))


def opened(data: bytes) -> Image.Image:
    """A rendition, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def fields(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the four fields."""
    width, height = image.size
    spots = [(width // 4, height // 4), (width * 3 // 4, height // 4)]
    spots += [(width // 4, height * 3 // 4), (width * 3 // 4, height * 3 // 4)]
    return [image.getpixel(spot) for spot in spots]  # type: ignore[misc]  # of RGB: a tuple


def is_upright(data: bytes, tolerance: int = 24) -> bool:
    """Whether a rendition shows the scene UPRIGHT, within what JPEG and colour conversion change."""
    return all(
        abs(seen - wanted) <= tolerance
        for colour, expected in zip(fields(opened(data)), UPRIGHT, strict=True)
        for seen, wanted in zip(colour, expected, strict=True)
    )


def jpeg_markers(data: bytes) -> list[int]:
    """The markers of a JPEG file in order (the second byte of each), to its end."""
    assert data[:2] == b"\xff\xd8"
    at, markers = 2, [0xD8]
    while at < len(data):
        assert data[at] == 0xFF
        marker = data[at + 1]
        markers.append(marker)
        if marker == 0xD9:
            assert at + 2 == len(data)
            return markers
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:  # what follows is coded pixels
            while data[at] != 0xFF or data[at + 1] in (0x00, *range(0xD0, 0xD8)):
                at += 1
    raise AssertionError("no end of image")


def exif_with(orientation: int) -> Image.Exif:
    """EXIF that says how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_of(width: int, height: int, *, bits: int, data: bytes) -> bytes:
    """A PNG of RGB whose rows are given as they are, or left out."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def write_clip(path: Path, frames: list[Image.Image], turn: int) -> None:
    """A clip of these frames, to be turned by so many degrees where its container can say so."""
    with av.open(str(path), "w", format="mpegts" if path.suffix == ".mts" else None) as container:
        stream = container.add_stream(
            "mpeg2video" if path.suffix == ".mts" else "mpeg4", rate=10 if path.suffix != ".mts" else 25
        )
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        if turn:
            stream.set_display_rotation(turn)
        if path.suffix == ".mts":
            frames = [frame for frame in frames for _ in range(5)][::2]
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))  # type: ignore[no-untyped-call]  # PyAV's stub forgot it
        container.mux(stream.encode(None))


def write_dng(path: Path, size: tuple[int, int], orientation: int, preview: bytes | None = None) -> None:
    """A small DNG (1.4): a mosaic of the scene UPRIGHT as stored, and a JPEG preview where one is given."""
    width, height = size
    scene = stored_quadrants(size if orientation < 5 else (height, width), orientation)
    assert scene.size == size
    mosaic = bytearray()
    for y in range(height):
        for x in range(width):
            channel = (0, 1, 1, 2)[y % 2 * 2 + x % 2]
            value = scene.getpixel((x, y))[channel]  # type: ignore[index]  # of RGB: a tuple
            mosaic += struct.pack("<H", round(65535 * (value / 255) ** 2.2))
    raw = {
        254: ("I", [0]), 256: ("I", [width]), 257: ("I", [height]), 258: ("H", [16]), 259: ("H", [1]),
        262: ("H", [32803]), 273: ("I", [0]), 277: ("H", [1]), 278: ("I", [height]), 279: ("I", [len(mosaic)]),
        33421: ("H", [2, 2]), 33422: ("B", [0, 1, 1, 2]), 50717: ("I", [65535]),
    }  # fmt: skip
    small = {
        254: ("I", [1]), 256: ("I", [0]), 257: ("I", [0]), 258: ("H", [8, 8, 8]), 259: ("H", [7]),
        262: ("H", [6]), 273: ("I", [0]), 277: ("H", [3]), 278: ("I", [0]), 279: ("I", [len(preview or b"")]),
    }  # fmt: skip
    common = {
        271: ("s", list(b"Ghost\0")), 272: ("s", list(b"Roll One\0")), 274: ("H", [orientation]),
        306: ("s", list(b"2026:11:22 14:30:15\0")), 50706: ("B", [1, 4, 0, 0]),
        50708: ("s", list(b"Ghost Roll One\0")),
        50721: ("r", [32404542, -15371385, -4985314, -9692660, 18760108, 415560, 556434, -2040259, 10572252]),
        50728: ("R", [10000000, 10000000, 10000000]), 50778: ("H", [21]),
    }  # fmt: skip
    if preview is None:
        first, second = raw | common, None
    else:
        seen = opened(preview)
        small |= {256: ("I", [seen.width]), 257: ("I", [seen.height]), 278: ("I", [seen.height])}
        first, second = small | common | {330: ("I", [0])}, raw
    path.write_bytes(_tiff(first, preview if second else bytes(mosaic), second, bytes(mosaic)))


def _tiff(
    first: dict[int, tuple[str, list[int]]],
    first_data: bytes | None,
    second: dict[int, tuple[str, list[int]]] | None,
    second_data: bytes,
) -> bytes:
    """A little-endian TIFF of one directory, and of one below it where there is a second."""
    assert first_data is not None
    data_at = 8
    below_at = data_at + len(first_data)
    out = bytearray(first_data)
    first[273] = ("I", [data_at])
    if second is not None:
        second[273] = ("I", [below_at])
        out += second_data
        directory_at = 8 + len(out) + len(out) % 2
        out += bytes(len(out) % 2) + _directory(second, directory_at)
        first[330] = ("I", [directory_at])
    out += bytes(len(out) % 2)
    first_at = 8 + len(out)
    return struct.pack("<2sHI", b"II", 42, first_at) + out + _directory(first, first_at)


def _directory(tags: dict[int, tuple[str, list[int]]], at: int) -> bytes:
    types = {"B": 1, "s": 2, "H": 3, "I": 4, "R": 5, "r": 10}
    entries, beyond = b"", b""
    beyond_at = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        if kind in "Rr":
            packed = b"".join(struct.pack("<iI", value, 10000000) for value in values)
        else:
            packed = struct.pack(f"<{len(values)}{'B' if kind == 's' else kind}", *values)
        if len(packed) > 4:
            packed += bytes(len(packed) % 2)
            place = struct.pack("<I", beyond_at + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, types[kind], len(values)) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + beyond
