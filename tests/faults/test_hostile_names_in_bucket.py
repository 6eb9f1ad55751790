"""A card whose every name wants to be obeyed, in a bucket: keys, links, downloads and the archive."""

import io
import zipfile
from pathlib import Path
from unicodedata import category
from urllib.parse import unquote

from campaign import count
from clouds import check_gallery, fetch, find_page, make_cloud_person
from hostile_names import NAMES, fill_card, find_orders
from promises import check_finished
from stores import Store


def test_a_bucket_takes_every_name(rclone: Store, tmp_path: Path) -> None:
    """Keys are plain, every original is there and is downloaded under a name without orders, and the archive unpacks into one folder."""
    person = make_cloud_person(tmp_path, rclone)
    person.card = fill_card(tmp_path / "card")
    person.env |= {"GHOSTROLL_PUBLISH__ORIGINALS": "all", "GHOSTROLL_PUBLISH__VIEWER_ORIGINALS": "true"}
    person.ingest(code=3)
    check_finished(person.library, person.card)
    keys = rclone.list_keys()
    assert all(key.isascii() and key.isprintable() and " " not in key and ".." not in key for key in keys)
    assert sum(key.startswith("originals/") for key in keys) == 2 * len(NAMES)
    gallery = check_gallery(rclone, person.find_session())
    assert len(gallery["failed"]) == len(NAMES)
    originals = {path.read_bytes() for path in (person.card / "GOOD").iterdir()}
    for item in gallery["items"]:
        found = fetch(item["original"])
        assert found.status == 200
        originals.remove(found.content)
        asked = found.headers["content-disposition"]
        assert asked.startswith('attachment; filename="')
        assert asked.isascii()
        told = unquote(asked.partition("UTF-8''")[2]) or asked.partition('"')[2].rstrip('"')
        assert told.endswith("jpg")
        assert not set("/\\\0") & set(told)
        assert [letter for letter in find_orders(told) if category(letter) == "Cc"] == []
    assert originals == set()
    with zipfile.ZipFile(io.BytesIO(rclone.read(f"{find_page(rclone)}/share.zip"))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert len({name.casefold() for name in names}) == len(NAMES)
    assert {entry.name for entry in (tmp_path / "unpacked").iterdir()} == set(names)
    assert [name for name in names if find_orders(name) or name.startswith((".", "/"))] == []
    count("hostile names: in a bucket", len(NAMES) * 2)
