"""Whether pictures can be put into the bucket, are safe there, and are seen by nobody without a link. Pure."""

import re
import shlex
from collections.abc import Iterator
from typing import assert_never
from urllib.parse import urlsplit

from ghostroll.doctor.bucket_trial import Confirmed, IfAbsent, Opened, Refusal, Trial
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, hint, ok
from ghostroll.errors import ClockUnset, TargetUnreachable
from ghostroll.observe.wording import say_seconds
from ghostroll.publish.s3.place import Place

_SKEW_REFUSED = 15 * 60  # seconds; beyond them S3 answers RequestTimeTooSkewed
_SKEW_SMALL = 60
_SYNC = "sudo timedatectl set-ntp true"
_POLICY = "give the credentials what docs/s3-policy.json allows, with the bucket's name in it"
_WAITS = "until then nothing is published; cards are copied all the same, and what waits goes up by itself"
_OTHER_STORE = "choose a store that does: docs/s3.md says what is asked of one"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_BLOCK = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"


def judge_bucket(place: Place, trial: Trial, *, region: str, wants_originals: bool) -> list[Finding]:
    """What the trial showed. `region` is the one that requests and links are signed for."""
    found = [*_judge_clock(trial), *_judge_line(place)]
    if trial.refusal:
        return [say_refusal(place, trial.refusal), *found]
    if trial.region and trial.region != region:
        found.append(_say_region(place, trial.region, region))
    found += _judge_parts(trial)
    if wants_originals:
        found += [*_judge_checksums(trial), *_judge_if_absent(trial)]
    found += [*_judge_link(place, trial), *_judge_privacy(place, trial)]
    return [ok(Check.BUCKET, f"{place.identity} takes files"), *found]


def say_refusal(place: Place, refusal: Refusal) -> Finding:
    """Why nothing could be written: the sentence of an upload that fails in this way, with what mends it."""
    sentence = re.sub("^(The|There|No|What) ", lambda word: word[0].lower(), str(refusal.error).rstrip("."))
    if isinstance(refusal.error, TargetUnreachable):
        what, _, _ = sentence.partition(";")
        address = shlex.quote(place.endpoint_url or f"https://s3.{place.region or 'us-east-1'}.amazonaws.com")
        curl = f"curl -sS -m 10 -o /dev/null -w '%{{http_code}}\\n' {address}"
        remedy = f"{curl}  # fails too: mend the network, the store, or publish.s3.endpoint_url"
        return finding(Check.BUCKET, what, _WAITS, remedy)
    what, _, remedy = sentence.partition(": ")
    check = Check.CLOCK if isinstance(refusal.error, ClockUnset) else Check.BUCKET
    return finding(check, what, _WAITS, _SYNC if check is Check.CLOCK else remedy)


def _judge_clock(trial: Trial) -> Iterator[Finding]:
    if trial.ahead is None or abs(trial.ahead) < _SKEW_SMALL:
        return
    if trial.refusal and isinstance(trial.refusal.error, ClockUnset):
        return  # said already
    way = "ahead of" if trial.ahead > 0 else "behind"
    what = f"this machine's clock is {say_seconds(abs(trial.ahead))} {way} the store's"
    remedy = _SYNC
    if abs(trial.ahead) < _SKEW_REFUSED:
        yield hint(Check.CLOCK, what, "beyond 15 min a store refuses everything", remedy)
    else:
        yield finding(
            Check.CLOCK, what, "a store may refuse everything, and links end at wrong times", remedy
        )


def _judge_line(place: Place) -> Iterator[Finding]:
    parts = urlsplit(place.endpoint_url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        what = f"pictures and links go to {place.host} without encryption"
        why = "whoever is on the way can read them"
        yield hint(
            Check.PRIVACY, what, why, "set publish.s3.endpoint_url to an https:// address, if it has one"
        )


def _say_region(place: Place, there: str, here: str) -> Finding:
    return finding(
        Check.BUCKET,
        f"the bucket {place.bucket} is in {there}, not in {here}",
        "links are signed for the wrong region and don't open",
        f'set publish.s3.region = "{there}"',
    )


def _judge_parts(trial: Trial) -> Iterator[Finding]:
    if trial.parts is None:
        yield ok(Check.PARTS, "large files can be sent in parts, gone on with, and dropped")
        return
    step, refusal = trial.parts
    what = f"an upload in parts can't be {step}{_show(refusal)}"
    why = {
        "gone on with": "a large file begins anew after every interruption",
        "dropped": "what was not finished stays in the bucket, unseen, and is paid for",
    }.get(step, "share.zip and large originals can't be sent")
    if refusal.is_forbidden:
        yield finding(Check.PARTS, what, why, _POLICY)
    elif refusal.status and step in ("gone on with", "dropped"):
        yield hint(Check.PARTS, what, why, "let the store drop unfinished uploads itself: see docs/s3.md")
    else:
        yield finding(Check.PARTS, what, why, "ask who runs the store")


def _judge_checksums(trial: Trial) -> Iterator[Finding]:
    why = "so 'safe to format' is never said of a card; keep it until you have looked at its originals"
    match trial.confirmed:
        case Confirmed.YES if trial.takes_wrong:
            what = "the store repeats the checksum that it is given and doesn't compare it with the bytes"
            why = "so what it confirms proves nothing; keep a card until you have looked at its originals"
            yield hint(Check.CHECKSUMS, what, why, _OTHER_STORE)
        case Confirmed.YES:
            yield ok(Check.CHECKSUMS, "the store compares bytes with their checksum, and confirms it")
        case Confirmed.SILENT:
            yield hint(Check.CHECKSUMS, "the store confirms no checksum", why, _OTHER_STORE)
        case Confirmed.OTHER:
            what = "the store confirms another checksum than that of what it was sent"
            yield finding(Check.CHECKSUMS, what, "originals would be damaged there", _OTHER_STORE)
        case Confirmed.REFUSED:
            what = f"the bucket can't be asked for the checksum of what is in it{_show(trial.asked)}"
            yield finding(Check.CHECKSUMS, what, why, _POLICY)
        case confirmed:
            assert_never(confirmed)


def _judge_if_absent(trial: Trial) -> Iterator[Finding]:
    match trial.if_absent:
        case IfAbsent.KEPT:
            yield ok(Check.ORIGINALS, "an original that is in the bucket is not written again")
        case IfAbsent.UNKNOWN:
            what = (
                "the store can't write only what is absent, so it is asked first whether an original is there"
            )
            why = "one more request for each; two stations at the same time may both send it"
            yield hint(Check.ORIGINALS, what, why)
        case IfAbsent.OVERWRITTEN:
            what = "the store writes an original again though it is there"
            why = "the same bytes are sent twice; nothing is lost"
            yield hint(Check.ORIGINALS, what, why)
        case if_absent:
            assert_never(if_absent)


def _judge_link(place: Place, trial: Trial) -> Iterator[Finding]:
    if place.is_public:
        if trial.public.is_ours:
            yield ok(Check.LINKS, f"what is in the bucket opens at {place.base_url}")
        else:
            what = f"what is in the bucket does not open at {place.base_url}{_shown(trial.public)}"
            remedy = "let the CDN read the bucket, and publish.s3.base_url stand for the bucket's top: see docs/s3.md"
            yield finding(Check.LINKS, what, "links to galleries don't open", remedy)
        return
    link = trial.link
    if link.is_ours:
        yield ok(Check.LINKS, "links open")
    elif link.status in (401, 403):
        what = f"links don't open{_shown(link)}"
        yield finding(Check.LINKS, what, "a link may do what its credentials may: read files", _POLICY)
    else:
        remedy = 'try publish.s3.addressing = "path", then "virtual"'
        why = "who gets a link sees an error"
        yield finding(Check.LINKS, f"links don't open{_shown(link)}", why, remedy)


def _judge_privacy(place: Place, trial: Trial) -> Iterator[Finding]:
    block = (
        f"aws s3api put-public-access-block --bucket {place.bucket} --public-access-block-configuration {_BLOCK}"
        if not place.endpoint_url
        else "take the right to read and to list from everybody, in the bucket's policy or at the store"
    )
    if trial.listed:
        what = f"anybody may list what is in the bucket {place.bucket}"
        yield finding(Check.PRIVACY, what, "galleries can be found without their links", block)
    elif trial.bare.status == 200 and not place.is_public:
        what = f"anybody may read what is in the bucket {place.bucket}, without a link"
        why = "galleries are open to whoever has an address, for ever"
        yield finding(Check.PRIVACY, what, why, block)
    elif trial.bare.status == 0:
        yield could_not_look(Check.PRIVACY, "whether anybody may read the bucket", "it did not answer", "")
    elif not place.is_public:
        yield ok(Check.PRIVACY, "nobody reads or lists the bucket without a link")


def _shown(opened: Opened) -> str:
    return f" ({opened.status})" if opened.status else ": nothing answers"


def _show(refusal: Refusal | None) -> str:
    """The store's own word for it; never its message, which may name accounts."""
    if refusal is None or not refusal.status:
        return ""
    return f" ({refusal.code[:60] or refusal.status})"
