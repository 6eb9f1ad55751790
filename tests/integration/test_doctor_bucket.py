"""`ghostroll doctor` with a bucket: real stores on this machine, with what is wrong being wrong for real."""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running import Run, check_sentence, environment, run_command
from stores import Store

from ghostroll.doctor.bucket import fetch_openly
from ghostroll.doctor.bucket_findings import judge_bucket
from ghostroll.doctor.bucket_trial import CONTENT, NAME, Confirmed, IfAbsent, Trial, try_bucket
from ghostroll.doctor.finding import Check, Level
from ghostroll.errors import Stopped, TargetUnreachable
from ghostroll.model import Sha256
from ghostroll.publish.s3.bucket import Bucket
from ghostroll.publish.s3.client import make_client, make_session
from ghostroll.publish.s3.confirming import Confirmation
from ghostroll.publish.s3.keys import archive_headers, original_headers, page_headers
from ghostroll.publish.s3.place import Place

ROOT = Path(__file__).resolve().parents[2]
OURS = {"credentials", "bucket", "checksums", "originals", "parts", "links", "privacy"}
POLICY: dict[str, Any] = json.loads((ROOT / "docs" / "s3-policy.json").read_text())


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 reads is what a test says, and nothing of whoever tests."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "CREDENTIALS_"))]:
        monkeypatch.delenv(name)


def run_doctor(home: Path, store: Store, **more: str) -> Run:
    """Run the command as a user of this store who keeps originals there too."""
    wants = {"GHOSTROLL_PUBLISH__ORIGINALS": "all"}
    run = run_command(
        environment(home, home / "library", **store.settings | wants | more), "doctor", "--json"
    )
    check_sentence(run)
    return run


def read_checks(run: Run) -> dict[str, dict[str, str]]:
    """What was said of the bucket, by check."""
    said = [one for one in run.document["checks"] if one["check"] in OURS]
    assert len({one["check"] for one in said}) == len(said)
    return {one["check"]: one for one in said}


def place_of(store: Store, **more: Any) -> Place:
    """The place that a store's settings mean."""
    return Place(store.bucket, region=store.region, endpoint_url=store.endpoint, addressing="path", **more)


def try_as(
    monkeypatch: pytest.MonkeyPatch,
    environ: Mapping[str, str],
    place: Place,
    *,
    ahead: timedelta = timedelta(0),
    seconds: float = 20,
) -> Trial:
    """Try a bucket with somebody's keys."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = make_client(make_session(place, os.environ), place)
    return try_bucket(
        client, place, now=lambda: datetime.now(UTC) + ahead, fetch=fetch_openly, seconds=seconds
    )


def test_a_bucket_that_works(rclone: Store, tmp_path: Path) -> None:
    """What rclone can is found to be well, what it can't is a hint, and one file stays behind."""
    said = read_checks(run_doctor(tmp_path, rclone, GHOSTROLL_PUBLISH__S3__PREFIX="weddings/2026"))
    assert {name: one["level"] for name, one in said.items()} == {
        "credentials": "ok",
        "bucket": "ok",
        "parts": "ok",
        "checksums": "hint",
        "originals": "hint",
        "links": "ok",
        "privacy": "ok",
    }
    assert said["checksums"]["what"].startswith("the store repeats the checksum that it is given")
    assert rclone.list_keys() == [f"weddings/2026/{NAME}"]
    assert rclone.read(f"weddings/2026/{NAME}") == CONTENT


def test_nothing_is_asked_of_a_bucket_that_nobody_uses(rclone: Store, tmp_path: Path) -> None:
    """With galleries in folders the bucket is left alone, whatever is configured for it."""
    settings = {name: value for name, value in rclone.settings.items() if not name.endswith("__TARGET")}
    run = run_command(environment(tmp_path, tmp_path / "library", **settings), "doctor", "--json")
    assert read_checks(run) == {}
    assert rclone.list_keys() == []


@pytest.mark.parametrize(
    ("more", "check", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-and-secret"}, "bucket", "are wrong (SignatureDoesNotMatch)"),
        ({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}, "bucket", "are wrong (InvalidAccessKeyId)"),
        ({"GHOSTROLL_PUBLISH__S3__BUCKET": "not-there"}, "bucket", "there is no bucket not-there at"),
        ({"GHOSTROLL_PUBLISH__S3__ENDPOINT_URL": "http://127.0.0.1:1"}, "bucket", "refuses connections"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", "no credentials"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "credentials", "can't be had (PartialCredentialsError)"),
        ({"AWS_PROFILE": "nobody"}, "bucket", "(ProfileNotFound)"),
    ],
)
def test_what_keeps_pictures_out(
    rclone: Store, tmp_path: Path, more: dict[str, str], check: str, words: str
) -> None:
    """Each thing that is wrong is one finding with what mends it, and nothing of the keys is ever said."""
    run = run_doctor(tmp_path, rclone, **more)
    assert run.code == 3
    said = read_checks(run)
    (wrong,) = (one for one in said.values() if one["level"] != "ok")
    assert (wrong["check"], wrong["level"]) == (check, "finding")
    assert words in wrong["what"]
    assert wrong["why"]
    assert wrong["remedy"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        for secret in (rclone.environ[name], more.get(name)):
            assert not secret or secret not in run.out + run.err


def test_keys_that_systemd_hands_over(rclone: Store, tmp_path: Path) -> None:
    """A credential named aws, in the form of ~/.aws/credentials, is all that is needed."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    keys = {name: rclone.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    lines = "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())
    (folder / "aws").write_text(f"[default]\n{lines}")
    bare = dict.fromkeys((*keys, "AWS_SHARED_CREDENTIALS_FILE"), "")
    said = read_checks(run_doctor(tmp_path, rclone, CREDENTIALS_DIRECTORY=str(folder), **bare))
    assert said["credentials"]["what"] == f"credentials for the bucket are in {folder}/aws"
    assert said["links"]["level"] == "ok"


def test_temporary_keys_are_said_with_their_end(moto: Store, tmp_path: Path) -> None:
    """A link can't outlive the credentials that made it, and neither token nor link is in what is said."""
    until = (datetime.now(UTC) + timedelta(hours=5, minutes=30)).isoformat()
    token = {"AWS_SESSION_TOKEN": "a-token-of-secrets", "AWS_CREDENTIAL_EXPIRATION": until}
    run = run_doctor(tmp_path, moto, **token)
    said = read_checks(run)["credentials"]
    assert said["level"] == "hint"
    assert "temporary and end in 5 h" in said["what"]
    for secret in ("a-token-of-secrets", "X-Amz-", moto.environ["AWS_ACCESS_KEY_ID"]):
        assert secret not in run.out + run.err


def test_what_a_store_does_with_checksums_and_conditions(
    moto: Store, rclone: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each store is known for what it does: both repeat any checksum, and only moto keeps what is there."""
    for store, confirmed, if_absent in (
        (moto, Confirmed.YES, IfAbsent.KEPT),
        (rclone, Confirmed.YES, IfAbsent.OVERWRITTEN),
    ):
        trial = try_as(monkeypatch, store.environ, place_of(store))
        assert trial.refusal is None
        assert (trial.takes_wrong, trial.confirmed, trial.if_absent) == (True, confirmed, if_absent)
        assert store.read(NAME) == CONTENT


def test_a_clock_that_is_wrong(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far this machine's clock is off is told by the store's own."""
    trial = try_as(monkeypatch, moto.environ, place_of(moto), ahead=timedelta(hours=-2))
    assert trial.ahead == pytest.approx(-7200, abs=60)


def test_a_bucket_that_anybody_may_read(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public bucket is found out in private mode, and is what public mode needs."""
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{moto.bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [everybody]}
    private = place_of(moto, prefix="böse/a b")
    public = place_of(moto, prefix="böse/a b", base_url=f"{moto.endpoint}/{moto.bucket}")
    assert not try_as(monkeypatch, moto.environ, public).public.is_ours
    moto.client().put_bucket_policy(Bucket=moto.bucket, Policy=json.dumps(policy))
    trial = try_as(monkeypatch, moto.environ, public)
    assert trial.public.is_ours
    assert trial.bare.status == 200
    said = judge_bucket(private, trial, region=moto.region, wants_originals=False)
    assert [one.level for one in said if one.check is Check.PRIVACY] == [Level.FINDING]


@contextlib.contextmanager
def listen_without_answer() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.timeout(30)  # three tries of the client would take twice as long
def test_a_store_that_hangs(rclone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a store does, there is an answer within the time that the trial has."""
    with listen_without_answer() as endpoint:
        trial = try_as(monkeypatch, rclone.environ, place_of(rclone.at(endpoint)), seconds=0.5)
    assert trial.refusal
    assert isinstance(trial.refusal.error, TargetUnreachable)
    assert "does not answer" in str(trial.refusal.error)


def test_a_store_that_takes_longer_than_anybody_waits(rclone: Store, tmp_path: Path) -> None:
    """With less patience than the trial needs, what did not answer is said to be the bucket, not a disk."""
    with listen_without_answer() as endpoint:
        settings = rclone.at(endpoint).settings
        env = environment(tmp_path, tmp_path / "library", **settings)
        run = run_command(env, "doctor", "--json", "--patience", "2")
    check_sentence(run)
    late = [one for one in run.document["checks"] if one["check"] == "answer" and "bucket" in one["what"]]
    assert [one["what"] for one in late] == ["the bucket did not answer within 2 s"]
    assert "a store that takes connections" in late[0]["why"]


def policy_for(store: Store, prefix: str, *without: str) -> dict[str, Any]:
    """The policy of the guide for a bucket and a folder in it, less some permissions."""
    (statement,) = POLICY["Statement"]
    actions = [action for action in statement["Action"] if action not in without]
    resource = statement["Resource"].replace("my-photos/", f"{store.bucket}/{prefix}/")
    return POLICY | {"Statement": [statement | {"Action": actions, "Resource": resource}]}


def judge_permitted(
    monkeypatch: pytest.MonkeyPatch, store: Store, *without: str, prefix: str = "weddings"
) -> set[Check]:
    """What is not well for a user who has the policy of the guide, less some permissions."""
    place = place_of(store, prefix=prefix)
    trial = try_as(monkeypatch, store.restrict(policy_for(store, "weddings", *without)), place)
    found = judge_bucket(place, trial, region=store.region, wants_originals=True)
    # Two things that moto can't: it compares no checksum, and takes no link where it enforces permissions.
    beside_moto = {Check.LINKS} | (set() if trial.asked else {Check.CHECKSUMS})
    return {one.check for one in found if one.level is not Level.OK} - beside_moto


def test_the_policy_of_the_guide_is_enough(strict: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With docs/s3-policy.json, narrowed to a folder, nothing is missing; outside of the folder all is."""
    assert judge_permitted(monkeypatch, strict) == set()
    assert judge_permitted(monkeypatch, strict, prefix="elsewhere") == {Check.BUCKET}
    assert strict.list_keys() == [f"weddings/{NAME}"]


@pytest.mark.parametrize(
    ("action", "missed"),
    [
        ("s3:PutObject", Check.BUCKET),
        ("s3:GetObject", Check.CHECKSUMS),
        ("s3:AbortMultipartUpload", Check.PARTS),
        ("s3:ListMultipartUploadParts", Check.PARTS),
    ],
)
def test_the_policy_of_the_guide_is_the_least(
    strict: Store, monkeypatch: pytest.MonkeyPatch, action: str, missed: Check
) -> None:
    """Without any one of its permissions something is not well, and it is the thing that needs it."""
    assert action in POLICY["Statement"][0]["Action"]
    assert judge_permitted(monkeypatch, strict, action) == {missed}


@dataclass
class Kept:
    """Where an upload stands, in memory."""

    id: str | None = None

    def remember(self, id: str | None) -> None:  # noqa: A002  # as the protocol has it
        self.id = id


def test_everything_is_published_with_the_policy_of_the_guide(
    strict: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pages, originals small and large, one that was interrupted, and an archive that fails: no more is needed."""
    environ = strict.restrict(policy_for(strict, "weddings"))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    part = 5 * 1024 * 1024
    content = bytes(range(256)) * (2 * part // 256) + b"the end"
    (tmp_path / "clip").write_bytes(content)
    bucket = Bucket(
        place_of(strict, prefix="weddings"),
        now=lambda: datetime.now(UTC),
        environ=environ,
        part_bytes=part,
    )
    upload, sent = Kept(), list[int]()

    def stop_after_a_part() -> None:
        if sum(sent) >= part and upload.id:
            raise Stopped("It stops here.")

    with contextlib.closing(bucket), (tmp_path / "clip").open("rb") as clip:
        bucket.put("weddings/sessions/x/index.html", b"page", page_headers(public=False))

        def send(check: Callable[[], None] = lambda: None) -> Confirmation:
            sent.clear()
            return bucket.put_original(
                "weddings/originals/ab/cd.mov",
                clip.fileno(),
                size=len(content),
                sha256=Sha256(hashlib.sha256(content).digest()),
                headers=original_headers("CLIP.MOV", public=False),
                upload=upload,
                check=check,
                progress=sent.append,
            )

        with pytest.raises(Stopped):
            send(stop_after_a_part)
        send()
        assert sum(sent) < len(content)  # its parts could be listed, so it went on where it was
        send()
        assert sum(sent) == 0  # it could be seen to be there

        def break_off() -> Iterator[bytes]:
            yield content
            raise Stopped("It stops here.")

        with pytest.raises(Stopped):
            bucket.put_stream(
                "weddings/sessions/x/share.zip", break_off(), archive_headers("x", public=False)
            )
    assert strict.read("weddings/originals/ab/cd.mov") == content
    assert "Uploads" not in strict.client().list_multipart_uploads(Bucket=strict.bucket)


def test_every_permission_of_the_guide_is_tested() -> None:
    """The four permissions above are all that the policy gives, and neither lists nor deletes."""
    assert sorted(POLICY["Statement"][0]["Action"]) == [
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ]


def test_the_lifecycle_of_the_guide_is_taken(moto: Store) -> None:
    """A store takes docs/s3-lifecycle.json: it ends galleries and unfinished uploads, and no original."""
    rules = json.loads((ROOT / "docs" / "s3-lifecycle.json").read_text())
    client = moto.client()
    client.put_bucket_lifecycle_configuration(Bucket=moto.bucket, LifecycleConfiguration=rules)
    taken = client.get_bucket_lifecycle_configuration(Bucket=moto.bucket)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in taken if "Expiration" in rule] == ["sessions/"]
    assert [rule["AbortIncompleteMultipartUpload"] for rule in taken if "Expiration" not in rule] == [
        {"DaysAfterInitiation": 7}
    ]
