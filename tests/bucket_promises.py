"""What must be in a bucket after an ingest that ended well: everything that belongs there, once, as it is on disk."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from promises import ask, hash_tree, list_originals
from stores import Store


def check_bucket(store: Store, library: Path) -> None:
    """The bucket holds what the library holds: one gallery a session, all renditions, the archive, all originals."""
    keys = store.list_keys()
    expected = set(list_originals(library).values())
    originals = [key for key in keys if key.startswith("originals/")]
    there = {key.split("/")[2].split(".")[0] for key in originals}
    assert expected <= there, f"{len(expected - there)} originals are not in the bucket"
    assert there <= expected, "the bucket has originals that the library never had"
    assert len(originals) == len(expected)
    galleries = dict(ask(library, "SELECT session.name, gallery.folder FROM gallery JOIN session"
                                  " ON session.id = gallery.session_id WHERE place <> 'folder'"))  # fmt: skip
    sessions = {"/".join(key.split("/")[:2]) for key in keys if key.startswith("sessions/")}
    unknown, missing = sessions - set(galleries.values()), set(galleries.values()) - sessions
    assert not unknown, f"galleries that nobody knows: {unknown}"
    assert not missing, f"galleries that are not there: {missing}"
    for name, folder in galleries.items():
        check_gallery(store, library / name, folder)
    assert not ask(library, "SELECT 1 FROM object WHERE state = 'wanted'")


def check_gallery(store: Store, session: Path, folder: str) -> None:
    """One session's gallery in the bucket is complete and agrees with its folder on disk."""
    gallery = read_gallery(store, folder)
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"])
    local = json.loads((session / "gallery.json").read_bytes())
    assert [item["name"] for item in gallery["items"]] == [item["name"] for item in local["items"]]
    for part in ("share", "thumbs"):
        there = {key.rpartition("/")[2] for key in store.list_keys(f"{folder}/{part}/")}
        on_disk = {path.decode() for path in hash_tree(session / part)}
        assert there == on_disk
        for name in there:
            assert store.read(f"{folder}/{part}/{name}") == (session / part / name).read_bytes()
    if not gallery["items"]:
        return
    content = store.read(f"{folder}/share.zip")
    assert gallery["archive"]["bytes"] == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        packed = sorted(archive.read(name) for name in archive.namelist())
    assert packed == sorted(path.read_bytes() for path in (session / "share").iterdir())
    assert (session / "link.txt").read_text().startswith("http")
    assert (session / "link.png").read_bytes().startswith(b"\x89PNG")


def read_gallery(store: Store, folder: str) -> dict[str, Any]:
    """A gallery's `gallery.json`, unpacked."""
    found: dict[str, Any] = json.loads(gzip.decompress(store.read(f"{folder}/gallery.json")))
    return found
