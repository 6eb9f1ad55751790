"""Names and headers of objects in the bucket."""

import gzip
import hashlib
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.model import Sha256
from ghostroll.publish.s3 import keys
from ghostroll.publish.s3.place import Place

DIGEST = Sha256(hashlib.sha256(b"x").digest())


def test_keys_lie_where_the_design_says() -> None:
    """A gallery's parts share a folder with the token in its name, originals go by their content."""
    folder = keys.page_folder("/weddings/", "2026-11-22_143015-EOS-k3f7", "t" * 22)
    assert (
        keys.page_key(folder, "share/a.jpg")
        == f"weddings/sessions/2026-11-22_143015-EOS-k3f7-{'t' * 22}/share/a.jpg"
    )
    assert keys.page_folder("", "s", "t") == "sessions/s-t"
    assert keys.original_key("p", DIGEST, b"A.CR3") == f"p/originals/{DIGEST.hex()[:2]}/{DIGEST.hex()}.cr3"


@pytest.mark.parametrize(
    ("name", "ext"),
    [
        (b"IMG.JPG", ".jpg"),
        (b"clip.M2TS", ".m2ts"),
        (b"a.b/c", ""),
        (b".hidden", ""),
        (b"x.\xff\xfej p g", ".jpg"),
        (b"x.abcdefghijk", ".abcdefgh"),
        (b"x.../..", ""),
        (b"none", ""),
        ("Ä.ÄRW", ".rw"),
    ],
)
def test_extension_is_short_and_plain(name: bytes | str, ext: str) -> None:
    """Whatever a card calls a file, the key's end is at most eight of [a-z0-9]."""
    assert (
        keys.original_key("", DIGEST, name).removeprefix(f"originals/{DIGEST.hex()[:2]}/{DIGEST.hex()}")
        == ext
    )


def test_page_is_asked_for_again_and_pictures_are_not() -> None:
    """The page and its JSON are revalidated each time; a rendition stays for as long as its address may live."""
    assert keys.page_headers(public=False).cache_control == "private, no-cache"
    assert keys.gallery_headers(public=True).cache_control == "public, no-cache"
    assert keys.gallery_headers(public=False).content_encoding == "gzip"
    rendition = keys.rendition_headers(public=False)
    assert (rendition.content_type, rendition.cache_control) == (
        "image/jpeg",
        "private, max-age=604800, immutable",
    )
    assert keys.rendition_headers(public=True).cache_control.startswith("public, ")


def test_gallery_packs_the_same_each_time() -> None:
    """The same JSON gives the same bytes, whenever it is packed, and unpacks to itself."""
    packed = keys.pack_text(b'{"a": 1}' * 100)
    assert gzip.decompress(packed) == b'{"a": 1}' * 100
    assert packed[4:8] == bytes(4)


def test_original_is_a_download_with_its_type() -> None:
    """An original comes down under the camera's name, and says what it is."""
    headers = keys.original_headers(b"DCIM/100CANON/IMG_0001.CR3", public=False)
    assert headers.content_disposition == 'attachment; filename="IMG_0001.CR3"'
    assert headers.content_type == "image/x-canon-cr3"
    assert keys.original_headers(b"x.bin", public=False).content_type == "application/octet-stream"
    assert keys.archive_headers("day.zip", public=False).content_type == "application/zip"


@given(st.one_of(st.text(), st.binary()))
def test_disposition_holds_any_name_safely(name: str | bytes) -> None:
    """However hostile, a name gives one header line in ASCII that a parser reads back as one plain file name."""
    line = keys.attachment(name)
    assert line.isascii()
    assert line.isprintable()
    message = Message()
    message["Content-Disposition"] = line
    assert message.get_content_disposition() == "attachment"
    shown = message.get_filename()
    assert shown
    for name_said in (shown, unquote(line.partition("filename*=UTF-8''")[2])):
        assert not set(name_said) & set("/\\\r\n\0\x7f")


def test_disposition_keeps_letters_beyond_ascii() -> None:
    """A name in any script survives by RFC 5987, with a plain one for old readers."""
    assert (
        keys.attachment("Fête 1.jpg")
        == "attachment; filename=\"F_te 1.jpg\"; filename*=UTF-8''F%C3%AAte%201.jpg"
    )
    assert keys.attachment('a"b.jpg') == "attachment; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"
    assert keys.attachment("a\r\nb\x80/../c\x00d.jpg") == 'attachment; filename="cd.jpg"'
    assert keys.attachment(b"\xff.jpg") == "attachment; filename=\"_.jpg\"; filename*=UTF-8''%EF%BF%BD.jpg"


def test_identity_tells_places_apart_and_no_secret() -> None:
    """Where objects lie is bucket, prefix and store; how they get there, and who asks, doesn't belong to it."""
    assert Place("b").identity == "s3://b at AWS"
    assert Place("b", "/p/q/", endpoint_url="https://user:pw@s3.example:9000/x/").identity == (
        "s3://b/p/q at https://s3.example:9000/x"
    )
    assert Place("b", threads=3, bandwidth_mbit=5, region="r").identity == Place("b").identity
    assert Place("b", endpoint_url="https://u:pw@h").host == "h"


def test_threads_follow_the_line_up_to_sixteen() -> None:
    """A number that somebody set is used; none means up to 16."""
    assert (Place("b").most_threads, Place("b", threads=3).most_threads) == (16, 3)
    assert (Place("b").is_public, Place("b", base_url="https://cdn").is_public) == (False, True)
