"""A good copy takes a damaged file's place, and what was there goes aside: nothing is ever deleted."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress

from ghostroll.errors import NoSpace, PermanentError, TransientError
from ghostroll.faults import crash_point
from ghostroll.library.durable import (
    ContentReader,
    Folders,
    exists,
    is_folder,
    library_errors,
    read_content,
    remove_quietly,
    rename_into_place,
    sync_data,
    write_all,
)
from ghostroll.library.identity import ASIDE, INCOMING
from ghostroll.library.layout import vary_place
from ghostroll.model import Asset, Sha256

Check = Callable[[int], None]
Fetch = Callable[[Callable[[memoryview], None]], None]  # hands every byte to a sink, in order
_SAY_OTHER = "what lies under its name in the bucket has other bytes"


class OtherBytes(PermanentError):
    """What was fetched is not what was secured; nothing has changed."""


def set_aside(root: int, folders: Folders, path: bytes, now: int) -> None:
    """Move what lies at a place out of the way, under a name that tells when. Durable on return."""
    name = ASIDE + b"/%d-" % now + os.path.basename(path)[-200:]
    for place in vary_place(name):
        with suppress(FileExistsError):
            rename_into_place(root, path, place)
            break
    folders.sync(root, [ASIDE])


def heal_file(
    root: int, folders: Folders, asset: Asset, fetch: Fetch, *, now: int, keep_free: int, check: Check
) -> None:
    """Put what `fetch` gives in an asset's place, if it has the asset's SHA-256.

    On return the file is there, read back from the medium, and would survive a power cut. Raises OtherBytes,
    NoSpace, TransientError (the disk spoilt it) and what `fetch` and `check` raise: then nothing has changed.
    """
    with library_errors("asking for the free space"):
        free = os.fstatvfs(root)
    if free.f_bavail * free.f_frsize < asset.size + keep_free:
        raise NoSpace("there is no room in the library for a copy of this file: make room")
    if is_folder(root, asset.path):  # it may hold files that are secured
        raise OtherBytes("a folder has its name: move that away")
    temp = INCOMING + b"/heal-%d" % asset.id
    try:
        _bring_in(root, temp, asset, fetch, check)
        folder = os.path.dirname(asset.path)
        with library_errors("putting a healed file in its place"):
            folders.make(root, folder)
            if exists(root, asset.path):
                set_aside(root, folders, asset.path, now)
            crash_point("heal.placing")
            rename_into_place(root, temp, asset.path)
            folders.sync(root, [folder])
        crash_point("heal.placed")
    finally:
        remove_quietly(root, temp)


def _bring_in(root: int, temp: bytes, asset: Asset, fetch: Fetch, check: Check) -> None:
    """On return the temporary file's bytes are on the medium and hash to the asset."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with library_errors("making a file"):
        target = os.open(temp, flags, 0o664, dir_fd=root)
    try:
        fetched, size = hashlib.sha256(), 0

        def take(piece: memoryview) -> None:
            nonlocal size
            size += len(piece)
            check(size)
            if size > asset.size:
                raise OtherBytes(_SAY_OTHER)
            fetched.update(piece)
            with library_errors("writing"):
                write_all(target, piece)

        crash_point("heal.fetching")
        fetch(take)
        crash_point("heal.fetched")
        if fetched.digest() != asset.sha256:
            raise OtherBytes(_SAY_OTHER)
        with library_errors("writing"):
            sync_data(target)
    finally:
        os.close(target)
    if _read_back(root, temp, check) != asset.sha256:
        raise TransientError("the library's disk gave back other bytes than were written: check that disk")
    crash_point("heal.read_back")


def _read_back(root: int, temp: bytes, check: Check) -> Sha256:
    reader = ContentReader()
    try:
        with library_errors("reading back"):
            return read_content(root, temp, reader, check=check).sha256
    finally:
        reader.close()
