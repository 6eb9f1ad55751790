"""Small objects, streams and addresses, against real stores."""

import threading
import tracemalloc
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from buckets import PART, RENDITION, open_bucket
from mischief import open_mischief
from stores import Store
from wires import open_wire

from ghostroll.errors import Stopped, TargetRefused
from ghostroll.publish.s3 import keys, line
from ghostroll.publish.s3.client import make_client
from ghostroll.publish.s3.place import Place


@pytest.fixture(params=["moto", "rclone"])
def store(request: pytest.FixtureRequest) -> Store:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Store)
    return found


def test_object_arrives_with_its_headers(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page, a packed gallery and a download are served as what they are, and the store confirms the bytes."""
    with open_bucket(moto, monkeypatch) as bucket:
        packed = keys.pack_text(b"{}")
        assert bucket.put("p/gallery.json", packed, keys.gallery_headers(public=False)).confirmed
        bucket.put("p/o.cr3", b"raw", keys.original_headers("Fête.CR3", public=False))
    found = moto.client().head_object(Bucket=moto.bucket, Key="p/gallery.json")
    assert (found["ContentType"], found["ContentEncoding"]) == ("application/json", "gzip")
    assert found["CacheControl"] == "private, no-cache"
    found = moto.client().head_object(Bucket=moto.bucket, Key="p/o.cr3")
    assert found["ContentDisposition"] == keys.attachment("Fête.CR3")
    assert moto.read("p/gallery.json") == packed


def test_object_replaces_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Galleries grow in place."""
    with open_bucket(store, monkeypatch) as bucket:
        bucket.put("p/ä/1.jpg", b"one", RENDITION)
        bucket.put("p/ä/1.jpg", b"two", RENDITION)
        bucket.put("p/empty", b"", RENDITION)
    assert store.read("p/ä/1.jpg") == b"two"
    assert store.read("p/empty") == b""


def test_small_object_costs_one_request(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No question first, no look afterwards, no second reading for a signature."""
    with open_mischief(moto.address) as proxy, open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket:
        bucket.put("p/1.jpg", b"x" * 300_000, RENDITION)
        (only,) = proxy.tell()
        assert only.asked.operation == "PutObject"
        assert "expect" not in only.asked.headers
        assert "transfer-encoding" not in only.asked.headers
        assert only.asked.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert only.asked.headers["content-length"] == "300000"


def test_threads_share_their_connections(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty objects from eight threads need no more connections than threads."""
    with (
        open_wire(rclone.address) as wire,
        open_bucket(rclone.at(wire.endpoint), monkeypatch, threads=8) as bucket,
    ):
        bucket.prepare()

        def work(number: int) -> None:
            for each in range(5):
                bucket.put(f"p/{number}-{each}.jpg", b"x" * 1000, RENDITION)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wire.traffic.connections <= 8
    assert len(rclone.list_keys("p/")) == 40


def test_stream_arrives_whole_without_its_length(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones in parts, short ones at once, in little memory; the bytes are counted."""
    chunk = bytes(range(256)) * 4096

    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield chunk

    with open_bucket(store, monkeypatch) as bucket:
        bucket.prepare()
        sent: list[int] = []
        tracemalloc.start()
        size = bucket.put_stream("p/share.zip", chunks(40), RENDITION, progress=sent.append)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size == sum(sent) == 40 * len(chunk)
        assert peak < 16 * 2**20
        assert bucket.put_stream("p/small.zip", iter([b"a", b"b"]), RENDITION) == 2
        assert bucket.put_stream("p/empty.zip", iter([]), RENDITION) == 0
    assert store.read("p/share.zip") == chunk * 40
    assert store.read("p/small.zip") == b"ab"


def test_stream_that_breaks_leaves_nothing(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of whoever makes it comes out as it is; no object and no part stays."""

    def chunks() -> Iterator[bytes]:
        yield bytes(20 * 2**20)
        raise OSError(5, "the disk is gone")

    with open_bucket(moto, monkeypatch) as bucket, pytest.raises(OSError, match="the disk is gone"):
        bucket.put_stream("p/share.zip", chunks(), RENDITION)
    assert moto.list_keys() == []
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=moto.bucket)


def test_stream_stops_when_told_to(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop in the middle of a part comes out, and no part stays."""
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 50:
            raise Stopped("stop")

    with open_bucket(moto, monkeypatch) as bucket, pytest.raises(Stopped):
        bucket.put_stream("p/share.zip", iter([bytes(PART)] * 8), RENDITION, check=check)
    assert len(asked) == 50
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=moto.bucket)


def _fetch(address: str) -> tuple[bytes, str | None]:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  # our own address
        return answer.read(), answer.headers["Content-Disposition"]


def test_signed_address_opens_the_object(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser without keys reads by it, under another name if it has one; without the signature it doesn't."""
    key = "p/sessions/s-ö +%&'()/a b.jpg"
    with open_bucket(store, monkeypatch) as bucket:
        bucket.put(key, b"picture", RENDITION)
        at = datetime.now(UTC) - timedelta(minutes=5)
        address = bucket.sign(key, at=at, seconds=3600)
        assert _fetch(address)[0] == b"picture"
        content, disposition = _fetch(bucket.sign(key, at=at, seconds=3600, filename="Fête.jpg"))
        assert content == b"picture"
        if store.name == "moto":
            assert disposition == keys.attachment("Fête.jpg")
        else:
            with pytest.raises(HTTPError):
                _fetch(address.replace("X-Amz-Signature=", "X-Amz-Signature=0"))


def test_signed_address_stays_the_same_after_a_restart(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process with the same keys gives the same address for the same moment, so that none is stored."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    with open_bucket(moto, monkeypatch) as bucket, open_bucket(moto, monkeypatch) as again:
        assert bucket.sign("p/a", at=at, seconds=60) == again.sign("p/a", at=at, seconds=60)
        assert bucket.tell_lifetime() == timedelta(days=7)
        assert not bucket.lifetime_is_assumed


def test_credentials_come_from_the_service_manager(
    rclone: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A systemd credential named `aws` is read as a credentials file; the environment's own file goes before it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "aws").write_text(
        "[default]\n"
        f"aws_access_key_id = {rclone.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {rclone.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    with open_bucket(rclone, monkeypatch) as bucket:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(TargetRefused, match="no credentials"):
            bucket.put("p/1", b"x", RENDITION)
        # The same bucket reads them anew: a person has given some.
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
        bucket.put("p/1", b"x", RENDITION)
    assert rclone.read("p/1") == b"x"


def test_credentials_that_come_in_the_wrong_moment(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that a person gives just when a client without any was made are asked for, and found by the next try."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    given = {name: moto.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}

    def give() -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    def make_client_too_early(session: Any, place: Place) -> Any:
        client = make_client(session, place)
        give()
        return client

    with open_bucket(moto, monkeypatch) as bucket:
        for name in given:
            monkeypatch.delenv(name)
        monkeypatch.setattr(line, "make_client", make_client_too_early)
        with pytest.raises(TargetRefused, match="no credentials"):
            bucket.sign("p/1", at=at, seconds=60)
        give()
        assert given["AWS_ACCESS_KEY_ID"] in bucket.sign("p/1", at=at, seconds=60)
