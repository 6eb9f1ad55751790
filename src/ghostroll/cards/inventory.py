"""Scanning a card: every entry by name, size and time; nothing is opened but folders."""

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from ghostroll.cards.kinds import tell_kind
from ghostroll.cards.reading import open_below, tell_time
from ghostroll.cards.volume import Medium
from ghostroll.errors import MachineShort
from ghostroll.model import Found, Kind, SourceState

_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
# A camera locks a picture by FAT's read-only attribute, which Linux shows as a file that nobody may write to
# (mount(8), fmask). How the card itself is mounted does not change that.
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_DEEPEST = 64  # a damaged folder may contain itself
_TYPES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device node",
    stat.S_IFCHR: "a device node",
}


def take_inventory(medium: Medium, leave_out: Sequence[str], *, check: Callable[[], None]) -> list[Found]:
    """Everything on a card in a stable order, each folder's files before its folders.

    What is not a file is listed as skipped, what can't be listed as failed under its own name. `check`
    is called for every folder and may raise to stop. Raises CardGone where the card left meanwhile,
    MachineShort where a folder could not be listed for want of it.
    """
    found = list(_walk(medium, b"", [], leave_out, check))
    medium.check_present()
    return found


def _walk(
    medium: Medium,
    folder: bytes,
    above: list[tuple[int, int]],
    leave_out: Sequence[str],
    check: Callable[[], None],
) -> Iterator[Found]:
    check()
    inner: list[tuple[bytes, os.stat_result]] = []
    try:
        with open_below(medium.root, folder or b".", _FOLDER) as descriptor:
            for name in sorted(os.fsencode(name) for name in os.listdir(descriptor)):
                path = folder + b"/" + name if folder else name
                try:
                    entry = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except OSError as error:
                    if error.errno in MachineShort.numbers:
                        raise
                    yield _failed(path, f"can't be looked at ({error.strerror})")
                    continue
                reason = _tell_why_skipped(name, entry, medium, leave_out)
                if reason is not None:
                    yield Found(path, _size(entry), tell_time(entry), Kind.OTHER, SourceState.SKIPPED, reason)
                elif stat.S_ISDIR(entry.st_mode):
                    inner.append((path, entry))
                else:
                    locked = not entry.st_mode & _WRITABLE
                    yield Found(path, entry.st_size, tell_time(entry), tell_kind(path), protected=locked)
    except OSError as error:
        MachineShort.check(error)
        medium.check_present()
        yield _failed(folder or b".", f"can't be listed ({error.strerror})")
        return
    for path, entry in inner:
        identity = (entry.st_dev, entry.st_ino)
        if identity in above or len(above) >= _DEEPEST:
            yield _failed(path, "can't be listed (the folder contains itself, the card is damaged)")
        else:
            yield from _walk(medium, path, [*above, identity], leave_out, check)


def _tell_why_skipped(
    name: bytes, entry: os.stat_result, medium: Medium, leave_out: Sequence[str]
) -> str | None:
    shown = os.fsdecode(name).lower()
    if any(fnmatch.fnmatchcase(shown, pattern.lower()) for pattern in leave_out):
        return "left out by cards.leave_out"
    if stat.S_ISDIR(entry.st_mode):
        return "another filesystem is mounted here" if entry.st_dev != medium.device else None
    if stat.S_ISREG(entry.st_mode):
        return None
    return _TYPES.get(stat.S_IFMT(entry.st_mode), "not a file") + " is not followed or opened"


def _failed(path: bytes, error: str) -> Found:
    return Found(
        path, 0, 0, Kind.OTHER, SourceState.FAILED, f"{error}: run 'ghostroll retry' with the card in"
    )


def _size(entry: os.stat_result) -> int:
    return entry.st_size if stat.S_ISREG(entry.st_mode) else 0
