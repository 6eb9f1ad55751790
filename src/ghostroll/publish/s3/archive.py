"""All share pictures in one ZIP file, made while it is sent: stored, because JPEG doesn't deflate.

Every entry has its size and checksum in front of it, not behind as a stream usually has: readers that don't
look at the directory first can't find the end of a stored entry else.
"""

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, cast

_NOT_SAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')  # what Windows refuses, and all that makes folders
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a ZIP file
_LATEST_YEAR = 2107
_PIECE = 256 * 1024
# APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
_LOCAL, _CENTRAL, _FAR, _END, _END_FAR = 30, 46, 12, 22, 56 + 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture to be packed: `size` bytes that `open` gives; `taken` is local camera time in ISO 8601."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    taken: str | None = None


def zip_pictures(entries: Iterable[Entry], check: Callable[[], None]) -> Iterator[bytes]:
    """The ZIP file in pieces; one entry is held in memory at a time. ZIP64 where it must be.

    Names are made safe and unique. Raises OSError as an entry's file does, and what `check` raises.
    """
    entries = tuple(entries)
    sink = _Sink()
    with zipfile.ZipFile(cast("BinaryIO", sink), "w", zipfile.ZIP_STORED) as archive:
        for entry, name in zip(entries, name_entries([entry.name for entry in entries]), strict=True):
            with entry.open() as file, archive.open(_describe(name, entry), "w") as target:
                while piece := file.read(_PIECE):
                    check()
                    target.write(piece)
            yield sink.take()
    yield sink.take()


def tell_archive_size(entries: Iterable[Entry]) -> int:
    """How many bytes `zip_pictures` will give."""
    entries = tuple(entries)
    offset = directory = 0
    for entry, name in zip(entries, name_entries([entry.name for entry in entries]), strict=True):
        length = len(name.encode())
        directory += _CENTRAL + length + (_FAR if offset > zipfile.ZIP64_LIMIT else 0)
        offset += _LOCAL + length + entry.size
    is_far = max(offset, directory) > zipfile.ZIP64_LIMIT or len(entries) > zipfile.ZIP_FILECOUNT_LIMIT
    return offset + directory + _END + (_END_FAR if is_far else 0)


def name_entries(names: Sequence[str]) -> list[str]:
    """The names without what leaves a folder or what a filesystem refuses, each once, whatever its case."""
    taken: set[str] = set()
    safe = []
    for name in names:
        clean = _NOT_SAFE.sub("_", name.encode("utf-8", "replace").decode()).strip(" .") or "picture"
        stem, dot, ext = clean.rpartition(".")
        stem, ext = (stem, dot + ext) if dot else (clean, "")
        number = 1
        while clean.casefold() in taken:
            number += 1
            clean = f"{stem}-{number}{ext}"
        taken.add(clean.casefold())
        safe.append(clean)
    return safe


def _describe(name: str, entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _tell_time(entry.taken))
    info.external_attr = 0o644 << 16
    info.file_size = entry.size
    return info


def _tell_time(taken: str | None) -> tuple[int, int, int, int, int, int]:
    try:
        moment = datetime.fromisoformat(taken or "")
    except ValueError:
        return _EARLIEST
    if not _EARLIEST[0] <= moment.year <= _LATEST_YEAR:
        return _EARLIEST
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


class _Sink:
    """A file of which only the end is kept, from the entry on that is being written."""

    def __init__(self) -> None:
        self._start = 0
        self._at = 0
        self._kept = bytearray()

    def write(self, piece: bytes) -> int:
        at = self._at - self._start
        self._kept[at : at + len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, _whence: int = 0) -> int:
        if offset < self._start:
            raise OSError("what was taken can't be written again")
        self._at = offset
        return offset

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        """What can't change any more."""
        taken = bytes(self._kept)
        self._start += len(taken)
        self._kept.clear()
        return taken
