"""Rows of objects: what belongs in a bucket, and whether it is there."""

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ghostroll.model import AssetId, GalleryId, JobId, ObjectId, SourceId


class ObjectKind(StrEnum):
    """What an object is made of."""

    PICTURE = "picture"  # the two renditions of one source
    ORIGINAL = "original"
    ARCHIVE = "archive"  # all shared pictures of a gallery in one file


class ObjectState(StrEnum):
    """Whether a bucket has an object."""

    WANTED = "wanted"
    PRESENT = "present"  # the bucket took it
    CONFIRMED = "confirmed"  # and told the checksum that it should have; of originals alone


@dataclass(frozen=True, slots=True)
class Object:
    """What belongs in a bucket. `wish` grows when it is wanted again; `upload` is the multipart one under way."""

    id: ObjectId
    place: str
    kind: ObjectKind
    job_id: JobId
    gallery_id: GalleryId | None
    source_id: SourceId | None
    asset_id: AssetId | None
    state: ObjectState
    wish: int
    upload: str | None


def want_picture(
    db: sqlite3.Connection, place: str, *, job: JobId, gallery: GalleryId, source: SourceId, size: int
) -> ObjectId:
    """A source's renditions belong in a gallery, as they are now."""
    row = db.execute(
        "INSERT INTO object (place, kind, job_id, gallery_id, source_id, bytes) VALUES (?, 'picture', ?, ?, ?, ?)"
        " ON CONFLICT (gallery_id, source_id) WHERE source_id IS NOT NULL DO UPDATE SET state = 'wanted',"
        " wish = wish + 1, bytes = excluded.bytes RETURNING id",
        (place, job, gallery, source, size),
    ).fetchone()
    return ObjectId(row["id"])


def want_original(
    db: sqlite3.Connection, place: str, job: JobId, asset: AssetId, size: int
) -> ObjectId | None:
    """An asset belongs in a bucket. None where it is there already."""
    row = db.execute(
        "INSERT INTO object (place, kind, job_id, asset_id, bytes) VALUES (?, 'original', ?, ?, ?)"
        " ON CONFLICT (asset_id, place) WHERE asset_id IS NOT NULL DO UPDATE SET wish = wish WHERE state = 'wanted'"
        " RETURNING id",
        (place, job, asset, size),
    ).fetchone()
    return None if row is None else ObjectId(row["id"])


def want_archive(db: sqlite3.Connection, place: str, job: JobId, gallery: GalleryId) -> ObjectId:
    """A gallery's pictures belong in one file, as they are now."""
    row = db.execute(
        "INSERT INTO object (place, kind, job_id, gallery_id) VALUES (?, 'archive', ?, ?)"
        " ON CONFLICT (gallery_id) WHERE kind = 'archive' DO UPDATE SET state = 'wanted', wish = wish + 1"
        " RETURNING id",
        (place, job, gallery),
    ).fetchone()
    return ObjectId(row["id"])


def find_object(db: sqlite3.Connection, one: ObjectId) -> Object | None:
    """An object, unless it was dropped meanwhile."""
    row = db.execute("SELECT * FROM object WHERE id = ?", (one,)).fetchone()
    return None if row is None else _object(row)


def settle_object(db: sqlite3.Connection, one: Object, state: ObjectState, why: str | None = None) -> bool:
    """Put down that the bucket has it; False where it was wanted anew meanwhile, of other bytes."""
    changed = db.execute(
        "UPDATE object SET state = ?, why = ?, upload = NULL WHERE id = ? AND wish = ?",
        (state, why, one.id, one.wish),
    ).rowcount
    return changed == 1


def set_upload(db: sqlite3.Connection, one: ObjectId, upload: str | None) -> None:
    """Remember which multipart upload is under way, so that it goes on after a crash."""
    db.execute("UPDATE object SET upload = ? WHERE id = ?", (upload, one))


def drop_pictures(db: sqlite3.Connection, source: SourceId) -> None:
    """A source's renditions are not its pictures (any more): nothing of it is wanted, whatever a bucket has."""
    db.execute("DELETE FROM object WHERE source_id = ?", (source,))


def overtake_archive(db: sqlite3.Connection, gallery: GalleryId) -> None:
    """A gallery's pictures are not those of an archive that is under way: its upload settles nothing."""
    db.execute(
        "UPDATE object SET wish = wish + 1 WHERE gallery_id = ? AND kind = 'archive' AND state = 'wanted'",
        (gallery,),
    )


def list_wanted(db: sqlite3.Connection, place: str) -> list[tuple[Object, int]]:
    """What does not lie at a place yet, with its bytes."""
    rows = db.execute("SELECT * FROM object WHERE place = ? AND state = 'wanted' ORDER BY id", (place,))
    return [(_object(row), int(row["bytes"])) for row in rows]


def list_shown(db: sqlite3.Connection, gallery: GalleryId) -> set[SourceId]:
    """Sources whose pictures a gallery's bucket has."""
    rows = db.execute(
        "SELECT source_id FROM object WHERE gallery_id = ? AND kind = 'picture' AND state = 'present'",
        (gallery,),
    )
    return {SourceId(row["source_id"]) for row in rows}


def list_asked(db: sqlite3.Connection, gallery: GalleryId) -> set[SourceId]:
    """Sources whose pictures a gallery's bucket has, or is to have."""
    rows = db.execute("SELECT source_id FROM object WHERE gallery_id = ? AND kind = 'picture'", (gallery,))
    return {SourceId(row["source_id"]) for row in rows}


def drop_hidden(db: sqlite3.Connection, gallery: GalleryId, sources: Iterable[SourceId]) -> None:
    """These pictures are not shown in a gallery any more, whatever a bucket has."""
    db.executemany(
        "DELETE FROM object WHERE gallery_id = ? AND source_id = ?", ((gallery, source) for source in sources)
    )


def has_wanted(db: sqlite3.Connection, gallery: GalleryId, kind: ObjectKind) -> bool:
    """Whether anything of a sort is still missing in a gallery. One look-up."""
    row = db.execute(
        "SELECT 1 FROM object WHERE gallery_id = ? AND kind = ? AND state = 'wanted' LIMIT 1", (gallery, kind)
    ).fetchone()
    return row is not None


def has_any(db: sqlite3.Connection, gallery: GalleryId, kind: ObjectKind) -> bool:
    """Whether a gallery has, or is to have, anything of a sort."""
    row = db.execute(
        "SELECT 1 FROM object WHERE gallery_id = ? AND kind = ? LIMIT 1", (gallery, kind)
    ).fetchone()
    return row is not None


def has_original(db: sqlite3.Connection, place: str, asset: AssetId) -> bool:
    """Whether a bucket has an asset, confirmed or not."""
    row = db.execute(
        "SELECT 1 FROM object WHERE asset_id = ? AND place = ? AND state <> 'wanted'",
        (asset, place),
    ).fetchone()
    return row is not None


def drop_unwanted_originals(db: sqlite3.Connection, place: str, kinds: Collection[str]) -> None:
    """Originals that no bucket has yet and that are not of these kinds (any more) stay where they are."""
    marks = ", ".join("?" * len(kinds))
    db.execute(
        "DELETE FROM object WHERE kind = 'original' AND state = 'wanted' AND place = ? AND NOT EXISTS"
        f" (SELECT 1 FROM source WHERE source.asset_id = object.asset_id AND source.kind IN ({marks}))",
        (place, *kinds),
    )


def is_sending_originals(db: sqlite3.Connection, place: str, job: JobId) -> bool:
    """Whether originals that a job wanted are still on their way to a bucket. Mostly the first look tells."""
    row = db.execute(
        "SELECT 1 FROM object WHERE job_id = ? AND state = 'wanted' AND kind = 'original' AND place = ? LIMIT 1",
        (job, place),
    ).fetchone()
    return row is not None


def reopen_unconfirmed(db: sqlite3.Connection, place: str, job: JobId) -> list[tuple[ObjectId, int]]:
    """A job's originals that a bucket has and did not confirm are wanted again; returns them with their bytes."""
    rows = db.execute(
        "UPDATE object SET state = 'wanted' WHERE kind = 'original' AND place = ? AND state = 'present'"
        " AND asset_id IN (SELECT asset_id FROM source WHERE job_id = ?) RETURNING id, bytes",
        (place, job),
    ).fetchall()
    return [(ObjectId(row["id"]), int(row["bytes"])) for row in rows]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """So many originals that a bucket has not confirmed. `state` is None where they were never asked for."""

    state: ObjectState | None
    why: str | None
    number: int


def list_unconfirmed(
    db: sqlite3.Connection, place: str, job: JobId, kinds: Collection[str]
) -> list[Unconfirmed]:
    """What of a job's originals of these kinds a bucket has not confirmed, and why."""
    marks = ", ".join("?" * len(kinds))
    rows = db.execute(
        "SELECT object.state AS state, object.why AS why,"
        " count(DISTINCT coalesce(source.asset_id, -source.id)) AS number FROM source"
        " LEFT JOIN object ON object.asset_id = source.asset_id AND object.kind = 'original' AND object.place = ?"
        f" WHERE source.job_id = ? AND source.kind IN ({marks}) AND source.state <> 'skipped'"
        " AND (object.state IS NULL OR object.state <> 'confirmed') GROUP BY object.state, object.why",
        (place, job, *kinds),
    ).fetchall()
    return [
        Unconfirmed(None if row["state"] is None else ObjectState(row["state"]), row["why"], row["number"])
        for row in rows
    ]


def list_jobs_of_asset(db: sqlite3.Connection, asset: AssetId) -> list[JobId]:
    """The jobs on whose cards an asset was found."""
    rows = db.execute("SELECT DISTINCT job_id FROM source WHERE asset_id = ?", (asset,))
    return [JobId(row["job_id"]) for row in rows]


def count_uploads(db: sqlite3.Connection, job: JobId) -> dict[str, int]:
    """How many objects a job wants in buckets, and how many are there or confirmed."""
    rows = db.execute("SELECT state, count(*) FROM object WHERE job_id = ? GROUP BY state", (job,)).fetchall()
    states = {ObjectState(row[0]): int(row[1]) for row in rows}
    return {
        "wanted": sum(states.values()),
        "there": sum(states.values()) - states.get(ObjectState.WANTED, 0),
        "confirmed": states.get(ObjectState.CONFIRMED, 0),
    }


def tally_objects(db: sqlite3.Connection, place: str, job: JobId) -> tuple[int, int]:
    """How many objects a job wants in a bucket, and how many are there."""
    row = db.execute(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'wanted') FROM object WHERE job_id = ? AND place = ?",
        (job, place),
    ).fetchone()
    return int(row[0]), int(row[1])


def _object(row: sqlite3.Row) -> Object:
    return Object(
        id=ObjectId(row["id"]),
        place=row["place"],
        kind=ObjectKind(row["kind"]),
        job_id=JobId(row["job_id"]),
        gallery_id=None if row["gallery_id"] is None else GalleryId(row["gallery_id"]),
        source_id=None if row["source_id"] is None else SourceId(row["source_id"]),
        asset_id=None if row["asset_id"] is None else AssetId(row["asset_id"]),
        state=ObjectState(row["state"]),
        wish=row["wish"],
        upload=row["upload"],
    )
