"""The gallery as bytes: the order of its pictures, gallery.json, and the page that shows them.

Pure: nothing here touches a disk but the page's own template, style and script, read once.

Names, captions and times come from a card and are hostile. They reach the page as escaped text, or as
JSON in which nothing can end the script element; the only script that runs is the static one, allowed
by its hash in the Content-Security-Policy.
"""

import base64
import codecs
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from ghostroll.model import Gallery, GalleryItem, Kind, Publication
from ghostroll.publish.wording import (
    parse_taken,
    say_archive,
    say_day,
    say_empty,
    say_failed,
    say_state,
    say_title,
)

VERSION = 1  # of gallery.json; grows when a reader of the old shape would misread the new one

# Of a page or of gallery.json that is put together at once: one by one, its pieces take many times its memory.
_BLOCK = 1 << 16
_SCRIPTS = (
    "words.js",
    "layout.js",
    "addresses.js",
    "grid.js",
    "lightbox.js",
    "live.js",
    "disk.js",
    "main.js",
)
_DIGITS = re.compile("([0-9]+)")
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")
_SCHEMES_SHOWN = frozenset({"http:", "https:"})
# Inside a script element these could end it or start a comment; U+2028 and U+2029 end a line in old
# JavaScript. In JSON they only ever stand inside strings, where \uXXXX means the same.
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class _Day:
    """The pictures of one day, as the page without script lists them."""

    title: str
    items: tuple[GalleryItem, ...]


def order_items(items: Iterable[GalleryItem]) -> tuple[GalleryItem, ...]:
    """By local capture time; undated last; ties by name in natural order, IMG_9 before IMG_10.

    The same items give the same order, however they came.
    """
    return tuple(sorted(items, key=_order))


def build_gallery_json(gallery: Gallery) -> bytes:
    """`gallery.json`: UTF-8, its pictures in the order that they have, safe to stand inside a script element.

    Half a surrogate pair, which UTF-8 can't hold, becomes U+FFFD.
    """
    start = {
        "version": VERSION,
        "session": gallery.session,
        "state": gallery.state.value,
        "total": gallery.total,
    }
    end: dict[str, Any] = {
        "failed": [{"name": failure.name, "error": failure.error} for failure in gallery.failed]
    }
    if gallery.archive is not None:
        end["archive"] = {"address": gallery.archive, "bytes": gallery.archive_bytes}
    # Piece by piece: the objects of ten thousand pictures at once would be many times the text.
    items = b",".join(_dump(_describe(item)) for item in gallery.items)
    return b"".join((_dump(start)[:-1], b',"items":[', items, b"],", _dump(end)[1:]))


def _describe(item: GalleryItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "taken": item.taken,
        "camera": item.camera,
        "caption": item.caption,
        "kind": item.kind.value,
        "share": item.share,
        "thumb": item.thumb,
        "width": item.width,
        "height": item.height,
        **({} if item.original is None else {"original": item.original}),
    }


def _dump(value: object) -> bytes:
    return _encode(json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES))


def render_index(gallery: Gallery, address: str | None = None) -> bytes:
    """`index.html` as a whole: what `stream_index` gives."""
    return b"".join(stream_index(gallery, address))


def stream_index(gallery: Gallery, address: str | None = None, *, document: bytes = b"") -> Iterator[bytes]:
    """`index.html`, piece by piece: one page that needs no other file but the pictures. Asks nothing of any other host.

    Without an address, `gallery.json` stands inside, which is `document` where it was built already: the page works
    from file:// and without script, then as a plain list. With one, the page is a shell of fixed size that asks that
    address, of its own origin, for `gallery.json`: of the gallery it holds the session's name alone.
    """
    shell = address is not None
    shown = replace(gallery, state=Publication.LIVE, total=0, items=(), failed=(), archive=None)
    gallery = shown if shell else gallery
    document = build_gallery_json(gallery) if shell or not document else document
    days = [taken.date() for item in gallery.items if (taken := parse_taken(item.taken))]
    pieces = _load_template().generate(
        gallery=gallery,
        address=address,
        days=_group_days(gallery.items),
        title=say_title(gallery, days),
        status=say_state(gallery),
        empty=say_empty(gallery),
        failed=say_failed(gallery),
        archive=gallery.archive and shown_address(gallery.archive),
        archive_words=say_archive(gallery),
        json=map(Markup, _decode(document)),  # no <, > or & is left in it
        policy=_policy(from_disk=not shell),
        style=Markup(_load_style()),  # noqa: S704  # our own file
        script=Markup(_load_script()),  # noqa: S704  # our own files
        shown=shown_address,
        video=Kind.VIDEO,
    )
    return map(_encode, _gather(pieces))


def relative_url(path: str) -> str:
    """The address of a file below the page's folder, percent-encoded: `share/a%20%231.jpg`.

    Bytes that are not UTF-8, as `os.fsdecode` hides them, come out as they are on disk. Raises
    ValueError where `path` is absolute or leaves the folder.
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"not a path below the gallery: {path!r}")
    return quote(path, safe="/", errors="surrogateescape")


def shown_address(address: str) -> str | None:
    """The address, if a page may load it or link to it: below the page, or http(s). Else None.

    Follows how browsers read addresses (WHATWG URL): blanks around and line ends inside are dropped,
    a backslash is a slash.
    """
    bare = re.sub("[\t\r\n]", "", address).strip("".join(map(chr, range(0x21))))
    if scheme := _SCHEME.match(bare):
        return address if scheme[0].lower() in _SCHEMES_SHOWN else None
    return None if bare.startswith(("/", "\\")) else address


def _order(item: GalleryItem) -> tuple[bool, datetime, str, str, str]:
    taken = parse_taken(item.taken)
    return taken is None, taken or datetime.min, _natural(item.name), item.name, item.share  # noqa: DTZ901  # local


def _natural(name: str) -> str:
    """A key by which numbers inside names count as numbers: a longer one is larger.

    Compared as text behind their length, because int() refuses numbers of thousands of digits. Text ends with a
    zero, so that of two texts the one that begins the other comes first.
    """
    parts = _DIGITS.split(name.casefold())  # text, digits, text, …, text
    numbers = (part.lstrip("0") for part in parts[1::2])
    keys = [chr(min(len(number), sys.maxunicode)) + number for number in numbers]
    return "".join(f"{text}\0{key}" for text, key in zip(parts[::2], [*keys, ""], strict=True))


def _group_days(items: Iterable[GalleryItem]) -> Iterator[_Day]:
    for day, group in groupby(items, key=_day_of):
        yield _Day(say_day(day), tuple(group))


def _day_of(item: GalleryItem) -> date | None:
    taken = parse_taken(item.taken)
    return taken.date() if taken else None


def _gather(pieces: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def _decode(document: bytes) -> Iterator[str]:
    blocks = (document[start : start + _BLOCK] for start in range(0, len(document), _BLOCK))
    return codecs.iterdecode(blocks, "utf-8")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


@cache
def _load_template() -> Template:
    environment = Environment(
        loader=PackageLoader("ghostroll.publish"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html")


@cache
def _load_style() -> str:
    return _read("gallery.css")


@cache
def _load_script() -> str:
    return "".join(map(_read, _SCRIPTS))


def _read(name: str) -> str:
    return files("ghostroll.publish").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _policy(*, from_disk: bool) -> str:
    """The page's Content-Security-Policy.

    Only the page's own script and style, only pictures from where the page is. `file:` stands beside
    'self' because browsers disagree whether a page from a disk has a self; a page from a server can't
    load from file: anyway. `data:` is for the page's icon, without which browsers ask the server for
    /favicon.ico; no picture's address may begin so (`shown_address`).
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(_load_script())}",
            f"style-src {_hash(_load_style())}",
            f"img-src 'self'{' file:' if from_disk else ''} data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
