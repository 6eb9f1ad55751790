"""Pictures and clips in boxes that ask for more memory or time than anybody has, or for other files."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pillow_heif
from integration.render_making import quadrants
from small_pictures import make_clip
from still_bombs import LARGE, Make, put

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


HEIFS: dict[str, Make] = {
    "60000.heic": _heif_that_says(LARGE, LARGE),
    "20000.heic": _heif_that_says(20_000, 20_000),
    "grid-of-a-grid.heic": put(_heif((b"grid", _grid(30, 30, 15_000, 15_000)), (b"grid", _grid(30, 30, 512, 512)), (b"iden", b""), size=_TILE, more=_refer((1, [2] * 900), (2, [3] * 900), (3, [2])))),
    "grid-60000.heic": put(_heif((b"grid", _grid(2, 2, LARGE, LARGE)), (b"hvc1", b"x"), size=_TILE, more=_refer((1, [2] * 4)))),
    "many-references.heic": put(_heif((b"grid", _grid(256, 256, 512, 512)), (b"hvc1", b"x"), size=_TILE, more=_refer((1, [2] * 65_000)))),
    "many-extents.heic": make_many_extents,
    "deep.heic": put(_box(b"ftyp", b"heic", bytes(4), b"mif1heic") + _nested(b"meta", 200_000)),
    "many-boxes.heic": put(_box(b"ftyp", b"heic", bytes(4), b"mif1heic") + _box(b"free") * 500_000),
    "many-properties.heic": put(_heif((b"hvc1", b"x"), size=_TILE, sizes=120, more=_box(b"free") * 100_000)),
}  # fmt: skip


BOXED_RAWS: dict[str, Make] = {
    "deep.cr3": put(_box(b"ftyp", b"crx ", bytes(4), b"crx isom") + _nested(b"moov", 200_000)),
    "huge-metadata.cr3": put(_box(b"ftyp", b"crx ", bytes(4), b"crx isom") + _box(b"moov", struct.pack(">I4s", 2**32 - 1, b"CMT1"), b"II*\0\x08\0\0\0" + b"\xff" * 60_000)),
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
    return data.replace(struct.pack(">BHH", 8, 64, 96), struct.pack(">BHH", 8, LARGE, LARGE))


CLIPS: dict[str, Make] = {
    "a-billion-samples.mov": _clip_with("mov", "mjpeg", _say(b"stsz", ">III", 0, 0, 1000, 2**30)),
    "a-billion-moments.mov": _clip_with("mov", "mjpeg", _say(b"stts", ">IIII", 0, 0, 1, 2**31 - 1, 1)),
    "a-billion-chunks.mov": _clip_with("mov", "mjpeg", _say(b"stsc", ">IIII", 0, 0, 2**30, 1, 2**30)),
    "no-time-passes.mov": _clip_with("mov", "mjpeg", _say(b"stts", ">IIII", 0, 0, 1, 10, 0)),
    "lasts-for-ever.mov": _clip_with("mov", "mjpeg", _say(b"mvhd", ">IIIII", 0, 0, 0, 0, 1, 2**32 - 1)),
    "edited-for-ever.mov": _clip_with("mov", "mjpeg", _say(b"elst", ">II", 0, 0, 2**30)),
    "small-with-huge-frames.avi": _clip_with("avi", "mjpeg", _frames_of_60000),
    "deep.mov": put(_box(b"ftyp", b"qt  ", bytes(4)) + _nested(b"moov", 200_000)),
    "endless.mkv": _endless("matroska", "mpeg4", 2**40),
    "endless.mts": _endless("mpegts", "mpeg2video", 2**40),
    "endless.avi": _endless("avi", "mjpeg", 2**40),
    "endless.mpg": _endless("mpeg", "mpeg2video", 2**40),
    "in-a-circle.mts": _repeat("mpegts", "mpeg2video", 20_000),
    "in-a-circle.mpg": _repeat("mpeg", "mpeg2video", 10_000),
    "only-starts.mts": put((b"\0\0\1\x67" + bytes(60)) * 500_000),
    "only-starts.avi": put(b"\xff\xd8\xff\xe0\0\x10JFIF\0" * 2_000_000),
}


def point_elsewhere(canary: Path) -> dict[str, bytes]:
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
