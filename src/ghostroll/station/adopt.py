"""Adopt: sessions that no record knows become part of the ledger again, from their manifests.

A manifest is believed as far as the disk agrees: an original that is not there with its size is
missing, and its job is not secured any more.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ghostroll.jobs import order_pages
from ghostroll.library.durable import has_size
from ghostroll.library.layout import show_path
from ghostroll.library.manifest import MANIFEST
from ghostroll.model import Cause, Safety, SessionId, Source, SourceState, Stage
from ghostroll.observe.wording import say_count, say_name
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.galleries import FOLDER
from ghostroll.state.pictures import Picture
from ghostroll.station.copy import want_renders
from ghostroll.station.galleries import list_shown
from ghostroll.station.manifests import ListedContent, ListedJob, ListedSource, Manifest, parse_manifest
from ghostroll.station.render import SHARE, THUMBS
from ghostroll.station.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken in, and what could not be."""

    sessions: int
    assets: int
    missing: int
    troubles: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "sessions": self.sessions,
            "assets": self.assets,
            "missing": self.missing,
            "troubles": list(self.troubles),
        }

    @property
    def lines(self) -> Iterator[str]:
        """For people."""
        verb = "is" if self.missing == 1 else "are"
        yield (
            f"adopted {say_count(self.sessions, 'session')} with {say_count(self.assets, 'file')};"
            f" {say_count(self.missing, 'file')} {verb} missing"
        )
        yield from self.troubles


@dataclass(frozen=True, slots=True)
class _Session:
    """A session's manifest, and which of the files that it names are there with their sizes."""

    manifest: Manifest
    present: frozenset[tuple[bytes, int]]

    @property
    def sources(self) -> Iterator[ListedSource]:
        """Of all its jobs."""
        for job in self.manifest.jobs:
            yield from job.sources


def adopt_sessions(wiring: Wiring) -> Adopted:
    """Take in every session folder without a record. On return what was adopted survives a power cut."""
    with wiring.database.read() as db:
        recorded = {session.name.encode() for session in job_rows.list_sessions(db)}
    with wiring.library.enter() as root:
        found, troubles = _read_sessions(root, recorded)
    if not found:
        return Adopted(0, 0, 0, tuple(troubles))
    with wiring.database.promise() as db:
        before, _ = assets.sum_assets(db)
        sessions = {
            one.manifest.session: job_rows.add_session(
                db, one.manifest.session, created_at=one.manifest.created_at
            )
            for one in sorted(found, key=lambda one: one.manifest.created_at)
        }
        _adopt_assets(db, found, sessions)
        jobs = sorted(
            ((job, one) for one in found for job in one.manifest.jobs),
            key=lambda pair: (pair[0].created_at, pair[0].number),
        )
        missing = sum(_adopt_job(wiring, db, one, job, sessions[one.manifest.session]) for job, one in jobs)
        after, _ = assets.sum_assets(db)
    return Adopted(len(found), after - before, missing, tuple(troubles))


def _read_sessions(root: int, recorded: Collection[bytes]) -> tuple[list[_Session], list[str]]:
    """Every folder that is a session without a record, and a sentence for each that is none."""
    found: list[_Session] = []
    troubles: list[str] = []
    for name in sorted(os.listdir(os.fsencode(f"/proc/self/fd/{root}"))):
        if name in (b".ghostroll", b"lost+found") or name in recorded:
            continue
        try:
            found.append(_read_session(root, name))
        except (OSError, ValueError):
            troubles.append(
                f"{say_name(show_path(name))} has no manifest that can be read; it was left alone"
            )
    return found, troubles


def _read_session(root: int, name: bytes) -> _Session:
    """Raises OSError or ValueError for what is no session of ours."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(os.path.join(name, MANIFEST), flags, dir_fd=root)
    with os.fdopen(descriptor, "rb") as file:
        session = _Session(parse_manifest(file.read(), name.decode()), frozenset())
    named = {place for source in session.sources for place in _list_places(name, source)}
    present = {(path, size) for path, size in named if has_size(root, path, size)}
    return _Session(session.manifest, frozenset(present))


def _list_places(session: bytes, source: ListedSource) -> Iterator[tuple[bytes, int]]:
    """The files of a source, with the sizes that they should have."""
    if source.content is not None:
        yield source.content.path, source.found.size
    yield from _list_renditions(session, source)


def _list_renditions(session: bytes, source: ListedSource) -> list[tuple[bytes, int]]:
    picture = source.picture
    if picture is None:
        return []
    file = picture.share.encode()
    return [
        (os.path.join(session, SHARE, file), picture.share_bytes),
        (os.path.join(session, THUMBS, file), picture.thumb_bytes),
    ]


def _adopt_assets(
    db: sqlite3.Connection, found: Collection[_Session], sessions: Mapping[str, SessionId]
) -> None:
    """All assets before any source: a duplicate's may stand in another session, whose word about it goes first."""
    for at_home in (True, False):
        for one in found:
            home = one.manifest.session
            for source in one.sources:
                content = source.content
                if content is None or (content.path, source.found.size) not in one.present:
                    continue
                stored_in = content.path.split(b"/")[0].decode("utf-8", "replace")
                if (stored_in == home) is at_home and stored_in in sessions:
                    _adopt_asset(db, content, source.found.size, sessions[stored_in])


def _adopt_asset(db: sqlite3.Connection, content: ListedContent, size: int, session: SessionId) -> None:
    if (
        assets.find_asset(db, content.sha256) is not None
        or assets.find_asset_at(db, content.path) is not None
    ):
        return
    assets.put_asset(
        db,
        content.sha256,
        size=size,
        head=content.head,
        path=content.path,
        session=session,
        verified_at=min(content.verified_at, 1),  # believed, but read again when the same bytes come
    )


def _adopt_job(
    wiring: Wiring, db: sqlite3.Connection, one: _Session, listed: ListedJob, session: SessionId
) -> int:
    """Record a job with its sources; returns how many of its files are missing."""
    job = job_rows.add_job(db, listed.volume, b"", wanted=None, created_at=listed.created_at)
    job_rows.set_session(db, job, session, listed.folder)
    assets.add_sources(db, job, [source.found for source in listed.sources])
    rows = {source.path: source for source in assets.list_sources(db, job)}
    missing = failed = 0
    for source in listed.sources:
        row = rows[source.found.path]
        failed += row.state is SourceState.FAILED
        if row.state is not SourceState.PENDING:
            continue
        asset = None if source.content is None else assets.find_asset(db, source.content.sha256)
        if asset is None or asset.size != row.size:
            missing += 1
            tasks.want_anew(db, Stage.COPY, job, [(row.id, 0, row.size)])
            continue
        assets.settle_source(db, row.id, source.state, asset.id)
        _adopt_picture(db, one, source, row, session)
    tasks.park(db, job, (Stage.COPY,), Cause.CARD_GONE)
    safety = _judge(listed.safety, missing=missing, failed=failed)
    job_rows.set_safety(db, job, safety, at=listed.secured_at if safety is Safety.SECURED else None)
    for gallery in list_shown(wiring, db, session):
        tasks.want(
            db, Stage.PUBLISH, job, gallery.id, priority=order_pages(in_folder=gallery.place == FOLDER)
        )
    for row in assets.list_sources(db, job, (SourceState.STORED,)):
        if not picture_rows.has_picture(db, row.id):
            want_renders(db, row)
    return missing


def _judge(before: Safety, *, missing: int, failed: int) -> Safety:
    """What a job is worth now: secured only if it was, and everything is still there."""
    if before is Safety.CLOSED or (before is Safety.SECURED and not missing and not failed):
        return before
    return Safety.ATTENTION if failed and not missing else Safety.INTERRUPTED


def _adopt_picture(
    db: sqlite3.Connection, one: _Session, listed: ListedSource, source: Source, session: SessionId
) -> None:
    """Renditions that are there need not be made again."""
    picture = listed.picture
    places = _list_renditions(one.manifest.session.encode(), listed)
    if picture is None or not one.present.issuperset(places):
        return
    picture_rows.put_picture(
        db,
        source.id,
        session,
        Picture(
            source_id=source.id,
            path=source.path,
            kind=source.kind,
            share=picture.share,
            width=picture.width,
            height=picture.height,
            share_bytes=picture.share_bytes,
            thumb_bytes=picture.thumb_bytes,
            info=picture.info,
            error=None,
        ),
    )
