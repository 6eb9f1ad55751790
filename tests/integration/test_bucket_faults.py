"""What goes wrong between here and a store: each fault by its name, nothing lost, nothing leaked."""

import io
import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from buckets import RENDITION, Kept, make_original, open_bucket, put
from mischief import Mischief, open_mischief
from refusing import (
    ACCESS_DENIED,
    BAD_DIGEST,
    CLOCK_SKEWED,
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    INVALID_KEY_ID,
    INVALID_TOKEN,
    NO_SUCH_BUCKET,
    QUOTA_EXCEEDED,
    SLOW_DOWN,
    UNAVAILABLE,
    WRONG_REGION,
    WRONG_SIGNATURE,
    Refusal,
)
from stores import Store
from wires import Wire, open_wire

from ghostroll.errors import (
    ClockUnset,
    GhostrollError,
    Stopped,
    TargetRefused,
    TargetUnreachable,
    TransientError,
)
from ghostroll.publish.s3.bucket import Bucket


@pytest.fixture
def proxy(moto: Store) -> Iterator[Mischief]:
    with open_mischief(moto.address) as proxy:
        yield proxy


@pytest.fixture
def bucket(moto: Store, proxy: Mischief, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket:
        yield bucket


@pytest.fixture
def wire(moto: Store) -> Iterator[Wire]:
    with open_wire(moto.address) as wire:
        yield wire


@pytest.fixture
def far(moto: Store, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The bucket behind a wire."""
    with open_bucket(moto.at(wire.endpoint), monkeypatch) as bucket:
        yield bucket


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (SLOW_DOWN, TargetUnreachable, "fewer requests"),
        (UNAVAILABLE, TargetUnreachable, "fewer requests"),
        (INTERNAL_ERROR, TargetUnreachable, "fault of its own"),
        (INVALID_KEY_ID, TargetRefused, "are wrong"),
        (WRONG_SIGNATURE, TargetRefused, "are wrong"),
        (INVALID_TOKEN, TargetRefused, "are wrong"),
        (EXPIRED_TOKEN, TargetRefused, "have expired"),
        (ACCESS_DENIED, TargetRefused, "permissions"),
        (NO_SUCH_BUCKET, TargetRefused, "no bucket"),
        (QUOTA_EXCEEDED, TargetRefused, "quota"),
        (WRONG_REGION, TargetRefused, 'publish.s3.region to "us-west-2"'),
        (CLOCK_SKEWED, ClockUnset, "clock"),
        (BAD_DIGEST, TransientError, "other bytes"),
    ],
)
def test_each_fault_has_its_name_and_passes(
    bucket: Bucket, proxy: Mischief, refusal: Refusal, kind: type[GhostrollError], words: str
) -> None:
    """What a store answers comes out as what has to be done; when it relents, the same bucket goes on."""
    proxy.refuse(refusal, operation="PutObject")
    with pytest.raises(GhostrollError, match=words) as refused:
        bucket.put("p/1.jpg", b"x", RENDITION)
    assert type(refused.value) is kind
    proxy.relent()
    bucket.put("p/1.jpg", b"x", RENDITION)


def test_short_trouble_is_ridden_out(bucket: Bucket, proxy: Mischief) -> None:
    """Two faults in a row are tried again within one call, and the pace goes down."""
    proxy.refuse(SLOW_DOWN, operation="PutObject", times=2)
    assert bucket.put("p/1.jpg", b"x", RENDITION).confirmed
    assert [each.status for each in proxy.tell()] == [503, 503, 200]
    assert bucket._line.gate.pace.limit == 2


def test_other_region_is_not_followed(bucket: Bucket, proxy: Mischief) -> None:
    """One answer is enough: uploads that arrive behind addresses which are refused help nobody."""
    proxy.refuse(WRONG_REGION)
    with pytest.raises(TargetRefused, match="us-west-2"):
        bucket.put("p/1.jpg", b"x", RENDITION)
    assert len(proxy.tell()) == 1


def test_refused_connection_is_named(far: Bucket, wire: Wire) -> None:
    """Nobody listens; when somebody does again, the same bucket goes on."""
    wire.refuse()
    with pytest.raises(TargetUnreachable, match="refuses connections"):
        far.put("p/1.jpg", b"x", RENDITION)
    wire.mend()
    assert far.put("p/1.jpg", b"x", RENDITION).confirmed


def test_reset_in_the_middle_is_named(far: Bucket, wire: Wire) -> None:
    """Every connection is reset under way."""
    far.put("p/1.jpg", b"x", RENDITION)
    wire.reset_after(100_000)
    with pytest.raises(TargetUnreachable, match="was cut"):
        far.put("p/1.jpg", bytes(1_000_000), RENDITION)


def test_name_that_is_not_known_is_named(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network its names go first."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with open_bucket(moto.at("http://store.invalid"), monkeypatch) as bucket:
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(TargetUnreachable, match=r"store\.invalid can't be resolved"):
            bucket.put("p/1.jpg", b"x", RENDITION)


def test_silence_is_named(far: Bucket, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that stands still is given up."""
    monkeypatch.setattr("ghostroll.publish.s3.client.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("ghostroll.publish.s3.client.READ_SECONDS", 0.2)
    wire.stall_after(100)
    with pytest.raises(TargetUnreachable, match="does not answer in time"):
        far.put("p/1.jpg", b"x", RENDITION)
    assert far._line.gate.pace.limit < 4


def test_login_page_is_no_store(bucket: Bucket, proxy: Mischief) -> None:
    """A hotel's network answers everything, also with 200: nothing counts as stored."""
    proxy.drop_answer_headers("etag")
    with pytest.raises(TargetUnreachable, match="login page"):
        bucket.put("p/1.jpg", b"x", RENDITION)


def test_redirect_to_a_login_page_is_not_followed(bucket: Bucket, proxy: Mischief) -> None:
    """Where such a network leads elsewhere, nothing goes there."""
    proxy.refuse(Refusal(302, "Found", headers={"Location": proxy.endpoint + "/login"}))
    with pytest.raises(TargetUnreachable, match="login page"):
        bucket.put("p/1.jpg", b"x", RENDITION)
    assert len(proxy.tell()) == 1


def test_lifetime_without_credentials_is_a_sentence(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links can't be made without keys, and it says what to do; given some, the same bucket makes them."""
    key = os.environ["AWS_ACCESS_KEY_ID"]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(TargetRefused, match="credentials"):
        bucket.tell_lifetime()
    with pytest.raises(TargetRefused, match="credentials"):
        bucket.prepare()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    assert bucket.tell_lifetime().days == 7
    assert bucket.put("p/1.jpg", b"x", RENDITION).confirmed


def test_address_that_is_none_is_refused(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's typing error is a sentence."""
    with (
        open_bucket(replace(moto, endpoint="store.example"), monkeypatch) as bucket,
        pytest.raises(TargetRefused, match="endpoint_url"),
    ):
        bucket.put("p/1.jpg", b"x", RENDITION)


def test_authorities_that_can_not_be_read(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file of certificates that is not there, or is none, is a person's matter: nothing of it passes by itself."""
    none = tmp_path / "none.pem"
    none.write_text("nothing")
    for path in (tmp_path / "not-there", none, tmp_path):
        monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
        with (
            open_bucket(moto.at(moto.endpoint.replace("http:", "https:")), monkeypatch) as bucket,
            pytest.raises(TargetRefused, match="AWS_CA_BUNDLE"),
        ):
            bucket.put("p/1.jpg", b"x", RENDITION)


def test_proxy_that_is_no_address_is_named(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is corrected by a person; the store is not blamed."""
    for proxy in ("http://[::1", "http://user:p\u00e4ss@127.0.0.1:9", "http://127.0.0.1:99999"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with open_bucket(moto.at("http://127.0.0.2:9"), monkeypatch) as bucket:
            monkeypatch.delenv("http_proxy", raising=False)
            with pytest.raises(TargetRefused, match="HTTP_PROXY"):
                bucket.put("p/1.jpg", b"x", RENDITION)


def test_stop_cuts_a_transfer_at_once(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a line that takes minutes, a stop in the middle comes out as it is, within a piece, and isn't tried again."""
    with (
        open_wire(rclone.address) as wire,
        make_original(4 * 2**20) as file,
        open_bucket(rclone.at(wire.endpoint), monkeypatch) as bucket,
    ):
        bucket.prepare()
        wire.shape(rtt=0, bits_per_second=4_000_000)
        sent: list[int] = []
        stops = [Stopped("stop now")]  # said once: whoever tried again would go on to the end

        def check() -> None:
            if sum(sent) > 100_000 and stops:
                raise stops.pop()

        with pytest.raises(Stopped, match="stop now"):
            put(bucket, file, check=check, sent=sent)
        assert sum(sent) < 200_000
        assert wire.traffic.connections == 1
        assert wire.traffic.up < 200_000
    assert rclone.list_keys() == []


def test_stop_is_heard_between_two_attempts(bucket: Bucket, proxy: Mischief) -> None:
    """While a store is in trouble, a stop comes before the next attempt."""
    proxy.refuse(INTERNAL_ERROR)

    def check() -> None:
        if proxy.tell():
            raise Stopped("stop now")

    with pytest.raises(Stopped, match="stop now"):
        bucket.put("p/1.jpg", b"", RENDITION, check=check)
    assert len(proxy.tell()) == 1


def test_stop_after_the_last_byte_throws_nothing_away(bucket: Bucket, proxy: Mischief) -> None:
    """A stop that comes while the store answers finds the work done."""

    def check() -> None:
        if proxy.tell():
            raise Stopped("stop now")

    assert bucket.put("p/1.jpg", b"x", RENDITION, check=check).confirmed


def test_file_that_can_t_be_read_is_no_fault_of_the_line(bucket: Bucket, proxy: Mischief) -> None:
    """An error of the disk comes out as OSError, once."""
    with make_original(1000) as file, pytest.raises(OSError, match="Bad file descriptor"):
        put(bucket, replace(file, descriptor=-1))
    assert len(proxy.tell()) == 0


def test_nothing_secret_is_told(moto: Store, proxy: Mischief, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, tokens, signatures and what the store wrote are in no error, no chain of errors, no log, at any level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    before = root.level
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(logging.DEBUG)
    secrets = [
        "S3CRETS3CRET",
        "tokentokentoken",
        moto.environ["AWS_ACCESS_KEY_ID"],
        "Signature=",
        "AWS4-HMAC",
        "leaky message",
    ]
    with open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets[0])
        monkeypatch.setenv("AWS_SESSION_TOKEN", secrets[1])
        bucket.sign("p/1", at=datetime.now(UTC), seconds=5)
        told: list[str] = []
        for status, code in (
            (403, "SignatureDoesNotMatch"),
            (500, "InternalError"),
            (400, "Odd"),
            (403, "AccessDenied"),
        ):
            proxy.relent()
            proxy.refuse(Refusal(status, code, f"leaky message {secrets[0]} {secrets[1]}"))
            with pytest.raises(GhostrollError) as refused, make_original(100) as file:
                put(bucket, file, Kept())
            told += ["".join(traceback.format_exception(refused.value)), repr(refused.value)]
            assert refused.value.__context__ is None
        told += [repr(bucket), repr(bucket.place), bucket.place.identity, stream.getvalue()]
    root.removeHandler(handler)
    root.setLevel(before)
    for secret in secrets:
        assert secret not in "\n".join(told)


def test_bandwidth_limit_holds_over_all_threads(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads together leave no faster than the line that they were given."""
    with open_bucket(rclone, monkeypatch, bandwidth_mbit=8) as bucket:
        bucket.prepare()
        start = time.monotonic()
        threads = [
            threading.Thread(target=bucket.put, args=(f"p/{n}", bytes(250_000), RENDITION)) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A million bytes are eight million bits: a second, but for the tenth that may go at once.
        assert time.monotonic() - start > 0.8
    assert len(rclone.list_keys()) == 4
