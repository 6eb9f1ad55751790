"""A bucket as a gallery's visitors and its owner see it: what lies in it, what its links give, what was asked of it."""

import gzip
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commanding import Person, make_person
from mischief import Answered, Mischief, open_mischief
from stores import Store

WRITES = ("PutObject", "CompleteMultipartUpload")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a visitor got."""

    status: int
    headers: dict[str, str]
    content: bytes


def fetch(address: str) -> Fetched:
    """Open an address as a browser does: without any credentials, and unpacked where it comes packed."""
    try:
        with _OPENER.open(address, timeout=20) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            content = answer.read()
            packed = headers.get("content-encoding") == "gzip"
            return Fetched(answer.status, headers, gzip.decompress(content) if packed else content)
    except urllib.error.HTTPError as error:
        with error:
            return Fetched(error.code, {}, error.read())


def find_page(store: Store) -> str:
    """The folder of the one gallery."""
    (index,) = (key for key in store.list_keys() if key.endswith("/index.html"))
    return index.removesuffix("/index.html")


def read_gallery(store: Store, page: str | None = None) -> dict[str, Any]:
    """The gallery.json of a gallery, of the one there is without `page`."""
    found: dict[str, Any] = json.loads(read_part(store, "gallery.json", page))
    return found


def read_part(store: Store, name: str, page: str | None = None) -> bytes:
    """A text of a gallery, which lies there packed."""
    return gzip.decompress(store.read(f"{page or find_page(store)}/{name}"))


def find_original_key(path: Path) -> str:
    """Under which key a file of a card belongs in a bucket without a prefix."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"originals/{digest[:2]}/{digest}{path.suffix.lower()}"


def check_gallery(store: Store, session: Path, page: str | None = None) -> dict[str, Any]:
    """A gallery in a bucket is whole: every picture of the session's folder, every address gives its bytes.

    Returns its gallery.json.
    """
    gallery = read_gallery(store, page)
    local = json.loads((session / "gallery.json").read_bytes())
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"]) == len(local["items"])
    assert [item["name"] for item in gallery["items"]] == [item["name"] for item in local["items"]]
    for item, same in zip(gallery["items"], local["items"], strict=True):
        for part in ("share", "thumb"):
            found = fetch(item[part])
            assert found.status == 200, (item[part], found.content)
            assert found.content == (session / same[part]).read_bytes()
    if gallery["items"]:
        archive = fetch(gallery["archive"]["address"])
        assert archive.status == 200
        assert len(archive.content) == gallery["archive"]["bytes"]
    return gallery


@contextmanager
def open_cloud_person(place: Path, store: Store) -> Iterator[tuple[Person, Mischief]]:
    """Somebody with a card of three photos whose galleries go to a store, and what the store is asked."""
    with open_mischief(store.address) as proxy:
        yield make_cloud_person(place, store.at(proxy.endpoint)), proxy


def make_cloud_person(place: Path, store: Store) -> Person:
    """Somebody with a card of three photos whose galleries go to a store."""
    place.mkdir(exist_ok=True)
    person = make_person(place)
    person.env |= store.settings
    return person


def tell_writes(proxy: Mischief, key: str = "*") -> list[Answered]:
    """Every attempt to put a whole object under such keys, in order."""
    return [each for each in proxy.tell(key=key) if each.asked.operation in WRITES]


def count_stored(proxy: Mischief, key: str) -> int:
    """How often an object was really written under such keys."""
    return sum(each.status == 200 for each in tell_writes(proxy, key))
