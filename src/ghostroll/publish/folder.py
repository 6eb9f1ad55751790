"""The folder target: a session's own folder is its gallery."""

import os
import threading
from contextlib import suppress

from ghostroll.faults import crash_point
from ghostroll.model import Gallery
from ghostroll.publish.gallery import build_gallery_json, render_index

_publishing = threading.Lock()  # two jobs may fill one session, and the temporary names are fixed


def publish_to_folder(session_dir: bytes | str, gallery: Gallery) -> None:
    """Write `gallery.json`, then `index.html`, each replaced as a whole: nobody ever reads half a file.

    On return both would survive a power cut. Raises OSError as it comes; the old files are then still
    there, and whole. The caller publishes one session's galleries in their order: the last one stays.
    """
    folder = os.fsencode(session_dir)
    files = {b"gallery.json": build_gallery_json(gallery), b"index.html": render_index(gallery)}
    with _publishing:
        for name, content in files.items():
            _replace_file(folder, name, content)
        _sync_folder(folder)


def _replace_file(folder: bytes, name: bytes, content: bytes) -> None:
    temporary = os.path.join(folder, b"." + name + b".new")
    with suppress(FileNotFoundError):
        os.unlink(temporary)  # left by a crash
    try:
        # Exclusive: in a folder that a group may write to, never through a link somebody put there.
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            crash_point("publish.file_written")
            os.fdatasync(file.fileno())
        crash_point("publish.file_synced")
        os.rename(temporary, os.path.join(folder, name))
        crash_point("publish.file_renamed")
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _sync_folder(folder: bytes) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
        crash_point("publish.folder_synced")
    finally:
        os.close(handle)
