"""What a person does to jobs and the library afterwards: close, retry, publish, link, verify."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote_from_bytes

from ghostroll import jobs
from ghostroll.errors import ClockUnset, TargetRefused, TargetUnreachable, UsageError
from ghostroll.library.durable import ContentReader, has_size, library_errors, read_content
from ghostroll.library.healing import set_aside
from ghostroll.library.layout import show_path
from ghostroll.library.leftovers import drop_leftover, find_leftovers
from ghostroll.library.manifest import describe_path
from ghostroll.library.scrub import Checked, Finding, check_assets, find_foreign
from ghostroll.model import Asset, Cause, Job, JobId, Safety, Source, Stage
from ghostroll.state import assets, galleries, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.galleries import PlacedGallery, Signed
from ghostroll.station.cloud import Cloud
from ghostroll.station.copy import find_place, want_renders
from ghostroll.station.galleries import release_galleries, want_confirmation
from ghostroll.station.outage import BUCKET_CAUSES
from ghostroll.station.probing import resume_bucket
from ghostroll.station.review import review_job, write_due_records, write_records
from ghostroll.station.wiring import Wiring


def require_job(wiring: Wiring, job_id: JobId) -> Job:
    """The job of this number. Raises UsageError where there is none."""
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
    if job is None:
        raise UsageError(f"there is no job {job_id}: 'ghostroll jobs' lists them")
    return job


def close_job(wiring: Wiring, job_id: JobId) -> int:
    """Give a job's missing files up; they are named in the manifest, and it is never secured.

    Returns how many files are missing. Raises UsageError where the job is secured or closed already, or its
    card is just being read.
    """
    require_job(wiring, job_id)
    review_job(wiring, job_id)
    job = require_job(wiring, job_id)
    if job.safety in (Safety.SECURED, Safety.CLOSED):
        raise UsageError(f"job {job_id} is {job.safety} already: there is nothing to close")
    if job.safety in (Safety.SCANNING, Safety.COPYING):
        raise UsageError(say_being_read(job_id))
    with wiring.database.promise() as db:
        tasks.drop_open(db, job_id, (Stage.SCAN, Stage.COPY))
        job_rows.set_safety(db, job_id, Safety.CLOSED)
        given_up = assets.list_open_sources(db, job_id)
        for source in given_up:
            want_renders(db, source)  # a RAW whose JPEG never came is shown by itself
    _clear_leftovers(wiring, given_up)
    write_records(wiring, job.session_id)
    write_due_records(wiring)
    review_job(wiring, job_id)
    return len(given_up)


def _clear_leftovers(wiring: Wiring, given_up: Sequence[Source]) -> None:
    """What was stored for a job and never recorded: gone where the library has it elsewhere, else moved aside."""
    reader = ContentReader()
    try:
        with wiring.library.enter() as root, library_errors("clearing what was not recorded"):
            for source in given_up:
                with wiring.database.read() as db:
                    place = find_place(db, source)
                if place is None:
                    continue
                for path in find_leftovers(root, place, lambda one: _is_recorded(wiring, one)):
                    content = read_content(root, path, reader, check=lambda _size: None)
                    with wiring.database.read() as db:
                        asset = assets.find_asset(db, content.sha256)
                    if asset is not None and _is_good(root, asset, reader):
                        drop_leftover(root, path, wiring.folders)
                    else:
                        set_aside(root, wiring.folders, path, wiring.now_seconds())
    finally:
        reader.close()


def _is_good(root: int, asset: Asset, reader: ContentReader) -> bool:
    """Whether an asset's file is there and has its bytes: read, for another copy goes because of it."""
    if not has_size(root, asset.path, asset.size):
        return False
    return read_content(root, asset.path, reader, check=lambda _size: None).sha256 == asset.sha256


def say_being_read(job_id: JobId) -> str:
    """Why something has to wait."""
    return f"the card of job {job_id} is being read: wait until that is done, or pull it"


def revive_job(wiring: Wiring, job_id: JobId) -> tuple[Job, int]:
    """Whatever of a job was given up or waits is tried again; returns it, and how many tasks these are.

    Files that can't be read wait on, for the scan of their card. Raises UsageError for a job that was closed.
    """
    job = require_job(wiring, job_id)
    if job.safety is Safety.CLOSED:
        raise UsageError(f"job {job_id} was closed: ingest the card again")
    with wiring.database.write() as db:
        revived = tasks.revive(db, job_id)
        revived += tasks.unpark(
            db, [cause for cause in Cause if cause not in (Cause.CARD_GONE, Cause.UNREADABLE)], job_id
        )
        if job.safety in (Safety.INTERRUPTED, Safety.ATTENTION):
            tasks.park(db, job_id, (Stage.COPY,), Cause.CARD_GONE)
        revived += want_confirmation(wiring, db, job_id)
    return job, revived


def reread_files(wiring: Wiring, job_id: JobId) -> None:
    """Files of a job that could not be read are tried again by whoever reads its card at this moment."""
    with wiring.database.write() as db:
        tasks.unpark(db, (Cause.UNREADABLE,), job_id)
        assets.reopen_failed(db, job_id)


def publish_job(wiring: Wiring, job_id: JobId) -> None:
    """A job's galleries are to be written now, whatever they waited for: also one that was not to go up by itself.

    Raises UsageError where it has none.
    """
    job = require_job(wiring, job_id)
    with wiring.database.write() as db:
        if job.session_id is None:
            raise UsageError(_say_no_gallery(db, job))
        for other in job_rows.list_jobs_of_session(db, job.session_id):
            tasks.unpark(db, (Cause.LIBRARY_GONE, *BUCKET_CAUSES), other.id)
        resume_bucket(wiring, db)
        release_galleries(wiring, db, job_id, job.session_id)


def want_link(wiring: Wiring, job_id: JobId) -> bool:
    """A new link to a job's gallery is to be made; False where its gallery is a folder, whose link never changes.

    Raises UsageError where there is no gallery, or it waits for `ghostroll publish`.
    """
    job = require_job(wiring, job_id)
    cloud = wiring.cloud
    with wiring.database.write() as db:
        if job.session_id is None:
            raise UsageError(_say_no_gallery(db, job))
        gallery = None if cloud is None else galleries.find_gallery(db, job.session_id, cloud.place)
        if cloud is None:
            return False
        if gallery is None or not gallery.released:
            raise UsageError(f"job {job_id} is not published yet: 'ghostroll publish {job_id}' does it")
        galleries.ask_for_link(db, gallery.id)
        resume_bucket(wiring, db)
        tasks.want(db, Stage.PUBLISH, job_id, gallery.id, priority=jobs.order_pages(in_folder=False))
        tasks.hurry(db, Stage.PUBLISH, gallery.id)
    return True


def is_link_settled(wiring: Wiring, job_id: JobId) -> bool:
    """Whether the link that was asked for is there, or waits for something."""
    cloud = wiring.cloud
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
        if job is None or job.session_id is None or cloud is None:
            return True
        gallery = galleries.find_gallery(db, job.session_id, cloud.place)
        if gallery is None or not gallery.relink:
            return True
        return tasks.is_parked(db, Stage.PUBLISH, gallery.id)


def check_gallery(wiring: Wiring, job_id: JobId) -> None:
    """Raise TargetUnreachable, TargetRefused or ClockUnset where a job's gallery waits for the place it belongs in."""
    job = require_job(wiring, job_id)
    if job.session_id is None:
        return
    with wiring.database.read() as db:
        waiting = [
            waits
            for other in job_rows.list_jobs_of_session(db, job.session_id)
            for waits in tasks.list_parked_stages(db, other.id)
            if waits["stage"] == Stage.PUBLISH
        ]
    if waiting:
        cause = Cause(str(waiting[0]["cause"]))
        sentence = f"the gallery of job {job_id} can't be written: {waiting[0]['error'] or cause}"
        match cause:
            case Cause.NETWORK_DOWN:
                raise TargetUnreachable(sentence)
            case Cause.CLOCK_UNSET:
                raise ClockUnset(sentence)
            case _:
                raise TargetRefused(sentence)


def describe_link(
    db: sqlite3.Connection, cloud: Cloud | None, library: bytes, job_id: JobId
) -> dict[str, Any]:
    """Where a job's gallery is, with the link to it where it is in a bucket, for `--json`.

    Raises UsageError where there is none yet, or none any more.
    """
    job = job_rows.get_job(db, job_id)
    if cloud is None or job is None or job.session_id is None:
        return describe_gallery(db, library, job_id)
    gallery = galleries.find_gallery(db, job.session_id, cloud.place)
    if gallery is None or not gallery.released:
        raise UsageError(f"job {job_id} is not published yet: 'ghostroll publish {job_id}' does it")
    if gallery.link is None:
        raise UsageError(
            f"job {job_id} has no link yet: try again in a moment, or see 'ghostroll show {job_id}'"
        )
    session = job_rows.get_session(db, job.session_id).name
    folder = os.path.join(library, session.encode())
    return {
        "job": job_id,
        "session": session,
        "publication": job.publication,
        **describe_path("index", os.path.join(folder, b"index.html")),
        **describe_path("session_dir", folder),
        **link_fields(cloud, gallery, gallery.link),
    }


def link_fields(cloud: Cloud, gallery: PlacedGallery, signed: Signed) -> dict[str, Any]:
    """The link to a gallery in a bucket, and until when it works."""
    link = cloud.tell_link(gallery, signed)
    local = None if link.expires is None else link.expires.astimezone()
    return {
        "target": "s3",
        "link": link.address,
        "expires": None if local is None else local.isoformat(timespec="seconds"),
        "expires_assumed": link.is_assumed,
        "public": cloud.is_public,
    }


def describe_gallery(db: sqlite3.Connection, library: bytes, job_id: JobId) -> dict[str, Any]:
    """Where a job's folder gallery is, for `--json`. Raises UsageError where there is none yet, or none any more."""
    job = job_rows.get_job(db, job_id)
    if job is None:
        raise UsageError(f"there is no job {job_id}: 'ghostroll jobs' lists them")
    if job.session_id is None:
        raise UsageError(_say_no_gallery(db, job))
    session = job_rows.get_session(db, job.session_id).name
    folder = os.path.join(library, session.encode())
    index = os.path.join(folder, b"index.html")
    if not os.path.isfile(index):
        if not os.path.isdir(folder):
            raise UsageError(
                f"the folder {show_path(folder)} is not there: mount the library's disk, if it was not deleted"
            )
        raise UsageError(f"job {job_id} has no gallery yet: 'ghostroll publish {job_id}' writes it")
    return {
        "job": job_id,
        "session": session,
        "publication": job.publication,
        **describe_path("index", index),
        **describe_path("session_dir", folder),
        "target": "folder",
        "link": "file://" + quote_from_bytes(index),
        "expires": None,
        "expires_assumed": False,
        "public": False,
    }


def _say_no_gallery(db: sqlite3.Connection, job: Job) -> str:
    if job.safety in (Safety.SCANNING, Safety.COPYING):
        return f"job {job.id} has no gallery yet: its card is being read, try again in a moment"
    known = {asset.session_id for asset in assets.list_assets_of_job(db, job.id)}
    others = [other for session in known for other in job_rows.list_jobs_of_session(db, session)]
    if not others:
        return f"job {job.id} has no gallery: nothing of its card is in the library"
    newest = max(other.id for other in others)
    return f"job {job.id} has no gallery of its own, for its card brought nothing new: see 'ghostroll link {newest}'"


def verify_library(
    wiring: Wiring,
    job_id: JobId | None,
    *,
    progress: Callable[[int, int], None],
    check: Callable[[int], None],
) -> Iterator[Checked]:
    """Read the library (or what one job needs of it) again; yields every file looked at, with what is wrong.

    What matched is recorded as verified now. What is damaged is recorded as not believed any more, so
    that the card's next visit heals it. `progress(bytes done, bytes in all)` is told after each file.
    """
    with wiring.database.read() as db:
        wanted = list(assets.list_assets(db)) if job_id is None else assets.list_assets_of_job(db, job_id)
        sessions = [session.name for session in job_rows.list_sessions(db)]
    total = sum(asset.size for asset in wanted)
    done = 0
    with wiring.library.enter() as root:
        for checked in check_assets(root, wanted, check=check):
            done += checked.size
            _remember(wiring, checked.asset, checked.finding)
            progress(done, total)
            yield checked
        if job_id is None:
            for session in sessions:
                yield from find_foreign(root, session, lambda path: _is_recorded(wiring, path))
            yield from _find_unknown_sessions(root, frozenset(sessions))


def _remember(wiring: Wiring, asset: Asset | None, finding: Finding | None) -> None:
    if asset is not None:
        with wiring.database.write() as db:
            assets.set_verified(db, asset.id, wiring.now_seconds() if finding is None else 0)


def _is_recorded(wiring: Wiring, path: bytes) -> bool:
    with wiring.database.read() as db:
        return assets.find_asset_at(db, path) is not None


def _find_unknown_sessions(root: int, recorded: frozenset[str]) -> Iterator[Checked]:
    """Folders in the library that no record knows: `ghostroll adopt` takes sessions in."""
    for name in sorted(os.listdir(os.fsencode(f"/proc/self/fd/{root}"))):
        if name in (b".ghostroll", b"lost+found") or os.fsdecode(name) in recorded:
            continue
        yield Checked(name, 0, Finding.FOREIGN, None)
