"""Whether the clock is set: sessions are named by it, and a Pi has no battery for it."""

import ctypes
import os
import time
from dataclasses import dataclass

from ghostroll.doctor.commands import ask
from ghostroll.doctor.finding import Check, Finding, finding, hint, ok
from ghostroll.doctor.surroundings import Surroundings

_RELEASE_YEAR = 2026  # it can't be earlier than when this was made
_SYNCHRONIZED = "/run/systemd/timesync/synchronized"  # systemd-timesyncd.service(8)
_ERROR_LARGEST = (
    16_000_000  # µs; at and above it timedated calls a clock not synchronised (systemd: ntp_synced)
)


class _Timex(ctypes.Structure):
    """The beginning of struct timex, adjtimex(2); the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("room", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """`can_sync` is whether systemd has a service for it, `syncs` whether that is switched on; None: not known."""

    year: int
    shown: str
    synchronized: bool
    can_sync: bool | None
    syncs: bool | None


def look_at_clock(surroundings: Surroundings) -> list[Finding]:
    """The machine's clock."""
    answer = (
        ask("timedatectl", "show", "--property=CanNTP", "--property=NTP") if surroundings.booted else None
    )
    says = dict(line.split("=", 1) for line in (answer or "").splitlines() if "=" in line)
    now = time.localtime()
    return judge_clock(
        ClockFacts(
            year=now.tm_year,
            shown=time.strftime("%Y-%m-%d %H:%M", now),
            synchronized=os.path.exists(_SYNCHRONIZED) or _is_disciplined(),
            can_sync={"yes": True, "no": False}.get(says.get("CanNTP", "")),
            syncs={"yes": True, "no": False}.get(says.get("NTP", "")),
        )
    )


def judge_clock(facts: ClockFacts) -> list[Finding]:
    """A clock that is years behind is a finding; one that only isn't kept by the network is a hint."""
    if facts.year < _RELEASE_YEAR:
        return [
            finding(
                Check.CLOCK,
                f"the clock is not set: it says {facts.shown}",
                "sessions are named by it and sorted by it",
                _remedy(facts),
            )
        ]
    if not facts.synchronized:
        why = "after a power cut it may be wrong, and sessions are named by it"
        return [
            hint(
                Check.CLOCK,
                f"the clock says {facts.shown} and is not kept by the network",
                why,
                _remedy(facts),
            )
        ]
    return [ok(Check.CLOCK, f"the clock is set and kept by the network: {facts.shown}")]


def _remedy(facts: ClockFacts) -> str:
    if facts.can_sync is None:
        return "sudo date --set='YYYY-MM-DD HH:MM'  # with the time that it is"
    if not facts.can_sync:
        return "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true"
    if not facts.syncs:
        return "sudo timedatectl set-ntp true"
    return "timedatectl status  # tells more; without a network: sudo date --set='YYYY-MM-DD HH:MM'"


def _is_disciplined() -> bool:
    """Whether somebody keeps the kernel's clock, as timedated has it."""
    state = _Timex(modes=0)
    failed = ctypes.CDLL(None).adjtimex(ctypes.byref(state)) == -1
    return not failed and int(state.maxerror) < _ERROR_LARGEST
