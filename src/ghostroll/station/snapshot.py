"""What is known of jobs, as plain documents: for `status`, `jobs` and `show`, with or without an owner at work."""

import os
import sqlite3
from typing import Any

from ghostroll.library.manifest import describe_path
from ghostroll.model import Job, JobId, Source, SourceState
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.station.cloud import Aim


def describe_job(db: sqlite3.Connection, job: Job, aim: Aim | None) -> dict[str, Any]:
    """A job with its counts. `aim` is the bucket of now."""
    tally = assets.tally(db, job.id)
    pictures = picture_rows.tally_pictures(db, job.id)
    session = None if job.session_id is None else job_rows.get_session(db, job.session_id).name
    return {
        "job": job.id,
        "card": job.volume.label,
        "session": session,
        "state": job.safety,
        "publication": job.publication,
        "created": job.created_at,
        "secured_at": job.secured_at,
        "files": tally.files,
        "bytes": tally.bytes,
        "bytes_done": tally.bytes_done,
        **{str(state): tally.states.get(state, 0) for state in SourceState},
        "pictures": {"wanted": pictures.wanted, "shown": pictures.shown, "failed": pictures.failed},
        "confirmed_at": job.confirmed_at,
        "uploads": objects.count_uploads(db, job.id),
        "released": _is_released(db, job, aim),
        "waiting": tasks.list_parked_stages(db, job.id),
    }


def _is_released(db: sqlite3.Connection, job: Job, aim: Aim | None) -> bool | None:
    """Whether a job's gallery may be in the bucket, False while it waits for a person; None where none belongs there."""
    if aim is None or job.session_id is None:
        return None
    gallery = galleries.find_gallery(db, job.session_id, aim.place)
    return None if gallery is None else gallery.released


def describe_originals(db: sqlite3.Connection, job: Job, aim: Aim | None) -> dict[str, Any]:
    """Whether a card may be formatted, as the configuration is now, and which originals are in its way.

    `formattable` is None where no originals are to be in a bucket; `unconfirmed` counts them by state and reason.
    """
    if aim is None or not aim.original_kinds:
        return {"formattable": None, "unconfirmed": []}
    unconfirmed = objects.list_unconfirmed(db, aim.place, job.id, aim.original_kinds)
    return {
        "formattable": job.confirmed_at is not None and not unconfirmed,
        "unconfirmed": [{"state": one.state, "why": one.why, "number": one.number} for one in unconfirmed],
    }


def list_jobs(db: sqlite3.Connection, aim: Aim | None, *, limit: int) -> list[dict[str, Any]]:
    """The newest jobs, newest first."""
    return [describe_job(db, job, aim) for job in job_rows.list_jobs(db, limit=limit)]


def show_job(
    db: sqlite3.Connection, job_id: JobId, library: bytes, aim: Aim | None, *, files: bool
) -> dict[str, Any] | None:
    """One job with its folder, its failures (and all its files), or None."""
    job = job_rows.get_job(db, job_id)
    if job is None:
        return None
    document = describe_job(db, job, aim) | describe_originals(db, job, aim)
    document["waiting"] = tasks.list_parked_stages(db, job_id, None if aim is None else aim.place)
    document["session_dir"] = None
    if document["session"] is not None:
        document |= describe_path("session_dir", os.path.join(library, document["session"].encode()))
    document["volume"] = {
        "uuid": job.volume.uuid,
        "size": job.volume.size,
        "filesystem": job.volume.filesystem,
    }
    failed = assets.list_sources(db, job_id, (SourceState.FAILED,))
    document["failed"] = [_describe_source(source) for source in failed] + [
        {**describe_path("path", picture.path), "state": "no picture", "error": picture.error}
        for picture in picture_rows.list_pictures_of_job(db, job_id)
        if picture.error is not None
    ]
    if files:
        stored = {asset.id: asset.path for asset in assets.list_assets_of_job(db, job_id)}
        document["sources"] = [
            _describe_source(source)
            | ({} if source.asset_id is None else describe_path("stored", stored[source.asset_id]))
            for source in assets.list_sources(db, job_id)
        ]
    return document


def take_status(db: sqlite3.Connection, aim: Aim | None) -> dict[str, Any]:
    """Everything that is not done, the sums over the library, and which jobs wait for `ghostroll publish`."""
    number, size = assets.sum_assets(db)
    newest = job_rows.list_jobs(db, limit=1)
    unfinished = job_rows.list_needing_attention(db)
    return {
        "assets": number,
        "bytes": size,
        "last": describe_job(db, newest[0], aim) if newest else None,
        "unfinished": [describe_job(db, job, aim) for job in unfinished],
        "unpublished": [] if aim is None else galleries.list_unreleased_jobs(db, aim.place),
    }


def _describe_source(source: Source) -> dict[str, Any]:
    document = {**describe_path("path", source.path), "state": source.state, "size": source.size}
    return document if source.error is None else document | {"error": source.error}
