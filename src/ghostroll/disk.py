"""Folders and small files outside the library that must survive a power cut."""

import contextlib
import os


def sync_folder(path: str | bytes) -> None:
    """On return the names in a folder are on the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: str | bytes, mode: int = 0o777) -> None:
    """On return a folder and those above it exist, and the names that were made are on the medium. Raises OSError."""
    folder = os.path.abspath(os.fsencode(path))
    missing = []
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, mode)
        sync_folder(os.path.dirname(one))


def replace_file(path: str, data: bytes) -> None:
    """On return the file holds these bytes, whatever happens next; readers see the old ones or the new, whole."""
    with open(path + ".new", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(os.path.dirname(os.path.abspath(path)))
