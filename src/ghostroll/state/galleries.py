"""Rows of galleries: where a session is shown, how far that is, and when its addresses were signed."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ghostroll.model import GalleryId, JobId, Publication, SessionId

FOLDER = "folder"  # the place that every session has: its own folder


@dataclass(frozen=True, slots=True)
class Signed:
    """When addresses were signed, and for how long they work. Unix seconds, seconds."""

    at: int
    seconds: int

    @property
    def end(self) -> int:
        """The unix second from which they are dead."""
        return self.at + self.seconds


@dataclass(frozen=True, slots=True)
class PlacedGallery:
    """A session's gallery at one place.

    `folder` is its name in a bucket. `released`: may be shown. `link` and `addresses` tell when the link to
    the page, and the addresses of its pictures, were signed.
    """

    id: GalleryId
    session_id: SessionId
    place: str
    folder: str | None
    state: Publication
    released: bool
    relink: bool
    link: Signed | None
    addresses: Signed | None
    archive_bytes: int | None


def add_gallery(
    db: sqlite3.Connection, session: SessionId, place: str, *, folder: str | None, released: bool
) -> None:
    """See to it that a session has a gallery at a place; one that is there already is left as it is."""
    db.execute(
        "INSERT INTO gallery (session_id, place, folder, released) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (session_id, place) DO NOTHING",
        (session, place, folder, released),
    )


def get_gallery(db: sqlite3.Connection, gallery: GalleryId) -> PlacedGallery:
    """One gallery; KeyError where there is none."""
    row = db.execute("SELECT * FROM gallery WHERE id = ?", (gallery,)).fetchone()
    if row is None:
        raise KeyError(gallery)
    return _gallery(row)


def find_gallery(db: sqlite3.Connection, session: SessionId, place: str) -> PlacedGallery | None:
    """A session's gallery at a place, if it has one."""
    row = db.execute("SELECT * FROM gallery WHERE session_id = ? AND place = ?", (session, place)).fetchone()
    return None if row is None else _gallery(row)


def list_galleries(
    db: sqlite3.Connection, session: SessionId, places: Sequence[str], *, released: bool = True
) -> list[PlacedGallery]:
    """A session's galleries at these places, those that may be shown alone where `released`."""
    found = (find_gallery(db, session, place) for place in places)
    return [gallery for gallery in found if gallery is not None and (gallery.released or not released)]


def is_begun_elsewhere(db: sqlite3.Connection, session: SessionId, place: str) -> bool:
    """Whether a session was to be shown in another bucket, and never was."""
    row = db.execute(
        "SELECT 1 FROM gallery WHERE session_id = ? AND place NOT IN ('folder', ?) AND released AND linked_at IS NULL",
        (session, place),
    ).fetchone()
    return row is not None


def list_linked(db: sqlite3.Connection, place: str) -> list[PlacedGallery]:
    """The galleries at a place that somebody may have a link to."""
    rows = db.execute("SELECT * FROM gallery WHERE place = ? AND linked_at IS NOT NULL", (place,))
    return [_gallery(row) for row in rows]


def list_unfinished(db: sqlite3.Connection, place: str) -> list[SessionId]:
    """The sessions whose gallery at a place is not complete, of those that may be shown."""
    rows = db.execute(
        "SELECT session_id FROM gallery WHERE place = ? AND released AND state <> 'complete'", (place,)
    )
    return [SessionId(row["session_id"]) for row in rows]


def list_unreleased_jobs(db: sqlite3.Connection, place: str) -> list[JobId]:
    """The newest job of each session whose gallery at a place waits for a person, newest first."""
    rows = db.execute(
        "SELECT max(job.id) AS id FROM gallery JOIN job USING (session_id) WHERE gallery.place = ? AND NOT released"
        " GROUP BY gallery.id ORDER BY 1 DESC",
        (place,),
    )
    return [JobId(row["id"]) for row in rows]


def set_state(db: sqlite3.Connection, gallery: GalleryId, state: Publication) -> None:
    """What people see there."""
    db.execute("UPDATE gallery SET state = ? WHERE id = ?", (state, gallery))


def release(db: sqlite3.Connection, gallery: GalleryId) -> None:
    """It may be shown from now on, and is not complete any more."""
    db.execute(
        "UPDATE gallery SET released = 1, state = CASE state WHEN 'complete' THEN 'live' ELSE state END"
        " WHERE id = ?",
        (gallery,),
    )


def ask_for_link(db: sqlite3.Connection, gallery: GalleryId) -> None:
    """A new link is wanted: the page is written again."""
    db.execute("UPDATE gallery SET relink = 1 WHERE id = ?", (gallery,))


def set_link(db: sqlite3.Connection, gallery: GalleryId, link: Signed) -> None:
    """The page is there and this link leads to it."""
    db.execute(
        "UPDATE gallery SET linked_at = ?, link_seconds = ?, relink = 0 WHERE id = ?",
        (link.at, link.seconds, gallery),
    )


def set_addresses(db: sqlite3.Connection, gallery: GalleryId, addresses: Signed) -> None:
    """The addresses that its gallery.json holds."""
    db.execute(
        "UPDATE gallery SET signed_at = ?, signed_seconds = ? WHERE id = ?",
        (addresses.at, addresses.seconds, gallery),
    )


def set_archive(db: sqlite3.Connection, gallery: GalleryId, size: int | None) -> None:
    """All its pictures are there in one file of so many bytes, or not (any more)."""
    db.execute("UPDATE gallery SET archive_bytes = ? WHERE id = ?", (size, gallery))


def _gallery(row: sqlite3.Row) -> PlacedGallery:
    return PlacedGallery(
        id=GalleryId(row["id"]),
        session_id=SessionId(row["session_id"]),
        place=row["place"],
        folder=row["folder"],
        state=Publication(row["state"]),
        released=bool(row["released"]),
        relink=bool(row["relink"]),
        link=None if row["linked_at"] is None else Signed(row["linked_at"], row["link_seconds"]),
        addresses=None if row["signed_at"] is None else Signed(row["signed_at"], row["signed_seconds"]),
        archive_bytes=row["archive_bytes"],
    )
