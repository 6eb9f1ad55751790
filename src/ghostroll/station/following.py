"""Following one card from its admission on: how far it is, when it was first safe, whether it is over."""

from dataclasses import replace

from ghostroll import jobs
from ghostroll.model import JobId, Publication, Safety, Stage
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally
from ghostroll.station.review import tell_publication
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments
from ghostroll.station.wiring import Slot

GLANCE = 0.2  # seconds between two looks at the counts while nothing settles


class Course:
    """The moments in which a card's job was first secured and published, in seconds from now on."""

    def __init__(self, station: Station, slot: Slot) -> None:
        self._station, self._slot = station, slot
        self._started = station.wiring.clock.boot()
        self._secured: float | None = None
        self._published: float | None = None

    def note(self) -> None:
        """Look at the job. Called after every change."""
        job = self._station.get_job(self._slot.job)
        elapsed = self._station.wiring.clock.boot() - self._started
        if job is not None and job.safety is Safety.SECURED and self._secured is None:
            self._secured = elapsed
        if job is not None and job.publication is Publication.COMPLETE and self._published is None:
            self._published = elapsed

    def tell_moments(self) -> Moments:
        """When what was first true."""
        first = self._station.wiring.first_picture.get(self._slot.job)
        return Moments(self._secured, None if first is None else first - self._started, self._published)


class Counts:
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


def is_job_quiet(station: Station, job_id: JobId) -> bool:
    """Whether nothing goes on by itself any more for a job, whatever other jobs do.

    Its gallery may be another job's to write, where they share a session; while that one grows, nobody waits for it.
    """
    return station.engine.gate.is_empty_and(lambda: _has_nothing_open(station, job_id))


def _has_nothing_open(station: Station, job_id: JobId) -> bool:
    with station.wiring.database.read() as db:
        if tasks.has_open(db, job_id):
            return False
        job = job_rows.get_job(db, job_id)
        if job is None or job.session_id is None:
            return True
        shared = job_rows.list_jobs_of_session(db, job.session_id)
        written = not any(tasks.has_open(db, other.id, (Stage.PUBLISH,)) for other in shared)
        return written or tell_publication(db, job.session_id) is not Publication.COMPLETE
