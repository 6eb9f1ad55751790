"""Who reads cards, and whether they may: filesystems with owners of their own let in whom they like."""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRIES = 2000  # that are looked at; a card may have any number
_DEPTH = 3  # as far as the pictures in DCIM/100CANON


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads cards: FAT and exFAT files are shown as theirs. `groups` are all that they are in."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]


def find_reader(name: str) -> Reader:
    """A user of this machine. Raises KeyError where there is none of that name."""
    entry = pwd.getpwnam(name)
    return Reader(name, entry.pw_uid, entry.pw_gid, frozenset(os.getgrouplist(name, entry.pw_gid)))


def may_read(found: os.stat_result, reader: Reader) -> bool:
    """Whether somebody may read a file, or list a folder and go into it. path_resolution(7)."""
    wanted = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    if found.st_uid == reader.uid:
        return found.st_mode >> 6 & wanted == wanted
    if found.st_gid in reader.groups:
        return found.st_mode >> 3 & wanted == wanted
    return found.st_mode & wanted == wanted


def list_unreadable(point: bytes, reader: Reader) -> list[bytes]:
    """What near the top of a mounted volume the reader may not read, as paths in it; "." is all of it.

    Not the whole card is looked through: what is deeper is named when it is copied.
    """
    with contextlib.suppress(OSError), _open_folder(point) as folder:
        if not may_read(os.fstat(folder), reader):
            return [b"."]
        looked_at = islice(_walk(folder, b"", reader, _DEPTH), _ENTRIES)
        return sorted(path for path, readable in looked_at if not readable)
    return []


def _walk(folder: int, above: bytes, reader: Reader, depth: int) -> Iterator[tuple[bytes, bool]]:
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found, name = entry.stat(follow_symlinks=False), os.fsencode(entry.name)
            is_folder = stat.S_ISDIR(found.st_mode)
            if is_folder or stat.S_ISREG(found.st_mode):
                readable = may_read(found, reader)
                yield above + name, readable
                if is_folder and readable and depth > 1:
                    inner.append(name)
    for name in inner:
        with _open_folder(name, folder) as descriptor:
            yield from _walk(descriptor, above + name + b"/", reader, depth - 1)


@contextlib.contextmanager
def _open_folder(path: bytes, above: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
