"""The proxy that other tests stand on does what those tests take for granted: refusals, damage, loss and patience."""

import threading

import pytest
import refusing
from buckets import PART
from mischief import open_mischief
from peers import ODD, hash_of, open_address, refused, sign
from stores import Store


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
