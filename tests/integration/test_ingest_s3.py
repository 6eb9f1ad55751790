"""A card into a bucket, seen from outside: what lies there, in which order it came, and what the links give."""

import html
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from clouds import (
    check_gallery,
    count_stored,
    fetch,
    find_original_key,
    find_page,
    open_cloud_person,
    read_gallery,
    read_part,
)
from codes import decode
from commanding import Person
from mischief import Mischief
from PIL import Image
from promises import ask
from running import finish_command, start_command
from serving import served
from stores import Store
from waiting import wait_for


@pytest.fixture
def walk(moto: Store, tmp_path: Path) -> Iterator[tuple[Person, Mischief]]:
    """Somebody whose galleries go to a bucket, and what is asked of it."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        yield person, proxy


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_whole_ingest(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Everything lies where it belongs, with the bytes of the library and the right headers, and nothing else."""
    store: Store = request.getfixturevalue(name)
    with open_cloud_person(tmp_path, store) as (person, proxy):
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        document = person.ingest().document
        check_order(proxy)
        assert count_stored(proxy, "*/share.zip") == 1
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
        assert index.content == read_part(store, "index.html")
        check_index(index.content.decode(), gallery)
        check_headers(store, page, list(pictures), originals)
        if name == "rclone":
            for key in store.list_keys():
                # Whoever comes without a signature gets nothing; this server calls that a bad request.
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


def check_index(page: str, gallery: dict[str, Any]) -> None:
    """The page holds the address of gallery.json, and no picture."""
    found = fetch(find_address(page))
    assert found.headers["content-encoding"] == "gzip"
    assert json.loads(found.content) == gallery
    for item in gallery["items"]:
        assert item["name"] not in page


def find_address(page: str) -> str:
    """Where a page finds its gallery.json."""
    (address,) = re.findall(r'data-address="([^"]+)"', page)
    return html.unescape(address)


def check_headers(store: Store, page: str, pictures: list[str], originals: dict[str, Path]) -> None:
    """What browsers and caches are told of each."""

    def tell(key: str) -> tuple[str | None, ...]:
        head = store.client().head_object(Bucket=store.bucket, Key=key)
        return tuple(
            head.get(name)
            for name in ("ContentType", "CacheControl", "ContentEncoding", "ContentDisposition")
        )

    assert tell(f"{page}/index.html") == ("text/html; charset=utf-8", "private, no-cache", "gzip", None)
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


def test_gallery_that_waits(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Without publish.auto the bucket isn't asked for anything, originals included, until `publish`; then all of it goes."""
    person, proxy = walk
    person.env |= {"GHOSTROLL_PUBLISH__AUTO": "false", "GHOSTROLL_PUBLISH__ORIGINALS": "all"}
    first = person.ingest().document
    assert (first["link"], first["formattable"], first["publication"]) == (None, False, "complete")
    assert "not published yet" in person.run("link", "1", code=2).err
    again = person.ingest().document
    assert again["formattable"] is False
    assert proxy.tell() == []
    assert not (person.find_session() / "link.txt").exists()
    person.run("publish", "1")
    check_order(proxy)
    check_gallery(moto, person.find_session())
    assert len(moto.list_keys("originals/")) == 4
    assert ask(person.library, "SELECT count(*) FROM job WHERE confirmed_at IS NULL") == [(0,)]


def lock(person: Person, *names: str) -> None:
    """Lock pictures in the camera."""
    for name in names:
        (person.card / "DCIM" / "100CANON" / name).chmod(0o444)


def test_only_what_was_locked(walk: tuple[Person, Mischief], moto: Store) -> None:
    """With publish.only people see the locked pictures alone, in the list, its counts and the archive; originals all go up."""
    person, _ = walk
    person.env |= {"GHOSTROLL_PUBLISH__ONLY": "protected", "GHOSTROLL_PUBLISH__ORIGINALS": "all"}
    folder = person.card / "DCIM" / "100CANON"
    for name in ("IMG_0007.JPG", "IMG_0008.JPG"):
        (folder / name).write_bytes(b"broken " + name.encode())
    lock(person, "IMG_0002.JPG", "IMG_0007.JPG")
    assert person.ingest(code=3).document["formattable"] is True
    gallery = read_gallery(moto)
    assert [item["name"] for item in gallery["items"]] == ["IMG_0002.JPG"]
    assert [failure["name"] for failure in gallery["failed"]] == ["IMG_0007.JPG"]
    assert (gallery["total"], gallery["state"]) == (1, "complete")
    keys = moto.list_keys("sessions/")
    assert [bool(re.search("IMG_0002", key)) for key in keys if key.endswith(".jpg")] == [True, True]
    with zipfile.ZipFile(io.BytesIO(moto.read(f"{find_page(moto)}/share.zip"))) as archive:
        assert [name[:8] for name in archive.namelist()] == ["IMG_0002"]
    assert len(moto.list_keys("originals/")) == 6
    local = json.loads((person.find_session() / "gallery.json").read_bytes())
    assert local["total"] == 3


@pytest.mark.parametrize("locked", ["raw", "jpeg"])
def test_lock_on_one_of_two(locked: str, walk: tuple[Person, Mischief], moto: Store) -> None:
    """RAW and JPEG of one number are one picture: whichever of them is locked, the counts agree with what is shown."""
    person, _ = walk
    person.env |= {"GHOSTROLL_PUBLISH__ONLY": "protected"}
    (person.card / "DCIM" / "100CANON" / "IMG_0002.CR3").write_bytes(b"raw bytes")
    lock(person, "IMG_0002.CR3" if locked == "raw" else "IMG_0002.JPG")
    person.ingest()
    gallery = read_gallery(moto)
    assert gallery["total"] == len(gallery["items"])
    assert gallery["state"] == "complete"


def test_card_on_which_everything_looks_locked(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Where the mount shows every file as locked nothing is shared, and it is said; originals go where they belong."""
    person, _ = walk
    person.env |= {"GHOSTROLL_PUBLISH__ONLY": "protected", "GHOSTROLL_PUBLISH__ORIGINALS": "all"}
    for path in person.card.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    run = person.run("ingest", person.card)
    assert "every file looks locked" in run.err
    gallery = read_gallery(moto)
    assert (gallery["items"], gallery["total"], gallery["failed"]) == ([], 0, [])
    assert gallery["state"] == "complete"
    assert [key.rpartition("/")[2] for key in moto.list_keys("sessions/")] == ["gallery.json", "index.html"]
    assert len(moto.list_keys("originals/")) == 4


def list_addresses(gallery: dict[str, Any]) -> list[str]:
    """Every address that a gallery.json holds."""
    of_items = [item[part] for item in gallery["items"] for part in ("share", "thumb")]
    return [*of_items, gallery["archive"]["address"]]


def tell_signed(address: str) -> datetime:
    """When an address was signed."""
    (stamp,) = parse_qs(urlsplit(address).query)["X-Amz-Date"]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def test_new_link_and_kept_addresses(walk: tuple[Person, Mischief], moto: Store) -> None:
    """`link` gives another link and puts the page up again; the old one works on, and no picture's address changes."""
    person, proxy = walk
    old = person.ingest().document
    addresses = list_addresses(read_gallery(moto))
    born = tell_signed(old["link"])
    wait_for(lambda: datetime.now(UTC) >= born + timedelta(seconds=1), "a signature counts seconds")
    new = person.run("link", "1", "--json").document
    assert new["link"] != old["link"]
    assert urlsplit(new["link"]).path == urlsplit(old["link"]).path
    assert count_stored(proxy, "*/index.html") == 2
    for link in (old["link"], new["link"]):
        assert fetch(link).status == 200
        assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["604800"]
    written = count_stored(proxy, "*/gallery.json")
    person.run("publish", "1")
    assert count_stored(proxy, "*/gallery.json") > written
    assert list_addresses(read_gallery(moto)) == addresses
    assert count_stored(proxy, "*/index.html") == 2
    assert count_stored(proxy, "*.jpg") == 6


def test_link_lives_as_long_as_its_keys(walk: tuple[Person, Mischief], moto: Store) -> None:
    """With keys that end in two hours no address lives longer, and the link's end is told."""
    person, _ = walk
    end = datetime.now(UTC) + timedelta(hours=2)
    person.env |= {"AWS_SESSION_TOKEN": "temporary", "AWS_CREDENTIAL_EXPIRATION": end.isoformat()}
    document = person.ingest().document
    told = datetime.fromisoformat(document["link_expires"])
    assert end - timedelta(minutes=2) < told <= end
    for address in (document["link"], *list_addresses(read_gallery(moto))):
        seconds = int(parse_qs(urlsplit(address).query)["X-Amz-Expires"][0])
        assert tell_signed(address) + timedelta(seconds=seconds) <= end


def test_link_of_keys_that_tell_no_end(walk: tuple[Person, Mischief]) -> None:
    """With a session token that doesn't say when it ends the link lives an hour, and it is said that it may end sooner."""
    person, _ = walk
    person.env |= {"AWS_SESSION_TOKEN": "temporary"}
    document = person.ingest().document
    left = datetime.fromisoformat(document["link_expires"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < left <= timedelta(hours=1)
    words = ", or until the temporary credentials end, which don't say when"
    assert f"{words}. It can't be prolonged" in (person.find_session() / "link.txt").read_text()
    assert f"minutes){words}; anybody" in person.run("link", "1").out


def shift_signatures(person: Person, seconds: int) -> None:
    """Let so much time have passed since the gallery's addresses and its link were signed."""
    with closing(sqlite3.connect(person.state)) as db, db:
        db.execute(
            "UPDATE gallery SET signed_at = signed_at - ?, linked_at = linked_at - ? WHERE linked_at IS NOT NULL",
            (seconds, seconds),
        )


def test_daemon_renews_addresses(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Half-way to their end the daemon signs a gallery's addresses anew, without a new link and without new pictures."""
    person, proxy = walk
    person.ingest()
    before = list_addresses(read_gallery(moto))
    shift_signatures(person, 4 * 86_400)
    with served(person):
        wait_for(lambda: list_addresses(read_gallery(moto)) != before, "they were never renewed")
    after = list_addresses(read_gallery(moto))
    assert not set(after) & set(before)
    assert {fetch(address).status for address in after} == {200}
    assert count_stored(proxy, "*/index.html") == 1
    assert count_stored(proxy, "*.jpg") == 6


def test_public_bucket(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Behind a base_url the link is the page's public address, everything in it is relative, and nothing is signed."""
    person, proxy = walk
    base = f"{moto.endpoint}/{moto.bucket}"
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{moto.bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    moto.client().put_bucket_policy(Bucket=moto.bucket, Policy=policy)
    person.env |= {
        "GHOSTROLL_PUBLISH__S3__BASE_URL": base,
        "GHOSTROLL_PUBLISH__S3__PREFIX": "photos/of 2026",
        "GHOSTROLL_PUBLISH__ORIGINALS": "all",
        "GHOSTROLL_PUBLISH__VIEWER_ORIGINALS": "true",
    }
    document = person.ingest().document
    page = find_page(moto)
    assert page.startswith("photos/of 2026/sessions/")
    assert document["link"] == f"{base}/{page.replace(' ', '%20')}/index.html"
    assert document["link_expires"] is None
    index = fetch(document["link"])
    assert index.headers["cache-control"] == "public, no-cache"
    assert find_address(index.content.decode()) == "gallery.json"
    gallery = read_gallery(moto)
    assert "X-Amz" not in str(gallery) + index.content.decode() + str(document)
    session = person.find_session()
    for item in gallery["items"]:
        for part in ("share", "thumb"):
            assert not urlsplit(item[part]).scheme
            found = fetch(urljoin(document["link"], item[part]))
            assert found.content == (session / item[part]).read_bytes()
            assert found.headers["cache-control"] == "public, max-age=604800, immutable"
        (path,) = person.card.rglob(item["name"])
        assert fetch(item["original"]).content == path.read_bytes()
    assert fetch(urljoin(document["link"], gallery["archive"]["address"])).status == 200
    assert count_stored(proxy, "*/index.html") == 1


def test_gallery_grows(walk: tuple[Person, Mischief], moto: Store) -> None:
    """While pictures are on their way the list is live, counts those to come, and names none that can't be opened yet."""
    person, proxy = walk
    held = proxy.hold(operation="PutObject", key="*/share/IMG_0002-*")
    process = start_command(person.env, "ingest", person.card, "--json")
    held.wait()

    def shows_two() -> bool:
        gallery = read_gallery(moto)
        assert gallery["state"] == "live"
        assert "archive" not in gallery
        assert {fetch(item[part]).status for item in gallery["items"] for part in ("share", "thumb")} <= {200}
        return len(gallery["items"]) == 2 and gallery["total"] == 3

    wait_for(shows_two, "it doesn't grow")
    assert not [key for key in moto.list_keys() if key.endswith("/share.zip")]
    held.release()
    run = finish_command(process)
    assert run.code == 0, run.err
    gallery = check_gallery(moto, person.find_session())
    assert [item["name"] for item in gallery["items"]] == ["IMG_0001.JPG", "IMG_0002.JPG", "IMG_0003.JPG"]
    assert count_stored(proxy, "*/index.html") == 1
