"""Adopt: sessions that no record knows become part of the ledger again, from their manifests.

A manifest is believed as far as the disk agrees: an original that is not there with its size is
missing, and its job is not secured any more.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ghostroll.library.durable import has_size
from ghostroll.library.layout import show_path
from ghostroll.library.manifest import MANIFEST, VERSION, read_path
from ghostroll.model import (
    Cause,
    Found,
    Kind,
    PhotoInfo,
    Safety,
    SessionId,
    Sha256,
    Source,
    SourceState,
    Stage,
    Volume,
)
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.assets import Picture
from ghostroll.station.copy import want_renders
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
        yield f"adopted {self.sessions} sessions with {self.assets} files; {self.missing} files are missing"
        yield from self.troubles


@dataclass(frozen=True, slots=True)
class _Manifest:
    """A manifest, and which of the files that it names are there with their sizes."""

    name: str
    created: str
    jobs: tuple[Mapping[str, Any], ...]
    present: frozenset[bytes]


def adopt_sessions(wiring: Wiring) -> Adopted:
    """Take in every session folder without a record. On return what was adopted survives a power cut."""
    with wiring.database.read() as db:
        recorded = {session.name for session in job_rows.list_sessions(db)}
    manifests: list[_Manifest] = []
    troubles: list[str] = []
    with wiring.library.enter() as root:
        for name in sorted(os.listdir(os.fsencode(f"/proc/self/fd/{root}"))):
            if name in (b".ghostroll", b"lost+found") or os.fsdecode(name) in recorded:
                continue
            try:
                manifests.append(_read_manifest(root, name))
            except (OSError, ValueError, KeyError, TypeError):
                troubles.append(f"{show_path(name)} has no manifest that can be read; it was left alone")
    if not manifests:
        return Adopted(0, 0, 0, tuple(troubles))
    with wiring.database.promise() as db:
        before, _ = assets.sum_assets(db)
        sessions = {one.name: job_rows.add_session(db, one.name, created_at=one.created) for one in manifests}
        # All assets before any source: a duplicate's asset may stand in another session.
        for one in manifests:
            for described in _sources(one):
                _adopt_asset(db, one, described, sessions)
        missing = sum(_adopt_job(db, one, job, sessions[one.name]) for one in manifests for job in one.jobs)
        after, _ = assets.sum_assets(db)
    return Adopted(len(manifests), after - before, missing, tuple(troubles))


def _read_manifest(root: int, name: bytes) -> _Manifest:
    """Raises OSError, ValueError, KeyError or TypeError for what is no manifest of ours."""
    descriptor = os.open(
        os.path.join(name, MANIFEST), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root
    )
    with os.fdopen(descriptor, "rb") as file:
        document = json.load(file)
    if document["version"] != VERSION or document["session"] != os.fsdecode(name):
        raise ValueError
    manifest = _Manifest(document["session"], str(document["created"]), tuple(document["jobs"]), frozenset())
    present = set()
    for described in _sources(manifest):
        if "sha256" in described:
            path = read_path(described, "stored")
            if b".." not in path.split(b"/") and has_size(root, path, int(described["size"])):
                present.add(path)
        for place, size in _list_renditions(name, described):
            if has_size(root, place, size):
                present.add(place)
    return replace(manifest, present=frozenset(present))


def _sources(manifest: _Manifest) -> Iterator[Mapping[str, Any]]:
    for job in manifest.jobs:
        yield from job["sources"]


def _list_renditions(session: bytes, described: Mapping[str, Any]) -> list[tuple[bytes, int]]:
    picture = described.get("picture")
    if not picture or picture.get("share") is None:
        return []
    file = os.fsencode(os.path.basename(picture["share"]))
    return [
        (os.path.join(session, SHARE, file), int(picture["share_bytes"])),
        (os.path.join(session, THUMBS, file), int(picture["thumb_bytes"])),
    ]


def _adopt_asset(
    db: sqlite3.Connection,
    manifest: _Manifest,
    described: Mapping[str, Any],
    sessions: Mapping[str, SessionId],
) -> None:
    if "sha256" not in described:
        return
    sha256, path = Sha256(bytes.fromhex(described["sha256"])), read_path(described, "stored")
    home = sessions.get(path.split(b"/")[0].decode("utf-8", "replace"))
    if path not in manifest.present or home is None or assets.find_asset(db, sha256) is not None:
        return
    head = Sha256(bytes.fromhex(described["head_sha256"]))
    assets.put_asset(
        db,
        sha256,
        size=int(described["size"]),
        head=head,
        path=path,
        session=home,
        verified_at=int(described["verified"]),
    )


def _adopt_job(
    db: sqlite3.Connection, manifest: _Manifest, described: Mapping[str, Any], session: SessionId
) -> int:
    """Record a job with its sources; returns how many of its files are missing."""
    volume = Volume(
        described["volume"]["uuid"],
        str(described["volume"]["label"]),
        int(described["volume"]["size"]),
        str(described["volume"]["filesystem"]),
    )
    job = job_rows.add_job(db, volume, b"", wanted=None, created_at=str(described["created"]))
    job_rows.set_session(db, job, session, str(described["folder"]))
    assets.add_sources(db, job, (_find(source) for source in described["sources"]))
    missing = 0
    rows = {source.path: source for source in assets.list_sources(db, job)}
    for one in described["sources"]:
        source = rows[read_path(one, "path")]
        if source.state is not SourceState.PENDING:
            continue
        asset = assets.find_asset(db, Sha256(bytes.fromhex(one["sha256"]))) if "sha256" in one else None
        if asset is None:
            missing += 1
            tasks.want_copies(db, job, [(source.id, 0, source.size)])
            continue
        assets.settle_source(db, source.id, SourceState(one["state"]), asset.id)
        _adopt_picture(db, manifest, source, one, session)
    tasks.park(db, job, (Stage.COPY,), Cause.CARD_GONE)
    safety = _judge(
        described, missing=missing, failed=any(row.state is SourceState.FAILED for row in rows.values())
    )
    at = str(described["secured"]) if safety is Safety.SECURED else None
    job_rows.set_safety(db, job, safety, at=at)
    tasks.want(db, Stage.PUBLISH, job, session)
    for source in assets.list_sources(db, job, (SourceState.STORED,)):
        if not assets.has_picture(db, source.id):
            want_renders(db, source)
    return missing


def _find(described: Mapping[str, Any]) -> Found:
    state = SourceState(described["state"])
    lasting = state in (SourceState.FAILED, SourceState.SKIPPED)
    return Found(
        path=read_path(described, "path"),
        size=int(described["size"]),
        mtime_ns=int(described["mtime_ns"]),
        kind=Kind(described["kind"]),
        state=state if lasting else SourceState.PENDING,
        error=str(described["error"]) if lasting else None,
    )


def _judge(described: Mapping[str, Any], *, missing: int, failed: bool) -> Safety:
    """What a job is worth now: secured only if it was, and everything is still there."""
    before = Safety(described["safety"])
    if before is Safety.CLOSED or (before is Safety.SECURED and not missing):
        return before
    return Safety.ATTENTION if failed and not missing else Safety.INTERRUPTED


def _adopt_picture(
    db: sqlite3.Connection,
    manifest: _Manifest,
    source: Source,
    described: Mapping[str, Any],
    session: SessionId,
) -> None:
    """Renditions that are there need not be made again."""
    places = _list_renditions(manifest.name.encode(), described)
    if not places or not manifest.present.issuperset(place for place, _ in places):
        return
    picture = described["picture"]
    info = PhotoInfo(**{field.name: picture[field.name] for field in fields(PhotoInfo)})
    assets.put_picture(
        db,
        source.id,
        session,
        Picture(
            source_id=source.id,
            path=source.path,
            kind=source.kind,
            share=str(picture["share"]),
            width=int(picture["width"]),
            height=int(picture["height"]),
            share_bytes=int(picture["share_bytes"]),
            thumb_bytes=int(picture["thumb_bytes"]),
            info=info,
            error=None,
        ),
    )
