"""What the doctor says: one sentence each, and where something is wrong, why it matters and what mends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ghostroll.observe.wording import say_name

INSTALL = "sudo make install  # in the folder of ghostroll's source"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"  # was looked at, and is as it should be
    HINT = "hint"  # works, but could be better; or could not be looked at
    FINDING = "finding"  # keeps ghostroll, or a part of it, from working


class Check(StrEnum):
    """What was looked at."""

    UDEVD = "udevd"
    POLLING = "polling"  # of readers for media that went in or out
    INSTALLED = "installed"  # rule, units and the like, as this version ships them
    ACCOUNT = "account"  # the service's user and group
    CARDS_FOLDER = "cards-folder"  # where root's helper mounts
    SERVICE = "service"
    SANDBOX = "sandbox"  # whether the service may write where it has to
    MEMBERSHIP = "membership"  # of this person in the service's group
    NAMESPACE = "namespace"  # whether the daemon sees what the helper mounts
    LIBRARY = "library"
    FILESYSTEM = "filesystem"
    WRITABLE = "writable"
    SYNC = "sync"
    SPACE = "space"
    MEDIUM = "medium"  # what sort of disk the library is on
    TARGET = "target"  # where galleries stand on disk
    CREDENTIALS = "credentials"  # for the bucket
    BUCKET = "bucket"  # reachable, there, takes files
    CHECKSUMS = "checksums"  # whether the bucket confirms what it holds
    ORIGINALS = "originals"  # whether the bucket keeps what is there from being written again
    PARTS = "parts"  # whether the bucket takes large files in parts
    LINKS = "links"  # whether they open
    PRIVACY = "privacy"  # whether anybody gets in without a link
    STATE = "state"
    OWNER = "owner"  # who is at work on the state
    FORMATS = "formats"
    COLOURS = "colours"
    HASHING = "hashing"
    DRIVERS = "drivers"  # the kernel's, for the filesystems of cards
    MEMORY = "memory"
    CLOCK = "clock"
    POWER = "power"
    ANSWER = "answer"  # something did not answer in time, or crashed while it was looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Its texts hold nothing that steers a terminal.

    `remedy` is a command for a shell, explained behind a # where need be; or what a person has to do.
    """

    check: Check
    level: Level
    what: str
    why: str = ""
    remedy: str = ""

    @classmethod
    def parse(cls, document: dict[str, str]) -> Self:
        """What `describe` made."""
        return cls(Check(document["check"]), Level(document["level"]), *map(document.__getitem__, _TEXTS))

    def describe(self) -> dict[str, str]:
        """For a machine."""
        return {"check": self.check, "level": self.level} | {text: getattr(self, text) for text in _TEXTS}


_TEXTS = ("what", "why", "remedy")


def ok(check: Check, what: str) -> Finding:
    """Something is as it should be."""
    return Finding(check, Level.OK, say_name(what))


def hint(check: Check, what: str, why: str = "", remedy: str = "") -> Finding:
    """Something could be better, or could not be looked at."""
    return Finding(check, Level.HINT, say_name(what), say_name(why), say_name(remedy))


def finding(check: Check, what: str, why: str, remedy: str) -> Finding:
    """Something keeps ghostroll from working."""
    return Finding(check, Level.FINDING, say_name(what), say_name(why), say_name(remedy))


def could_not_look(check: Check, what: str, why: str, remedy: str = "sudo ghostroll doctor") -> Finding:
    """Something was not looked at, and why: no finding."""
    return hint(check, f"{what}: not looked at", why, remedy)


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Some names for a sentence; of many, only the first."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
