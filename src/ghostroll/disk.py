"""Folders and small files outside the library that must survive a power cut."""

import contextlib
import errno
import os


def sync_folder(path: str | bytes) -> None:
    """On return the names in a folder are on the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: str | bytes, mode: int = 0o777) -> None:
    """On return a folder and those above it exist, and their names are on the medium. Raises OSError.

    Also where they were there before: whoever made them may have been killed, or never have synced anything.
    """
    folder = os.path.abspath(os.fsencode(path))
    missing = []
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, mode)
    _sync_way_to(os.path.realpath(os.fsencode(path)))


def _sync_way_to(folder: bytes) -> None:
    """On return the names that lead to a folder are on its medium, as far as this user may read the folders above."""
    device = os.stat(folder).st_dev
    while folder != (above := os.path.dirname(folder)) and os.stat(above).st_dev == device:
        try:
            sync_folder(above)
        except OSError as error:
            # Not ours to read, or nothing to sync: a special or read-only filesystem (man 2 fsync).
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS):
                raise
        folder = above


def replace_file(path: str, data: bytes) -> None:
    """On return the file holds these bytes, whatever happens next; readers see the old ones or the new, whole."""
    with open(path + ".new", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(os.path.dirname(os.path.abspath(path)))
