"""A station: one state, one library, and the crews at work on them. The daemon and `ingest` both run one."""

import contextlib
import functools
import grp
import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from ghostroll import jobs
from ghostroll.config import Settings
from ghostroll.engine.crew import Clock, Crew
from ghostroll.engine.engine import Engine
from ghostroll.engine.settle import Policy, Settlement
from ghostroll.errors import GhostrollError, UsageError
from ghostroll.library.durable import Folders
from ghostroll.model import Cause, Job, JobId, Safety, Stage, TaskState
from ghostroll.observe.meter import Meter
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.database import Database
from ghostroll.state.owner import Ownership
from ghostroll.station.cloud import Cloud, open_cloud
from ghostroll.station.copy import record_failed_copy
from ghostroll.station.founding import find_library, remember_library, tie_library
from ghostroll.station.probing import is_anything_parked, note_bucket, probe_causes, try_bucket
from ghostroll.station.publish import PublishWork
from ghostroll.station.queue import LedgerQueue
from ghostroll.station.recover import interrupt_jobs, recover
from ghostroll.station.render import RenderWork, record_failed_render
from ghostroll.station.renewing import renew_addresses
from ghostroll.station.review import list_sharing, list_unsaid, review_job
from ghostroll.station.session import ensure_session
from ghostroll.station.slots import Slots
from ghostroll.station.telling import tell_scan, tell_settlement
from ghostroll.station.upload import UploadWork, record_failed_upload
from ghostroll.station.wiring import Slot, Sources, Wiring
from ghostroll.station.witness import Witness

_BREATHER = 0.05  # seconds between two looks at what is waited for
_PAGE_SENDERS = 2  # one gallery that goes up slowly must not keep the next link waiting
_ORIGINALS_AT_ONCE = 4  # more gain nothing: each is large
_PUBLISH_ATTEMPTS = 4  # some seconds; after that a gallery waits until the next start, or `retry`
_UPLOAD_ATTEMPTS = 5  # as well; after that an object waits, and it is said for what


class Station:
    """Made by `open_station`. Whoever opened it closes it."""

    def __init__(self, wiring: Wiring, ownership: Ownership) -> None:
        self.wiring = wiring
        self._ownership = ownership
        queue = LedgerQueue(
            wiring.database,
            wiring.clock.boot,
            {
                Stage.COPY: record_failed_copy,
                Stage.RENDER: functools.partial(record_failed_render, wiring),
                Stage.UPLOAD: record_failed_upload,
            },
        )
        clock = Clock(wiring.clock.boot, wiring.clock.random.random)
        self.engine = Engine(queue, clock, on_settled=self._on_settled)
        self.slots = Slots(wiring, self.engine)
        self._breather = threading.Event()  # never set: only waited for
        self.cut_short: list[Job] = []  # jobs whose card was being read when the station was closed

    @classmethod
    def open(
        cls,
        settings: Settings,
        clock: Sources,
        *,
        command: str,
        witness: Witness,
        log: structlog.stdlib.BoundLogger,
        socket: str | None = None,
    ) -> Self:
        """Own the state, open the library, recover. No worker runs yet. `socket`: where the owner takes requests.

        Raises StateHeld, StateUnusable, NoSpace, LibraryNotThere, TransientError or UsageError; then nothing is held.
        """
        state_path = os.fspath(settings.state_path)
        library = find_library(settings, witness, new_id=f"{clock.random.getrandbits(128):032x}")
        ownership = Ownership.take(state_path, command=command, socket=socket)
        try:
            database = Database(state_path)
            try:
                tie_library(database, library)
                remember_library(witness, library, log)
                folders = Folders(_find_group(settings.library.group))
                cloud = open_cloud(settings)
                wiring = Wiring(settings, database, library, clock, Meter(clock.boot), log, folders, cloud)
                recover(wiring)
                return cls(wiring, ownership)
            except BaseException:
                database.close()
                raise
        except BaseException:
            ownership.release()
            raise

    def start(self) -> None:
        """Put the crews to work that serve every card."""
        settings = self.wiring.settings
        workers = settings.render.count_workers(len(os.sched_getaffinity(0)))
        render_policy = Policy(attempts=settings.render.attempts, may_die=True)
        self.engine.start(
            Crew(Stage.RENDER, lambda: RenderWork(self.wiring), threads=workers, policy=render_policy)
        )
        publish_policy = Policy(attempts=_PUBLISH_ATTEMPTS, waits_for=Cause.TARGET)
        ranks = {None: 1} if self.wiring.cloud is None else {jobs.FOLDERS: 1, jobs.BUCKETS: _PAGE_SENDERS}
        for rank, threads in ranks.items():
            crew = Crew(
                Stage.PUBLISH,
                lambda: PublishWork(self.wiring),
                threads=threads,
                rank=rank,
                policy=publish_policy,
            )
            self.engine.start(crew)
        if self.wiring.cloud is not None:
            self._start_uploads(self.wiring.cloud)
        for job in list_unsaid(self.wiring):
            review_job(self.wiring, job)

    def _start_uploads(self, cloud: Cloud) -> None:
        """Pictures have threads of their own, so that no film of an older card is in their way."""
        for rank, threads in ((jobs.PICTURES, cloud.most_threads), (jobs.OTHERS, _ORIGINALS_AT_ONCE)):
            crew = Crew(
                Stage.UPLOAD,
                lambda: UploadWork(self.wiring, cloud),
                threads=threads,
                rank=rank,
                policy=Policy(attempts=_UPLOAD_ATTEMPTS, waits_for=Cause.TARGET),
            )
            self.engine.start(crew)

    def admit(
        self,
        path: bytes,
        *,
        session: str | None = None,
        resume: JobId | None = None,
        diskseq: int | None = None,
    ) -> Slot:
        """A card is in, at this folder: scan it, copy it. Returns at once, its slot says which job it became.

        From any thread; a card that is being read already gives its slot. `diskseq` is the medium that was
        meant. Raises UsageError where the folder can't be a card's, CardFailing where it can't be read, CardGone where
        another medium is in.
        """
        return self.slots.admit(path, session=session, resume=resume, diskseq=diskseq)

    def dismiss(self, slot: Slot) -> bool:
        """A card left, or nobody wants it any more. From any thread; harmless when done twice.

        On return, after about a second at most, nothing of it is under way: what was verified stays, the rest
        waits for the card, and whether it was safe has been said. False where a thread hangs in the kernel; it
        was left behind, and nothing that it still does counts.
        """
        return self.slots.dismiss(slot)

    def wait(self, is_done: Callable[[], bool], timeout: float) -> bool:
        """Wait up to `timeout` seconds until something is so; looked at soon after every change.

        Raises what made the engine fail.
        """
        until = self.wiring.clock.boot() + timeout
        while True:
            seen = self.engine.bell.count()
            done = self.engine.failure is None and is_done()
            if self.engine.failure is not None:  # also one that made it look done
                raise self.engine.failure
            if done:
                return True
            left = until - self.wiring.clock.boot()
            if left <= 0:
                return False
            self.engine.bell.wait(seen, left)
            self._breather.wait(
                min(_BREATHER, left)
            )  # a fast card settles more often than anybody needs to look

    def is_quiet(self) -> bool:
        """Whether nothing goes on by itself any more, for any job."""
        return self.engine.gate.is_empty_and(self._has_nothing_open)

    def _has_nothing_open(self) -> bool:
        with self.wiring.database.read() as db:
            return not tasks.has_any_open(db)

    def get_job(self, job: JobId) -> Job | None:
        """A job as it is now."""
        with self.wiring.database.read() as db:
            return job_rows.get_job(db, job)

    def list_parked(self, job: JobId) -> dict[Cause, int]:
        """What a job's tasks wait for."""
        with self.wiring.database.read() as db:
            return tasks.list_parked(db, job)

    def probe(self, *, patient: bool) -> int:
        """Go on with what waits for a cause that went away; returns how many tasks. See `probe_causes`."""
        number = probe_causes(self.wiring, patient=patient)
        if number:
            self.engine.bell.ring()
        return number

    def try_bucket(self) -> None:
        """Where the bucket could not be used, have one task try again, if that is due."""
        try_bucket(self.wiring, self.engine.bell.ring)

    def has_more_to_do(self) -> bool:
        """Whether anything goes on that does not need the bucket, or the bucket is worth waiting for."""
        with self.wiring.database.read() as db:
            return self.is_patient() or tasks.has_open_elsewhere(db)

    def next_trial(self) -> float | None:
        """When the bucket is tried again (boot-time seconds), None where it can be used."""
        outage = self.wiring.outage
        return None if outage.cause is None else outage.try_at

    def is_patient(self) -> bool:
        """Whether a bucket that failed a moment ago is worth waiting for."""
        return self.wiring.outage.is_young(self.wiring.clock.boot())

    def renew_addresses(self) -> None:
        """Have galleries written again whose addresses are half-way to their end."""
        if renew_addresses(self.wiring):
            self.engine.bell.ring()

    def next_renewal(self) -> float | None:
        """When addresses are looked at again (boot-time seconds); None where they never die."""
        cloud = self.wiring.cloud
        return None if cloud is None or cloud.is_public else self.wiring.renew_at

    def is_anything_parked(self) -> bool:
        """Whether work waits for something that may go away by itself."""
        return is_anything_parked(self.wiring)

    def list_at_work(self) -> list[Job]:
        """Jobs whose card is being read, or would be if it were not for something that may go away by itself."""
        with self.wiring.database.read() as db:
            return job_rows.list_jobs(db, safety=(Safety.SCANNING, Safety.COPYING))

    def list_being_read(self) -> list[Job]:
        """Jobs of whose card something is read now or in a moment: not those that wait for room."""
        with self.wiring.database.read() as db:
            return [
                job for job in self.list_at_work() if tasks.has_open(db, job.id, (Stage.SCAN, Stage.COPY))
            ]

    def close(self, patience: float) -> bool:
        """Stop gracefully and give everything back; False where a thread has not ended after `patience` seconds.

        What was under way is ready again, charged to nobody; the database closes last, also where it can't be
        written any more. A thread that waits for a slow disk may end with the next call; one that reads a dying
        card may never.
        """
        self.engine.stop()
        if self.wiring.cloud is not None:
            self.wiring.cloud.bucket.cut()
        ended = self.engine.join(patience)
        if ended:
            try:
                self.cut_short = self.list_at_work()
                interrupt_jobs(self.wiring)
            finally:
                if self.wiring.cloud is not None:
                    self.wiring.cloud.bucket.close()
                self.wiring.database.close()
                self._ownership.release()
        return ended

    def _on_settled(self, settlements: Sequence[Settlement]) -> None:
        changed: set[JobId] = set()
        for settlement in settlements:
            tell_settlement(self.wiring, settlement)
            note_bucket(self.wiring, settlement)
            task = settlement.task
            changed |= list_sharing(self.wiring, settlement)
            scanned = task.stage is Stage.SCAN and settlement.state is TaskState.DONE
            if task.stage is Stage.COPY and settlement.cause is Cause.CARD_GONE:
                self.slots.park_gone(task.job_id)
            changed.add(self._start_copying(task.job_id) if scanned else task.job_id)
        for job in changed:
            review_job(self.wiring, job)

    def _start_copying(self, scanned: JobId) -> JobId:
        slot = self.slots.start_copying(scanned)
        if slot is None:  # whoever let go of its card says how it is
            return scanned
        tell_scan(self.wiring, slot)
        with self.wiring.database.read() as db:
            has_more = tasks.has_open(db, slot.job, (Stage.COPY,))
        if has_more:
            self.engine.expect(Stage.RENDER)
        self._show_early(slot.job)
        return slot.job

    def _show_early(self, job: JobId) -> None:
        """Let the link out before anything is copied, where something of the card is new for certain."""
        with self.wiring.database.read() as db:
            new = self.wiring.cloud is not None and assets.has_new_size(db, job)
        if new:
            with contextlib.suppress(GhostrollError):  # the copy meets it too, and says so
                ensure_session(self.wiring, job)


def _find_group(name: str) -> int | None:
    """The id of the group that owns new folders. Raises UsageError where this user can't give them to it."""
    if not name:
        return None
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UsageError(
            f"library.group {name!r} does not exist: create it, or change library.group"
        ) from error
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        raise UsageError(
            f"this user is not in library.group {name!r}: add it with 'usermod -aG', or change library.group"
        )
    return group
