"""Files of real cameras, and files that broke real decoders, all on one card."""

import json
import shutil
from pathlib import Path

from promises import hash_tree, list_originals
from running import environment, run_command

from ghostroll.cards.kinds import tell_kind
from ghostroll.model import PICTURE_KINDS, Kind

MARKERS_WITH_METADATA = {
    0xE1,
    0xE2,
    0xED,
    0xFE,
}  # APP1 EXIF and XMP, APP2 ICC, APP13 IPTC, COM (ITU T.81, table B.1)


def list_markers(jpeg: bytes) -> set[int]:
    """The markers of a JPEG's segments before its first scan."""
    found, place = set(), 2
    while jpeg[place] == 0xFF and jpeg[place + 1] != 0xDA:
        found.add(jpeg[place + 1])
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4])
    return found


def test_every_sample_is_safe_and_shown_or_named(samples: Path, tmp_path: Path) -> None:
    """Every file is stored and verified, each picture is rendered or named with the reason, and nothing hangs."""
    card = tmp_path / "card"
    shutil.copytree(samples, card, copy_function=shutil.copyfile)
    (card / "README.md").unlink()
    library = tmp_path / "library"
    run = run_command(environment(tmp_path, library), "ingest", card, "--json")
    assert run.code == 3, run.err
    assert "Traceback" not in run.err
    document = run.document
    assert document["secured"] is True
    contents = hash_tree(card)
    assert document["files"] == len(contents)
    assert set(list_originals(library).values()) == set(contents.values())
    wanted = {path for path in contents if tell_kind(path) in PICTURE_KINDS}
    named = {failure["path"].encode() for failure in document["failed"]}
    assert named < wanted
    assert all(failure["stage"] == "render" and failure["error"] for failure in document["failed"])
    gallery = json.loads((Path(document["session_dir"]) / "gallery.json").read_bytes())
    shown = {item["name"] for item in gallery["items"]}
    alone = {path for path in wanted - named if tell_kind(path) is not Kind.RAW}
    assert {path.rsplit(b"/")[-1].decode() for path in alone} <= shown
    assert gallery["state"] == "complete"
    assert document["renditions"] == 2 * len(gallery["items"]) > 150


def test_no_rendition_of_a_sample_carries_metadata(samples: Path, tmp_path: Path) -> None:
    """Not one rendition of files that are full of it holds EXIF, GPS, XMP, IPTC, a profile or a comment."""
    card = tmp_path / "card"
    shutil.copytree(samples / "jpeg" / "gps", card / "gps", copy_function=shutil.copyfile)
    shutil.copytree(samples / "jpeg" / "xmp", card / "xmp", copy_function=shutil.copyfile)
    library = tmp_path / "library"
    run = run_command(environment(tmp_path, library), "ingest", card, "--json")
    assert run.code == 0, run.err
    session = Path(run.document["session_dir"])
    renditions = [*session.glob("share/*.jpg"), *session.glob("thumbs/*.jpg")]
    assert len(renditions) == 2 * len(hash_tree(card))
    for rendition in renditions:
        assert not list_markers(rendition.read_bytes()) & MARKERS_WITH_METADATA, rendition
    some_original = next(card.glob("gps/*.jpg")).read_bytes()
    assert list_markers(some_original) & MARKERS_WITH_METADATA, (
        "the samples have nothing to hide: no test at all"
    )
