"""Rows of jobs and sessions."""

import sqlite3
from collections.abc import Sequence

from ghostroll.model import AssetId, Job, JobId, Publication, Safety, Session, SessionId, Volume


def add_job(
    db: sqlite3.Connection, volume: Volume, root: bytes, *, wanted: str | None, created_at: str
) -> JobId:
    """A new job in state scanning."""
    row = db.execute(
        "INSERT INTO job (uuid, label, size, filesystem, root, wanted, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " RETURNING id",
        (volume.uuid, volume.label, volume.size, volume.filesystem, root, wanted, created_at),
    ).fetchone()
    return JobId(row["id"])


def get_job(db: sqlite3.Connection, job: JobId) -> Job | None:
    """The job of this number, or None."""
    row = db.execute("SELECT * FROM job WHERE id = ?", (job,)).fetchone()
    return None if row is None else _job(row)


def list_jobs(
    db: sqlite3.Connection,
    *,
    safety: Sequence[Safety] = tuple(Safety),
    volume: Volume | None = None,
    limit: int = -1,
) -> list[Job]:
    """Jobs in these states (of one volume, by UUID and size), newest first."""
    marks = ", ".join("?" * len(safety))
    same = "" if volume is None else " AND uuid = ? AND size = ?"
    arguments = [*safety, *(() if volume is None else (volume.uuid, volume.size)), limit]
    rows = db.execute(
        f"SELECT * FROM job WHERE safety IN ({marks}){same} ORDER BY id DESC LIMIT ?", arguments
    )
    return [_job(row) for row in rows]


def list_unfinished(db: sqlite3.Connection) -> list[Job]:
    """Jobs whose card or pictures are not done, oldest first."""
    rows = db.execute(
        "SELECT * FROM job WHERE safety IN ('scanning', 'copying')"
        " OR (session_id IS NOT NULL AND publication <> 'complete') ORDER BY id"
    )
    return [_job(row) for row in rows]


def list_needing_attention(db: sqlite3.Connection) -> list[Job]:
    """Jobs that a person may have to do something about, or that are under way, newest first.

    Originals are on their way long after a gallery is complete.
    """
    rows = db.execute(
        "SELECT * FROM job WHERE safety NOT IN ('secured', 'closed')"
        " OR (session_id IS NOT NULL AND publication <> 'complete')"
        " OR EXISTS (SELECT 1 FROM task WHERE task.job_id = job.id AND task.stage = 'upload'"
        " AND task.state IN ('ready', 'running', 'parked')) ORDER BY id DESC"
    )
    return [_job(row) for row in rows]


def set_safety(db: sqlite3.Connection, job: JobId, safety: Safety, *, at: str | None = None) -> bool:
    """Put down a job's safety; `at` is for SECURED alone. False where it was so already."""
    return (
        db.execute(
            "UPDATE job SET safety = ?, secured_at = ? WHERE id = ? AND safety <> ?",
            (safety, at, job, safety),
        ).rowcount
        == 1
    )


def set_publication(db: sqlite3.Connection, job: JobId, publication: Publication, *, at: str | None) -> bool:
    """Put down what people can see; False where it was so already. `at` is kept from the first time."""
    return (
        db.execute(
            "UPDATE job SET publication = ?, published_at = coalesce(published_at, ?) WHERE id = ? AND publication <> ?",
            (publication, at, job, publication),
        ).rowcount
        == 1
    )


def drop_job(db: sqlite3.Connection, job: JobId) -> None:
    """Remove a job that has no sources: it was the beginning of another one's continuation."""
    db.execute("DELETE FROM job WHERE id = ?", (job,))


def reopen_publication(db: sqlite3.Connection, job: JobId) -> None:
    """A job goes on, so its galleries, if there are any, are not complete any more."""
    db.execute("UPDATE job SET publication = 'live' WHERE id = ? AND publication = 'complete'", (job,))
    db.execute(
        "UPDATE gallery SET state = 'live' WHERE state = 'complete'"
        " AND session_id = (SELECT session_id FROM job WHERE id = ?)",
        (job,),
    )


def set_confirmed(db: sqlite3.Connection, job: JobId, at: str) -> None:
    """Every original of a job is confirmed where the configuration wants it."""
    db.execute("UPDATE job SET confirmed_at = ? WHERE id = ?", (at, job))


def set_root(db: sqlite3.Connection, job: JobId, root: bytes) -> None:
    """The volume was seen mounted at another place."""
    db.execute("UPDATE job SET root = ? WHERE id = ?", (root, job))


def set_session(db: sqlite3.Connection, job: JobId, session: SessionId, folder: str) -> None:
    """The job fills this folder of this session from now on."""
    db.execute("UPDATE job SET session_id = ?, folder = ? WHERE id = ?", (session, folder, job))


def get_wanted(db: sqlite3.Connection, job: JobId) -> str | None:
    """The session's name that a person asked for."""
    row = db.execute("SELECT wanted FROM job WHERE id = ?", (job,)).fetchone()
    return None if row is None else row["wanted"]


def add_session(db: sqlite3.Connection, name: str, *, created_at: str) -> SessionId:
    """Record a session whose folder has been made; that folder is its first gallery."""
    row = db.execute(
        "INSERT INTO session (name, created_at) VALUES (?, ?) RETURNING id", (name, created_at)
    ).fetchone()
    db.execute("INSERT INTO gallery (session_id, place) VALUES (?, 'folder')", (row["id"],))
    return SessionId(row["id"])


def get_session(db: sqlite3.Connection, session: SessionId) -> Session:
    """The session of this number; KeyError where there is none."""
    row = db.execute("SELECT * FROM session WHERE id = ?", (session,)).fetchone()
    if row is None:
        raise KeyError(session)
    return Session(SessionId(row["id"]), row["name"], row["created_at"])


def find_session(db: sqlite3.Connection, name: str) -> Session | None:
    """The session of this name, or None."""
    row = db.execute("SELECT id FROM session WHERE name = ?", (name,)).fetchone()
    return None if row is None else get_session(db, SessionId(row["id"]))


def list_sessions(db: sqlite3.Connection) -> list[Session]:
    """All sessions, oldest first."""
    return [
        Session(row["id"], row["name"], row["created_at"])
        for row in db.execute("SELECT * FROM session ORDER BY id")
    ]


def mark_records_due(db: sqlite3.Connection, asset: AssetId) -> None:
    """An asset gets another home: the records on disk of all sessions that name it are to be written anew."""
    db.execute(
        "UPDATE session SET records_due = records_due + 1 WHERE id = (SELECT session_id FROM asset WHERE id = ?) OR id IN"
        " (SELECT session_id FROM job JOIN source ON source.job_id = job.id WHERE source.asset_id = ?)",
        (asset, asset),
    )


def list_records_due(db: sqlite3.Connection) -> list[SessionId]:
    """The sessions whose records on disk are to be written anew."""
    return [SessionId(row[0]) for row in db.execute("SELECT id FROM session WHERE records_due > 0")]


def count_records_due(db: sqlite3.Connection, session: SessionId) -> int:
    """How often a session's records became outdated since they were written."""
    return int(db.execute("SELECT records_due FROM session WHERE id = ?", (session,)).fetchone()[0])


def settle_records(db: sqlite3.Connection, session: SessionId, due: int) -> None:
    """A session's records were written, unless they became outdated again meanwhile."""
    db.execute("UPDATE session SET records_due = 0 WHERE id = ? AND records_due = ?", (session, due))


def list_jobs_of_session(db: sqlite3.Connection, session: SessionId) -> list[Job]:
    """The jobs that fill a session, oldest first."""
    return [_job(row) for row in db.execute("SELECT * FROM job WHERE session_id = ? ORDER BY id", (session,))]


def get_library_id(db: sqlite3.Connection) -> str | None:
    """The identity of the library that this state describes."""
    row = db.execute("SELECT id FROM library").fetchone()
    return None if row is None else row["id"]


def set_library_id(db: sqlite3.Connection, library_id: str) -> None:
    """Tie a new state to a library."""
    db.execute("INSERT INTO library (one, id) VALUES (1, ?)", (library_id,))


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=JobId(row["id"]),
        volume=Volume(row["uuid"], row["label"], row["size"], row["filesystem"]),
        root=row["root"],
        session_id=None if row["session_id"] is None else SessionId(row["session_id"]),
        folder=row["folder"],
        safety=Safety(row["safety"]),
        publication=Publication(row["publication"]),
        created_at=row["created_at"],
        secured_at=row["secured_at"],
        published_at=row["published_at"],
        confirmed_at=row["confirmed_at"],
    )
