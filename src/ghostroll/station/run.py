"""One ingest from admission to the end: what the command `ingest` waits for."""

import re
import threading
from dataclasses import replace
from typing import Protocol

from ghostroll import jobs
from ghostroll.errors import UsageError
from ghostroll.library.layout import show_path
from ghostroll.model import JobId, Publication, Safety
from ghostroll.state import assets
from ghostroll.state import pictures as picture_rows
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments, Summary, summarize
from ghostroll.station.wiring import Slot

INTERRUPTED = 130  # the exit code of a shell for Ctrl-C
_GLANCE = 0.2  # seconds between two looks at the counts while nothing settles
_SESSION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class Watcher(Protocol):
    """Somebody who is told how an ingest goes."""

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """The counts at this moment."""

    def close(self) -> None:
        """It is over."""


class _Course:
    """Follows one card: whether it is over, and when it was first secured and published."""

    def __init__(self, station: Station, slot: Slot) -> None:
        self._station, self._slot = station, slot
        self._started = station.wiring.clock.boot()
        self._secured: float | None = None
        self._published: float | None = None

    def is_over(self) -> bool:
        """Whether nothing goes on by itself any more. Looked at after every change."""
        job = self._station.get_job(self._slot.job)
        elapsed = self._station.wiring.clock.boot() - self._started
        if job is not None and job.safety is Safety.SECURED and self._secured is None:
            self._secured = elapsed
        if job is not None and job.publication is Publication.COMPLETE and self._published is None:
            self._published = elapsed
        return self._station.is_quiet()

    def tell_moments(self) -> Moments:
        """When what was first true, in seconds from the start."""
        first = self._station.wiring.first_picture.get(self._slot.job)
        return Moments(self._secured, None if first is None else first - self._started, self._published)


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
    can't be meant.
    """
    if session is not None and not _SESSION_NAME.fullmatch(session):
        raise UsageError(f"{session!r} can't be a session's name: use letters, digits, '.', '_' and '-'")
    station.start()
    slot = station.admit(path, session=session, resume=resume)
    course, counts = _Course(station, slot), _Counts(station, slot)
    try:
        while not station.wait(lambda: stopped.is_set() or course.is_over(), _GLANCE):
            watcher.show(*counts.take())
        watcher.show(*counts.take())
    finally:
        watcher.close()
    if station.get_job(slot.job) is None:
        raise UsageError(f"there is no file in {show_path(path)}: is the card mounted there?")
    return summarize(station.wiring, slot.job, course.tell_moments())


def run_leftovers(station: Station, *, stopped: threading.Event) -> None:
    """Work off what is in the queue and needs no card, or until `stopped` is set."""
    station.start()
    while not station.wait(lambda: stopped.is_set() or station.is_quiet(), _GLANCE):
        pass


class _Counts:
    """A job's counts at a moment. How many pictures there will be is known as soon as the card is scanned."""

    def __init__(self, station: Station, slot: Slot) -> None:
        self._station, self._slot = station, slot
        self._expected: int | None = None

    def take(self) -> tuple[Tally, PictureTally]:
        """Files, and pictures out of all that are to come."""
        job = self._slot.job
        with self._station.wiring.database.read() as db:
            tally, pictures = assets.tally(db, job), picture_rows.tally_pictures(db, job)
            if self._expected is None and tally.files:
                self._expected = jobs.count_pictures(assets.list_sources(db, job), waiting=True)
        return tally, replace(pictures, wanted=max(pictures.wanted, self._expected or 0))
