"""What the doctor says of a bucket and its credentials: by facts alone."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ghostroll.doctor.bucket_findings import judge_bucket, say_refusal
from ghostroll.doctor.bucket_keys import Keys, judge_keys, parse_environ
from ghostroll.doctor.bucket_trial import Confirmed, IfAbsent, Opened, Refusal, Trial
from ghostroll.doctor.finding import Check, Finding, Level
from ghostroll.doctor.surroundings import Service
from ghostroll.errors import ClockUnset, TargetRefused, TargetUnreachable
from ghostroll.publish.s3.place import Place

ROOT = Path(__file__).resolve().parents[2]
HERE = Place("photos", "weddings", "eu-central-1")
WELL = Trial(None, ahead=1.0, link=Opened(200, is_ours=True), bare=Opened(403))
FORBIDDEN = Refusal(TargetRefused("No."), 403, "AccessDenied")


def judge(trial: Trial, place: Place = HERE, *, originals: bool = True) -> dict[Check, Finding]:
    """What is said of this trial; one finding for each check."""
    found = judge_bucket(place, trial, region="eu-central-1", wants_originals=originals)
    said = {one.check: one for one in found}
    assert len(said) == len(found)
    return said


def test_a_bucket_that_is_well() -> None:
    """Everything that was tried is said to be well."""
    said = judge(WELL)
    assert {one.level for one in said.values()} == {Level.OK}
    assert list(said) == [
        Check.BUCKET,
        Check.PARTS,
        Check.CHECKSUMS,
        Check.ORIGINALS,
        Check.LINKS,
        Check.PRIVACY,
    ]


def test_what_concerns_originals_alone() -> None:
    """Without originals in the bucket nobody has to know of checksums that only they need."""
    trial = replace(WELL, takes_wrong=True, confirmed=Confirmed.SILENT, if_absent=IfAbsent.OVERWRITTEN)
    assert not {Check.CHECKSUMS, Check.ORIGINALS} & judge(trial, originals=False).keys()
    assert {Check.CHECKSUMS, Check.ORIGINALS} < judge(trial).keys()


@pytest.mark.parametrize(
    ("trial", "check", "level", "words"),
    [
        (replace(WELL, ahead=61.0), Check.CLOCK, Level.HINT, "1 min 01 s ahead of the store's"),
        (replace(WELL, ahead=-1000.0), Check.CLOCK, Level.FINDING, "16 min 40 s behind the store's"),
        (replace(WELL, parts=("begun", FORBIDDEN)), Check.PARTS, Level.FINDING, "begun (AccessDenied)"),
        (replace(WELL, parts=("dropped", FORBIDDEN)), Check.PARTS, Level.FINDING, "dropped (AccessDenied)"),
        (
            replace(WELL, parts=("gone on with", Refusal(TargetRefused("No."), 501, "NotImplemented"))),
            Check.PARTS,
            Level.HINT,
            "gone on with (NotImplemented)",
        ),
        (
            replace(WELL, parts=("sent", Refusal(TargetUnreachable("No.")))),
            Check.PARTS,
            Level.FINDING,
            "can't be sent",
        ),
        (replace(WELL, takes_wrong=True), Check.CHECKSUMS, Level.HINT, "repeats the checksum"),
        (replace(WELL, confirmed=Confirmed.SILENT), Check.CHECKSUMS, Level.HINT, "confirms no checksum"),
        (replace(WELL, confirmed=Confirmed.OTHER), Check.CHECKSUMS, Level.FINDING, "another checksum"),
        (
            replace(WELL, confirmed=Confirmed.REFUSED, asked=FORBIDDEN),
            Check.CHECKSUMS,
            Level.FINDING,
            "(AccessDenied)",
        ),
        (replace(WELL, if_absent=IfAbsent.UNKNOWN), Check.ORIGINALS, Level.HINT, "it is asked first"),
        (
            replace(WELL, if_absent=IfAbsent.OVERWRITTEN),
            Check.ORIGINALS,
            Level.HINT,
            "writes an original again",
        ),
        (replace(WELL, link=Opened(403)), Check.LINKS, Level.FINDING, "links don't open (403)"),
        (replace(WELL, link=Opened(0)), Check.LINKS, Level.FINDING, "links don't open: nothing answers"),
        (replace(WELL, link=Opened(200)), Check.LINKS, Level.FINDING, "links don't open (200)"),
        (replace(WELL, bare=Opened(200)), Check.PRIVACY, Level.FINDING, "anybody may read"),
        (replace(WELL, listed=True), Check.PRIVACY, Level.FINDING, "anybody may list"),
        (replace(WELL, bare=Opened(0)), Check.PRIVACY, Level.HINT, "not looked at"),
    ],
)
def test_what_is_not_well(trial: Trial, check: Check, level: Level, words: str) -> None:
    """One thing that is not well is one finding, with why it matters; the rest is as before."""
    said = judge(trial)
    assert (said[check].level, said[check].why != "") == (level, True)
    assert words in said[check].what
    assert {one.level for name, one in said.items() if name is not check} == {Level.OK}


def test_another_region() -> None:
    """A bucket that is elsewhere is a finding, with the line for the configuration."""
    found = judge_bucket(
        HERE, replace(WELL, region="us-west-2"), region="eu-central-1", wants_originals=False
    )
    (one,) = (one for one in found if one.level is not Level.OK)
    assert one.what == "the bucket photos is in us-west-2, not in eu-central-1"
    assert one.remedy == 'set publish.s3.region = "us-west-2"'


def test_a_public_bucket() -> None:
    """With an address for everybody, that address has to answer, and still nobody may list."""
    public = replace(HERE, base_url="https://photos.example.org")
    trial = replace(WELL, bare=Opened(200), public=Opened(200, is_ours=True))
    assert {one.level for one in judge(trial, public).values()} == {Level.OK}
    closed = judge(replace(trial, public=Opened(403)), public)[Check.LINKS]
    assert closed.level is Level.FINDING
    assert closed.what == "what is in the bucket does not open at https://photos.example.org (403)"
    assert judge(replace(trial, listed=True), public)[Check.PRIVACY].level is Level.FINDING


@pytest.mark.parametrize(
    ("endpoint", "hinted"),
    [("http://10.0.0.2:9000", True), ("http://127.0.0.1:9000", False), ("https://s3.example.org", False)],
)
def test_pictures_that_travel_in_the_open(endpoint: str, *, hinted: bool) -> None:
    """A store without encryption is a hint, unless it is on this machine."""
    found = judge_bucket(
        replace(HERE, endpoint_url=endpoint), WELL, region="eu-central-1", wants_originals=False
    )
    assert any("without encryption" in one.what for one in found) is hinted


@pytest.mark.parametrize(
    ("error", "check", "what", "remedy"),
    [
        (
            TargetRefused("There is no bucket photos at AWS: make it, or correct publish.s3.bucket."),
            Check.BUCKET,
            "there is no bucket photos at AWS",
            "make it, or correct publish.s3.bucket",
        ),
        (
            TargetUnreachable("AWS refuses connections; uploads go on by themselves."),
            Check.BUCKET,
            "AWS refuses connections",
            "curl -sS -m 10 -o /dev/null -w '%{http_code}\\n' https://s3.eu-central-1.amazonaws.com",
        ),
        (
            ClockUnset("The clock of this machine is wrong: set it."),
            Check.CLOCK,
            "the clock of this machine is wrong",
            "sudo timedatectl set-ntp true",
        ),
    ],
)
def test_a_bucket_that_takes_nothing(error: TargetRefused, check: Check, what: str, remedy: str) -> None:
    """Whatever refuses the first file is said as an upload would say it, with what mends it."""
    one = say_refusal(HERE, Refusal(error))
    assert (one.check, one.level, one.what) == (check, Level.FINDING, what)
    assert one.remedy.startswith(remedy)
    assert list(judge(Trial(Refusal(error), ahead=2000.0 if check is Check.CLOCK else None))) == [check]


@pytest.mark.parametrize(
    ("keys", "level", "words"),
    [
        (Keys(), Level.FINDING, "no credentials"),
        (Keys(trouble="SSOTokenLoadError"), Level.FINDING, "can't be had (SSOTokenLoadError)"),
        (Keys("env"), Level.OK, "in the environment"),
        (Keys("shared-credentials-file", "/run/x/aws"), Level.OK, "in /run/x/aws"),
        (Keys("some-day"), Level.OK, "by way of some-day"),
        (Keys("iam-role", token=True, left=timedelta(hours=6)), Level.HINT, "end in 6 h"),
        (Keys("sso", token=True, left=timedelta(minutes=-3)), Level.HINT, "end in 0.0 s"),
        (Keys("env", token=True), Level.HINT, "nothing tells until when"),
        (Keys("sso", token=True, left=timedelta(days=8)), Level.OK, "single sign-on"),
    ],
)
def test_credentials(keys: Keys, level: Level, words: str) -> None:
    """Where they are is said, and where they end before a link could, that too."""
    (one,) = judge_keys(keys, Service.SYSTEM)
    assert (one.check, one.level) == (Check.CREDENTIALS, level)
    assert words in one.what


def test_credentials_that_a_service_does_not_see() -> None:
    """What stands in this shell's environment is no use to the person's own service."""
    (one,) = judge_keys(Keys("env"), Service.USER)
    assert one.level is Level.HINT
    assert "does not see" in one.why


def test_the_environment_of_a_process() -> None:
    """What /proc tells is taken apart by name, with values as they are; rubbish is passed over."""
    assert parse_environ(b"A=1\0B=x=y\0\0rubbish\0C=\0") == {"A": "1", "B": "x=y", "C": ""}


def test_the_guide_has_the_sentences_that_are_said() -> None:
    """Every sentence in the guide's table of failures is one that an upload fails with."""
    guide = (ROOT / "docs" / "s3.md").read_text("utf-8")
    source = (ROOT / "src/ghostroll/publish/s3/refusals.py").read_text("utf-8")
    rows = [row.split("|")[1] for row in guide.partition("| what is said |")[2].splitlines()[2:]]
    parts = [part.strip() for row in rows for part in re.split(r"\.\.\.|;", row) if part.strip()]
    assert len(parts) > 20
    assert [part for part in parts if part not in source] == []
