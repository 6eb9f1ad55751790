"""Whether this machine tells of cards: udevd runs, and readers are asked whether a card went in."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ghostroll.cards.lookout import is_udev_running
from ghostroll.doctor.commands import read_text
from ghostroll.doctor.finding import Check, Finding, finding, hint, join_names, ok
from ghostroll.doctor.surroundings import Service, Surroundings

_DEFAULT = "/sys/module/block/parameters/events_dfl_poll_msecs"
_BLOCK = "/sys/block"
_NO_READER = re.compile(r"(dm-|fd|loop|md|nbd|ram|sr|zram)")  # as 90-ghostroll.rules has it
_USUAL = 2000  # ms, what udev's 60-block.rules sets


@dataclass(frozen=True, slots=True)
class Reader:
    """A disk with media that go in and out. `poll` is in ms: -1 is the default, 0 is never."""

    name: str
    poll: int


@dataclass(frozen=True, slots=True)
class UdevFacts:
    """`default_poll` is in ms, 0 for never; None where this kernel doesn't say."""

    running: bool
    booted: bool
    default_poll: int | None
    readers: tuple[Reader, ...]
    service: Service


def look_at_udev(surroundings: Surroundings) -> list[Finding]:
    """Udev and the polling of readers."""
    names = sorted(os.listdir(_BLOCK)) if os.path.isdir(_BLOCK) else []
    default = _read_number(_DEFAULT)
    return judge_udev(
        UdevFacts(
            running=is_udev_running(),
            booted=surroundings.booted,
            default_poll=default,
            readers=tuple(_find_readers(names)),
            service=surroundings.service,
        )
    )


def judge_udev(facts: UdevFacts) -> list[Finding]:
    """Without a service nobody waits for cards, so that nothing here is worse than a hint."""
    say = hint if facts.service is Service.NONE else finding
    found = [ok(Check.UDEVD, "udev runs")]
    if not facts.running:
        start = (
            "systemctl start systemd-udevd.service" if facts.booted else "/lib/systemd/systemd-udevd --daemon"
        )
        found = [
            say(
                Check.UDEVD,
                "udev doesn't run",
                "nothing tells ghostroll of a card that goes in",
                f"sudo {start}",
            )
        ]
    off = []
    if facts.default_poll == 0:
        why = "a card that is put into a reader which is plugged in already goes unnoticed"
        off.append(
            say(
                Check.POLLING,
                "the kernel doesn't ask card readers for new cards",
                why,
                _set(_USUAL, _DEFAULT),
            )
        )
    for reader in facts.readers:
        if reader.poll == 0:
            why = "a card that is put into it while it is plugged in goes unnoticed"
            remedy = _set(-1 if facts.default_poll else _USUAL, f"{_BLOCK}/{reader.name}/events_poll_msecs")
            off.append(
                say(
                    Check.POLLING,
                    f"the kernel doesn't ask the reader {reader.name} for new cards",
                    why,
                    remedy,
                )
            )
    if not off and facts.default_poll is not None:
        asked = [f"{one.name} every {_tell(one.poll, facts.default_poll)}" for one in facts.readers]
        which = f": {join_names(asked)}" if asked else f" every {_tell(-1, facts.default_poll)}"
        off = [ok(Check.POLLING, f"readers are asked for new cards{which}")]
    return found + off


def _set(value: int, path: str) -> str:
    return f"echo {value} | sudo tee {path}"


def _tell(poll: int, default: int) -> str:
    return f"{(default if poll < 0 else poll) / 1000:g} s"


def _find_readers(names: list[str]) -> Iterator[Reader]:
    for name in names:
        folder = os.path.join(_BLOCK, name)
        # Without `media_change` there is nothing to ask; with it in `events_async` the disk tells by itself.
        asked = "media_change" in (read_text(f"{folder}/events") or "")
        tells = "media_change" in (read_text(f"{folder}/events_async") or "")
        poll = _read_number(f"{folder}/events_poll_msecs")
        removable = read_text(f"{folder}/removable") == "1" and not _NO_READER.match(name)
        if removable and asked and not tells and poll is not None:
            yield Reader(name, poll)


def _read_number(path: str) -> int | None:
    text = read_text(path) or ""
    return int(text) if re.fullmatch(r"-?\d+", text) else None
