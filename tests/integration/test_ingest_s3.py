"""A card into a bucket, seen from outside: what lies there, in which order it came, and what the links give."""

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from clouds import check_gallery, fetch, find_original_key, find_page, make_cloud_person, open_cloud_person, read_gallery
from codes import decode
from mischief import Mischief
from PIL import Image
from stores import Store


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_whole_ingest(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Everything lies where it belongs, with the bytes of the library and the right headers, and nothing else."""
    store: Store = request.getfixturevalue(name)
    with open_cloud_person(tmp_path, store) as (person, proxy):
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        document = person.ingest().document
        check_order(proxy)
        session, page = person.find_session(), find_page(store)
        assert re.fullmatch(rf"sessions/{re.escape(session.name)}-[A-Za-z0-9_-]{{22}}", page)
        originals = {find_original_key(path): path for path in person.card.rglob("*") if path.is_file()}
        pictures = {
            f"{page}/{folder}/{path.name}": path
            for folder in ("share", "thumbs")
            for path in (session / folder).iterdir()
        }
        assert len(pictures) == 6
        parts = {f"{page}/{part}" for part in ("index.html", "gallery.json", "share.zip")}
        assert set(store.list_keys()) == {*parts, *pictures, *originals}
        for key, path in (pictures | originals).items():
            assert store.read(key) == path.read_bytes()
        gallery = check_gallery(store, session)
        assert gallery["session"] == session.name
        assert gallery["total"] == 3
        check_archive(store.read(f"{page}/share.zip"), session)
        assert document["link"] == (session / "link.txt").read_text().splitlines()[0]
        with Image.open(session / "link.png") as image:
            assert decode(image) == [document["link"]]
        index = fetch(document["link"])
        assert index.status == 200
        assert index.content == store.read(f"{page}/index.html")
        check_index(index.content.decode(), gallery)
        check_headers(store, page, list(pictures), originals)
        if name == "rclone":
            for key in store.list_keys():
                assert fetch(f"{store.endpoint}/{store.bucket}/{key}").status in (400, 403)


def check_order(proxy: Mischief) -> None:
    """The page came first of all; each thumbnail before its picture."""
    asked = [each.asked for each in proxy.tell()]
    assert asked[0].operation == "PutObject"
    assert asked[0].key.endswith("/index.html")
    keys = [one.key for one in asked]

    for key in keys:
        if "/share/" in key:
            assert keys.index(key.replace("/share/", "/thumbs/")) < keys.index(key)


def check_archive(content: bytes, session: Path) -> None:
    """Every shared picture, stored as it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        inside = {name: archive.read(name) for name in archive.namelist()}
    assert inside == {path.name: path.read_bytes() for path in (session / "share").iterdir()}


def check_index(page: str, gallery: dict[str, object]) -> None:
    """The page holds the address of gallery.json, and no picture."""
    (address,) = re.findall(r'data-address="([^"]+)"', page) or re.findall(r'"(http[^"]+)"', page)
    items = gallery["items"]
    assert isinstance(items, list)
    for item in items:
        assert item["name"] not in page


def check_headers(store: Store, page: str, pictures: list[str], originals: dict[str, Path]) -> None:
    """What browsers and caches are told of each."""

    def tell(key: str) -> tuple[str | None, ...]:
        head = store.client().head_object(Bucket=store.bucket, Key=key)
        return tuple(
            head.get(name) for name in ("ContentType", "CacheControl", "ContentEncoding", "ContentDisposition")
        )

    assert tell(f"{page}/index.html") == ("text/html; charset=utf-8", "private, no-cache", None, None)
    assert tell(f"{page}/gallery.json") == ("application/json", "private, no-cache", "gzip", None)
    kind, caching, encoding, disposition = tell(f"{page}/share.zip")
    assert (kind, caching, encoding) == ("application/zip", "private, no-cache", None)
    assert re.fullmatch(r'attachment; filename="2[0-9-]+_[0-9]+-EOS_DIGITAL-....\.zip"', disposition or "")
    for key in pictures:
        assert tell(key) == ("image/jpeg", "private, max-age=604800, immutable", None, None)
    for key, path in originals.items():
        kind = "image/jpeg" if path.suffix == ".JPG" else "application/octet-stream"
        told = tell(key)
        assert told[:3] == (kind, "private, max-age=31536000, immutable", None)
        assert told[3] in {f'attachment; filename="{path.name}"', 'attachment; filename="IMG_0001.JPG"'}
