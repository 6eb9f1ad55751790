"""A job's session: made when the first new content is about to be stored, or found by its name."""

import contextlib
import os
from datetime import datetime, timedelta

from ghostroll.faults import crash_point
from ghostroll.library.durable import library_errors, sync_folder
from ghostroll.library.layout import clean_label, name_session
from ghostroll.model import Job, JobId, Session
from ghostroll.state import jobs as job_rows
from ghostroll.station.galleries import add_bucket_gallery
from ghostroll.station.review import write_records
from ghostroll.station.wiring import Wiring


def ensure_session(wiring: Wiring, job_id: JobId) -> tuple[Session, str]:
    """The session that a job fills, and the volume's folder in it.

    A new one is on the medium and its record survives a power cut before anything is stored in it.
    """
    with wiring.session_lock:
        with wiring.database.read() as db:
            job = job_rows.get_job(db, job_id)
            if job is None:
                raise KeyError(job_id)
            if job.session_id is not None and job.folder is not None:
                return job_rows.get_session(db, job.session_id), job.folder
            wanted = job_rows.get_wanted(db, job_id)
            joined = job_rows.find_session(db, wanted) if wanted else _find_recent(wiring)
            taken = [] if joined is None else job_rows.list_jobs_of_session(db, joined.id)
        name = joined.name if joined else make_session_folder(wiring, job, wanted)
        folder = _free_folder(clean_label(job.volume.label), {other.folder for other in taken})
        with wiring.database.promise() as db:
            session = joined.id if joined else job_rows.add_session(db, name, created_at=wiring.now_text())
            job_rows.set_session(db, job_id, session, folder)
            add_bucket_gallery(wiring, db, job_id, session)
            made = job_rows.get_session(db, session)
        write_records(wiring, session)  # from its first moment a session can be adopted
        return made, folder


def make_session_folder(wiring: Wiring, job: Job, wanted: str | None) -> str:
    """Make a session's folder under a name that nobody had, durable on return."""
    with wiring.library.enter() as root, library_errors("making the session's folder"):
        while True:
            name = wanted or name_session(
                when=wiring.now_text(), label=job.volume.label, randomness=wiring.clock.random.getrandbits(20)
            )
            is_new = True
            try:
                crash_point("session.making")
                os.mkdir(name, 0o775, dir_fd=root)
            except FileExistsError:
                if not wanted:
                    continue
                is_new = False
            try:
                if is_new:
                    wiring.folders.share(root, name.encode())
                crash_point("session.made")
                sync_folder(root, b"")
            except OSError:
                if is_new:
                    with contextlib.suppress(OSError):  # the next try takes another name
                        os.rmdir(name, dir_fd=root)
                raise
            crash_point("session.synced")
            return name


def _free_folder(label: str, taken: set[str | None]) -> str:
    number = 1
    folder = label
    while folder in taken:
        number += 1
        folder = f"{label}-{number}"
    return folder


def _find_recent(wiring: Wiring) -> Session | None:
    """The newest session, where library.join_hours lets a new card join it."""
    hours = wiring.settings.library.join_hours
    if not hours:
        return None
    with wiring.database.read() as db:
        sessions = job_rows.list_sessions(db)
    if not sessions:
        return None
    age = wiring.clock.wall() - datetime.fromisoformat(sessions[-1].created_at)
    return sessions[-1] if timedelta(0) <= age <= timedelta(hours=hours) else None
