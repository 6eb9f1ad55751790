"""Rows of sources, assets and pictures: the facts."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ghostroll.model import (
    Asset,
    AssetId,
    Found,
    JobId,
    Kind,
    SessionId,
    Sha256,
    Source,
    SourceId,
    SourceState,
)

_FIRST_TIME, _LAST_TIME = -(2**63), 2**63 - 1  # ns from 1970: what an INTEGER holds, the years 1677 to 2262
# The second condition is that of the index task_once, which SQLite then uses.
_ITS_COPY = "SELECT 1 FROM task WHERE stage = 'copy' AND stage <> 'publish' AND subject = source.id"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over a job's sources. `bytes` is what all files that are kept hold."""

    files: int
    bytes: int
    states: dict[SourceState, int]
    bytes_done: int


def add_sources(db: sqlite3.Connection, job: JobId, found: Sequence[Found]) -> None:
    """Put an inventory down.

    A path that the job has already keeps its row, unless size or time changed or it had failed: then
    it is as found now. Times that 64 bits can't hold (a hostile card has them) count as the farthest
    that they can.
    """
    db.executemany(
        "INSERT INTO source (job_id, path, size, mtime_ns, kind, state, error, protected)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job_id, path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,"
        " kind = excluded.kind, state = excluded.state, error = excluded.error, asset_id = NULL,"
        " protected = excluded.protected"
        " WHERE source.state IN ('failed', 'skipped')"
        " OR source.size <> excluded.size OR source.mtime_ns <> excluded.mtime_ns",
        (
            (
                job,
                item.path,
                item.size,
                max(_FIRST_TIME, min(item.mtime_ns, _LAST_TIME)),
                item.kind,
                item.state,
                item.error,
                item.protected,
            )
            for item in found
        ),
    )
    # A lock changes neither size nor time: it is as it was found last.
    db.executemany(
        "UPDATE source SET protected = ? WHERE job_id = ? AND path = ? AND protected <> ?",
        ((item.protected, job, item.path, item.protected) for item in found),
    )


def drop_listing_failures(db: sqlite3.Connection, job: JobId) -> None:
    """Forget what couldn't be listed before a new inventory, which finds it again where that still fails.

    A failed file that a copy was wanted for stays.
    """
    db.execute(
        f"DELETE FROM source WHERE job_id = ? AND state = 'failed' AND NOT EXISTS ({_ITS_COPY})", (job,)
    )


def get_source(db: sqlite3.Connection, source: SourceId) -> Source:
    """One source; KeyError where there is none."""
    row = db.execute("SELECT * FROM source WHERE id = ?", (source,)).fetchone()
    if row is None:
        raise KeyError(source)
    return _source(row)


def list_sources(
    db: sqlite3.Connection, job: JobId, states: Sequence[SourceState] = tuple(SourceState)
) -> list[Source]:
    """A job's sources in these states, in the order of the card."""
    return [*read_sources(db, job, states)]


def read_sources(
    db: sqlite3.Connection, job: JobId, states: Sequence[SourceState] = tuple(SourceState)
) -> Iterator[Source]:
    """As `list_sources`, but one by one, while nobody else has the connection."""
    marks = ", ".join("?" * len(states))
    rows = db.execute(
        f"SELECT * FROM source WHERE job_id = ? AND state IN ({marks}) ORDER BY id", (job, *states)
    )
    return map(_source, rows)


def cut_sources(db: sqlite3.Connection, job: JobId, most: int) -> list[tuple[SourceId, SourceId]]:
    """The first and the last of each run of a job's sources, `most` in one: for who reads them a few at a time."""
    ids = [row[0] for row in db.execute("SELECT id FROM source WHERE job_id = ? ORDER BY id", (job,))]
    return [(run[0], run[-1]) for run in (ids[start : start + most] for start in range(0, len(ids), most))]


def list_run(db: sqlite3.Connection, job: JobId, run: tuple[SourceId, SourceId]) -> list[Source]:
    """A run of a job's sources, in the order of the card."""
    rows = db.execute(
        "SELECT * FROM source WHERE id BETWEEN ? AND ? AND +job_id = ? ORDER BY id", (*run, job)
    )
    return [_source(row) for row in rows]


def list_open_sources(db: sqlite3.Connection, job: JobId, limit: int = -1) -> list[Source]:
    """Sources that still keep a job from being secured."""
    rows = db.execute(
        "SELECT * FROM source WHERE job_id = ? AND state IN ('pending', 'failed') ORDER BY id LIMIT ?",
        (job, limit),
    )
    return [_source(row) for row in rows]


def list_unlisted(db: sqlite3.Connection, job: JobId) -> set[SourceId]:
    """Failed sources that were never to be copied: folders that can't be listed, entries that can't be looked at."""
    rows = db.execute(
        f"SELECT id FROM source WHERE job_id = ? AND state = 'failed' AND NOT EXISTS ({_ITS_COPY})", (job,)
    )
    return {SourceId(row["id"]) for row in rows}


def has_sources(db: sqlite3.Connection, job: JobId) -> bool:
    """Whether a job's inventory was put down: it is never empty."""
    return db.execute("SELECT 1 FROM source WHERE job_id = ? LIMIT 1", (job,)).fetchone() is not None


def list_open_states(db: sqlite3.Connection, job: JobId) -> set[SourceState]:
    """Which of pending and failed occur among a job's sources. One look-up each, however many there are."""
    return {
        state
        for state in (SourceState.PENDING, SourceState.FAILED)
        if db.execute("SELECT 1 FROM source WHERE job_id = ? AND state = ? LIMIT 1", (job, state)).fetchone()
    }


def has_new_size(db: sqlite3.Connection, job: JobId) -> bool:
    """Whether some file of a job is of a size that no asset has: its content is new for certain."""
    row = db.execute(
        "SELECT 1 FROM source WHERE job_id = ? AND state = 'pending' AND size > 0"
        " AND NOT EXISTS (SELECT 1 FROM asset WHERE asset.size = source.size) LIMIT 1",
        (job,),
    ).fetchone()
    return row is not None


def list_siblings(db: sqlite3.Connection, source: Source) -> list[Source]:
    """Sources of the same job whose path differs only behind the last dot of the name."""
    stem = (
        source.path[: source.path.rfind(b".") + 1] if b"." in os.path.basename(source.path) else source.path
    )
    rows = db.execute(
        "SELECT * FROM source WHERE job_id = ? AND path >= ? AND path < ? ORDER BY id",
        (source.job_id, stem, stem + b"\xff"),
    )
    return [
        _source(row) for row in rows if row["id"] != source.id and row["path"].rfind(b".") == len(stem) - 1
    ]


def tally(db: sqlite3.Connection, job: JobId) -> Tally:
    """Count a job's sources."""
    rows = db.execute(
        "SELECT state, count(*), sum(size) FROM source WHERE job_id = ? GROUP BY state", (job,)
    ).fetchall()
    states = {SourceState(row[0]): int(row[1]) for row in rows}
    sizes = {SourceState(row[0]): int(row[2]) for row in rows}
    return Tally(
        files=sum(number for state, number in states.items() if state is not SourceState.SKIPPED),
        bytes=sum(size for state, size in sizes.items() if state is not SourceState.SKIPPED),
        states=states,
        bytes_done=sum(
            sizes.get(state, 0) for state in (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)
        ),
    )


def settle_source(db: sqlite3.Connection, source: SourceId, state: SourceState, asset: AssetId) -> None:
    """The source's bytes are in the library, as this committed asset."""
    db.execute("UPDATE source SET state = ?, asset_id = ?, error = NULL WHERE id = ?", (state, asset, source))


def settle_known(db: sqlite3.Connection, known: Iterable[tuple[SourceId, AssetId]]) -> None:
    """These sources' bytes were in the library before their card came, as these assets."""
    db.executemany(
        "UPDATE source SET state = 'known', asset_id = ?, error = NULL WHERE id = ?",
        ((asset, source) for source, asset in known),
    )


def fail_source(db: sqlite3.Connection, source: SourceId, error: str) -> None:
    """The source can't be read, and why."""
    db.execute("UPDATE source SET state = 'failed', asset_id = NULL, error = ? WHERE id = ?", (error, source))


def reopen_failed(db: sqlite3.Connection, job: JobId) -> int:
    """Failed files are pending again; returns how many."""
    return db.execute(
        "UPDATE source SET state = 'pending', error = NULL WHERE job_id = ? AND state = 'failed'"
        f" AND EXISTS ({_ITS_COPY})",
        (job,),
    ).rowcount


def reopen_assets(db: sqlite3.Connection, assets: Iterable[AssetId], job: JobId) -> list[Source]:
    """A job's sources of assets that are not there after all are pending again; returns them."""
    reopened: list[Source] = []
    for asset in assets:
        rows = db.execute(
            "UPDATE source SET state = 'pending', asset_id = NULL WHERE job_id = ? AND asset_id = ? RETURNING *",
            (job, asset),
        ).fetchall()
        reopened += [_source(row) for row in rows]
    return reopened


def list_stored_as(db: sqlite3.Connection, asset: AssetId) -> list[Source]:
    """The sources that an asset was made from: those that may have a picture of it."""
    rows = db.execute("SELECT * FROM source WHERE asset_id = ? AND state = 'stored'", (asset,))
    return [_source(row) for row in rows]


def find_asset(db: sqlite3.Connection, sha256: Sha256) -> Asset | None:
    """The asset of this content, if the ledger knows one. The file still has to be looked at."""
    row = db.execute("SELECT * FROM asset WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else _asset(row)


def get_asset(db: sqlite3.Connection, asset: AssetId) -> Asset:
    """One asset; KeyError where there is none."""
    row = db.execute("SELECT * FROM asset WHERE id = ?", (asset,)).fetchone()
    if row is None:
        raise KeyError(asset)
    return _asset(row)


def name_asset(db: sqlite3.Connection, asset: AssetId) -> bytes:
    """The name that a camera gave an asset: its first source's path."""
    row = db.execute("SELECT path FROM source WHERE asset_id = ? ORDER BY id LIMIT 1", (asset,)).fetchone()
    if row is None:
        row = db.execute("SELECT path FROM asset WHERE id = ?", (asset,)).fetchone()
    return bytes(row["path"])


def find_asset_at(db: sqlite3.Connection, path: bytes) -> Asset | None:
    """The asset whose file is recorded at this place below the library."""
    row = db.execute("SELECT * FROM asset WHERE path = ?", (path,)).fetchone()
    return None if row is None else _asset(row)


def list_assets(db: sqlite3.Connection) -> Iterator[Asset]:
    """All assets, by path."""
    return map(_asset, db.execute("SELECT * FROM asset ORDER BY path"))


def list_assets_below(db: sqlite3.Connection, folder: bytes) -> Iterator[Asset]:
    """The assets in a folder, by path."""
    rows = db.execute(
        "SELECT * FROM asset WHERE path > ? AND path < ? ORDER BY path",
        (folder + b"/", folder + b"0"),  # "0" is what comes after "/"
    )
    return map(_asset, rows)


def list_assets_of_run(db: sqlite3.Connection, job: JobId, run: tuple[SourceId, SourceId]) -> list[Asset]:
    """The assets behind a run of a job's sources, each once."""
    rows = db.execute(
        "SELECT * FROM asset WHERE id IN"
        " (SELECT asset_id FROM source WHERE id BETWEEN ? AND ? AND +job_id = ?)",
        (*run, job),
    )
    return [_asset(row) for row in rows]


def list_assets_of_job(db: sqlite3.Connection, job: JobId) -> list[Asset]:
    """The assets behind a job's settled sources, each once."""
    rows = db.execute(
        "SELECT * FROM asset WHERE id IN (SELECT asset_id FROM source WHERE job_id = ?) ORDER BY id", (job,)
    )
    return [_asset(row) for row in rows]


def sum_assets(db: sqlite3.Connection) -> tuple[int, int]:
    """How many assets there are, and their bytes."""
    number, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM asset").fetchone()
    return int(number), int(size)


def put_asset(
    db: sqlite3.Connection,
    sha256: Sha256,
    *,
    size: int,
    head: Sha256,
    path: bytes,
    session: SessionId,
    verified_at: int,
) -> AssetId:
    """Record that this content lies at this path, verified. A content recorded before moves to the new place."""
    row = db.execute(
        "INSERT INTO asset (sha256, size, head, path, session_id, verified_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (sha256) DO UPDATE SET path = excluded.path, session_id = excluded.session_id,"
        " verified_at = excluded.verified_at RETURNING id",
        (sha256, size, head, path, session, verified_at),
    ).fetchone()
    return AssetId(row["id"])


def set_verified(db: sqlite3.Connection, asset: AssetId, verified_at: int) -> None:
    """The stored bytes were read whole and matched."""
    db.execute("UPDATE asset SET verified_at = ? WHERE id = ?", (verified_at, asset))


def _source(row: sqlite3.Row) -> Source:
    return Source(
        id=SourceId(row["id"]),
        job_id=JobId(row["job_id"]),
        path=row["path"],
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        kind=Kind(row["kind"]),
        state=SourceState(row["state"]),
        asset_id=None if row["asset_id"] is None else AssetId(row["asset_id"]),
        error=row["error"],
        protected=bool(row["protected"]),
    )


def _asset(row: sqlite3.Row) -> Asset:
    return Asset(
        id=AssetId(row["id"]),
        sha256=Sha256(row["sha256"]),
        size=row["size"],
        head=Sha256(row["head"]),
        path=row["path"],
        session_id=SessionId(row["session_id"]),
        verified_at=row["verified_at"],
    )
