"""What an ingest came to: the one object at the end of `ghostroll ingest --json`, and its exit code."""

import os
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ghostroll.errors import CardGone, GhostrollError, LibraryNotThere, NoSpace, NoWorker, TargetUnreachable
from ghostroll.library.manifest import describe_path
from ghostroll.model import Cause, Job, JobId, Safety, SourceState, Stage
from ghostroll.observe.meter import Reading
from ghostroll.state import assets, galleries, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.station.outage import BUCKET_CAUSES
from ghostroll.station.snapshot import describe_originals
from ghostroll.station.upkeep import link_fields
from ghostroll.station.wiring import Wiring

_SOME_FAILED = 3


@dataclass(frozen=True, slots=True)
class Moments:
    """Seconds from the start until something was first true; None while it isn't."""

    secured: float | None
    first_picture: float | None
    published: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The document for `--json`, and the exit code that goes with it."""

    document: dict[str, Any]
    exit_code: int


def summarize(wiring: Wiring, job_id: JobId, moments: Moments) -> Summary:
    """Tell what became of a job, from the ledger and this process's counts."""
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
        if job is None:
            raise KeyError(job_id)
        tally = assets.tally(db, job_id)
        session = None if job.session_id is None else job_rows.get_session(db, job.session_id).name
        known_in = None if job.session_id is not None else _find_newest_session(db, job_id)
        unlisted = assets.list_unlisted(db, job_id)
        failed_sources = assets.list_sources(db, job_id, (SourceState.FAILED,))
        pictures = [] if job.session_id is None else picture_rows.list_pictures_of_job(db, job_id)
        aim = None if wiring.cloud is None else wiring.cloud.aim
        waiting = tasks.list_parked_stages(db, job_id, None if aim is None else aim.place)
        originals = describe_originals(db, job, aim)
    failed = [
        {
            **describe_path("path", source.path),
            "stage": Stage.SCAN if source.id in unlisted else Stage.COPY,
            "error": source.error,
        }
        for source in failed_sources
    ] + [
        {**describe_path("path", picture.path), "stage": Stage.RENDER, "error": picture.error}
        for picture in pictures
        if picture.error is not None
    ]
    states = tally.states
    document: dict[str, Any] = {
        "job": job.id,
        "session": session,
        "state": job.safety,
        "publication": job.publication,
        "secured": job.safety is Safety.SECURED,
        "files": tally.files,
        "bytes": tally.bytes,
        "new": states.get(SourceState.STORED, 0),
        "known": states.get(SourceState.KNOWN, 0),
        "duplicates": states.get(SourceState.DUPLICATE, 0),
        "renditions": 2 * sum(picture.error is None for picture in pictures),
        "failed": failed,
        "waiting": waiting,
        **_describe_folder(wiring, "session_dir", session),
        **_describe_folder(wiring, "known_in", known_in),
        **_describe_bucket(wiring, job),
        **originals,
        "seconds": {
            "secured": _round(moments.secured),
            "first_picture": _round(moments.first_picture),
            "published": _round(moments.published),
        },
        "stages": {
            stage: _describe(reading) for stage, reading in wiring.meter.read(job.id).items() if reading.items
        },
    }
    causes = {Cause(str(one["cause"])) for one in waiting}
    code = choose_exit_code(job, causes, some_failed=bool(failed))
    if document["link_trouble"] is not None and not code:
        code = TargetUnreachable.exit_code
    return Summary(document, code)


def choose_exit_code(job: Job, parked: Collection[Cause], *, some_failed: bool) -> int:
    """0 all well, 3 some files failed, 4 the card went away, 5 no space."""
    if job.safety is Safety.INTERRUPTED or (Cause.CARD_GONE in parked and job.safety is not Safety.SECURED):
        return CardGone.exit_code
    if Cause.NO_SPACE in parked:
        return NoSpace.exit_code
    if Cause.LIBRARY_GONE in parked:
        return LibraryNotThere.exit_code
    if not set(BUCKET_CAUSES).isdisjoint(parked):
        return TargetUnreachable.exit_code
    if Cause.NO_WORKER in parked:
        return NoWorker.exit_code
    return _SOME_FAILED if some_failed or job.safety is not Safety.SECURED else 0


def _find_newest_session(db: sqlite3.Connection, job_id: JobId) -> str | None:
    """Where what was on the card before lies: the newest session that holds any of it."""
    holding = max((asset.session_id for asset in assets.list_assets_of_job(db, job_id)), default=None)
    return None if holding is None else job_rows.get_session(db, holding).name


def _describe_bucket(wiring: Wiring, job: Job) -> dict[str, Any]:
    """The link to a job's gallery in a bucket, once there is one. `released` is false while it waits for a person.

    `link_trouble` is why a link that there is can't be told: its credentials are gone, and what is safe is to be told.
    """
    cloud = wiring.cloud
    described: dict[str, Any] = {
        "link": None,
        "link_expires": None,
        "link_expires_assumed": False,
        "link_trouble": None,
        "released": None,
    }
    if cloud is None or job.session_id is None:
        return described
    with wiring.database.read() as db:
        found = galleries.find_gallery(db, job.session_id, cloud.place)
    described["released"] = found is not None and found.released
    if found is not None and found.link is not None:
        try:
            fields = link_fields(cloud, found, found.link)
        except GhostrollError as error:
            return described | {"link_trouble": str(error)}
        described |= {"link": fields["link"], "link_expires": fields["expires"]}
        described["link_expires_assumed"] = fields["expires_assumed"]
    return described


def _describe_folder(wiring: Wiring, key: str, session: str | None) -> Mapping[str, str | None]:
    if session is None:
        return {key: None}
    return describe_path(key, os.path.join(wiring.library.path, session.encode()))


def _describe(reading: Reading) -> dict[str, Any]:
    done = reading.bytes or reading.items
    return {
        "items": reading.items,
        "bytes": reading.bytes,
        "seconds": round(reading.seconds, 3),
        "per_second": round(done / reading.seconds, 1) if reading.seconds else None,
    }


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
