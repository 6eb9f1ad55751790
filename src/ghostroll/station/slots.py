"""The cards that are in: how one is taken up, and how it is let go when it left."""

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import replace

from ghostroll.cards.volume import Medium
from ghostroll.engine.crew import Crew
from ghostroll.engine.engine import Engine
from ghostroll.engine.settle import Policy
from ghostroll.errors import CardGone, MachineShort, TransientError, UsageError
from ghostroll.library.durable import library_errors
from ghostroll.model import Cause, JobId, Safety, Stage, Volume
from ghostroll.state import jobs as job_rows
from ghostroll.state import tasks
from ghostroll.station.copy import CopyWork
from ghostroll.station.finding import find_card
from ghostroll.station.review import review_job
from ghostroll.station.scan import ScanWork
from ghostroll.station.telling import tell_unread
from ghostroll.station.wiring import Slot, Wiring

_OF_THE_CARD = (Stage.SCAN, Stage.COPY)
_BESIDE_THE_CARD = (Cause.NO_SPACE, Cause.LIBRARY_GONE)  # would go away by themselves, and nobody could copy
_AT_WORK = (Safety.SCANNING, Safety.COPYING)
_LETTING_GO = 1.0  # seconds for the threads of a card that left to notice; one that hangs is left behind
_SCAN_ATTEMPTS = 3


class Slots:
    """Admits cards and dismisses them. From any thread."""

    def __init__(self, wiring: Wiring, engine: Engine) -> None:
        self._wiring, self._engine = wiring, engine
        self._lock = threading.Lock()

    def admit(self, path: bytes, *, session: str | None, resume: JobId | None, diskseq: int | None) -> Slot:
        """See `Station.admit`."""
        wiring = self._wiring
        volume, medium = find_card(path, wiring.settings)
        if diskseq and medium.diskseq and medium.diskseq != str(diskseq):
            raise CardGone("the card was swapped for another one: that one is looked at by itself")
        if session is not None:
            self._check_session(session)
        if resume is not None:
            self._check_same_card(volume, resume)
        with self._lock:
            at_work = self._find_at_work(medium)
            if at_work is not None:
                return at_work
            with wiring.database.write() as db:
                if volume.uuid is not None and job_rows.list_jobs(db, safety=_AT_WORK, volume=volume):
                    # Two cards that can't be told apart: this one is read whole, and never taken for the other.
                    volume = replace(volume, uuid=None)
                job = job_rows.add_job(db, volume, medium.root, wanted=session, created_at=wiring.now_text())
                slot = Slot(volume, medium, job, session, resume)
                wiring.slots[job] = slot
                tasks.want(db, Stage.SCAN, job, job)
            crew = Crew(Stage.SCAN, lambda: ScanWork(wiring), job=job, policy=Policy(attempts=_SCAN_ATTEMPTS))
            slot.threads = self._engine.start(crew)
        return slot

    def dismiss(self, slot: Slot) -> bool:
        """See `Station.dismiss`."""
        with self._lock:
            slot.gone = True
            threads = tuple(slot.threads)
        self._park(slot.job)
        ended = self._engine.dismiss(threads, _LETTING_GO)
        with self._lock:
            for job in [job for job, one in self._wiring.slots.items() if one is slot]:
                del self._wiring.slots[job]
        self._take_away(slot)
        review_job(self._wiring, slot.job)
        return ended

    def start_copying(self, scanned: JobId) -> Slot | None:
        """The scan has said which job its card belongs to: copy for that one. None where the card was let go already."""
        wiring = self._wiring
        with self._lock:
            slot = wiring.slots.pop(scanned, None)
            if slot is None:
                return None
            wiring.slots[slot.job] = slot
            if slot.job != scanned:
                wiring.meter.forget(slot.job, Stage.COPY)
                wiring.meter.move(scanned, slot.job)
            for thread in slot.threads:
                thread.stop()
            if not slot.gone:
                slot.threads = self._engine.start(self._make_copy_crew(slot))
        return slot

    def park_gone(self, job: JobId) -> None:
        """One copy found that the card is gone: the others need not find it out one by one.

        It may be back by now, and read by others. A card that is let go needs no parking from here.
        """
        slot = self._wiring.slots.get(job)
        if slot is None or slot.gone:
            return
        try:
            slot.medium.check_present()
        except CardGone:
            self._park(job)
        except MachineShort:  # then each finds it out by itself
            pass

    def _make_copy_crew(self, slot: Slot) -> Crew:
        copy = self._wiring.settings.copy
        return Crew(
            Stage.COPY,
            lambda: CopyWork(self._wiring, slot),
            threads=copy.threads_per_card,
            batch=copy.batch_files,
            batch_weight=copy.batch_mib << 20,
            job=slot.job,
            policy=Policy(attempts=copy.attempts),
        )

    def _park(self, job: JobId) -> None:
        with self._wiring.database.write() as db:
            tasks.park(db, job, _OF_THE_CARD, Cause.CARD_GONE)

    def _take_away(self, slot: Slot) -> None:
        """Nothing of the card is under way any more, for anybody; what waited for something else waits for the card."""
        wiring = self._wiring
        with wiring.database.write() as db:
            job = slot.job  # a scan that ends at this moment changes it, in its own transaction
            tasks.take_away(db, job, _OF_THE_CARD, Cause.CARD_GONE)
            tasks.park(db, job, _OF_THE_CARD, Cause.CARD_GONE)
            tasks.park_anew(db, job, _OF_THE_CARD, _BESIDE_THE_CARD, Cause.CARD_GONE)
            found = job_rows.get_job(db, job)
            unread = found is not None and found.safety is Safety.SCANNING
            if unread:
                tasks.drop_open(db, job, (Stage.SCAN,))
            if unread and slot.volume.uuid is None:  # it would never be recognised
                tasks.forget_job(db, job)
                job_rows.drop_job(db, job)
            elif unread:
                job_rows.set_safety(db, job, Safety.INTERRUPTED)
            wiring.waiting.intersection_update(tasks.list_parked(db))
        if unread:
            tell_unread(wiring, slot)

    def _find_at_work(self, medium: Medium) -> Slot | None:
        with self._wiring.database.read() as db:
            at_work: Sequence[JobId] = [job.id for job in job_rows.list_jobs(db, safety=_AT_WORK)]
        for slot in self._wiring.slots.values():
            if slot.medium == medium and not slot.gone and slot.job in at_work:
                return slot
        return None

    def _check_session(self, name: str) -> None:
        with self._wiring.database.read() as db:
            known = job_rows.find_session(db, name) is not None
        found: Sequence[bytes] = ()
        try:
            # Only a folder that is certainly not there may be taken for a new one: what can't be seen may hold files.
            with library_errors("looking at the session's folder"), contextlib.suppress(FileNotFoundError):
                found = os.listdir(os.path.join(self._wiring.library.path, name.encode()))
        except TransientError as error:
            raise UsageError(
                f"{name} is in the library and no session's folder: choose another name"
            ) from error
        if found and not known:
            raise UsageError(f"{name} is in the library, but no record knows it: run 'ghostroll adopt' first")

    def _check_same_card(self, volume: Volume, resume: JobId) -> None:
        with self._wiring.database.read() as db:
            job = job_rows.get_job(db, resume)
        if job is None or (volume.uuid, volume.size) != (job.volume.uuid, job.volume.size):
            raise UsageError(f"the card at hand is not that of job {resume}: put that one in and try again")
