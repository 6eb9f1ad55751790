"""Review: after anything settled, look at the facts of a job and say what is true now.

The one place where *secured* is said. Runs again after a crash, so every step may be half done.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ghostroll import jobs
from ghostroll.engine.settle import Settlement
from ghostroll.errors import SourceUnreadable, TransientError
from ghostroll.faults import crash_point
from ghostroll.jobs import SafetyFacts
from ghostroll.library.durable import has_size, is_folder, library_errors, write_whole
from ghostroll.library.identity import INCOMING
from ghostroll.library.manifest import MANIFEST, SHA256SUMS, Entry, build_manifest, build_sha256sums
from ghostroll.model import (
    Cause,
    Job,
    JobId,
    ObjectId,
    Safety,
    SessionId,
    SourceState,
    Stage,
    TaskState,
)
from ghostroll.observe.wording import say_count
from ghostroll.state import assets, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.objects import ObjectState
from ghostroll.state.pictures import Picture
from ghostroll.station.galleries import finish_galleries
from ghostroll.station.telling import tell_formattable, tell_secured, tell_unconfirmed, tell_unsafe
from ghostroll.station.wiring import Wiring

_PAGE = 500  # rows that are read at once: the rows of a whole card would be the largest thing in memory
_LATELY = 20  # jobs: of older ones nothing was under way when the process ended


def review_job(wiring: Wiring, job_id: JobId) -> None:
    """Bring a job's safety up to date with its facts; speak of what changed.

    When this says *secured*, every source has an asset that was there a moment ago, and the record
    survives a power cut.
    """
    with wiring.review_lock:
        _review(wiring, job_id)


def list_sharing(wiring: Wiring, settlement: Settlement) -> set[JobId]:
    """Other jobs on whose cards an original was found that is in the bucket now."""
    task = settlement.task
    if task.stage is not Stage.UPLOAD or settlement.state is not TaskState.DONE:
        return set()
    with wiring.database.read() as db:
        one = objects.find_object(db, ObjectId(task.subject))
        return (
            set()
            if one is None or one.asset_id is None
            else set(objects.list_jobs_of_asset(db, one.asset_id))
        )


def list_unsaid(wiring: Wiring) -> list[JobId]:
    """After a start: jobs of which everything was recorded when the process ended, and nothing said."""
    cloud = wiring.cloud
    with wiring.database.read() as db:
        unsaid = [job.id for job in job_rows.list_jobs(db, safety=(Safety.COPYING,))]
        if cloud is not None and cloud.original_kinds:
            unsaid += [
                job.id
                for job in job_rows.list_jobs(db, safety=(Safety.SECURED,), limit=_LATELY)
                if job.confirmed_at is None
                and not objects.list_unconfirmed(db, cloud.place, job.id, cloud.original_kinds)
            ]
    return unsaid


def _review(wiring: Wiring, job_id: JobId) -> None:
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
        if job is None:
            return
        safety = jobs.decide_safety(_collect(db, job))
    if safety is not job.safety:
        match safety:
            case Safety.SECURED:
                _secure(wiring, job)
            case Safety.ATTENTION | Safety.INTERRUPTED:
                _say_unsafe(wiring, job, safety)
            case _:
                with wiring.database.write() as db:
                    job_rows.set_safety(db, job_id, safety)
    finish_galleries(wiring, job_id)
    _review_originals(wiring, job_id)


def _collect(db: sqlite3.Connection, job: Job) -> SafetyFacts:
    open_sources = assets.list_open_states(db, job.id)
    parked = tasks.list_parked(db, job.id)
    return SafetyFacts(
        safety=job.safety,
        scanned=assets.has_sources(db, job.id),
        pending=SourceState.PENDING in open_sources,
        failed=SourceState.FAILED in open_sources,
        copying=tasks.has_open(db, job.id, (Stage.SCAN, Stage.COPY)),
        card_gone=Cause.CARD_GONE in parked,
    )


def _secure(wiring: Wiring, job: Job) -> None:
    """Look, write the checksums, promise, speak: in this order."""
    with wiring.database.read() as db:
        wanted = assets.list_assets_of_job(db, job.id)
    with wiring.library.enter() as root, library_errors("looking at the session's files"):
        lost = [one.id for one in wanted if not one.is_believed or not has_size(root, one.path, one.size)]
    if lost:
        with wiring.database.write() as db:
            reopened = assets.reopen_assets(db, lost, job.id)
            tasks.want_anew(db, Stage.COPY, job.id, ((source.id, 0, source.size) for source in reopened))
            if job.id not in wiring.slots:  # nobody can copy them before the card is back
                tasks.park(db, job.id, (Stage.COPY,), Cause.CARD_GONE)
                job_rows.set_safety(db, job.id, Safety.INTERRUPTED)
        wiring.log.warning(
            f"{job.volume.label}: {say_count(len(lost), 'file')} vanished from the library or went bad there:"
            " copied again",
            job=job.id,
            card=job.volume.label,
            files=len(lost),
        )
        return
    write_records(wiring, job.session_id)
    write_due_records(wiring)
    crash_point("secured.promising")
    with wiring.database.promise() as db:
        job_rows.set_safety(db, job.id, Safety.SECURED, at=wiring.now_text())
    crash_point("secured.promised")
    write_records(wiring, job.session_id)  # once more, now that it is true
    tell_secured(wiring, job)


def _review_originals(wiring: Wiring, job_id: JobId) -> None:
    """See whether a card may be formatted: secured, and the bucket confirmed every original that belongs there."""
    cloud = wiring.cloud
    if cloud is None or not cloud.original_kinds:
        return
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
        if job is None or job.safety is not Safety.SECURED or job.confirmed_at is not None:
            return
        if objects.is_sending_originals(db, cloud.place, job_id):
            return
        missing = objects.list_unconfirmed(db, cloud.place, job_id, cloud.original_kinds)
    if not missing:
        crash_point("confirmed.promising")
        with wiring.database.promise() as db:
            job_rows.set_confirmed(db, job_id, wiring.now_text())
        crash_point("confirmed.promised")
        tell_formattable(wiring, job)
    elif all(one.state is ObjectState.PRESENT for one in missing) and job_id not in wiring.unconfirmed:
        wiring.unconfirmed.add(job_id)
        tell_unconfirmed(wiring, job, missing)


def _say_unsafe(wiring: Wiring, job: Job, safety: Safety) -> None:
    with wiring.database.write() as db:
        job_rows.set_safety(db, job.id, safety)
    write_records(wiring, job.session_id)
    write_due_records(wiring)
    tell_unsafe(wiring, job, safety)


def write_records(wiring: Wiring, session_id: SessionId | None) -> None:
    """Write a session's `SHA256SUMS` and `manifest.json` as the ledger has them now; durable on return."""
    if session_id is None:
        return
    with wiring.records_lock:
        with wiring.database.read() as db:
            folder = job_rows.get_session(db, session_id).name.encode()
            due = job_rows.count_records_due(db, session_id)
        with wiring.library.enter() as root, library_errors("writing the manifest"):
            if is_folder(root, folder):  # else it was deleted or moved by hand, and is not to be made again
                for name, build in ((SHA256SUMS, _build_sums), (MANIFEST, _build_manifest)):
                    with wiring.database.snapshot() as db:
                        pieces = build(db, session_id)
                        temp = INCOMING + b"/%s-%d" % (name, session_id)
                        write_whole(root, folder + b"/" + name, pieces, temp)
                wiring.folders.sync(root, [folder])
        if due:
            with wiring.database.write() as db:
                job_rows.settle_records(db, session_id, due)


def write_due_records(wiring: Wiring) -> None:
    """Write the records of sessions that name what has moved: a content that was missing there has a new home.

    Where those of one can't be written, the log says so and they stay due: no promise of another session rests on them.
    """
    with wiring.database.read() as db:
        due = [job_rows.get_session(db, session) for session in job_rows.list_records_due(db)]
    for session in due:
        try:
            write_records(wiring, session.id)
        except (TransientError, SourceUnreadable) as error:
            wiring.log.warning(
                f"{session.name}: its {SHA256SUMS.decode()} and {MANIFEST.decode()} still name what has moved: {error}",
                session=session.name,
            )


def _build_sums(db: sqlite3.Connection, session_id: SessionId) -> Iterator[bytes]:
    session = job_rows.get_session(db, session_id)
    return build_sha256sums(assets.list_assets_below(db, session.name.encode()), session.name)


def _build_manifest(db: sqlite3.Connection, session_id: SessionId) -> Iterator[bytes]:
    of_session = job_rows.list_jobs_of_session(db, session_id)
    jobs_of_it = ((job, _list_entries(db, job.id)) for job in of_session)
    return build_manifest(job_rows.get_session(db, session_id), jobs_of_it)


def _list_entries(db: sqlite3.Connection, job: JobId) -> Iterator[Entry]:
    """What a manifest says of a job's sources, never more than a page of rows in memory."""
    for run in assets.cut_sources(db, job, _PAGE):
        sources = assets.list_run(db, job, run)
        stored = {asset.id: asset for asset in assets.list_assets_of_run(db, job, run)}
        found = picture_rows.list_pictures_of_run(db, job, run)
        pictures = {picture.source_id: _describe(picture) for picture in found}
        for source in sources:
            asset = None if source.asset_id is None else stored[source.asset_id]
            yield Entry(source, asset, pictures.get(source.id))


def _describe(picture: Picture) -> dict[str, Any]:
    """What a manifest keeps of a picture, so that it need not be made again after the state was lost."""
    if picture.error is not None:
        return {"error": picture.error}
    described = {
        name: getattr(picture, name) for name in ("share", "width", "height", "share_bytes", "thumb_bytes")
    }
    return described | asdict(picture.info)
