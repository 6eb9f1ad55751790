"""What a log line never says: signatures, keys and tokens, wherever they stand in it."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from journal_peers import JournalPeer, open_journal, own_logging, raise_over

from ghostroll.config import Log, LogFormat, LogLevel
from ghostroll.observe.logs import hide_secrets, open_log

KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"
TOKEN = "FwoGZXIvYXdzEJr" * 4


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    with own_logging():
        yield


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[JournalPeer]:
    """A journal that listens."""
    with contextlib.closing(JournalPeer(tmp_path / "journal")) as peer:
        yield peer


def sign(version: str) -> str:
    """A real signed address, as the S3 target makes them."""
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=KEY_ID * 2,
        aws_session_token=TOKEN,
        config=Config(signature_version=version),
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "s/index.html"})
    assert isinstance(url, str)
    return url


def signatures(url: str) -> list[str]:
    """What of a signed address must not be told."""
    found = re.findall(r"(?:Signature|AWSAccessKeyId|Credential|(?i:security-token))=([^&]+)", url)
    assert len(found) == 3
    return [*found, KEY_ID, TOKEN]


WRAPS: list[Callable[[str], str]] = [
    str,
    "could not reach {}: no route".format,
    '{{"Link": "{}"}}'.format,
    "<a href='{}'>".format,
    lambda url: "redirect?to=" + url.replace("=", "%3D").replace("&", "%26"),
    lambda url: repr(url.encode()),
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_signed_address_never_gets_through(
    peer: JournalPeer, capsys: pytest.CaptureFixture[str], version: str, wrap: Callable[[str], str]
) -> None:
    """In a sentence, a value or an exception, to the journal, as JSON and on a terminal: no signature, key or token."""
    url = sign(version)
    for kind in LogFormat:
        log = open_log(Log(format=kind), quiet=False, environ={}, journal=peer.path)
        log.info(wrap(url), where=wrap(url), several=[wrap(url)])
        try:
            raise_over(wrap(url))
        except ValueError:
            log.exception("a bug")

    said = capsys.readouterr().err + "\n".join("\n".join(entry.values()) for entry in peer.read_all())
    assert said.count("[hidden]") >= 4 * len(LogFormat)
    assert "a bug" in said
    for secret in signatures(url):
        assert secret not in said


@pytest.mark.parametrize(
    "word",
    [
        "X-Amz-Signature=1f2e",
        "x-amz-security-token%3D1f2e",
        "X-Amz-Credential%253D1f2e",
        "X-Goog-Signature=1f2e",
        "/b/k?AWSAccessKeyId=1f2e",
        "GoogleAccessId=1f2e",
        "?Expires=1&Signature=1f2e",
        "Credential=1f2e",
        "aws_secret_access_key=1f2e",
        "aws_session_token=1f2e",
        KEY_ID,
        "ASIA" + KEY_ID[4:] + "/20261122/eu-central-1/s3/aws4_request",
    ],
)
def test_every_mark_of_a_secret_is_known_by_itself(word: str) -> None:
    """A word with one such mark is hidden whole, and nothing beside it."""
    assert hide_secrets(f"no route to '{word}' today") == "no route to '[hidden]' today"


@pytest.mark.parametrize(
    "text",
    [
        "DCIM/100CANON/IMG_0001.JPG can't be read",
        "DCIM/Signature=1/Credential=2.JPG",
        "ASIA2026 asiaphotographs12345 AKIA",
        "safe to remove, 1201 files verified: ghostroll link 42",
        "https://photos.example/s/index.html?X-Amz-Expires=3600",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """The net lets names of files, sentences and plain addresses pass."""
    assert hide_secrets(text) == text


def test_a_long_word_is_looked_at_once() -> None:
    """A word of a megabyte that only looks like a secret is through before anybody gives up."""
    text = "AKIA?Signature&X-Amz-" * 50_000
    assert hide_secrets(text) == text


def test_what_a_library_warns_of_passes_the_same_net(peer: JournalPeer) -> None:
    """A library's warning comes as an entry without secrets; what it says below a warning is not logged."""
    open_journal(peer.path, level=LogLevel.DEBUG)
    other = logging.getLogger("anything.connectionpool")
    other.warning("Retrying %s", "/x?X-Amz-Signature=abc\nPRIORITY=0")
    other.setLevel(logging.DEBUG)
    other.info("Found credentials")
    other.setLevel(logging.NOTSET)

    entry = peer.only()
    assert entry["MESSAGE"] == "Retrying [hidden]"
    assert entry["PRIORITY"] == "4"
