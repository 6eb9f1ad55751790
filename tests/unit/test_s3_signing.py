"""Presigned addresses are boto3's own, made at a moment that is given."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import boto3
import botocore.auth
import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from ghostroll.publish.s3 import signing
from ghostroll.publish.s3.client import make_client
from ghostroll.publish.s3.keys import attachment
from ghostroll.publish.s3.place import Place

AT = datetime(2026, 11, 22, 14, 30, 15, tzinfo=timezone(timedelta(hours=1)))
KEY = "weddings/sessions/s-tök en~+%/share/ä b&c=d;(1)'.jpg"
TOKEN = "FwoGZXIvYXdzEJr//////////wEaDG+/=" * 20


def _session(token: str | None, region: str) -> Any:
    return boto3.Session(
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="s3cr3t/+",  # noqa: S106  # made up
        aws_session_token=token,
        region_name=region,
    )


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("endpoint", "addressing"),
    [
        ("", "auto"),
        ("", "virtual"),
        ("", "path"),
        ("https://minio.example:9000", "auto"),
        ("https://store.example", "virtual"),
        ("http://127.0.0.1:8333", "path"),
        ("https://store.example:443", "path"),
        ("http://[::1]:9000", "path"),
    ],
)
@pytest.mark.parametrize("filename", [None, "Fête 1.jpg"])
def test_address_is_the_one_that_boto3_makes(
    monkeypatch: pytest.MonkeyPatch, token: str | None, endpoint: str, addressing: str, filename: str | None
) -> None:
    """For the same moment both give the same characters, with any store, addressing, token and key."""
    place = Place("photo-bucket", region="eu-central-1", endpoint_url=endpoint, addressing=addressing)
    session = _session(token, "eu-central-1")
    client = make_client(session, place)
    spot = signing.find_spot(client, place.bucket)
    credentials = session.get_credentials().get_frozen_credentials()
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT.astimezone(UTC))
    more = {} if filename is None else {"ResponseContentDisposition": attachment(filename)}
    theirs = client.generate_presigned_url(
        "get_object", Params={"Bucket": place.bucket, "Key": KEY, **more}, ExpiresIn=604800
    )
    assert signing.presign(spot, credentials, KEY, at=AT, seconds=604800, filename=filename) == theirs
    assert "X-Amz-Date=20261122T133015Z" in theirs


def test_address_on_aws_names_the_region_and_the_bucket() -> None:
    """Left to itself, an address is SigV4 on the bucket's own host in its region, which never redirects."""
    client = make_client(_session(None, "us-east-1"), Place("photo-bucket", region="eu-central-1"))
    spot = signing.find_spot(client, "photo-bucket")
    assert (spot.origin, spot.path) == ("https://photo-bucket.s3.eu-central-1.amazonaws.com", "/")
    assert spot.region == "eu-central-1"


def test_address_changes_with_what_it_is_made_of() -> None:
    """Another key, moment, length or secret gives another signature; the same ones the same."""
    spot = signing.Spot("https://h", "/b/", "h", "r")
    mine = Credentials("id", "secret").get_frozen_credentials()
    other = Credentials("id", "secret2").get_frozen_credentials()

    def sign(credentials: Any = mine, key: str = "k", at: datetime = AT, seconds: int = 60) -> str:
        return signing.presign(spot, credentials, key, at=at, seconds=seconds).rpartition("=")[2]

    assert sign() == sign()
    different = {sign(), sign(other), sign(key="l"), sign(at=AT + timedelta(seconds=1)), sign(seconds=61)}
    assert len(different) == 5


def test_public_address_encodes_its_key() -> None:
    """Behind a CDN an address is the base and the key, percent-encoded."""
    assert (
        signing.public_address("https://cdn.example/x/", "a/ä b+.jpg")
        == "https://cdn.example/x/a/%C3%A4%20b%2B.jpg"
    )


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _tell(credentials: Any, expiration: str | None, now: datetime) -> tuple[timedelta, bool]:
    return signing.tell_lifetime(credentials, credentials.get_frozen_credentials(), expiration, now)


def test_lifetime_with_a_users_keys_is_seven_days() -> None:
    """Keys without a token end nowhere: what the signature allows."""
    assert _tell(Credentials("a", "b"), "2026-11-22T13:00:00Z", NOW) == (
        timedelta(days=7),
        False,
    )


@pytest.mark.parametrize(
    ("expiration", "expected"),
    [
        ("2026-11-22T14:30:00Z", (timedelta(hours=2, minutes=30), False)),
        ("2026-11-22T14:30:00", (timedelta(hours=2, minutes=30), False)),
        ("2027-11-22T14:30:00+01:00", (timedelta(days=7), False)),
        ("2026-11-21T00:00:00Z", (timedelta(0), False)),
        (None, (timedelta(hours=1), True)),
        ("soon", (timedelta(hours=1), True)),
    ],
)
def test_lifetime_of_a_session_token(expiration: str | None, expected: tuple[timedelta, bool]) -> None:
    """A token lives until AWS_CREDENTIAL_EXPIRATION, never more than 7 days; unsaid, an hour is assumed and told."""
    assert _tell(Credentials("a", "b", "t"), expiration, NOW) == expected


def test_lifetime_of_credentials_that_refresh_themselves() -> None:
    """They know when the present ones end."""
    ends = datetime.now(UTC) + timedelta(hours=6)
    credentials = RefreshableCredentials("a", "b", "t", ends, dict, "test")
    assert _tell(credentials, None, ends - timedelta(hours=5)) == (timedelta(hours=5), False)


def test_client_signs_by_version_four_on_the_path_of_a_custom_store() -> None:
    """A store of one's own seldom has a name for each bucket: its path is used unless told otherwise."""
    spot = signing.find_spot(
        make_client(_session(None, "r1"), Place("b-1", endpoint_url="https://h:9000")), "b-1"
    )
    assert (spot.origin, spot.path, spot.host) == ("https://h:9000", "/b-1/", "h:9000")
