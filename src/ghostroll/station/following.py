"""Following one job: how far it is, when it was first safe, whether it is over."""

from dataclasses import replace
from typing import Protocol

from ghostroll import jobs
from ghostroll.model import JobId, Publication, Safety, Stage
from ghostroll.state import assets, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally
from ghostroll.station.galleries import tell_rendered
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments

GLANCE = 0.2  # seconds between two looks at the counts while nothing settles


class Followed(Protocol):
    """What is followed: a card, which may turn out to go on with an earlier job, or a job itself."""

    @property
    def job(self) -> JobId:
        """The job that it is by now."""


class Course:
    """The moments in which a job was first secured and published, in seconds from now on."""

    def __init__(self, station: Station, followed: Followed) -> None:
        self._station, self._followed = station, followed
        self._started = station.wiring.clock.boot()
        self._secured: float | None = None
        self._published: float | None = None

    def note(self) -> None:
        """Look at the job. Called after every change."""
        job = self._station.get_job(self._followed.job)
        elapsed = self._station.wiring.clock.boot() - self._started
        if job is not None and job.safety is Safety.SECURED and self._secured is None:
            self._secured = elapsed
        if job is not None and job.publication is Publication.COMPLETE and self._published is None:
            self._published = elapsed

    def tell_moments(self) -> Moments:
        """When what was first true; the first picture only if it is of this time."""
        first = self._station.wiring.first_picture.get(self._followed.job, 0.0) - self._started
        return Moments(self._secured, first if first >= 0 else None, self._published)


class Counts:
    """A job's counts at a moment. How many pictures there will be is known as soon as the card is scanned."""

    def __init__(self, station: Station, followed: Followed) -> None:
        self._station, self._followed = station, followed
        self._expected: int | None = None

    def take(self) -> tuple[Tally, PictureTally]:
        """Files, and pictures out of all that are to come."""
        job = self._followed.job
        with self._station.wiring.database.read() as db:
            tally, pictures = assets.tally(db, job), picture_rows.tally_pictures(db, job)
            cloud = self._station.wiring.cloud
            to_upload, uploaded = (0, 0) if cloud is None else objects.tally_objects(db, cloud.place, job)
            if self._expected is None and tally.files:
                self._expected = jobs.count_pictures(assets.list_sources(db, job), waiting=True)
        expected = max(pictures.wanted, self._expected or 0)
        return tally, replace(pictures, wanted=expected, to_upload=to_upload, uploaded=uploaded)


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
        return written or tell_rendered(db, job.session_id) is not Publication.COMPLETE
