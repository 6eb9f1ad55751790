"""Rows of a library that has seen many cards, put into a database; no file of theirs is anywhere."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

_FILES = 1000  # of a card
_SIZE = 9_000_000  # bytes of a photo
_CACHE_KIB = 1 << 20
_NOW = "2026-01-01T12:00:00+00:00"
_SECOND = 1_767_268_800  # the same moment
_JOB = (
    "INSERT INTO job (id, session_id, folder, uuid, label, size, filesystem, root, safety, publication,"
    " created_at, secured_at, published_at)"
    " VALUES (?, ?, 'CARD', ?, 'CARD', 64000000000, 'exfat', ?, 'secured', 'complete', ?, ?, ?)"
)
_ASSET = (
    "INSERT INTO asset (id, sha256, size, head, path, session_id, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SOURCE = (
    "INSERT INTO source (id, job_id, path, size, mtime_ns, kind, state, asset_id)"
    " VALUES (?, ?, ?, ?, ?, 'jpeg', 'stored', ?)"
)
_PICTURE = (
    "INSERT INTO picture (source_id, session_id, share, width, height, share_bytes, thumb_bytes)"
    " VALUES (?, ?, ?, 2048, 1365, 600000, 40000)"
)


def fill(state: Path, assets: int) -> None:
    """Add cards that were secured and shown long ago until there are so many assets."""
    with closing(sqlite3.connect(state)) as db, db:
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        have, first_source = (_find_last(db, table) for table in ("asset", "source"))
        first_job, first_session = (_find_last(db, table) for table in ("job", "session"))
        for number, first in enumerate(range(have, assets, _FILES), 1):
            files = range(first + 1, min(first + _FILES, assets) + 1)
            job, session = first_job + number, first_session + number
            _add_job(db, job, session)
            shift = first_source - have
            db.executemany(_ASSET, _tell_assets(files, session))
            db.executemany(
                _SOURCE, ((n + shift, job, _name(n), _SIZE + n, _SECOND * 10**9 + n, n) for n in files)
            )
            db.executemany(_PICTURE, ((n + shift, session, f"IMG_{n:07}-aaaa.jpg") for n in files))


def _add_job(db: sqlite3.Connection, job: int, session: int) -> None:
    db.execute(
        "INSERT INTO session (id, name, created_at) VALUES (?, ?, ?)", (session, _session(session), _NOW)
    )
    db.execute(
        "INSERT INTO gallery (id, session_id, place, state) VALUES (?, ?, 'folder', 'complete')",
        (session, session),
    )
    root = b"/run/media/CARD"
    db.execute(_JOB, (job, session, f"{job:08X}", root, _NOW, _NOW, _NOW))


def _tell_assets(numbers: range, session: int) -> Iterator[tuple[Any, ...]]:
    for number in numbers:
        sha256 = hashlib.sha256(b"%d" % number).digest()
        path = f"{_session(session)}/originals/CARD/".encode() + _name(number)
        yield number, sha256, _SIZE + number, sha256, path, session, _SECOND


def _session(number: int) -> str:
    return f"2026-01-01_120000-CARD-{number:06}"


def _name(number: int) -> bytes:
    return b"DCIM/%dCANON/IMG_%07d.JPG" % (100 + number % _FILES // 100, number)


def _find_last(db: sqlite3.Connection, table: str) -> int:
    found: int = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]  # noqa: S608  # names from above
    return found
