"""gallery.json, and the page around it."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.model import Gallery, GalleryFailure, GalleryItem, Kind, Publication
from ghostroll.publish.gallery import build_gallery_json, relative_url, render_index, shown_address
from ghostroll.publish.wording import say_size, say_state

ITEM = GalleryItem(
    "IMG_1.JPG",
    "2026-11-22T14:30:15",
    "EOS R6",
    "1/250 s, f/2.8",
    Kind.RAW,
    "share/1.jpg",
    "thumbs/1.jpg",
    2048,
    1365,
)
GALLERY = Gallery(
    "2026-11-22_143015-EOS-k3f7", Publication.LIVE, 40, (ITEM,), (GalleryFailure("A.CR3", "broken"),)
)

# Any text, and often that which ends elements, comments, strings and attributes.
hostile = st.text() | st.lists(
    st.sampled_from(
        [
            "</script>",
            "</SCRIPT\t",
            "<!--",
            "<script",
            "]]>",
            "</noscript>",
            "</title>",
            "\u2028",
            "\u202e",
            "\0",
            "&lt;",
            "&",
            "\"'`",
            "{{ 7 }}",
            "{% raw %}",
            "\\",
            "\\u003c",
            "\r\n",
            "x",
        ]
    )
).map("".join)


class Page(HTMLParser):
    """What a parser finds: elements by name, and the text of each kind of script and style."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self._inside: str | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes.append(dict(attrs))
        self._inside = f"{tag} {dict(attrs).get('type')}" if tag in {"script", "style"} else None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def handle_endtag(self, _: str) -> None:
        self._inside = None


def make_gallery(text: str) -> Gallery:
    """A gallery in which every text that comes from a card is this one."""
    item = replace(ITEM, name=text, taken=text, camera=text, caption=text)
    return replace(GALLERY, items=(item,), failed=(GalleryFailure(text, text),))


def test_json_has_exactly_these_fields() -> None:
    """gallery.json has the fields that others rely on, in the order of the pictures."""
    earlier = replace(ITEM, name="IMG_0.JPG", taken="2026-11-22T14:30:14", camera=None, kind=Kind.VIDEO)
    gallery = replace(GALLERY, items=(earlier, ITEM))
    first = {
        "name": "IMG_0.JPG",
        "taken": "2026-11-22T14:30:14",
        "camera": None,
        "caption": "1/250 s, f/2.8",
        "kind": "video",
        "share": "share/1.jpg",
        "thumb": "thumbs/1.jpg",
        "width": 2048,
        "height": 1365,
    }
    second = first | {"name": "IMG_1.JPG", "taken": "2026-11-22T14:30:15", "camera": "EOS R6", "kind": "raw"}
    assert json.loads(build_gallery_json(gallery)) == {
        "version": 1,
        "session": "2026-11-22_143015-EOS-k3f7",
        "state": "live",
        "total": 40,
        "items": [first, second],
        "failed": [{"name": "A.CR3", "error": "broken"}],
    }


def test_json_offers_what_viewers_may_have() -> None:
    """The original and the archive stand in gallery.json only where there is one."""
    item = replace(ITEM, original="https://host/1.cr3?a=b")
    offered = json.loads(
        build_gallery_json(replace(GALLERY, items=(item,), archive="share.zip", archive_bytes=7))
    )
    assert offered["items"][0]["original"] == item.original
    assert offered["archive"] == {"address": "share.zip", "bytes": 7}
    plain = json.loads(build_gallery_json(GALLERY))
    assert "original" not in plain["items"][0]
    assert "archive" not in plain


@given(hostile)
def test_any_text_comes_back_from_the_page(text: str) -> None:
    """Whatever a card says, the JSON in the page gives it back, and it ends no element."""
    gallery = make_gallery(text)
    page = Page(render_index(gallery))
    inside = page.texts["script application/json"]
    assert inside.encode() == build_gallery_json(gallery)
    assert not re.search("[<>&\u2028\u2029]", inside)
    (item,), (failure,) = json.loads(inside)["items"], json.loads(inside)["failed"]
    assert {item[field] for field in ("name", "taken", "camera", "caption")} == {text}
    assert {failure["name"], failure["error"]} == {text}


@given(hostile)
def test_no_text_makes_an_element(text: str) -> None:
    """Whatever a card says, the page has the elements and attributes of a page with harmless names."""
    hostile_page, harmless = Page(render_index(make_gallery(text))), Page(render_index(make_gallery("x")))
    assert hostile_page.elements == harmless.elements
    assert [list(names) for names in hostile_page.attributes] == [
        list(names) for names in harmless.attributes
    ]


def test_half_a_character_becomes_a_mark() -> None:
    """Half a surrogate pair, which no UTF-8 can hold, becomes U+FFFD in both files."""
    gallery = make_gallery("IMG\udce9\ud83d.JPG\U0001f4f7")
    assert json.loads(build_gallery_json(gallery))["items"][0]["name"] == "IMG\ufffd\ufffd.JPG\U0001f4f7"
    assert "IMG\ufffd\ufffd.JPG\U0001f4f7" in render_index(gallery).decode()


def test_policy_allows_the_script_and_style_of_the_page() -> None:
    """The hashes in the Content-Security-Policy are those of the one script and the one style."""
    page = Page(render_index(GALLERY))
    policies = [names["content"] for names in page.attributes if "http-equiv" in names and names["content"]]
    policy = dict(part.split(" ", 1) for part in policies[0].split("; "))
    for element, directive in (("script module", "script-src"), ("style None", "style-src")):
        digest = base64.b64encode(hashlib.sha256(page.texts[element].encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert page.elements.count("script") == 2
    assert page.elements.count("style") == 1
    assert not [
        name for names in page.attributes for name in names if name == "style" or name.startswith("on")
    ]


def test_page_names_no_other_host() -> None:
    """Nothing in the page points to another host; the only URL names the XML namespace of the icon."""
    page = render_index(GALLERY).decode()
    assert set(re.findall(r"\w+://[^\s'\"]+", page)) == {"http://www.w3.org/2000/svg"}


def test_page_without_pictures_is_small() -> None:
    """What must be loaded before the first picture stays below 60 kB."""
    assert len(render_index(replace(GALLERY, items=(), failed=()))) < 60_000


def test_shell_is_the_same_for_every_gallery() -> None:
    """With an address nothing of the gallery but its name is in the page, which so stays below 100 kB."""
    many = tuple(replace(ITEM, name=f"IMG_{number}.JPG", original="x" * 400) for number in range(5_000))
    large = replace(GALLERY, items=many, total=9_999, state=Publication.COMPLETE, archive="share.zip")
    shell = render_index(large, "https://host/gallery.json?a=b")
    assert shell == render_index(replace(GALLERY, items=(), failed=()), "https://host/gallery.json?a=b")
    assert len(shell) < 60_000
    assert "IMG_" not in shell.decode()
    assert GALLERY.session in shell.decode()


@given(hostile)
def test_any_address_comes_back_from_the_shell(text: str) -> None:
    """Whatever stands in the address, the shell's script reads it as it was, and it makes no element."""
    address = f"https://host/o'neil%20\"&<b>/gallery.json?a=1&b={text}"
    page, harmless = Page(render_index(GALLERY, address)), Page(render_index(GALLERY, "x"))
    assert page.elements == harmless.elements
    scripts = [names for names in page.attributes if names.get("id") == "gallery"]
    assert [names["data-address"] for names in scripts] == [address]


def test_shell_has_the_stricter_policy() -> None:
    """A page from a server may load nothing from a disk, and says without script what it needs."""
    shell = render_index(GALLERY, "gallery.json")
    assert "img-src 'self' data:;" in html.unescape(shell.decode())
    assert "img-src 'self' file: data:;" in html.unescape(render_index(GALLERY).decode())
    assert b"without JavaScript" in shell
    assert b'http-equiv="refresh"' not in shell


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (56_700_000_000, "57 GB"),
        (4_000_000_000_000_000, "4000 TB"),
    ],
)
def test_sizes_are_said_for_people(size: int, words: str) -> None:
    """Bytes are said in decimal units, with two digits."""
    assert say_size(size) == words


@pytest.mark.parametrize(
    ("state", "here", "total", "words"),
    [
        (Publication.LIVE, 0, 40, "The first pictures are on their way"),
        (Publication.LIVE, 1, 40, "1 of 40 pictures, 39 still to come"),
        (Publication.LIVE, 1, 1, "1 picture, more are coming"),
        (Publication.LIVE, 2, 1234, "2 of 1,234 pictures, 1,232 still to come"),
        (Publication.COMPLETE, 2, 9, "2 pictures, complete"),
        (Publication.COMPLETE, 0, 0, "No pictures"),
    ],
)
def test_says_what_is_still_to_come(state: Publication, here: int, total: int, words: str) -> None:
    """The line under the title says how many pictures there are and how many will come."""
    assert say_state(replace(GALLERY, state=state, total=total, items=(ITEM,) * here)) == words


def test_archive_is_offered_where_there_is_one() -> None:
    """The link to all pictures names its size; an address that isn't one of a file is not linked."""
    page = render_index(replace(GALLERY, archive="share.zip", archive_bytes=1_200_000_000))
    assert b'href="share.zip"' in page
    assert b">Download all, 1.2 GB<" in page
    bad = render_index(replace(GALLERY, archive="javascript:alert(1)", archive_bytes=5))
    assert [names for names in Page(bad).attributes if names.get("id") == "archive" and "href" in names] == []


def test_page_without_script_links_to_safe_addresses_only() -> None:
    """In the plain list, a picture whose address would run script has a name and no link."""
    bad = replace(ITEM, name="BAD.JPG", share="javascript:alert(1)")
    page = Page(render_index(replace(GALLERY, items=(ITEM, bad))))
    assert [
        names.get("href") for names in page.attributes if "href" in names and names.get("rel") != "icon"
    ] == ["share/1.jpg"]


@pytest.mark.parametrize(
    "address",
    ["share/1.jpg", "1.jpg", "./a%3Ab.jpg", "https://host/a?b=c&d", "HTTP://host/", "a?b:c", "-x:y"],
)
def test_addresses_of_pictures_are_shown(address: str) -> None:
    """Relative and http addresses are left as they are."""
    assert shown_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:x",
        " JAVA\tscript:x",
        "java\nscript:x",
        "\x01javascript:x",
        "data:text/html,x",
        "file:///etc/x",
        "//host/x",
        "/\\host/x",
        "\\\\host\\x",
        "\t//host",
        "/\t/host",
        "blob:x",
        "vbscript:x",
    ],
)
def test_other_addresses_are_not_shown(address: str) -> None:
    """What a browser would read as script, data, a disk or another host is refused."""
    assert shown_address(address) is None


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("share/a b#1?%.jpg", "share/a%20b%231%3F%25.jpg"),
        ("javascript:x", "javascript%3Ax"),
        ("share/ü.jpg", "share/%C3%BC.jpg"),
        ("share/\udcfc.jpg", "share/%FC.jpg"),
        ("share/..a.jpg", "share/..a.jpg"),
    ],
)
def test_paths_become_addresses(path: str, url: str) -> None:
    """A path below the page becomes an address that means this file and nothing else."""
    assert relative_url(path) == url
    assert shown_address(url) == url


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.jpg", "share/../../x.jpg", "//host/x"])
def test_paths_out_of_the_folder_are_refused(path: str) -> None:
    """A path that leaves the session's folder is a caller's mistake."""
    with pytest.raises(ValueError, match="not a path below"):
        relative_url(path)
