"""Originals: written only if absent, confirmed only by the store's own checksum."""

import os
import socket
import tracemalloc
from urllib.parse import urlsplit

import pytest
from buckets import Kept, make_original, open_bucket, put
from mischief import Mischief, open_mischief
from refusing import ACCESS_DENIED, NOT_IMPLEMENTED, Asked, Refusal
from stores import Store, serve_localstack
from wires import open_wire

from ghostroll.errors import TargetUnreachable, TransientError
from ghostroll.publish.s3.body import Damaged
from ghostroll.publish.s3.originals import LOOK_FIRST_BYTES


def _said(proxy: Mischief) -> list[str]:
    return [f"{each.asked.operation} {each.status}" for each in proxy.tell()]


def test_original_is_stored_once_and_confirmed(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request stores and confirms it; the second station is told that it is there, and compares."""
    with open_mischief(moto.address) as proxy, make_original(100_000) as file:
        with open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket:
            assert put(bucket, file).confirmed
            assert _said(proxy) == ["PutObject 200"]
            found = put(bucket, file)
            assert (found.confirmed, found.why) == (True, "")
            assert _said(proxy)[1:] == ["PutObject 412", "HeadObject 200", "HeadObject 200"]
        head = moto.client().head_object(Bucket=moto.bucket, Key=file.key)
        assert head["ContentDisposition"] == 'attachment; filename="IMG_1.CR3"'
        assert moto.read(file.key) == os.pread(file.descriptor, file.size, 0)


def test_present_original_of_other_bytes_is_never_confirmed(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """412 only means that something is there."""
    with make_original(1000) as file, open_bucket(moto, monkeypatch) as bucket:
        moto.client().put_object(
            Bucket=moto.bucket, Key=file.key, Body=bytes(1000), ChecksumAlgorithm="SHA256"
        )
        found = put(bucket, file)
        assert not found.confirmed
        assert "another content" in found.why
        moto.client().put_object(
            Bucket=moto.bucket, Key=file.key, Body=bytes(999), ChecksumAlgorithm="SHA256"
        )
        assert "another size" in put(bucket, file).why


def test_an_answer_that_was_cut_short_says_nothing(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that end with their connection, within a number or before a checksum, are asked for again and not believed."""
    with (
        open_wire(moto.address) as wire,
        make_original(LOOK_FIRST_BYTES) as file,
        open_bucket(moto.at(wire.endpoint), monkeypatch) as bucket,
    ):
        assert put(bucket, file).confirmed
        answer = _ask_head(moto, file.key)
        length = answer.lower().index(b"content-length: ")
        checksum = answer.lower().index(b"x-amz-checksum-sha256: ")
        for end in (length + len(b"content-length: 41"), checksum, checksum + 40, len(answer) - 2):
            wire.cut()
            wire.close_after(end, "down", times=1)
            found = put(bucket, file)
            assert (found.confirmed, found.why) == (True, ""), answer[:end]


def _ask_head(store: Store, key: str) -> bytes:
    """What the store's answer to a HEAD is on the wire."""
    asked = {"Bucket": store.bucket, "Key": key, "ChecksumMode": "ENABLED"}
    address = urlsplit(store.client().generate_presigned_url("head_object", Params=asked))
    with socket.create_connection(store.address) as connection:
        connection.sendall(
            f"HEAD {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "x-amz-checksum-mode: ENABLED\r\nConnection: close\r\n\r\n".encode()
        )
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_original_stored_by_a_tool_without_checksums_is_not_confirmed(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right bytes without a checksum of the store's prove nothing."""
    with make_original(1000) as file, open_bucket(moto, monkeypatch) as bucket:
        moto.client(request_checksum_calculation="when_required").put_object(
            Bucket=moto.bucket, Key=file.key, Body=os.pread(file.descriptor, 1000, 0)
        )
        found = put(bucket, file)
        assert not found.confirmed
        assert "keeps no SHA-256" in found.why


def test_store_that_hands_back_any_checksum_confirms_nothing(
    rclone: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rclone keeps what it is told without comparing: the original is there, and it is said why that is all."""
    with make_original(1000) as file, open_bucket(rclone, monkeypatch) as bucket:
        found = put(bucket, file)
        assert not found.confirmed
        assert "without comparing" in found.why
        assert rclone.read(file.key) == os.pread(file.descriptor, 1000, 0)


def test_store_without_checksums_is_asked_once(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first original of this store nobody looks again: the answer is known."""
    with (
        open_mischief(rclone.address) as proxy,
        open_bucket(rclone.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        for seed in range(3):
            with make_original(1000, seed) as file:
                assert not put(bucket, file).confirmed
        assert _said(proxy) == [
            "PutObject 200",
            "HeadObject 200",
            "HeadObject 200",
            "PutObject 200",
            "PutObject 200",
        ]


def test_store_that_repeats_no_checksum_is_asked_for_it(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PUT without an echo is confirmed by a look, if that gives the same value."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(1000) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.change_answer({"x-amz-checksum-sha256": ""}, operation="PutObject")
        assert put(bucket, file).confirmed
        assert _said(proxy) == ["PutObject 200", "HeadObject 200", "HeadObject 200"]


def test_store_that_may_not_be_looked_into_confirms_nothing(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """403 on a look after 412 leaves the original unconfirmed, and names the permission."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(1000) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        put(bucket, file)
        proxy.refuse(ACCESS_DENIED, operation="HeadObject")
        found = put(bucket, file)
        assert not found.confirmed
        assert "s3:GetObject" in found.why


def _has_condition(asked: Asked) -> bool:
    return "if-none-match" in asked.headers


def test_store_without_conditions_is_looked_at_first(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one 501 this client asks first and writes without the condition; what is there is not sent again."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(1000) as file,
        make_original(1000, 2) as other,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.refuse(NOT_IMPLEMENTED, operation="PutObject", having=_has_condition)
        assert put(bucket, file).confirmed
        assert put(bucket, other).confirmed
        assert put(bucket, file).confirmed
        assert _said(proxy) == [
            *("PutObject 501", "HeadObject 404", "PutObject 200"),
            *("HeadObject 404", "PutObject 200"),
            *("HeadObject 200", "HeadObject 200"),
        ]


def test_two_writers_at_once_are_told_apart(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """409 means that another upload of it is under way: absent still, it is tried again later."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(1000) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.refuse(Refusal(409, "ConditionalRequestConflict"), operation="PutObject", times=1)
        with pytest.raises(TransientError, match="looked at again"):
            put(bucket, file)
        assert put(bucket, file).confirmed


@pytest.mark.parametrize("size", [1000, 6 * 2**20])
def test_damaged_original_never_reaches_the_bucket(
    rclone: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A file that changed on disk is named, and a store that compares nothing doesn't get it either."""
    with make_original(size) as file, open_bucket(rclone, monkeypatch) as bucket:
        os.pwrite(file.descriptor, b"\0\0\0\0\0\0\0\0", size - 100)
        with pytest.raises(Damaged, match="ghostroll verify"):
            put(bucket, file, Kept())
    assert rclone.list_keys() == []


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_large_original_is_asked_about_before_it_is_sent(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a few megabytes on a look comes first: not a byte goes out of what is there, with any store."""
    store: Store = request.getfixturevalue(name)
    with (
        open_mischief(store.address) as proxy,
        make_original(4 * 2**20) as file,
        open_bucket(store.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        put(bucket, file)
        assert _said(proxy)[:2] == ["HeadObject 404", "PutObject 200"]
        sent: list[int] = []
        put(bucket, file, sent=sent)
        assert sent == []
        assert len(proxy.tell("PutObject")) == 1


def test_login_page_is_no_present_original(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers a look without an ETag is no store, whatever it says."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(1000) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        put(bucket, file)
        proxy.drop_answer_headers("etag")
        with pytest.raises(TargetUnreachable, match="login page"):
            put(bucket, file)


def test_original_is_never_whole_in_memory(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes out from its descriptor in pieces."""
    with make_original(48 * 2**20) as file, open_bucket(rclone, monkeypatch, part_bytes=64 * 2**20) as bucket:
        bucket.prepare()
        tracemalloc.start()
        put(bucket, file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * 2**20


@pytest.mark.parametrize("size", [0, 1000, 12 * 2**20])
def test_strict_store_confirms_and_refuses(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A store that computes checksums itself confirms ours, of one piece and of parts, and takes no damaged byte."""
    with serve_localstack() as store, make_original(size) as file, open_bucket(store, monkeypatch) as bucket:
        assert put(bucket, file).confirmed
        assert put(bucket, file).confirmed
        assert store.read(file.key) == os.pread(file.descriptor, size, 0)
        if not size:
            return
        with open_mischief(store.address) as proxy, make_original(size, 2) as other:
            proxy.damage(operation="PutObject")
            proxy.damage(operation="UploadPart")
            with (
                open_bucket(store.at(proxy.endpoint), monkeypatch) as bad,
                pytest.raises(TransientError, match="other bytes"),
            ):
                put(bad, other)
            assert store.list_keys() == [file.key]
