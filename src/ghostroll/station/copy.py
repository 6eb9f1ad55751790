"""Copy: files of one card into the library, and what each of them means for the ledger."""

import contextlib
import functools
import sqlite3
from collections.abc import Sequence

from ghostroll import jobs
from ghostroll.cards.reading import open_source
from ghostroll.engine.settle import Outcome, Settlement
from ghostroll.library.copying import Copied, Copier, CopyRules, Duplicate, Failed, Stored
from ghostroll.library.layout import place_original, show_path
from ghostroll.model import (
    PICTURE_KINDS,
    Asset,
    Cause,
    Safety,
    SessionId,
    Sha256,
    Source,
    SourceId,
    SourceState,
    Stage,
    Task,
    TaskState,
)
from ghostroll.state import assets, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.station.galleries import want_original
from ghostroll.station.session import ensure_session
from ghostroll.station.wiring import Slot, Wiring


class CopyWork:
    """One thread's copying for one card."""

    def __init__(self, wiring: Wiring, slot: Slot) -> None:
        self._wiring, self._slot = wiring, slot
        settings = wiring.settings
        rules = CopyRules(
            keep_free=settings.library.keep_free_mib << 20,
            reverify_seconds=settings.library.reverify_days * 86_400,
            chunk=settings.copy.chunk_kib << 10,
            reread=settings.copy.reread_source,
        )
        self._copier = Copier(
            rules,
            self,
            wiring.folders,
            wiring.claims,
            slot.reader,
            now=wiring.now_seconds,
            progress=lambda size: wiring.meter.count(slot.job, Stage.COPY, size=size),
        )

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Copy a batch of one card's files."""
        self._wiring.meter.begin(self._slot.job, Stage.COPY)
        with self._wiring.database.read() as db:
            by_source = {SourceId(task.subject): task for task in tasks_}
            sources = [assets.get_source(db, source) for source in by_source]
        with self._wiring.library.enter() as root:
            fates = self._copier.copy_batch(root, sources)
        # Stored before duplicate: a duplicate may be of a file in the same batch.
        fates.sort(key=lambda fate: isinstance(fate, Duplicate))
        return [self._judge(by_source[fate.source.id], fate) for fate in fates]

    def expect(self) -> None:
        """There is nothing to make ready."""

    def settled(self) -> None:
        """Let other cards have these contents."""
        self._copier.release()

    def rest(self) -> None:
        """Its buffer is small, and its card is in."""

    def interrupt(self) -> None:
        """Make a run under way end soon."""
        self._copier.interrupt()

    def close(self) -> None:
        """Give everything back."""
        self._copier.close()

    def find_asset(self, sha256: Sha256) -> Asset | None:
        """The recorded asset of a content."""
        with self._wiring.database.read() as db:
            return assets.find_asset(db, sha256)

    def find_asset_at(self, path: bytes) -> Asset | None:
        """The asset recorded at a place."""
        with self._wiring.database.read() as db:
            return assets.find_asset_at(db, path)

    def place(self, source: Source) -> bytes:
        """Where a source goes; makes the session where there is none yet."""
        session, folder = ensure_session(self._wiring, source.job_id)
        return place_original(session.name, folder, source.path)

    def find_place(self, source: Source) -> bytes | None:
        """Where a source goes, None where nothing was stored for its job yet."""
        with self._wiring.database.read() as db:
            return find_place(db, source)

    def open_source(
        self, source: Source, *, around_cache: bool = False
    ) -> contextlib.AbstractContextManager[int]:
        """The card's file, vouched for when it is left without an error."""
        return open_source(self._slot.medium, source, around_cache=around_cache)

    def notice(self, sentence: str, path: bytes) -> None:
        """Put something unusual down in the log."""
        shown = show_path(path)
        label = self._slot.volume.label
        self._wiring.log.warning(f"{shown}: {sentence}", path=shown, job=self._slot.job, card=label)

    def _judge(self, task: Task, fate: Copied) -> Outcome:
        match fate:
            case Failed(_, error):
                return Outcome(task, error=error)
            case Stored():
                self._wiring.meter.count(task.job_id, Stage.COPY, items=1)
                return Outcome(task, facts=lambda db: self._record_stored(db, fate))
            case Duplicate():
                self._wiring.meter.count(task.job_id, Stage.COPY, items=1)
                return Outcome(task, facts=lambda db: self._record_duplicate(db, fate))

    def _record_stored(self, db: sqlite3.Connection, fate: Stored) -> None:
        source = fate.source
        session = fate.healed.session_id if fate.healed else _session_of_job(db, source)
        before = assets.find_asset(db, fate.content.sha256)
        if before is not None and before.path != fate.path:
            job_rows.mark_records_due(db, before.id)
        asset = assets.put_asset(
            db,
            fate.content.sha256,
            size=fate.content.size,
            head=fate.content.head,
            path=fate.path,
            session=_require(session),
            verified_at=fate.verified_at,
        )
        of_session = [
            other for other in assets.list_stored_as(db, asset) if _session_of_job(db, other) == session
        ]
        alone = all(other.id == source.id for other in of_session)
        here = session == _session_of_job(db, source) and alone
        assets.settle_source(db, source.id, SourceState.STORED if here else SourceState.DUPLICATE, asset)
        # Whatever was rendered of this file's earlier bytes, or of damaged ones, is not its picture.
        for shown in {other.id: other for other in (*of_session, source)}.values():
            forget_picture(db, shown)
            want_renders(db, shown)
        want_original(self._wiring, db, assets.get_source(db, source.id))

    def _record_duplicate(self, db: sqlite3.Connection, fate: Duplicate) -> None:
        asset = fate.asset or assets.find_asset(db, fate.content.sha256)
        if asset is None:
            raise AssertionError("a duplicate is linked only to a committed asset")
        if fate.verified_at is not None:
            assets.set_verified(db, asset.id, fate.verified_at)
        assets.settle_source(db, fate.source.id, SourceState.DUPLICATE, asset.id)
        want_renders(db, fate.source)
        want_original(self._wiring, db, assets.get_source(db, fate.source.id))


def find_place(db: sqlite3.Connection, source: Source) -> bytes | None:
    """Where a source's original goes, None where its job has no session yet."""
    job = job_rows.get_job(db, source.job_id)
    if job is None or job.session_id is None or job.folder is None:
        return None
    return place_original(job_rows.get_session(db, job.session_id).name, job.folder, source.path)


def _require(session: SessionId | None) -> SessionId:
    if session is None:
        raise AssertionError("a file was stored for a job without a session")
    return session


def _session_of_job(db: sqlite3.Connection, source: Source) -> SessionId | None:
    job = job_rows.get_job(db, source.job_id)
    return None if job is None else job.session_id


def record_failed_copy(db: sqlite3.Connection, settlement: Settlement) -> None:
    """A copy that waits because its file can't be read makes the source a failed one; other causes don't."""
    if settlement.state is not TaskState.PARKED or settlement.cause is not Cause.UNREADABLE:
        return
    source = assets.get_source(db, SourceId(settlement.task.subject))
    assets.fail_source(db, source.id, settlement.error or "can't be read")
    want_renders(db, source)


def forget_picture(db: sqlite3.Connection, source: Source) -> None:
    """A source's bytes are new: what was rendered of others is not its picture."""
    picture_rows.drop_picture(db, source.id)
    objects.drop_pictures(db, source.id)
    tasks.forget_settled(db, Stage.RENDER, source.id)


def want_renders(db: sqlite3.Connection, changed: Source) -> None:
    """Queue the pictures of all files that share a number with one whose fate has changed."""
    if changed.kind not in PICTURE_KINDS:
        return
    group = [assets.get_source(db, changed.id), *assets.list_siblings(db, changed)]
    job = job_rows.get_job(db, changed.job_id)
    waiting = job is None or job.safety is not Safety.CLOSED
    broken = functools.partial(picture_rows.has_failed_picture, db)
    for source in jobs.choose_renders(group, broken, waiting=waiting):
        # The newest card's pictures go first: its people are the ones who wait.
        tasks.want(db, Stage.RENDER, source.job_id, source.id, priority=source.job_id)
