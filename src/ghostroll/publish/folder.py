"""The folder target: a session's own folder is its gallery."""

import os

from ghostroll.model import Gallery
from ghostroll.publish.gallery import build_gallery_json, stream_index
from ghostroll.publish.replacing import replace_files


def publish_to_folder(session_dir: bytes | str, gallery: Gallery) -> None:
    """Write `gallery.json`, then `index.html`, each replaced as a whole: nobody ever reads half a file.

    On return both would survive a power cut. Raises OSError as it comes; the old files are then still
    there, and whole. The caller publishes one session's galleries in their order: the last one stays.
    """
    document = build_gallery_json(gallery)
    page = stream_index(gallery, document=document)
    replace_files(os.fsencode(session_dir), {b"gallery.json": [document], b"index.html": page})
