"""The library has an identity, and nothing is written where it isn't found."""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ghostroll.errors import LibraryNotThere, UsageError
from ghostroll.library.durable import Folders, sync_folder, write_whole

HOME = b".ghostroll"
INCOMING = HOME + b"/incoming"
ASIDE = HOME + b"/aside"
_MARKER = HOME + b"/library.json"
_STRONG = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})


@dataclass(frozen=True, slots=True)
class Library:
    """A folder with a marker that says which library it is."""

    path: bytes
    id: str

    @contextlib.contextmanager
    def enter(self) -> Iterator[int]:
        """A descriptor of the library's root, for a short while; all paths are taken from it.

        Raises LibraryNotThere where the marker is missing or another's: the disk is not mounted.
        """
        try:
            root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LibraryNotThere(
                f"the library {os.fsdecode(self.path)} is not there ({error.strerror}): mount its disk"
            ) from error
        try:
            if read_marker(root) != self.id:
                raise LibraryNotThere(
                    f"the folder {os.fsdecode(self.path)} is not the library that was used before: mount its disk"
                )
            yield root
        finally:
            os.close(root)


def read_marker(root: int) -> str | None:
    """The id of the library in this folder, None where there is none. Raises LibraryNotThere if it can't be read."""
    try:
        descriptor = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LibraryNotThere(
            f"the library's marker can't be read ({error.strerror}): check its disk"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        try:
            found = json.loads(file.read(4096))["id"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LibraryNotThere(
                "the library's marker .ghostroll/library.json is damaged: restore it, its id stands in the state"
            ) from error
    return str(found)


def open_library(
    path: bytes, *, new_id: str, expected: str | None, filesystem: str, allow_weak: bool
) -> Library:
    """Open the library at `path`, or found it there if the folder is empty and none was `expected`.

    On return the marker is durable. Raises LibraryNotThere where `expected` (the id remembered from
    before) is not what is found, UsageError where the folder can't become a library.
    """
    shown = os.fsdecode(path)
    try:
        if expected is None:
            os.makedirs(path, 0o775, exist_ok=True)
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise LibraryNotThere(
            f"the library {shown} is not there: mount its disk, or change library.path"
        ) from error
    except OSError as error:
        raise UsageError(
            f"library.path {shown} can't be used ({error.strerror}): choose a folder that you may write"
        ) from error
    try:
        found = read_marker(root)
        if found is None and expected is not None:
            raise LibraryNotThere(f"there was a library at {shown} and now there is none: mount its disk")
        if found is not None and expected is not None and found != expected:
            raise LibraryNotThere(
                f"the library at {shown} is another one than before (its .ghostroll/library.json says so):"
                " mount the right disk, or change library.path"
            )
        if filesystem not in _STRONG and not allow_weak:
            raise UsageError(
                f"library.path {shown} is on {filesystem or 'an unknown filesystem'}, which does not promise to keep"
                " what it was told to: use ext4, xfs or btrfs, or set library.allow_weak_filesystem = true"
            )
        if found is None:
            _found_library(root, shown, new_id)
            found = new_id
        else:
            _complete_home(root)
        return Library(path, found)
    except PermissionError as error:
        raise UsageError(
            f"library.path {shown} can't be written: choose a folder that you may write"
        ) from error
    finally:
        os.close(root)


def _found_library(root: int, shown: str, new_id: str) -> None:
    strangers = [name for name in os.listdir(root) if name not in ("lost+found", ".ghostroll")]
    if strangers:
        raise UsageError(
            f"library.path {shown} is not empty and not a library of ghostroll: choose an empty folder"
        )
    _complete_home(root)
    write_whole(root, _MARKER, json.dumps({"id": new_id}).encode() + b"\n", _MARKER + b".new")
    sync_folder(root, HOME)
    sync_folder(root, b"")


def _complete_home(root: int) -> None:
    folders = Folders()
    for folder in (INCOMING, ASIDE):
        folders.make(root, folder)
    folders.sync(root, [INCOMING, ASIDE])


def clear_incoming(root: int) -> int:
    """Remove what unfinished copies left; returns how many files. Only the owner of the state may."""
    names = os.listdir(os.path.join(os.fsencode(f"/proc/self/fd/{root}"), INCOMING))
    for name in names:
        os.unlink(INCOMING + b"/" + name, dir_fd=root)
    return len(names)


_SESSION_NAME = re.compile(rb"\d{4}-\d\d-\d\d_\d{6}-[A-Za-z0-9._-]{1,32}-[a-z0-9]{4}")


def remove_empty_session_folders(root: int, recorded: frozenset[bytes]) -> None:
    """Remove session folders that were made by a process which was killed before it recorded them.

    Only empty ones with a session's name: a folder with anything in it is never touched.
    """
    for name in os.listdir(os.fsencode(f"/proc/self/fd/{root}")):
        if name in recorded or not _SESSION_NAME.fullmatch(name):
            continue
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=root)
