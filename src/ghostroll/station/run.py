"""One ingest from admission to the end: what the command `ingest` waits for."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ghostroll.errors import UsageError
from ghostroll.library.layout import show_path
from ghostroll.model import JobId
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally
from ghostroll.station.following import GLANCE, Counts, Course
from ghostroll.station.station import Station
from ghostroll.station.summary import Summary, summarize

INTERRUPTED = 130  # the exit code of a shell for Ctrl-C
_SESSION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def check_session_name(name: str | None) -> None:
    """Raise UsageError for what can't be a session's name; None is no name."""
    if name is not None and not _SESSION_NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be a session's name: use letters, digits, '.', '_' and '-'")


@dataclass(frozen=True, slots=True)
class _OneJob:
    """A job that is followed without its card."""

    job: JobId


class Watcher(Protocol):
    """Somebody who is told how an ingest goes."""

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """The counts at this moment."""

    def close(self) -> None:
        """It is over."""


def run_ingest(
    station: Station,
    path: bytes,
    *,
    session: str | None,
    watcher: Watcher,
    stopped: threading.Event,
    resume: JobId | None = None,
) -> Summary:
    """Ingest the card at `path` until nothing goes on by itself, or `stopped` is set.

    On return the station still runs; its owner closes it. Raises UsageError for a path or a name that
    can't be meant, CardFailing for a card that can't be read at all.
    """
    check_session_name(session)
    station.start()
    slot = station.admit(path, session=session, resume=resume)
    course, counts = Course(station, slot), Counts(station, slot)

    def is_over() -> bool:
        course.note()
        _try_bucket(station)
        return stopped.is_set() or (station.is_quiet() and not station.is_patient())

    try:
        while not station.wait(is_over, GLANCE):
            watcher.show(*counts.take())
        watcher.show(*counts.take())
    finally:
        watcher.close()
    if station.get_job(slot.job) is None:
        raise UsageError(f"there is no file in {show_path(path)}: is the card mounted there?")
    return summarize(station.wiring, slot.job, course.tell_moments())


def run_until(station: Station, is_done: Callable[[], bool], *, stopped: threading.Event) -> None:
    """Work off what is in the queue until something is so, or `stopped` is set."""
    station.start()
    while not station.wait(lambda: stopped.is_set() or is_done(), GLANCE):
        pass


def run_leftovers(
    station: Station, *, stopped: threading.Event, job: JobId | None = None, watcher: Watcher | None = None
) -> None:
    """Work off what is in the queue and needs no card, or until `stopped` is set. `watcher` is told how `job` goes."""
    counts = None if job is None else Counts(station, _OneJob(job))

    def is_over() -> bool:
        station.try_bucket()
        if watcher is not None and counts is not None:
            watcher.show(*counts.take())
        return station.is_quiet() and not station.is_patient()

    run_until(station, is_over, stopped=stopped)


def _try_bucket(station: Station) -> None:
    """Try it again while there is something else to do anyway: nobody waits for one try after the other."""
    trial = station.next_trial()
    if trial is not None and trial <= station.wiring.clock.boot() and station.has_more_to_do():
        station.try_bucket()
