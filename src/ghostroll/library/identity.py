"""The library has an identity, and nothing is written where it isn't found."""

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ghostroll.disk import make_folder
from ghostroll.errors import LibraryNotThere, MachineShort, UsageError
from ghostroll.library.durable import (
    Folders,
    library_errors,
    remove_quietly,
    rename_into_place,
    sync_folder,
    write_whole,
)

HOME = b".ghostroll"
INCOMING = HOME + b"/incoming"
ASIDE = HOME + b"/aside"
_MARKER = HOME + b"/library.json"
# Another folder there would do no better.
_DISK_TROUBLES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, *MachineShort.numbers})
STRONG_FILESYSTEMS = frozenset({"ext4", "xfs", "btrfs"})


@dataclass(frozen=True, slots=True)
class Library:
    """A folder with a marker that says which library it is."""

    path: bytes
    id: str

    @contextlib.contextmanager
    def enter(self) -> Iterator[int]:
        """A descriptor of the library's root, for a short while; all paths are taken from it.

        Raises LibraryNotThere where the marker is missing or another's: the disk is not mounted. What its disk
        refuses to whoever is inside, and they don't name themselves, is raised as `library_errors` has it.
        """
        try:
            root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            MachineShort.check(error)
            remedy = "check" if error.errno in _DISK_TROUBLES else "mount"
            raise LibraryNotThere(
                f"the library {os.fsdecode(self.path)} is not there ({error.strerror}): {remedy} its disk"
            ) from error
        try:
            if read_marker(root) != self.id:
                raise LibraryNotThere(
                    f"the folder {os.fsdecode(self.path)} is not the library that was used before: mount its disk"
                )
            with library_errors("looking into the library"):
                yield root
        finally:
            os.close(root)


def read_marker(root: int) -> str | None:
    """The id of the library in this folder, None where there is none. Raises LibraryNotThere if it can't be read."""
    try:
        descriptor = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(4096)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        MachineShort.check(error)
        raise LibraryNotThere(
            f"the library's marker can't be read ({error.strerror}): check its disk"
        ) from error
    try:
        return str(json.loads(text)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryNotThere(
            "the library's marker .ghostroll/library.json is damaged: restore it, its id stands in the state"
        ) from error


def open_library(
    path: bytes, *, new_id: str, expected: str | None, filesystem: str, allow_weak: bool
) -> Library:
    """Open the library at `path`, or found it there if the folder is empty and none was `expected`.

    On return the marker is durable, and the folder can be written. Raises LibraryNotThere where
    `expected` (the id remembered from before) is not what is found or its disk doesn't take anything,
    UsageError where the folder can't become a library; a folder that is refused is left as it was.
    """
    shown = os.fsdecode(path)
    weak = filesystem not in STRONG_FILESYSTEMS and not allow_weak
    try:
        if expected is None and not weak:
            make_folder(path, 0o775)
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        if expected is None:
            raise _refuse_weak(shown, filesystem) from error
        raise LibraryNotThere(
            f"the library {shown} is not there: mount its disk, or change library.path"
        ) from error
    except OSError as error:
        if error.errno in _DISK_TROUBLES:
            with library_errors("making the library's folder"):
                raise
        raise UsageError(
            f"library.path {shown} can't be used ({error.strerror}): choose a folder that you may write"
        ) from error
    try:
        found = read_marker(root)
        _check_expected(shown, found, expected)
        if weak:
            raise _refuse_weak(shown, filesystem)
        with library_errors("preparing the library"):
            if found is None:
                found = _found_library(root, shown, new_id)
            else:
                _complete_library(root, shown)
            if not os.access(INCOMING, os.W_OK, dir_fd=root, effective_ids=True):
                raise _refuse_unwritable(shown)
            return Library(path, found)
    finally:
        os.close(root)


def _check_expected(shown: str, found: str | None, expected: str | None) -> None:
    if expected is None or found == expected:
        return
    if found is None:
        raise LibraryNotThere(f"there was a library at {shown} and now there is none: mount its disk")
    raise LibraryNotThere(
        f"the library at {shown} is another one than before (its .ghostroll/library.json says so):"
        " mount the right disk, or change library.path"
    )


def _refuse_weak(shown: str, filesystem: str) -> UsageError:
    return UsageError(
        f"library.path {shown} is on {filesystem or 'an unknown filesystem'}, which does not promise to keep"
        " what it was told to: use ext4, xfs or btrfs, or set library.allow_weak_filesystem = true"
    )


def _complete_library(root: int, shown: str) -> None:
    """See to it that a library which was found before has its folders."""
    try:
        _complete_home(root)
    except PermissionError as error:
        raise _refuse_unwritable(shown) from error


def _refuse_unwritable(shown: str) -> UsageError:
    return UsageError(
        f"library.path {shown} can't be written: mount its disk writable, or choose a folder that you may write"
    )


def _found_library(root: int, shown: str, new_id: str) -> str:
    """Make the marker, unless another process was faster; returns the id that stands in it."""
    strangers = [name for name in os.listdir(root) if name not in ("lost+found", ".ghostroll")]
    if strangers:
        raise UsageError(
            f"library.path {shown} is not empty and not a library of ghostroll: choose an empty folder"
        )
    mine = _MARKER + b"." + new_id.encode()
    try:
        _complete_home(root)
        write_whole(root, mine, [json.dumps({"id": new_id}).encode() + b"\n"], mine + b".new")
    except PermissionError as error:
        raise _refuse_unwritable(shown) from error
    try:
        rename_into_place(root, mine, _MARKER)
    except FileExistsError:
        remove_quietly(root, mine)
    sync_folder(root, HOME)
    sync_folder(root, b"")
    return read_marker(root) or new_id


def _complete_home(root: int) -> None:
    folders = Folders()
    for folder in (INCOMING, ASIDE):
        folders.make(root, folder)
    folders.sync(root, [INCOMING, ASIDE])


def clear_incoming(root: int) -> int:
    """Remove what unfinished copies left; returns how many files. Only the owner of the state may."""
    with library_errors("clearing .ghostroll/incoming"):
        names = os.listdir(os.path.join(os.fsencode(f"/proc/self/fd/{root}"), INCOMING))
        for name in names:
            # A folder is none of ours, and what is gone is gone: neither keeps the next card waiting.
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
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
