"""One look after the other at everything, each in a process of its own, all at the same time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ghostroll.doctor.bucket import look_at_bucket
from ghostroll.doctor.clock import look_at_clock
from ghostroll.doctor.disk import look_at_disk
from ghostroll.doctor.drivers import look_at_drivers
from ghostroll.doctor.finding import INSTALL, Check, Finding, finding
from ghostroll.doctor.formats import look_at_formats
from ghostroll.doctor.installed import look_at_installation
from ghostroll.doctor.library import look_at_library
from ghostroll.doctor.looking import Crashed, Looking, NoAnswer, finish_look, start_look
from ghostroll.doctor.medium import look_at_medium
from ghostroll.doctor.membership import look_at_membership
from ghostroll.doctor.memory import look_at_memory
from ghostroll.doctor.namespace import look_at_namespace
from ghostroll.doctor.power import look_at_power
from ghostroll.doctor.service import look_at_service
from ghostroll.doctor.state import look_at_state
from ghostroll.doctor.surroundings import Surroundings
from ghostroll.doctor.target import look_at_target
from ghostroll.doctor.udev import look_at_udev

_DISK_HANGS = (
    "a disk that fails, or a server that is gone, makes everything wait that asks it",
    "sudo dmesg | tail -n 30  # tells which disk: check its cable and its power, then start the machine again",
)
_STORE_HANGS = (
    "a store that takes connections and does not answer makes uploads wait; cards are copied all the same",
    "ghostroll doctor --patience 120  # again, with more time; else ask who runs the store",
)


@dataclass(frozen=True, slots=True)
class Theme:
    """Something to look at. `as_writer` looks with the rights of whoever writes to the library.

    `hangs` is why it may not answer, and what to do then.
    """

    title: str
    look: Callable[[Surroundings], list[Finding]]
    as_writer: bool = False
    hangs: tuple[str, str] = _DISK_HANGS


THEMES = (
    Theme("udev", look_at_udev),
    Theme("the installation", look_at_installation),
    Theme("the service", look_at_service),
    Theme("the group", look_at_membership),
    Theme("the daemon's view of the mounts", look_at_namespace),
    Theme("the library", look_at_library, as_writer=True),
    Theme("the library's disk", look_at_disk, as_writer=True),
    Theme("the sort of the library's disk", look_at_medium),
    Theme("the state", look_at_state, as_writer=True),
    Theme("the galleries", look_at_target, as_writer=True),
    Theme("the bucket", look_at_bucket, hangs=_STORE_HANGS),
    Theme("the picture formats", look_at_formats),
    Theme("the kernel's drivers", look_at_drivers),
    Theme("memory and processor", look_at_memory),
    Theme("the clock", look_at_clock),
    Theme("the power supply", look_at_power),
)


def examine(surroundings: Surroundings, patience: float) -> Iterator[list[Finding]]:
    """What is found, theme by theme in their order. Only for a process without threads.

    A theme that takes longer than `patience` seconds, or whose process crashes, is a finding by itself.
    """
    until = time.monotonic() + patience
    looks = [(theme, _start(theme, surroundings)) for theme in THEMES]
    for theme, looking in looks:
        try:
            yield finish_look(looking, until)
        except NoAnswer:
            yield [_say_no_answer(theme, patience)]
        except Crashed as error:
            what = f"looking at {theme.title} ended {error}"
            why = "a library or a program that ghostroll needs crashes on this machine"
            yield [finding(Check.ANSWER, what, why, INSTALL)]


def _start(theme: Theme, surroundings: Surroundings) -> Looking:
    writer = surroundings.writer if theme.as_writer else None
    return start_look(lambda: theme.look(surroundings), writer)


def _say_no_answer(theme: Theme, patience: float) -> Finding:
    why, remedy = theme.hangs
    return finding(Check.ANSWER, f"{theme.title} did not answer within {patience:g} s", why, remedy)
