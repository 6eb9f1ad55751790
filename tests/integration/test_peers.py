"""The stores that other tests stand on do what those tests take for granted."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from peers import ODD, hash_of, open_address, refused, sign
from running import need_tools
from stores import Store
from waiting import wait_for


def with_keys(store: Store, **keys: str) -> Store:
    """The same place, with other keys."""
    return replace(store, environ={**store.environ, **keys})


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
