"""Still pictures that ask for more memory or time than anybody has, made byte by byte."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from campaign import pick
from integration.render_making import quadrants
from nasty_formats import find_segments

Make = Callable[[Path], None]
Entries = dict[int, tuple[int, int, int]]  # of a TIFF directory: type, count, value
LARGE = 60_000  # pixels of a side
_MIB = 2**20


def put(data: bytes) -> Make:
    """What writes just these bytes."""

    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


# PNG: ISO/IEC 15948


def _png(size: tuple[int, int], *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    packed = ((b"IHDR", header), *chunks, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in packed
    )


def _zeros(size: int) -> bytes:
    """So many zeros, compressed to a thousandth."""
    packer = zlib.compressobj(9)
    whole, rest = divmod(size, _MIB)
    return b"".join(
        (*(packer.compress(bytes(_MIB)) for _ in range(whole)), packer.compress(bytes(rest)), packer.flush())
    )


def _pick_mib() -> int:
    """How much a small file unpacks to; packing it is what takes time."""
    return pick(100, 1000)


def _png_of_zeros(width: int, height: int, colour: int, bands: int) -> Make:
    def make(path: Path) -> None:
        pixels = _zeros((width * bands + 1) * height)
        path.write_bytes(_png((width, height), (b"IDAT", pixels), colour=colour))

    return make


def make_packed_pixels(path: Path) -> None:
    """In 58 bytes, 1.9 GB of pixels."""
    path.write_bytes(_png((22_000, 22_000), (b"IDAT", zlib.compress(bytes(100))), colour=6))


def _png_with(*chunks: tuple[bytes, Callable[[], bytes]], times: int = 1) -> Make:
    """A small picture with something before its pixels."""

    def make(path: Path) -> None:
        pixels = zlib.compress(bytes(17 * 16))
        path.write_bytes(
            _png((16, 16), *[(name, data()) for name, data in chunks] * times, (b"IDAT", pixels))
        )

    return make


# TIFF 6.0


def _tiff(tags: Entries, body: bytes = b"") -> bytes:
    """A directory of (type, count, value) and what follows it."""
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + body


def _tiff_of(
    width: int, height: int, more: Entries | None = None, *, compression: int = 1, body: bytes = b""
) -> Make:
    """A grey picture in one strip, which is `body`; `more` are other entries, or better ones."""
    tags: Entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression)}
    tags |= {262: (3, 1, 1), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, len(body)), 284: (3, 1, 1)}
    tags |= {273: (4, 1, 0)} | (more or {})
    if not tags[273][2]:
        tags[273] = (4, 1, 8 + 2 + 12 * len(tags) + 4)

    def make(path: Path) -> None:
        path.write_bytes(_tiff(tags, body))

    return make


def _tiff_deflated(path: Path) -> None:
    _tiff_of(40_000, 12_000, compression=8, body=_zeros(480_000_000))(path)


def _tiff_chain(path: Path) -> None:
    """A directory whose successor, and whose every entry, is itself."""
    entries = struct.pack("<HHII", 0x8769, 4, 1, 8) * 200
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, 200) + entries + struct.pack("<I", 8))


# WebP lossless: a picture whose every prefix code has one symbol has no bits at all


def _webp_of_nothing(path: Path) -> None:
    bits, at = 0, 0
    for value, width in (
        (16382, 14),
        (16382, 14),
        (0, 1),
        (0, 3),
        (0, 1),
        (0, 1),
        (0, 1),
        *[(1, 1), (0, 1), (0, 1), (0, 1)] * 5,
    ):
        bits |= value << at
        at += width
    data = b"\x2f" + bits.to_bytes(16, "little")
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)


IMAGES: dict[str, Make] = {
    "grey-480-megapixels.png": _png_of_zeros(24_000, 20_000, 0, 1),
    "colour-480-megapixels.png": _png_of_zeros(24_000, 20_000, 2, 3),
    "clear-60000.png": put(_png((LARGE, LARGE), (b"IDAT", b"x"), colour=6)),
    "wide.png": put(_png((2**31 - 1, 1), (b"IDAT", zlib.compress(bytes(1000))))),
    "packed-text.png": _png_with((b"zTXt", lambda: b"k\0\0" + _zeros(_pick_mib() * _MIB))),
    "packed-profile.png": _png_with((b"iCCP", lambda: b"k\0\0" + _zeros(_pick_mib() * _MIB))),
    "packed-pixels.png": _png_with((b"IDAT", lambda: _zeros(_pick_mib() * _MIB))),
    "half-a-million-chunks.png": _png_with((b"tEXt", lambda: b"k\0v"), times=500_000),
    "a-film-of-4-billion.png": _png_with((b"acTL", lambda: struct.pack(">II", 2**32 - 1, 0))),
    "one-huge-strip.tif": _tiff_of(20_000, 20_000, {279: (4, 1, 2**31), 278: (4, 1, 2**32 - 1)}),
    "strips-beyond-the-end.tif": _tiff_of(1000, 1000, {273: (4, 2**28, 200), 279: (4, 2**28, 200)}),
    "deflated.tif": _tiff_deflated,
    "packbits.tif": _tiff_of(30_000, 15_000, compression=32773, body=b"\x81\0" * 300_000),
    "one-bit-60000.tif": _tiff_of(LARGE, LARGE, {258: (3, 1, 1)}, compression=4, body=b"\0" * 1000),
    "huge-tiles.tif": _tiff_of(100, 100, {322: (4, 1, 65536), 323: (4, 1, 65536), 324: (4, 1, 8), 325: (4, 1, 2**31)}),
    "many-bands.tif": _tiff_of(10_000, 10_000, {277: (3, 1, 65535)}),
    "in-a-circle.tif": _tiff_chain,
    "of-nothing.webp": _webp_of_nothing,
}  # fmt: skip


# JPEG: ITU-T T.81


def _small_jpeg(**options: bool) -> bytes:
    file = io.BytesIO()
    quadrants((64, 64)).save(file, "JPEG", **options)
    return file.getvalue()


def _jpeg_with(marker: int, head: bytes, times: int, size: int = 65_533) -> Make:
    """A small picture with the same segment again and again before its pixels."""

    def make(path: Path) -> None:
        small = _small_jpeg()
        segment = b"\xff" + bytes([marker]) + struct.pack(">H", size + 2) + head.ljust(size, b"\0")
        with path.open("wb") as file:
            file.write(small[:2])
            for _ in range(times):
                file.write(segment)
            file.write(small[2:])

    return make


def _jpeg_of(width: int, height: int, *, progressive: bool = False) -> Make:
    """A small picture that says it has another size."""

    def make(path: Path) -> None:
        data = bytearray(_small_jpeg(progressive=progressive))
        at = next(at for at, _ in find_segments(bytes(data)) if data[at + 1] in (0xC0, 0xC2))
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        path.write_bytes(data)

    return make


def make_endless_scans(path: Path) -> None:
    """A progressive picture of 100 megapixels whose last scan comes 3,000 times: minutes of work in 100 kB."""
    data = bytearray(_small_jpeg(progressive=True))
    frame = next(at for at, _ in find_segments(bytes(data)) if data[at + 1] == 0xC2)
    data[frame + 5 : frame + 9] = struct.pack(">HH", 10_000, 10_000)
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:-2] + data[last:-2] * 3000 + data[-2:])


JPEGS: dict[str, Make] = {
    "comments.jpg": _jpeg_with(0xFE, b"", 1600),  # 100 MB
    "exif.jpg": _jpeg_with(0xE1, b"Exif\0\0", 1600),
    "xmp.jpg": _jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0", 1600),
    "profile.jpg": _jpeg_with(0xE2, b"ICC_PROFILE\0\1\xff", 1600),
    "several.jpg": _jpeg_with(0xE2, b"MPF\0II*\0\x08\0\0\0", 200),
    "photoshop.jpg": _jpeg_with(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000, 400),
    "half-a-million-segments.jpg": _jpeg_with(0xEB, b"", 500_000, size=2),
    "60000.jpg": _jpeg_of(LARGE, LARGE),
    "60000-in-scans.jpg": _jpeg_of(LARGE, LARGE, progressive=True),
    "wide.jpg": _jpeg_of(65_500, 7_000, progressive=True),
    "tall.jpg": _jpeg_of(7_000, 65_500),
}


# DNG 1.4

_MOSAIC: Entries = {258: (3, 1, 16), 262: (3, 1, 32803), 33421: (3, 2, 0x00020002), 33422: (1, 4, 0x02010100)}
_DNG: Entries = _MOSAIC | {50706: (1, 4, 0x0401)}


def _dng_of_directories(path: Path) -> None:
    """Twenty thousand directories, each the successor of the one before."""
    places = range(8, 8 + 18 * 20_000, 18)
    chain = [struct.pack("<HHHIII", 1, 0x0110, 2, 4, 0x41414141, at + 18) for at in places]
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + b"".join(chain))


RAWS: dict[str, Make] = {
    "60000.dng": _tiff_of(LARGE, LARGE, _DNG),
    "65000-packed.dng": _tiff_of(65_000, 7_000, _DNG | {279: (4, 1, 2**31)}),
    "many-strips.dng": _tiff_of(8_000, 8_000, _DNG | {273: (4, 2**27, 8), 279: (4, 2**27, 8)}),
    "many-previews.dng": _tiff_of(100, 100, _DNG | {330: (4, 2**30, 8)}),
    "in-a-circle.nef": _tiff_chain,
    "directories.dng": _dng_of_directories,
}  # fmt: skip
