"""Scan: the whole inventory of a card, in one commit, and what of it is known already."""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ghostroll import jobs
from ghostroll.cards.inventory import take_inventory
from ghostroll.cards.reading import read_heads
from ghostroll.config.settings import PublishOnly
from ghostroll.engine.settle import Outcome
from ghostroll.errors import Stopped
from ghostroll.faults import crash_point
from ghostroll.library.durable import has_size
from ghostroll.model import (
    HEAD_BYTES,
    Asset,
    Found,
    JobId,
    Safety,
    Source,
    SourceState,
    Stage,
    Task,
)
from ghostroll.observe.wording import say_bytes
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.station.galleries import add_bucket_gallery, want_original, want_shown_pictures
from ghostroll.station.wiring import Slot, Wiring


@dataclass(frozen=True, slots=True)
class _Inventory:
    """What a scan found: the job it belongs to, everything on the card, and assets of files known before."""

    job: JobId
    found: Sequence[Found]
    known: dict[bytes, Asset]


class ScanWork:
    """One scan at a time. Returns the inventory as facts; nothing of a card is recorded before all of it is."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._stopping = threading.Event()

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Scan one card."""
        (task,) = tasks_
        slot = self._wiring.slot_of(task.job_id)
        meter = self._wiring.meter
        meter.begin(task.job_id, Stage.SCAN)
        found = take_inventory(slot.medium, self._wiring.settings.cards.leave_out, check=self._check)
        found, told = jobs.believe_locks(found)
        if not told:
            self._warn_of_locks(slot)
        job = self._choose_job(slot, found)
        known = self._find_known(slot, found, job) if self._wiring.settings.copy.trust_known else {}
        slot.medium.check_present()
        crash_point("scan.done")
        meter.count(task.job_id, Stage.SCAN, items=len(found))
        self._tell_shortage(slot, found, known, job)
        inventory = _Inventory(job or task.job_id, found, known)
        return [Outcome(task, facts=lambda db: self._record(db, task, slot, inventory))]

    def expect(self) -> None:
        """There is nothing to make ready."""

    def settled(self) -> None:
        """Nothing is held between runs."""

    def rest(self) -> None:
        """Nothing is held."""

    def interrupt(self) -> None:
        """Make a run under way end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Nothing is held."""

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped("stopped in the middle of a scan")

    def _choose_job(self, slot: Slot, found: Sequence[Found]) -> JobId | None:
        if slot.resume is not None:
            return slot.resume
        with self._wiring.database.read() as db:
            earlier = job_rows.list_jobs(
                db, safety=(Safety.INTERRUPTED, Safety.ATTENTION), volume=slot.volume
            )
            candidates = [
                jobs.Candidate(job.id, job.volume, job.safety, _list_unsettled(db, job.id)) for job in earlier
            ]
            unread = {job.id for job in earlier if not assets.has_sources(db, job.id)}
        # Of an insertion that ended before its card was read nothing is known: it fits every card of its volume.
        read = [candidate for candidate in candidates if candidate.job not in unread]
        return jobs.choose_job_to_resume(slot.volume, found, read) or jobs.choose_job_to_resume(
            slot.volume, found, candidates
        )

    def _find_known(self, slot: Slot, found: Sequence[Found], job: JobId | None) -> dict[bytes, Asset]:
        """Files that an earlier secured job of this volume settles without a full read: DESIGN section 5."""
        if slot.volume.uuid is None:
            return {}
        with self._wiring.database.read() as db:
            secured = job_rows.list_jobs(db, safety=(Safety.SECURED,), volume=slot.volume, limit=1)
            if not secured:
                return {}
            earlier = {
                source.path: source for source in assets.list_sources(db, secured[0].id) if source.asset_id
            }
            stored = {asset.id: asset for asset in assets.list_assets_of_job(db, secured[0].id)}
            settled = set()
            if job is not None:
                settled = {source.path for source in assets.list_sources(db, job) if source.asset_id}
        known: dict[bytes, Asset] = {}
        with self._wiring.library.enter() as root:
            for item, source in jobs.match_known(found, earlier):
                self._check()
                if source.asset_id is None or item.path in settled:
                    continue
                asset = stored[source.asset_id]
                if not asset.is_believed or not has_size(root, asset.path, asset.size):
                    continue  # found damaged, or not there: the card's copy heals it
                known[item.path] = asset
        return self._believe_heads(slot, known)

    def _believe_heads(self, slot: Slot, known: dict[bytes, Asset]) -> dict[bytes, Asset]:
        """Those whose beginning is what was stored. One that differs, and nothing on this card is taken from memory."""
        believed: dict[bytes, Asset] = {}
        heads = read_heads(slot.medium, known, HEAD_BYTES)
        for (path, asset), head in zip(known.items(), heads, strict=True):
            self._check()
            if head is None:
                continue  # the copy will say why
            if hashlib.sha256(head).digest() != asset.head:
                return {}
            believed[path] = asset
        return believed

    def _warn_of_locks(self, slot: Slot) -> None:
        if self._wiring.settings.publish.only is PublishOnly.PROTECTED:
            self._wiring.log.warning(
                f"{slot.volume.label}: every file looks locked, so it can't be told which pictures were locked in the"
                ' camera: none is shared; if they all are meant, set publish.only to "all" for this card',
                job=slot.job,
                card=slot.volume.label,
            )

    def _tell_shortage(
        self, slot: Slot, found: Sequence[Found], known: Mapping[bytes, Asset], job: JobId | None
    ) -> None:
        """What does not fit is known now, and said now; what fits is copied all the same."""
        settled: set[bytes] = set()
        if job is not None:
            with self._wiring.database.read() as db:
                settled = {source.path for source in assets.list_sources(db, job) if source.asset_id}
        needed = sum(
            item.size
            for item in found
            if item.state is SourceState.PENDING and item.path not in known and item.path not in settled
        )
        with self._wiring.library.enter() as root:
            space = os.fstatvfs(root)
        keep_free = self._wiring.settings.library.keep_free_mib << 20
        short = jobs.tell_shortage(needed, space.f_bavail * space.f_frsize, keep_free)
        if short:
            self._wiring.log.warning(
                f"{slot.volume.label}: the library's disk is {say_bytes(short)} short: make room;"
                " what fits is copied now, the rest when there is room",
                job=job or slot.job,
                bytes=short,
            )

    def _record(self, db: sqlite3.Connection, task: Task, slot: Slot, inventory: _Inventory) -> None:
        """The inventory becomes the job's, whole; what is not known is wanted."""
        job = inventory.job
        if not any(item.state is not SourceState.SKIPPED for item in inventory.found):
            tasks.forget_job(db, task.job_id)
            job_rows.drop_job(db, task.job_id)
            return
        if job != task.job_id:
            tasks.forget_job(db, task.job_id)
            job_rows.drop_job(db, task.job_id)
            assets.drop_listing_failures(db, job)
            tasks.unpark(db, list(jobs.RESUMED_CAUSES), job)
            assets.reopen_failed(db, job)
            job_rows.set_root(db, job, slot.medium.root)
            job_rows.reopen_publication(db, job)
        self._drop_unread(db, slot, job)
        assets.add_sources(db, job, inventory.found)
        self._show_again(db, job)
        pending = assets.list_sources(db, job, (SourceState.PENDING,))
        self._settle_known(db, [source for source in pending if source.path in inventory.known], inventory)
        new = (source for source in pending if source.path not in inventory.known)
        wanted = ((source.id, jobs.order_copies(source.kind), source.size) for source in new)
        tasks.want_anew(db, Stage.COPY, job, wanted)
        job_rows.set_safety(db, job, Safety.COPYING)
        slot.job = job

    def _settle_known(self, db: sqlite3.Connection, sources: Sequence[Source], inventory: _Inventory) -> None:
        """What is in the library already is not copied; where originals belong in a bucket, it may lack there."""
        found = [(source, inventory.known[source.path].id) for source in sources]
        assets.settle_known(db, ((source.id, asset) for source, asset in found))
        tasks.drop_wishes(db, Stage.COPY, (source.id for source in sources))  # of an earlier insertion
        if self._wiring.cloud is not None:
            for source, asset in found:
                want_original(self._wiring, db, replace(source, asset_id=asset))

    def _show_again(self, db: sqlite3.Connection, job: JobId) -> None:
        """A job that goes on is shown where the configuration says now, with the locks that its card has now."""
        found = job_rows.get_job(db, job)
        if found is not None and found.session_id is not None:
            add_bucket_gallery(self._wiring, db, job, found.session_id)
            want_shown_pictures(self._wiring, db, found.session_id)

    def _drop_unread(self, db: sqlite3.Connection, slot: Slot, job: JobId) -> None:
        """Earlier insertions that ended before their card was read are made good by this one."""
        for earlier in job_rows.list_jobs(db, safety=(Safety.INTERRUPTED,), volume=slot.volume):
            if earlier.id != job and not assets.has_sources(db, earlier.id):
                tasks.forget_job(db, earlier.id)
                job_rows.drop_job(db, earlier.id)


def _list_unsettled(db: sqlite3.Connection, job: JobId) -> tuple[Source, ...]:
    """A job's files that are not in the library yet. Folders that could not be listed are looked at anew anyway."""
    unlisted = assets.list_unlisted(db, job)
    return tuple(source for source in assets.list_open_sources(db, job) if source.id not in unlisted)
