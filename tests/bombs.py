"""Pictures and clips that ask for more than anybody has: memory, time, or other files. All made here, byte by byte."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pillow_heif
from campaign import pick
from integration.render_making import quadrants
from nasty_formats import find_segments
from small_pictures import make_clip

from ghostroll.model import Kind

Make = Callable[[Path], None]
Entries = dict[int, tuple[int, int, int]]  # of a TIFF directory: type, count, value
_LARGE = 60_000  # pixels of a side
_MIB = 2**20


def list_bombs(canary: Path) -> dict[str, tuple[Kind, Make]]:
    """Every bomb by its file's name; `canary` is a file that some of them want to be read."""
    return {
        **{name: (Kind.IMAGE, make) for name, make in _IMAGES.items()},
        **{name: (Kind.JPEG, make) for name, make in _JPEGS.items()},
        **{name: (Kind.HEIF, make) for name, make in _HEIFS.items()},
        **{name: (Kind.RAW, make) for name, make in _RAWS.items()},
        **{name: (Kind.VIDEO, make) for name, make in _CLIPS.items()},
        **{name: (Kind.VIDEO, _put(data)) for name, data in _pointers(canary).items()},
    }


def _put(data: bytes) -> Make:
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


_IMAGES: dict[str, Make] = {
    "grey-480-megapixels.png": _png_of_zeros(24_000, 20_000, 0, 1),
    "colour-480-megapixels.png": _png_of_zeros(24_000, 20_000, 2, 3),
    "clear-60000.png": _put(_png((_LARGE, _LARGE), (b"IDAT", b"x"), colour=6)),
    "wide.png": _put(_png((2**31 - 1, 1), (b"IDAT", zlib.compress(bytes(1000))))),
    "packed-text.png": _png_with((b"zTXt", lambda: b"k\0\0" + _zeros(_pick_mib() * _MIB))),
    "packed-profile.png": _png_with((b"iCCP", lambda: b"k\0\0" + _zeros(_pick_mib() * _MIB))),
    "packed-pixels.png": _png_with((b"IDAT", lambda: _zeros(_pick_mib() * _MIB))),
    "half-a-million-chunks.png": _png_with((b"tEXt", lambda: b"k\0v"), times=500_000),
    "a-film-of-4-billion.png": _png_with((b"acTL", lambda: struct.pack(">II", 2**32 - 1, 0))),
    "one-huge-strip.tif": _tiff_of(20_000, 20_000, {279: (4, 1, 2**31), 278: (4, 1, 2**32 - 1)}),
    "strips-beyond-the-end.tif": _tiff_of(1000, 1000, {273: (4, 2**28, 200), 279: (4, 2**28, 200)}),
    "deflated.tif": _tiff_deflated,
    "packbits.tif": _tiff_of(30_000, 15_000, compression=32773, body=b"\x81\0" * 300_000),
    "one-bit-60000.tif": _tiff_of(_LARGE, _LARGE, {258: (3, 1, 1)}, compression=4, body=b"\0" * 1000),
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


_JPEGS: dict[str, Make] = {
    "comments.jpg": _jpeg_with(0xFE, b"", 1600),  # 100 MB
    "exif.jpg": _jpeg_with(0xE1, b"Exif\0\0", 1600),
    "xmp.jpg": _jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0", 1600),
    "profile.jpg": _jpeg_with(0xE2, b"ICC_PROFILE\0\1\xff", 1600),
    "several.jpg": _jpeg_with(0xE2, b"MPF\0II*\0\x08\0\0\0", 200),
    "photoshop.jpg": _jpeg_with(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000, 400),
    "half-a-million-segments.jpg": _jpeg_with(0xEB, b"", 500_000, size=2),
    "60000.jpg": _jpeg_of(_LARGE, _LARGE),
    "60000-in-scans.jpg": _jpeg_of(_LARGE, _LARGE, progressive=True),
    "wide.jpg": _jpeg_of(65_500, 7_000, progressive=True),
    "tall.jpg": _jpeg_of(7_000, 65_500),
}


# ISO base media: ISO/IEC 14496-12, and HEIF: ISO/IEC 23008-12


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, name) + body


def _full(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)


def _heif(
    *items: tuple[bytes, bytes], size: bytes, extents: int = 1, more: bytes = b"", sizes: int = 1
) -> bytes:
    """A file of items, each of a kind and some bytes; the first is the picture."""
    handler = _full(b"hdlr", bytes(4), b"pict", bytes(13))
    places, infos, owned, idat = [], [], [], b""
    for number, (kind, data) in enumerate(items, 1):
        spans = struct.pack(">II", len(idat), len(data)) * extents
        places.append(struct.pack(">HHHH", number, 1, 0, extents) + spans)
        infos.append(_box(b"infe", struct.pack(">IHH4s1s", 0x02000000, number, 0, kind, b"\0")))
        owned.append(struct.pack(">HB", number, sizes) + bytes(0x80 | at + 1 for at in range(sizes)))
        idat += data
    count = len(items)
    meta = _full(
        b"meta", handler, _full(b"pitm", struct.pack(">H", 1)),
        _box(b"iloc", struct.pack(">IHH", 0x01000000, 0x4400, count), *places),
        _full(b"iinf", struct.pack(">H", count), *infos), more,
        _box(b"iprp", _box(b"ipco", *[size] * sizes), _full(b"ipma", struct.pack(">I", count), *owned)), _box(b"idat", idat),
    )  # fmt: skip
    return _box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta


def _sized(width: int, height: int) -> bytes:
    return _full(b"ispe", struct.pack(">II", width, height))


def _grid(rows: int, columns: int, width: int, height: int) -> bytes:
    return struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)


def _refer(*references: tuple[int, list[int]]) -> bytes:
    """Which items are made of which."""
    return _full(
        b"iref",
        *(
            _box(b"dimg", struct.pack(f">HH{len(parts)}H", whole, len(parts), *parts))
            for whole, parts in references
        ),
    )


def _heif_that_says(width: int, height: int) -> Make:
    """A real picture under a false size."""

    def make(path: Path) -> None:
        file = io.BytesIO()
        pillow_heif.from_pillow(quadrants((64, 64))).save(file)
        data = bytearray(file.getvalue())
        struct.pack_into(">II", data, data.index(b"ispe") + 8, width, height)
        path.write_bytes(data)

    return make


def _nested(name: bytes, depth: int) -> bytes:
    """A box in a box in a box; those in the middle end where the file does."""
    return b"".join(struct.pack(">I4s", 8 * (depth - number) + 8, name) for number in range(depth)) + _box(
        b"free"
    )


_TILE = _sized(512, 512)


def make_many_extents(path: Path) -> None:
    """A picture in 65,000 pieces."""
    path.write_bytes(_heif((b"hvc1", bytes(60_000)), size=_TILE, extents=65_000))


_HEIFS: dict[str, Make] = {
    "60000.heic": _heif_that_says(_LARGE, _LARGE),
    "20000.heic": _heif_that_says(20_000, 20_000),
    "grid-of-a-grid.heic": _put(_heif((b"grid", _grid(30, 30, 15_000, 15_000)), (b"grid", _grid(30, 30, 512, 512)), (b"iden", b""), size=_TILE, more=_refer((1, [2] * 900), (2, [3] * 900), (3, [2])))),
    "grid-60000.heic": _put(_heif((b"grid", _grid(2, 2, _LARGE, _LARGE)), (b"hvc1", b"x"), size=_TILE, more=_refer((1, [2] * 4)))),
    "many-references.heic": _put(_heif((b"grid", _grid(256, 256, 512, 512)), (b"hvc1", b"x"), size=_TILE, more=_refer((1, [2] * 65_000)))),
    "many-extents.heic": make_many_extents,
    "deep.heic": _put(_box(b"ftyp", b"heic", bytes(4), b"mif1heic") + _nested(b"meta", 200_000)),
    "many-boxes.heic": _put(_box(b"ftyp", b"heic", bytes(4), b"mif1heic") + _box(b"free") * 500_000),
    "many-properties.heic": _put(_heif((b"hvc1", b"x"), size=_TILE, sizes=120, more=_box(b"free") * 100_000)),
}  # fmt: skip


# DNG 1.4

_MOSAIC: Entries = {258: (3, 1, 16), 262: (3, 1, 32803), 33421: (3, 2, 0x00020002), 33422: (1, 4, 0x02010100)}
_DNG: Entries = _MOSAIC | {50706: (1, 4, 0x0401)}


def _dng_of_directories(path: Path) -> None:
    """Twenty thousand directories, each the successor of the one before."""
    places = range(8, 8 + 18 * 20_000, 18)
    chain = [struct.pack("<HHHIII", 1, 0x0110, 2, 4, 0x41414141, at + 18) for at in places]
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + b"".join(chain))


_RAWS: dict[str, Make] = {
    "60000.dng": _tiff_of(_LARGE, _LARGE, _DNG),
    "65000-packed.dng": _tiff_of(65_000, 7_000, _DNG | {279: (4, 1, 2**31)}),
    "many-strips.dng": _tiff_of(8_000, 8_000, _DNG | {273: (4, 2**27, 8), 279: (4, 2**27, 8)}),
    "many-previews.dng": _tiff_of(100, 100, _DNG | {330: (4, 2**30, 8)}),
    "in-a-circle.nef": _tiff_chain,
    "directories.dng": _dng_of_directories,
    "deep.cr3": _put(_box(b"ftyp", b"crx ", bytes(4), b"crx isom") + _nested(b"moov", 200_000)),
    "huge-metadata.cr3": _put(_box(b"ftyp", b"crx ", bytes(4), b"crx isom") + _box(b"moov", struct.pack(">I4s", 2**32 - 1, b"CMT1"), b"II*\0\x08\0\0\0" + b"\xff" * 60_000)),
}  # fmt: skip


# Clips


def _clip_with(container: str, codec: str, spoil: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(spoil(make_clip(container, codec)))

    return make


def _say(name: bytes, layout: str, at: int, *values: int) -> Callable[[bytes], bytes]:
    """Other numbers so many bytes after a box's name."""

    def spoil(data: bytes) -> bytes:
        out = bytearray(data)
        struct.pack_into(layout, out, data.index(name) + 4 + at, *values)
        return bytes(out)

    return spoil


def _endless(container: str, codec: str, size: int) -> Make:
    """A clip whose file goes on with nothing for gigabytes."""

    def make(path: Path) -> None:
        _clip_with(container, codec, lambda data: data[: len(data) * 2 // 3])(path)
        os.truncate(path, size)

    return make


def _repeat(container: str, codec: str, times: int) -> Make:
    """The same moments again and again, so that time goes round in a circle."""
    return _clip_with(container, codec, lambda data: data + data[len(data) // 2 :] * times)


def _frames_of_60000(data: bytes) -> bytes:
    """The clip says that it is small, its frames say otherwise."""
    return data.replace(struct.pack(">BHH", 8, 64, 96), struct.pack(">BHH", 8, _LARGE, _LARGE))


_CLIPS: dict[str, Make] = {
    "a-billion-samples.mov": _clip_with("mov", "mjpeg", _say(b"stsz", ">III", 0, 0, 1000, 2**30)),
    "a-billion-moments.mov": _clip_with("mov", "mjpeg", _say(b"stts", ">IIII", 0, 0, 1, 2**31 - 1, 1)),
    "a-billion-chunks.mov": _clip_with("mov", "mjpeg", _say(b"stsc", ">IIII", 0, 0, 2**30, 1, 2**30)),
    "no-time-passes.mov": _clip_with("mov", "mjpeg", _say(b"stts", ">IIII", 0, 0, 1, 10, 0)),
    "lasts-for-ever.mov": _clip_with("mov", "mjpeg", _say(b"mvhd", ">IIIII", 0, 0, 0, 0, 1, 2**32 - 1)),
    "edited-for-ever.mov": _clip_with("mov", "mjpeg", _say(b"elst", ">II", 0, 0, 2**30)),
    "small-with-huge-frames.avi": _clip_with("avi", "mjpeg", _frames_of_60000),
    "deep.mov": _put(_box(b"ftyp", b"qt  ", bytes(4)) + _nested(b"moov", 200_000)),
    "endless.mkv": _endless("matroska", "mpeg4", 2**40),
    "endless.mts": _endless("mpegts", "mpeg2video", 2**40),
    "endless.avi": _endless("avi", "mjpeg", 2**40),
    "endless.mpg": _endless("mpeg", "mpeg2video", 2**40),
    "in-a-circle.mts": _repeat("mpegts", "mpeg2video", 20_000),
    "in-a-circle.mpg": _repeat("mpeg", "mpeg2video", 10_000),
    "only-starts.mts": _put((b"\0\0\1\x67" + bytes(60)) * 500_000),
    "only-starts.avi": _put(b"\xff\xd8\xff\xe0\0\x10JFIF\0" * 2_000_000),
}


def _pointers(canary: Path) -> dict[str, bytes]:
    """Clips that say their pictures are in another file, or somewhere on a network."""
    place = os.fsencode(canary)
    moved = bytearray(make_clip("mov", "mjpeg"))
    link = _full(b"url ", b"file://" + place + b"\0")
    alias = bytearray(150) + struct.pack(">hH", 2, len(place)) + place + struct.pack(">hh", -1, 0)
    struct.pack_into(">HH", alias, 4, len(alias), 2)  # QuickTime's alias record, version 2
    for entry in (b"alis", b"url "):
        at = moved.find(entry)
        if at > 0:  # no longer "in this very file"
            moved[at + 4 : at + 8] = bytes(4)
    sources = _box(b"dinf", _full(b"dref", struct.pack(">I", 2), link, _full(b"alis", bytes(alias))))
    return {
        "elsewhere.mov": bytes(moved) + _box(b"moov", sources),
        "elsewhere.mp4": b"#EXTM3U\n#EXTINF:1,\n" + place + b"\n",
        "asf.wmv": b"[Reference]\r\nRef1=http://127.0.0.1:9/x\r\n",
        "session.mov": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "redirect.mov": b"RTSPtextrtsp://127.0.0.1:9/x",
        "manifest.mp4": b"<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>file://%s</BaseURL>"
        % place,
        "concat.mov": b"ffconcat version 1.0\nfile '%s'\n" % place,
    }


def write_bombs(place: Path, bombs: dict[str, tuple[Kind, Make]]) -> Iterator[tuple[str, Kind]]:
    """Make the files, and say what each is called and is."""
    for name, (kind, make) in bombs.items():
        make(place / name)
        yield name, kind
