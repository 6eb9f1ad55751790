"""Ways to break the product, one at a time, in a process of its own: whoever tests the promises must find each."""

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ghostroll import jobs
from ghostroll.cards.volume import Medium
from ghostroll.jobs import SafetyFacts, decide_safety
from ghostroll.library import copying, scrub
from ghostroll.library.copying import ContentClaims, Copier
from ghostroll.publish.s3.bucket import Bucket
from ghostroll.publish.s3.confirming import CONFIRMED
from ghostroll.state import tasks
from ghostroll.station import recover, review, scan
from ghostroll.station.copy import CopyWork


def skip_presence_check() -> None:
    """Whether the card is still the same one is not looked at."""
    _replace(Medium, "check_present", lambda _self: None)


def record_before_rename() -> None:
    """A file gets its final name once its record is committed."""
    numbers, late = itertools.count(), list[tuple[int, bytes, bytes]]()

    def put_off(root: int, temp: bytes, place: bytes) -> None:
        kept = b".ghostroll/incoming/late-%d" % next(numbers)
        os.link(temp, kept, src_dir_fd=root, dst_dir_fd=root)
        late.append((os.dup(root), kept, place))

    settled = CopyWork.settled

    def make_up(work: CopyWork) -> None:
        while late:
            root, kept, place = late.pop()
            os.rename(kept, place, src_dir_fd=root, dst_dir_fd=root)
            os.close(root)
        settled(work)

    _replace(copying, "rename_into_place", put_off)
    _replace(CopyWork, "settled", make_up)


def secure_with_failed_source() -> None:
    """A file that can't be read keeps no card from being called secured."""

    def decide(facts: SafetyFacts) -> Any:
        return decide_safety(replace(facts, failed=False))

    _replace(jobs, "decide_safety", decide)


def believe_records() -> None:
    """What is recorded is there."""
    for module in (review, scan):
        _replace(module, "has_size", lambda *_: True)
    for name in ("has_size", "is_file"):
        _replace(copying, name, lambda *_: True)


def forget_claims() -> None:
    """Two cards may store one content at the same time."""
    _replace(ContentClaims, "take", lambda _self, _contents: None)


def leave_running() -> None:
    """What was under way when the process died is not begun again."""
    _replace(tasks, "requeue_running", lambda _db: None)


def leave_incoming() -> None:
    """What was half written when the process died is not cleared away."""
    _replace(recover, "clear_incoming", lambda _root: None)


def believe_damaged() -> None:
    """A file that was found damaged is as good as any other."""
    _replace(Copier, "_matches", lambda *_, **__: True)


def find_nothing() -> None:
    """A verification finds every file as it was."""
    _replace(scrub, "_judge", lambda *_: None)


def confirm_unsent() -> None:
    """An original counts as confirmed by the bucket before it was sent."""
    _replace(Bucket, "put_original", lambda *_, **__: CONFIRMED)


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is broken, and what is said when it is found out, as a pattern."""

    begin: Callable[[], None]
    finding: str


SABOTAGES: Mapping[str, Sabotage] = {
    "skip_presence_check": Sabotage(skip_presence_check, "is another one's|is called secured"),
    "record_before_rename": Sabotage(record_before_rename, "is not as recorded"),
    "secure_with_failed_source": Sabotage(secure_with_failed_source, "is called secured without"),
    "believe_records": Sabotage(believe_records, "is not as recorded|is called secured|was not gone on with"),
    "forget_claims": Sabotage(forget_claims, "stored twice"),
    "leave_running": Sabotage(leave_running, "never comes to rest|was not gone on with|is called secured"),
    "leave_incoming": Sabotage(leave_incoming, "incoming"),
    "believe_damaged": Sabotage(believe_damaged, "not what a card gave|is not as recorded|is called secured"),
    "find_nothing": Sabotage(find_nothing, "verify"),
    "confirm_unsent": Sabotage(confirm_unsent, "not in the bucket"),
}
OF_BUCKET = ("confirm_unsent",)


def _replace(where: object, name: str, by: object) -> None:
    assert hasattr(where, name), f"{where} has no {name}"
    setattr(where, name, by)
