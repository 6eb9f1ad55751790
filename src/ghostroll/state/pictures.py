"""Rows of pictures: which renditions a source has, or why it has none."""

import sqlite3
from dataclasses import dataclass

from ghostroll.model import JobId, Kind, PhotoInfo, SessionId, SourceId


@dataclass(frozen=True, slots=True)
class PictureTally:
    """How far a job's pictures are. `wanted` counts those asked for so far; `to_upload` is objects for a bucket."""

    wanted: int
    shown: int
    failed: int
    to_upload: int = 0
    uploaded: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """What became of rendering one source: file names and sizes, or an error."""

    source_id: SourceId
    path: bytes
    kind: Kind
    share: str | None
    width: int
    height: int
    share_bytes: int
    thumb_bytes: int
    info: PhotoInfo
    error: str | None


def tally_pictures(db: sqlite3.Connection, job: JobId) -> PictureTally:
    """Count a job's pictures."""
    shown, failed = db.execute(
        "SELECT count(share), count(picture.error) FROM picture JOIN source ON source.id = picture.source_id"
        " WHERE source.job_id = ?",
        (job,),
    ).fetchone()
    (waiting,) = db.execute(
        "SELECT count(*) FROM task WHERE job_id = ? AND stage = 'render' AND state IN ('ready', 'running', 'parked')",
        (job,),
    ).fetchone()
    return PictureTally(wanted=shown + failed + waiting, shown=shown, failed=failed)


def put_picture(db: sqlite3.Connection, source: SourceId, session: SessionId, picture: Picture) -> None:
    """Record a source's renditions, or why there are none."""
    shown = picture.error is None
    info = picture.info
    db.execute(
        "INSERT OR REPLACE INTO picture (source_id, session_id, share, width, height, share_bytes, thumb_bytes,"
        " taken, camera, lens, exposure, duration, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            source,
            session,
            picture.share,
            picture.width if shown else None,
            picture.height if shown else None,
            picture.share_bytes if shown else None,
            picture.thumb_bytes if shown else None,
            info.taken,
            info.camera,
            info.lens,
            info.exposure,
            info.duration,
            picture.error,
        ),
    )


def drop_picture(db: sqlite3.Connection, source: SourceId) -> None:
    """Its renditions are not there (any more)."""
    db.execute("DELETE FROM picture WHERE source_id = ?", (source,))


def has_picture(db: sqlite3.Connection, source: SourceId) -> bool:
    """Whether a source's renditions are recorded."""
    row = db.execute("SELECT 1 FROM picture WHERE source_id = ? AND share IS NOT NULL", (source,)).fetchone()
    return row is not None


def has_failed_picture(db: sqlite3.Connection, source: SourceId) -> bool:
    """Whether a source was given up by the renders."""
    row = db.execute("SELECT 1 FROM picture WHERE source_id = ? AND error IS NOT NULL", (source,)).fetchone()
    return row is not None


def list_broken(db: sqlite3.Connection, session: SessionId) -> set[SourceId]:
    """The sources of a session that were given up by the renders."""
    rows = db.execute("SELECT source_id FROM picture WHERE session_id = ? AND error IS NOT NULL", (session,))
    return {SourceId(row[0]) for row in rows}


def get_picture(db: sqlite3.Connection, source: SourceId) -> Picture | None:
    """What became of rendering a source, if that is known."""
    row = db.execute(
        "SELECT picture.*, source.path AS path, source.kind AS kind FROM picture"
        " JOIN source ON source.id = picture.source_id WHERE picture.source_id = ?",
        (source,),
    ).fetchone()
    return None if row is None else _picture(row)


def list_pictures(db: sqlite3.Connection, session: SessionId) -> list[Picture]:
    """All pictures of a session, failed ones too."""
    rows = db.execute(
        "SELECT picture.*, source.path AS path, source.kind AS kind FROM picture"
        " JOIN source ON source.id = picture.source_id WHERE picture.session_id = ? ORDER BY picture.source_id",
        (session,),
    )
    return [_picture(row) for row in rows]


def list_pictures_of_job(db: sqlite3.Connection, job: JobId) -> list[Picture]:
    """A job's own pictures, failed ones too."""
    rows = db.execute(
        "SELECT picture.*, source.path AS path, source.kind AS kind FROM picture"
        " JOIN source ON source.id = picture.source_id WHERE source.job_id = ? ORDER BY picture.source_id",
        (job,),
    )
    return [_picture(row) for row in rows]


def list_pictures_of_run(db: sqlite3.Connection, job: JobId, run: tuple[SourceId, SourceId]) -> list[Picture]:
    """The pictures of a run of a job's sources, failed ones too."""
    rows = db.execute(
        "SELECT picture.*, source.path AS path, source.kind AS kind FROM source"
        " JOIN picture ON picture.source_id = source.id"
        " WHERE source.id BETWEEN ? AND ? AND +source.job_id = ? ORDER BY source.id",
        (*run, job),
    )
    return [_picture(row) for row in rows]


def _picture(row: sqlite3.Row) -> Picture:
    return Picture(
        source_id=SourceId(row["source_id"]),
        path=row["path"],
        kind=Kind(row["kind"]),
        share=row["share"],
        width=row["width"] or 0,
        height=row["height"] or 0,
        share_bytes=row["share_bytes"] or 0,
        thumb_bytes=row["thumb_bytes"] or 0,
        info=PhotoInfo(row["taken"], row["camera"], row["lens"], row["exposure"], row["duration"]),
        error=row["error"],
    )
