"""Credentials that boto3's chain has to fetch: what goes wrong there is a sentence, and is asked for anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from buckets import RENDITION, open_bucket
from clouds import make_cloud_person
from commanding import PHOTO, write_photo
from stores import Store

from ghostroll.errors import GhostrollError, TargetRefused, TargetUnreachable
from ghostroll.publish.s3.bucket import Bucket

AT = datetime(2026, 11, 22, tzinfo=UTC)
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
ROLE = "role_arn = arn:aws:iam::123456789012:role/photos"
BASE = "[profile base]\naws_access_key_id = AKIAGHOSTROLLTESTS01\naws_secret_access_key = made-up\n"


@contextmanager
def open_with_config(
    store: Store, monkeypatch: pytest.MonkeyPatch, place: Path, text: str
) -> Iterator[Bucket]:
    """A bucket whose credentials only a configuration file can tell."""
    with open_bucket(store, monkeypatch) as bucket:
        for name in KEYS:
            monkeypatch.delenv(name)
        (place / "config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(place / "config"))
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield bucket


def check_refused(bucket: Bucket, kind: type[GhostrollError], words: str) -> None:
    """Whatever is asked of the bucket is refused by this sentence."""
    for ask in (
        bucket.prepare,
        lambda: bucket.sign("p/1", at=AT, seconds=60),
        lambda: bucket.put("p/1", b"x", RENDITION),
    ):
        with pytest.raises(GhostrollError) as refused:
            ask()
        assert type(refused.value) is kind
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("credential_process = /not/installed", "FileNotFoundError"),
        ("credential_process = echo []", "AttributeError"),
        ("credential_process = echo rubbish", "JSONDecodeError"),
        (
            'credential_process = echo \'{"Version": 1, "AccessKeyId": 5, "SecretAccessKey": null}\'',
            "TypeError",
        ),
        (f"{ROLE}\nweb_identity_token_file = /not/there", "FileNotFoundError"),
        (f"{ROLE}\nsource_profile = nobody", "InvalidConfigError"),
    ],
)
def test_a_chain_that_breaks_is_a_sentence(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, why: str
) -> None:
    """A program, a file or an answer that is not what it should be: credentials that can't be had, and nothing worse."""
    with open_with_config(moto, monkeypatch, tmp_path, f"[default]\n{text}\n") as bucket:
        check_refused(bucket, TargetRefused, f"can't be had ({why})")


def test_keys_that_nothing_can_be_signed_with(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret whose bytes are no UTF-8 is refused before it is used."""
    with open_bucket(moto, monkeypatch) as bucket:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s\udce9cret")
        check_refused(bucket, TargetRefused, "can't be had (UnicodeEncodeError)")


def test_a_configuration_that_boto3_stumbles_over(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it does not check itself is a sentence all the same."""
    with open_with_config(moto, monkeypatch, tmp_path, "[default]\ns3 = nonsense\n") as bucket:
        for name in KEYS:
            monkeypatch.setenv(name, moto.environ[name])
        check_refused(bucket, TargetRefused, "as it is configured (AttributeError)")


def test_credentials_that_end_are_renewed_by_a_person(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary ones that are over say so, and those that a person gives then are used."""
    with open_bucket(moto, monkeypatch) as bucket:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z")
        check_refused(bucket, TargetRefused, "have expired")
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2100-01-01T00:00:00Z")
        bucket.put("p/1", b"x", RENDITION)
    assert moto.read("p/1") == b"x"


def test_a_role_is_asked_for_in_the_region_of_the_bucket(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A role needs no region of its own in ~/.aws/config."""
    text = f"[default]\n{ROLE}\nsource_profile = base\n{BASE}"
    with open_with_config(moto, monkeypatch, tmp_path, text) as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
        bucket.put("p/1", b"x", RENDITION)
        assert "X-Amz-Security-Token=" in bucket.sign("p/1", at=AT, seconds=60)
    assert moto.read("p/1") == b"x"


def test_a_role_that_is_refused_or_out_of_reach(
    moto: Store, rclone: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither is blamed on the store: a refusal is a person's matter, silence passes by itself."""
    text = f"[default]\n{ROLE}\nsource_profile = base\n{BASE}"
    with open_with_config(moto, monkeypatch, tmp_path, text) as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", rclone.endpoint)  # knows no such request
        check_refused(bucket, TargetRefused, "can't be had (")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        check_refused(bucket, TargetUnreachable, "Who gives out the credentials")


def test_a_card_is_secured_whoever_gives_no_credentials(moto: Store, tmp_path: Path) -> None:
    """A program for credentials that is not installed is the bucket's trouble: the card is copied, and the work waits."""
    person = make_cloud_person(tmp_path, moto)
    (tmp_path / "config").write_text("[default]\ncredential_process = /not/installed\n")
    none = dict.fromkeys(KEYS, "")
    run = person.ingest(code=6, AWS_CONFIG_FILE=str(tmp_path / "config"), **none)
    assert run.document["secured"]
    assert {waiting["cause"] for waiting in run.document["waiting"]} == {"target"}


def test_a_link_that_cannot_be_told_hides_nothing_else(moto: Store, tmp_path: Path) -> None:
    """A second card for a gallery that has its link, when the keys are gone: secured, and why there is no link."""
    person = make_cloud_person(tmp_path, moto)
    person.run("ingest", person.card, "--session", "party")
    (person.card / PHOTO).unlink()
    write_photo(person.card / "DCIM" / "100CANON" / "IMG_0004.JPG", 4)
    none = dict.fromkeys(KEYS, "")
    run = person.run("ingest", person.card, "--session", "party", "--json", code=6, **none)
    assert run.document["secured"]
    assert run.document["link"] is None
    assert "no credentials" in run.document["link_trouble"]
    said = person.run("retry", str(run.document["job"]), code=6, **none)
    assert "SECURED" in said.out
    assert "can't be told now" in said.out
