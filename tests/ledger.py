"""A real ledger in SQLite with a few rows in it, for tests of the queue and the engine."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from ghostroll.model import Found, JobId, Kind, SessionId, Source, SourceState, Stage, Volume
from ghostroll.state import assets, jobs, tasks
from ghostroll.state.database import Database

CREATED = "2026-11-22T14:30:15+01:00"


def volume(uuid: str | None = "1234-ABCD", size: int = 1 << 30) -> Volume:
    """A card's volume."""
    return Volume(uuid, "EOS_DIGITAL", size, "vfat")


def found(path: bytes, *, size: int = 100, mtime_ns: int = 0, kind: Kind = Kind.JPEG) -> Found:
    """A file on a card."""
    return Found(path, size, mtime_ns, kind)


@contextlib.contextmanager
def open_ledger(folder: Path) -> Iterator[Database]:
    """A fresh state in a folder, closed at the end."""
    database = Database(str(folder / "state.db"))
    try:
        yield database
    finally:
        database.close()


def add_job(database: Database, *, uuid: str | None = None) -> JobId:
    """A job in state scanning; without a UUID there can be many."""
    with database.write() as db:
        return jobs.add_job(db, volume(uuid), b"/card", wanted=None, created_at=CREATED)


def add_session(database: Database, job: JobId, name: str = "session") -> SessionId:
    """A session that the job fills."""
    with database.write() as db:
        session = jobs.add_session(db, name, created_at=CREATED)
        jobs.set_session(db, job, session, "EOS_DIGITAL")
    return session


def add_files(database: Database, job: JobId, number: int, *, size: int = 100) -> list[Source]:
    """A job's inventory of so many JPEGs, each wanted."""
    with database.write() as db:
        assets.add_sources(db, job, [found(b"DCIM/IMG_%06d.JPG" % n, size=size) for n in range(number)])
        sources = assets.list_sources(db, job, (SourceState.PENDING,))
        tasks.want_anew(db, Stage.COPY, job, ((source.id, 0, source.size) for source in sources))
    return sources


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of a folder with the hash of its bytes."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


def make_state(folder: Path, *, sessions: int = 1) -> Path:
    """A state that was closed cleanly, with a few sessions in it."""
    with open_ledger(folder) as database, database.write() as db:
        for number in range(sessions):
            jobs.add_session(db, f"session-{number:05}", created_at=CREATED)
    return folder / "state.db"
