"""What the daemon does when it is asked: the same as the commands do by themselves, in the station that runs.

Every method may be called from many threads at once. A client only watches: when it leaves, the work goes on.
"""

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import assert_never

from ghostroll.cards.volume import explain_unreadable
from ghostroll.daemon.progress import Glance, describe_glance, describe_note
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import Close, Folder, Ingest, Link, Publish, Request, Retry
from ghostroll.errors import StateUnusable, UsageError
from ghostroll.library.layout import show_path
from ghostroll.model import Cause, GalleryId, Job, JobId, Safety
from ghostroll.station.finding import find_card, is_card_at
from ghostroll.station.following import GLANCE, Counts, Course, Followed, is_job_quiet
from ghostroll.station.galleries import list_shown
from ghostroll.station.run import check_session_name
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments, summarize
from ghostroll.station.upkeep import (
    check_gallery,
    close_job,
    describe_link,
    is_link_settled,
    publish_job,
    require_job,
    reread_files,
    revive_job,
    say_being_read,
    want_link,
)
from ghostroll.station.wiring import Slot

_PASSING = frozenset({Cause.NO_SPACE, Cause.LIBRARY_GONE})  # a copy that waits for these goes on by itself

Admit = Callable[[bytes, str | None, JobId | None], Slot]


@dataclass(frozen=True, slots=True)
class _OneJob:
    """A job that is followed without its card."""

    job: JobId


class Desk:
    """Answers requests. `admit(path, session, resume)` takes a card in, as the station's `admit` does."""

    def __init__(self, station: Station, admit: Admit) -> None:
        self._station, self._admit_card = station, admit
        self._wiring = station.wiring
        self._lock = threading.Lock()
        self._guests: list[Slot] = []  # folders that came in by request alone: nobody else lets go of them

    def answer(self, request: Request, reply: Reply) -> None:
        """Do what is asked and tell how it goes; for a thread of its own.

        Raises UsageError where it can't be meant, CardFailing where its card can't be read at all, StateUnusable
        where the station fails meanwhile.
        """
        try:
            self._let_go()
            match request:
                case Retry(job):
                    self._retry(job, reply)
                case Close(job):
                    self._close(job, reply)
                case Publish(job):
                    self._publish(job, reply)
                case Link(job):
                    self._link(job, reply)
                case Ingest():
                    self._ingest(request, reply)
                case _:
                    assert_never(request)
            self._let_go()
        except (sqlite3.Error, OSError) as error:
            raise StateUnusable(
                f"the daemon can't use the state or the library any more ({error}): its log says how it goes on"
            ) from error

    def _ingest(self, request: Ingest, reply: Reply) -> None:
        check_session_name(request.session)
        path = os.path.realpath(request.path)
        self._check_place(path, request.seen, to_owner=reply.to_owner)
        before = list(self._wiring.slots.values())
        slot = self._admit(path, request.session, None, before)
        self._follow_to_the_end(slot, path, reply)

    def _retry(self, job_id: JobId, reply: Reply) -> None:
        job = require_job(self._wiring, job_id)
        own = self._wiring.slots.get(job_id)
        followed: Followed = _OneJob(job_id)
        if job.safety in (Safety.SECURED, Safety.CLOSED):
            _, number = revive_job(self._wiring, job_id)
            if not number:
                reply.progress(describe_note(f"nothing of job {job_id} waits for a retry"))
        elif job.safety in (Safety.SCANNING, Safety.COPYING) and own is not None and not own.gone:
            revive_job(self._wiring, job_id)
            reread_files(self._wiring, job_id)
        else:
            followed = self._read_again(job, own)
        self._station.engine.bell.ring()
        self._follow_to_the_end(followed, job.root, reply)

    def _read_again(self, job: Job, own: Slot | None) -> Slot:
        """Have a job's missing files read as if its card came back."""
        before = list(self._wiring.slots.values())
        root = self._find_card(job)
        find_card(root, self._wiring.settings)  # a card that fails now is not let go of
        if own is not None:
            self._station.dismiss(own)
        revive_job(self._wiring, job.id)
        return self._admit(root, None, job.id, before)

    def _find_card(self, job: Job) -> bytes:
        """Where a job's card is now."""
        volume = job.volume
        for slot in list(self._wiring.slots.values()):
            same = volume.uuid is not None and (slot.volume.uuid, slot.volume.size) == (
                volume.uuid,
                volume.size,
            )
            if not slot.gone and (slot.job == job.id or same):
                return slot.medium.root
        if is_card_at(job.root):
            return job.root
        raise UsageError(
            f"the card of job {job.id} is not in: put it in, and what is missing is copied by itself"
        )

    def _close(self, job_id: JobId, reply: Reply) -> None:
        if any(
            slot.resume == job_id != slot.job and not slot.gone for slot in list(self._wiring.slots.values())
        ):
            raise UsageError(say_being_read(job_id))
        missing = close_job(self._wiring, job_id)
        self._station.engine.bell.ring()
        if self._wait(lambda: is_job_quiet(self._station, job_id), reply):
            reply.finish({"job": job_id, "state": Safety.CLOSED, "missing": missing}, 0)

    def _publish(self, job_id: JobId, reply: Reply) -> None:
        before = self._list_written(job_id)
        publish_job(self._wiring, job_id)
        self._station.engine.bell.ring()

        def is_written() -> bool:
            # One that grows is written again and again, so once is enough.
            after = self._list_written(job_id)
            again = bool(after) and all(at is not None and at != before.get(one) for one, at in after.items())
            return again or is_job_quiet(self._station, job_id)

        if self._wait(is_written, reply):
            check_gallery(self._wiring, job_id)
            self._tell_gallery(job_id, reply)

    def _list_written(self, job_id: JobId) -> dict[GalleryId, float | None]:
        """When each gallery of a job was last written by this station."""
        session = require_job(self._wiring, job_id).session_id
        if session is None:
            return {}
        with self._wiring.database.read() as db:
            shown = list_shown(self._wiring, db, session)
        return {gallery.id: self._wiring.written.get(gallery.id) for gallery in shown}

    def _link(self, job_id: JobId, reply: Reply) -> None:
        if want_link(self._wiring, job_id):
            self._station.engine.bell.ring()
            if not self._wait(lambda: is_link_settled(self._wiring, job_id), reply):
                return
            check_gallery(self._wiring, job_id)
        self._tell_gallery(job_id, reply)

    def _tell_gallery(self, job_id: JobId, reply: Reply) -> None:
        wiring = self._wiring
        with wiring.database.read() as db:
            document = describe_link(db, wiring.cloud, wiring.library.path, job_id)
        reply.finish(document, 0)

    def _follow_to_the_end(self, followed: Followed, path: bytes, reply: Reply) -> None:
        """Tell how far it is until nothing goes on by itself, then what came of it."""
        course, counts = Course(self._station, followed), Counts(self._station, followed)

        def is_over() -> bool:
            course.note()
            return is_job_quiet(self._station, followed.job)

        def tell() -> None:
            readings = self._wiring.meter.read(followed.job)
            reply.progress(describe_glance(Glance(*counts.take(), readings)))

        if not self._wait(is_over, reply, tell):
            return
        if self._station.get_job(followed.job) is None:
            raise UsageError(f"there is no file in {show_path(path)}: is the card mounted there?")
        tell()
        moments = course.tell_moments() if isinstance(followed, Slot) else Moments(None, None, None)
        summary = summarize(self._wiring, followed.job, moments)
        reply.finish(summary.document, summary.exit_code)

    def _wait(
        self, is_done: Callable[[], bool], reply: Reply, tell: Callable[[], None] | None = None
    ) -> bool:
        """Wait until something is so; False where nobody listens any more before it is."""
        while not self._station.wait(lambda: reply.is_gone or is_done(), GLANCE):
            if tell is not None:
                tell()
        return not reply.is_gone

    def _admit(self, path: bytes, session: str | None, resume: JobId | None, before: Sequence[Slot]) -> Slot:
        """Take a card in. `before` are the slots that there were: a card that nobody else looks after is a guest."""
        slot = self._admit_card(path, session, resume)
        if any(slot is one for one in before):
            if session not in (None, slot.wanted) or resume not in (None, slot.job, slot.resume):
                raise UsageError(say_being_read(slot.job))
            return slot
        of_it = [one for one in before if one.medium == slot.medium]
        with self._lock:
            if not of_it or any(one is guest for one in of_it for guest in self._guests):
                self._guests.append(slot)
        return slot

    def _let_go(self) -> None:
        """Dismiss the folders that came in by request and are done with; no device's removal tells of their end."""
        with self._lock:
            guests = list(self._guests)
        for slot in guests:
            if slot.gone or self._is_done_with(slot):
                self._station.dismiss(slot)
                with self._lock:
                    self._guests = [one for one in self._guests if one is not slot]

    def _is_done_with(self, slot: Slot) -> bool:
        waits = self._station.list_parked(slot.job).keys()
        return not waits & _PASSING and is_job_quiet(self._station, slot.job)

    def _check_place(self, path: bytes, seen: Folder | None, *, to_owner: bool) -> None:
        """Raise UsageError for a folder that is not meant, or that whoever asks could not read by themselves.

        Raises CardFailing where the card in it can't be read at all. Members of the group may have cards read, where
        cards are mounted. Elsewhere the daemon would read for them what is for it alone.
        """
        shown, roots = show_path(path), self._wiring.settings.cards.mount_roots
        if not to_owner and not _is_below(path, roots):
            raise UsageError(
                f"{shown} is not where cards are mounted ({', '.join(roots)}): ask for it with sudo"
            )
        hidden = (
            f"the daemon does not see {shown} as you do: its service sees nothing below /home and /tmp, and only"
            " what user ghostroll may read; mount the card below /media or /mnt, or stop the daemon first"
        )
        try:
            found = os.stat(path)
        except OSError as error:
            told = explain_unreadable(shown, error)
            raise (UsageError(hidden) if seen and isinstance(told, UsageError) else told) from error
        if not stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{shown} is not a folder: give the folder where the card is mounted")
        if seen not in (None, Folder(found.st_dev, found.st_ino)) or not os.access(path, os.R_OK | os.X_OK):
            raise UsageError(hidden)


def _is_below(path: bytes, roots: Collection[str]) -> bool:
    return any(path.startswith(os.path.realpath(os.fsencode(root)).rstrip(b"/") + b"/") for root in roots)
