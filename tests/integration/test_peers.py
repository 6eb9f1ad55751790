"""The stores, the line and the proxy that other tests stand on do what those tests take for granted."""

import base64
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import refusing
from botocore.exceptions import ClientError
from mischief import open_mischief
from running import need_tools
from stores import Store
from waiting import wait_for
from wires import Wire, open_wire

PART = 5 * 1024 * 1024  # bytes; the smallest that S3 takes but for the last
ODD = "sessions/p q/ä+&=%20'(1).jpg"


def hash_of(content: bytes) -> str:
    """A SHA-256 as S3 writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def refused(ask: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the refusal that this meets."""
    with pytest.raises(ClientError) as met:
        ask()
    return met.value.response["ResponseMetadata"]["HTTPStatusCode"], met.value.response["Error"]["Code"]


def open_address(url: str) -> tuple[int, bytes]:
    """Status and content, as a browser gets them: without keys."""
    place, path = url.removeprefix("http://").split("/", 1)
    with contextlib.closing(HTTPConnection(place, timeout=20)) as connection:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()


def sign(store: Store, key: str, **more: Any) -> str:
    """A link of a minute."""
    url: str = store.client().generate_presigned_url(
        "get_object", Params={"Bucket": store.bucket, "Key": key, **more}, ExpiresIn=60
    )
    return url


def with_keys(store: Store, **keys: str) -> Store:
    """The same place, with other keys."""
    return replace(store, environ={**store.environ, **keys})


# Stores.


@pytest.mark.parametrize("name", ["moto", "strict", "rclone", "localstack"])
def test_a_store_keeps_what_it_is_given(name: str, request: pytest.FixtureRequest) -> None:
    """An empty bucket takes an object with an odd key and its headers, and gives both back."""
    store: Store = request.getfixturevalue(name)
    assert store.list_keys() == []
    store.client().put_object(
        Bucket=store.bucket, Key=ODD, Body=b"odd", ContentType="image/jpeg", CacheControl="private"
    )
    assert (store.list_keys("sessions/"), store.read(ODD)) == ([ODD], b"odd")
    head = store.client().head_object(Bucket=store.bucket, Key=ODD)
    assert (head["ContentType"], head["CacheControl"]) == ("image/jpeg", "private")
    assert store.list_keys("elsewhere/") == store.with_new_bucket().list_keys() == []


@pytest.mark.parametrize("name", ["moto", "strict", "localstack"])
def test_a_store_writes_only_if_absent(name: str, request: pytest.FixtureRequest) -> None:
    """A second write with If-None-Match is refused, and the first stays."""
    store: Store = request.getfixturevalue(name)
    put = {"Bucket": store.bucket, "Key": "a", "IfNoneMatch": "*"}
    store.client().put_object(**put, Body=b"first")
    assert refused(lambda: store.client().put_object(**put, Body=b"second")) == (412, "PreconditionFailed")
    assert store.read("a") == b"first"


@pytest.mark.parametrize("name", ["strict", "rclone"])
def test_a_store_checks_keys(name: str, request: pytest.FixtureRequest) -> None:
    """A wrong secret and an unknown key are refused, each by its own code."""
    store: Store = request.getfixturevalue(name)
    for keys, code in (
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "AKIAWRONG"}, "InvalidAccessKeyId"),
    ):
        put = partial(with_keys(store, **keys).client().put_object, Bucket=store.bucket, Key="a", Body=b"")
        assert refused(put) == (403, code)
    assert store.list_keys() == []


@pytest.mark.parametrize("name", ["rclone", "localstack"])
def test_a_store_checks_links(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link opens without keys; changed, or after its time, it doesn't."""
    store: Store = request.getfixturevalue(name)
    store.client().put_object(Bucket=store.bucket, Key=ODD, Body=b"seen")
    link = sign(store, ODD)
    assert open_address(link) == (200, b"seen")
    assert open_address(link[:-1] + ("0" if link[-1] != "0" else "1"))[0] == 403
    long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    with monkeypatch.context() as earlier:
        earlier.setattr("botocore.auth.get_current_datetime", lambda *_, **__: long_ago)
        expired = sign(store, ODD)
    status, answer = open_address(expired)
    assert (status, b"AccessDenied" in answer) == ({"rclone": 400, "localstack": 403}[name], True)


@pytest.mark.parametrize("name", ["moto", "strict", "rclone"])
def test_a_bucket_is_private(name: str, request: pytest.FixtureRequest) -> None:
    """Nobody reads an object without keys or a link."""
    store: Store = request.getfixturevalue(name)
    store.client().put_object(Bucket=store.bucket, Key="a", Body=b"private")
    status, answer = open_address(f"{store.endpoint}/{store.bucket}/a")
    assert status in (400, 403)
    assert b"private" not in answer


def test_a_user_may_only_what_the_policy_says(strict: Store) -> None:
    """A user with a policy writes and reads under the prefix; everything else is refused with 403."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:GetObject"],
                "Resource": f"arn:aws:s3:::{strict.bucket}/trips/*",
            }
        ],
    }
    user = with_keys(strict, **strict.restrict(policy))
    client, bucket = user.client(), strict.bucket
    client.put_object(Bucket=bucket, Key="trips/a", Body=b"mine")
    assert user.read("trips/a") == b"mine"
    denied = (403, "AccessDenied")
    assert refused(lambda: client.put_object(Bucket=bucket, Key="other/a", Body=b"")) == denied
    assert refused(lambda: client.delete_object(Bucket=bucket, Key="trips/a")) == denied
    assert refused(lambda: client.list_objects_v2(Bucket=bucket, Prefix="trips/")) == denied
    # A HEAD has no body, so no code either.
    assert refused(lambda: client.head_object(Bucket=bucket, Key="other/a")) == (403, "403")
    assert strict.list_keys() == ["trips/a"]


def test_localstack_checks_checksums(localstack: Store) -> None:
    """Bytes that don't match their SHA-256 are refused, whole or in part; a right one is told by HEAD and list_parts."""
    client, place = localstack.client(), {"Bucket": localstack.bucket, "Key": "a"}
    wrong, right = {"ChecksumSHA256": hash_of(b"other")}, {"ChecksumSHA256": hash_of(b"bytes")}
    assert refused(lambda: client.put_object(**place, Body=b"bytes", **wrong)) == (400, "BadDigest")
    assert localstack.list_keys() == []
    client.put_object(**place, Body=b"bytes", **right)
    head = client.head_object(**place, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == right["ChecksumSHA256"]
    upload = {"UploadId": client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]}
    part = {**place, **upload, "PartNumber": 1, "Body": b"bytes"}
    assert refused(lambda: client.upload_part(**part, **wrong)) == (400, "BadDigest")
    client.upload_part(**part, **right)
    assert [each["ChecksumSHA256"] for each in client.list_parts(**place, **upload)["Parts"]] == [
        right["ChecksumSHA256"]
    ]


def test_a_server_ends_with_its_process() -> None:
    """A store isn't left behind by a test process that is killed."""
    need_tools(setpriv="util-linux")
    script = (
        "import sys\nfrom stores import serve_moto\n"
        "with serve_moto() as store:\n    print(store.process.pid, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as tests:
        assert tests.stdout is not None
        server = int(tests.stdout.readline())
        os.kill(server, 0)
        tests.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{server}/exe").exists(), "the store outlived its tests")


# The line.


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(peer: socket.socket) -> None:
            with peer, contextlib.suppress(OSError):
                while content := peer.recv(65536):
                    peer.sendall(content)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(echo: tuple[str, int]) -> Iterator[Wire]:
    """A perfect line to it."""
    with open_wire(echo) as line:
        yield line


def connect(wire: Wire) -> socket.socket:
    """A connection through the line; nothing waits for longer than ten seconds."""
    return socket.create_connection(("127.0.0.1", wire.port), timeout=10)


def read(peer: socket.socket, count: int) -> bytes:
    """So many bytes, or what came before the end."""
    content = b""
    while len(content) < count and (more := peer.recv(count - len(content))):
        content += more
    return content


def ask(peer: socket.socket, content: bytes = b"hello") -> bytes:
    """What comes back."""
    peer.sendall(content)
    return read(peer, len(content))


def test_a_line_takes_its_time(wire: Wire) -> None:
    """An answer is never there before a round trip, and the first not before the handshake's as well."""
    wire.shape(rtt=0.1, bits_per_second=0)
    began = time.monotonic()
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        first = time.monotonic()
        assert ask(peer) == b"hello"
    assert (first - began >= 0.2, time.monotonic() - first >= 0.1) == (True, True)


def test_connections_share_the_line(wire: Wire) -> None:
    """Two connections together are no faster than the line, and neither loses a byte."""
    wire.shape(rtt=0, bits_per_second=20e6)
    content = os.urandom(250_000)
    began = time.monotonic()
    with connect(wire) as one, connect(wire) as other:
        senders = [threading.Thread(target=peer.sendall, args=(content,)) for peer in (one, other)]
        for sender in senders:
            sender.start()
        assert read(one, len(content)) == read(other, len(content)) == content
        for sender in senders:
            sender.join()
    assert time.monotonic() - began >= 2 * 250_000 * 8 / 20e6
    traffic = wire.traffic
    assert (traffic.connections, traffic.most_open, traffic.up, traffic.down) == (2, 2, 500_000, 500_000)


def test_a_refusal_is_over_when_it_is_mended(wire: Wire) -> None:
    """While nobody listens a connection is refused; an open one goes on until it is cut."""
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(wire)
        assert ask(peer) == b"hello"
        wire.cut()
        with pytest.raises(ConnectionResetError):
            read(peer, 1)
    wire.mend()
    with connect(wire) as peer:
        assert ask(peer) == b"hello"


def test_a_connection_is_reset_in_the_middle(wire: Wire) -> None:
    """After so many bytes the client is reset, as often as was said."""
    wire.reset_after(100_000, times=1)
    with connect(wire) as peer, pytest.raises(ConnectionResetError):
        ask(peer, bytes(1_000_000))
    traffic = wire.traffic
    assert (traffic.up, traffic.faults) == (100_000, 1)
    with connect(wire) as peer:
        assert ask(peer, bytes(200_000)) == bytes(200_000)


def test_an_answer_is_cut_short(wire: Wire) -> None:
    """A connection is closed in order when so many bytes of an answer have come."""
    wire.close_after(3, "down")
    with connect(wire) as peer:
        assert ask(peer) == b"hel"


def test_a_stalled_connection_goes_on_when_it_is_mended(wire: Wire) -> None:
    """A connection that stands still is open and silent; what was held back comes after all."""
    wire.stall_after(3)
    with connect(wire) as peer:
        peer.sendall(b"hello")
        wait_for(lambda: wire.traffic.faults == 1, "it never stalled")
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        peer.settimeout(10)
        wire.mend()
        assert read(peer, 5) == b"hello"


def test_a_host_vanishes(wire: Wire) -> None:
    """A connection to a host that is gone is neither made nor refused; an open one is silent until it is back."""
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        wire.vanish()
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", wire.port), timeout=0.2)
        peer.sendall(b"there?")
        wire.mend()
        assert read(peer, 6) == b"there?"


def test_a_store_is_reached_through_a_line(rclone: Store) -> None:
    """A store that checks signatures takes a request that came over a line."""
    with open_wire(rclone.address) as line:
        rclone.at(line.endpoint).client().put_object(Bucket=rclone.bucket, Key=ODD, Body=bytes(PART))
        assert line.traffic.up > PART
    assert rclone.read(ODD) == bytes(PART)


# Mischief.


def test_mischief_is_harmless_at_first(rclone: Store) -> None:
    """Everything goes through: signatures hold, links open, parts arrive, and the requests are told."""
    with open_mischief(rclone.address) as proxy:
        through = rclone.at(proxy.endpoint)
        client, place = through.client(), {"Bucket": rclone.bucket, "Key": ODD}
        upload = {"UploadId": client.create_multipart_upload(**place)["UploadId"]}
        tags = [
            {
                "PartNumber": number,
                "ETag": client.upload_part(**place, **upload, PartNumber=number, Body=body)["ETag"],
            }
            for number, body in ((1, bytes(PART)), (2, b"tail"))
        ]
        client.complete_multipart_upload(**place, **upload, MultipartUpload={"Parts": tags})
        client.head_object(**place)
        assert open_address(sign(through, ODD)) == (200, bytes(PART) + b"tail")
        told = proxy.tell(key=ODD)
    assert [each.asked.operation for each in told] == [
        *("CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"),
        *("HeadObject", "GetObject"),
    ]
    assert {(each.status, each.refused, each.asked.bucket) for each in told} == {(200, False, rclone.bucket)}
    assert (told[1].asked.size >= PART, told[0].asked.headers["host"]) == (
        True,
        proxy.endpoint.removeprefix("http://"),
    )


@pytest.mark.parametrize(
    "refusal",
    [
        *(refusing.SLOW_DOWN, refusing.INTERNAL_ERROR, refusing.NOT_IMPLEMENTED, refusing.CLOCK_SKEWED),
        *(refusing.QUOTA_EXCEEDED, refusing.EXPIRED_TOKEN, refusing.INVALID_KEY_ID, refusing.NO_SUCH_BUCKET),
    ],
    ids=lambda refusal: refusal.code,
)
def test_a_refusal_is_the_stores_own(moto: Store, refusal: refusing.Refusal) -> None:
    """Chosen requests get the status and the code, as often as was said; others, and the next, go through."""
    with open_mischief(moto.address) as proxy:
        client = moto.at(proxy.endpoint).client()
        proxy.refuse(refusal, operation="PutObject", key="b/*", times=1)
        client.put_object(Bucket=moto.bucket, Key="a/1", Body=b"")
        told = refused(lambda: client.put_object(Bucket=moto.bucket, Key="b/1", Body=bytes(PART)))
        assert told == (refusal.status, refusal.code)
        assert moto.list_keys() == ["a/1"]
        client.put_object(Bucket=moto.bucket, Key="b/1", Body=b"")
        assert [each.refused for each in proxy.tell("PutObject")] == [False, True, False]


def test_requests_are_chosen_by_their_headers(moto: Store) -> None:
    """A store without If-None-Match answers 501 to it and to nothing else; without ListBucket a HEAD is 403."""
    with open_mischief(moto.address) as proxy:
        client, put = moto.at(proxy.endpoint).client(), {"Bucket": moto.bucket, "Key": "a", "Body": b""}
        proxy.refuse(refusing.NOT_IMPLEMENTED, having=lambda asked: "if-none-match" in asked.headers)
        proxy.refuse(refusing.ACCESS_DENIED, operation="HeadObject")
        assert refused(lambda: client.put_object(**put, IfNoneMatch="*")) == (501, "NotImplemented")
        assert refused(lambda: client.head_object(Bucket=moto.bucket, Key="a")) == (403, "403")
        client.put_object(**put)
        proxy.relent()
        client.head_object(Bucket=moto.bucket, Key="a")


def test_an_answer_is_lost(moto: Store) -> None:
    """A late refusal comes after the store has done what was asked."""
    with open_mischief(moto.address) as proxy:
        proxy.refuse(refusing.INTERNAL_ERROR, late=True)
        client = moto.at(proxy.endpoint).client()
        assert refused(lambda: client.put_object(Bucket=moto.bucket, Key="a", Body=b"kept"))[0] == 500
    assert moto.read("a") == b"kept"


def test_bytes_are_damaged_on_their_way(localstack: Store) -> None:
    """One bit of a body changes, which a store that checks sees."""
    with open_mischief(localstack.address) as proxy:
        proxy.damage(operation="PutObject", times=1)
        client = localstack.at(proxy.endpoint).client()
        put = {"Bucket": localstack.bucket, "Key": "a", "Body": b"bytes", "ChecksumSHA256": hash_of(b"bytes")}
        assert refused(lambda: client.put_object(**put)) == (400, "BadDigest")
        client.put_object(**put)
    assert localstack.read("a") == b"bytes"


def test_headers_are_lost_or_changed(localstack: Store) -> None:
    """Headers are dropped on either way, and an answer's may be another's."""
    place = {"Bucket": localstack.bucket, "Key": "a"}
    put = {**place, "Body": b"bytes", "ChecksumSHA256": hash_of(b"bytes")}
    with open_mischief(localstack.address) as proxy:
        client = localstack.at(proxy.endpoint).client()
        proxy.drop_answer_headers("x-amz-checksum-*")
        assert "ChecksumSHA256" not in client.put_object(**put)
        assert "ChecksumSHA256" not in client.head_object(**place, ChecksumMode="ENABLED")
        proxy.relent()
        proxy.drop_request_headers("if-none-match")
        assert client.put_object(**put, IfNoneMatch="*")["ChecksumSHA256"] == hash_of(b"bytes")
        proxy.change_answer({"x-amz-checksum-sha256": hash_of(b"other")}, operation="HeadObject")
        head = client.head_object(**place, ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == hash_of(b"other")


def test_a_request_is_held(moto: Store) -> None:
    """A held request has come and isn't done; it goes on when it is released."""
    with open_mischief(moto.address) as proxy:
        held = proxy.hold(key="a")
        client = moto.at(proxy.endpoint).client()
        sender = threading.Thread(
            target=client.put_object, kwargs={"Bucket": moto.bucket, "Key": "a", "Body": b"late"}
        )
        sender.start()
        held.wait()
        assert moto.list_keys() == []
        client.put_object(Bucket=moto.bucket, Key="b", Body=b"")
        held.release()
        sender.join(20)
        assert (moto.read("a"), proxy.most_at_once) == (b"late", 2)
