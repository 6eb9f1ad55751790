"""Recover: after a start, a crash or a power cut, bring the ledger and the disk together.

It re-enqueues and never executes: whatever was under way is wanted again, charged to nobody.
"""

import os

from ghostroll import jobs
from ghostroll.faults import crash_point
from ghostroll.library.durable import has_size
from ghostroll.library.identity import clear_incoming, remove_empty_session_folders
from ghostroll.model import Cause, Safety, Stage
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.galleries import FOLDER
from ghostroll.station.galleries import list_shown, move_gallery, requeue_uploads, want_shown_pictures
from ghostroll.station.outage import BUCKET_CAUSES
from ghostroll.station.render import SHARE, THUMBS
from ghostroll.station.review import write_due_records, write_records
from ghostroll.station.wiring import Wiring


def recover(wiring: Wiring) -> None:
    """Put everything in order before any worker starts. Safe to be killed in, and to be run again."""
    with wiring.database.write() as db:
        tasks.requeue_running(db)
    interrupt_jobs(wiring)
    crash_point("recover.requeued")
    with wiring.database.read() as db:
        sessions = frozenset(session.name.encode() for session in job_rows.list_sessions(db))
    with wiring.library.enter() as root:
        clear_incoming(root)
        remove_empty_session_folders(root, sessions)
    crash_point("recover.cleared")
    _reopen_unfinished(wiring)
    _rerender_lost(wiring)
    with wiring.database.read() as db:
        unfinished = [job for job in job_rows.list_unfinished(db) if job.session_id is not None]
    wiring.growing.update(job.id for job in unfinished)  # their galleries are told of once they are complete
    for session in {job.session_id for job in unfinished}:
        write_records(wiring, session)
    write_due_records(wiring)
    with wiring.database.write() as db:
        requeue_uploads(wiring, db)
        for job in unfinished:
            if job.session_id is not None:
                move_gallery(wiring, db, job.id, job.session_id)
                want_shown_pictures(wiring, db, job.session_id)
                for gallery in list_shown(wiring, db, job.session_id):
                    priority = jobs.order_pages(in_folder=gallery.place == FOLDER)
                    tasks.want(db, Stage.PUBLISH, job.id, gallery.id, priority=priority)
        # Waiting for room or for the library is over: it is there. Copies wait for their card instead.
        tasks.unpark(db, (Cause.LIBRARY_GONE, Cause.NO_SPACE, Cause.NO_WORKER, *BUCKET_CAUSES))
        for job in job_rows.list_jobs(db, safety=(Safety.INTERRUPTED, Safety.ATTENTION)):
            tasks.park(db, job.id, (Stage.COPY,), Cause.CARD_GONE)


def interrupt_jobs(wiring: Wiring) -> None:
    """No card is in (any more): what was being scanned is forgotten, what was being copied waits for its card."""
    with wiring.database.write() as db:
        for job in job_rows.list_jobs(db, safety=(Safety.SCANNING,)):
            tasks.forget_job(db, job.id)
            job_rows.drop_job(db, job.id)
        for job in job_rows.list_jobs(db, safety=(Safety.COPYING,)):
            tasks.park(db, job.id, (Stage.COPY,), Cause.CARD_GONE)
            if assets.list_open_states(db, job.id):
                job_rows.set_safety(db, job.id, Safety.INTERRUPTED)


def _reopen_unfinished(wiring: Wiring) -> None:
    """A gallery that was still growing when another run had no bucket keeps its jobs from being complete."""
    if wiring.cloud is None:
        return
    with wiring.database.write() as db:
        for session in galleries.list_unfinished(db, wiring.cloud.place):
            for job in job_rows.list_jobs_of_session(db, session):
                job_rows.reopen_publication(db, job.id)


def _rerender_lost(wiring: Wiring) -> None:
    """A record of a picture is believed only if both its files are there with their sizes."""
    with wiring.database.read() as db:
        unfinished = [job for job in job_rows.list_unfinished(db) if job.session_id is not None]
    for session_id in {job.session_id for job in unfinished if job.session_id is not None}:
        with wiring.database.read() as db:
            name = job_rows.get_session(db, session_id).name.encode()
            pictures = [
                picture for picture in picture_rows.list_pictures(db, session_id) if picture.share is not None
            ]
        with wiring.library.enter() as root:
            lost = [
                picture
                for picture in pictures
                for file in [os.fsencode(picture.share or "")]
                if not has_size(root, os.path.join(name, SHARE, file), picture.share_bytes)
                or not has_size(root, os.path.join(name, THUMBS, file), picture.thumb_bytes)
            ]
        if not lost:
            continue
        with wiring.database.write() as db:
            for picture in lost:
                picture_rows.drop_picture(db, picture.source_id)
                objects.drop_pictures(db, picture.source_id)
                source = assets.get_source(db, picture.source_id)
                tasks.want_again(db, Stage.RENDER, source.job_id, source.id, priority=source.job_id)
