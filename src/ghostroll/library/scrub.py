"""Reading the library again: what is damaged, missing or foreign."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ghostroll.library.durable import ContentReader, read_content
from ghostroll.library.layout import ORIGINALS
from ghostroll.model import Asset


class Finding(StrEnum):
    """What is wrong with a file of the library."""

    DAMAGED = "damaged"  # it is there, but its bytes are not those that were secured
    MISSING = "missing"  # it is recorded, and not there
    UNREADABLE = "unreadable"  # the disk does not give it back
    FOREIGN = "foreign"  # it stands among the originals, and no record knows it


@dataclass(frozen=True, slots=True)
class Checked:
    """One file that was looked at; `finding` is None where all is well."""

    path: bytes
    size: int
    finding: Finding | None
    asset: Asset | None


def check_assets(root: int, assets: Iterable[Asset], *, check: Callable[[int], None]) -> Iterator[Checked]:
    """Re-hash every asset from the medium. `check(bytes)` may raise to stop."""
    reader = ContentReader()
    try:
        for asset in assets:
            yield Checked(asset.path, asset.size, _judge(root, asset, reader, check), asset)
    finally:
        reader.close()


def _judge(root: int, asset: Asset, reader: ContentReader, check: Callable[[int], None]) -> Finding | None:
    try:
        found = os.stat(asset.path, dir_fd=root, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_size != asset.size:
            return Finding.DAMAGED
        content = read_content(root, asset.path, reader, check=check)
    except (FileNotFoundError, NotADirectoryError):
        return Finding.MISSING
    except OSError:
        return Finding.UNREADABLE
    return None if content.sha256 == asset.sha256 else Finding.DAMAGED


def find_foreign(root: int, session: str, is_recorded: Callable[[bytes], bool]) -> Iterator[Checked]:
    """Files among a session's originals that no record knows."""
    top = session.encode() + b"/" + ORIGINALS
    start = os.fsencode(f"/proc/self/fd/{root}/")
    troubles: list[OSError] = []
    for folder, _, names in os.walk(start + top, onerror=troubles.append):
        for name in sorted(names):
            path = os.path.join(folder, name)[len(start) :]
            if is_recorded(path):
                continue
            try:
                size = os.stat(path, dir_fd=root, follow_symlinks=False).st_size
            except FileNotFoundError:  # taken away meanwhile
                continue
            yield Checked(path, size, Finding.FOREIGN, None)
    for trouble in troubles:
        if not isinstance(
            trouble, FileNotFoundError
        ):  # of a session deleted by hand the files are named as missing
            yield Checked(os.fsencode(trouble.filename)[len(start) :], 0, Finding.UNREADABLE, None)
