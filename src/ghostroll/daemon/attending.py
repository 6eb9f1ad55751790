"""The cards that are in this machine, each attended by a thread of its own: a dying card holds up nobody else."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from ghostroll.cards.sight import ORDINARY, PASSING, Insertion, Seen
from ghostroll.errors import CardGone, GhostrollError, ParkError, TransientError
from ghostroll.model import JobId, Safety
from ghostroll.observe.wording import say_bytes
from ghostroll.station.station import Station
from ghostroll.station.telling import tell_removable
from ghostroll.station.wiring import Slot

_LEAVING = 2.0  # seconds that a card which comes waits for those that just left, so that it finds their jobs in order


@dataclass(slots=True)
class Attendance:
    """One volume that is in. `slot` is set once it was admitted, `trouble` where it could not be.

    `passing`: that may go away by itself.
    """

    seen: Seen
    slot: Slot | None = None
    trouble: str | None = None
    passing: bool = False
    left: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)


class Attendants:
    """Brings cards to the station and takes them away. All methods belong to one thread, but for `is_half_safe`.

    `wake` is called, from other threads, whenever there is something new to tell.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger, wake: Callable[[], None]) -> None:
        self._log, self._wake = log, wake
        self._station: Station | None = None
        self._present: dict[Insertion, Attendance] = {}
        self._seen: tuple[Seen, ...] = ()
        self._refused: frozenset[Insertion] = frozenset()
        self._leaving: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def open(self, station: Station) -> None:
        """There is a station: bring every card that is in."""
        self._station = station
        self.failure = None
        station.wiring.is_half_safe = lambda job: self.is_half_safe(station, job)
        for insertion, attendance in list(self._present.items()):
            self._present[insertion] = Attendance(attendance.seen)
            self._bring(self._present[insertion], station)

    def close(self) -> None:
        """There is no station any more; the cards stay in."""
        self._station = None

    @property
    def is_waiting(self) -> bool:
        """Whether a card could not be brought to the station for a reason that may go away by itself."""
        return any(attendance.passing for attendance in list(self._present.values()))

    def try_again(self) -> None:
        """Bring the cards that wait."""
        for insertion, attendance in list(self._present.items()):
            if attendance.passing and self._station is not None:
                self._present[insertion] = Attendance(attendance.seen, trouble=attendance.trouble)
                self._bring(self._present[insertion], self._station)

    def arrive(self, seen: Seen) -> None:
        """A card is in. Returns at once."""
        attendance = Attendance(seen)
        self._present[seen.insertion] = attendance
        if self._station is not None:
            self._bring(attendance, self._station)

    def leave(self, seen: Seen) -> None:
        """A card left. Returns at once; within about a second nothing of it is under way, and it was said how it was."""
        attendance = self._present.pop(seen.insertion, None)
        if attendance is not None and self._station is not None:
            thread = threading.Thread(
                target=self._attend,
                args=(self._station, self._take_away, attendance),
                name=f"dismiss-{seen.name}",
                daemon=True,
            )
            self._leaving = [*(one for one in self._leaving if one.is_alive()), thread]
            thread.start()

    def refuse(self, seen: Seen) -> None:
        """Say why a medium is not taken. What every machine has in it is nothing to wonder about."""
        if seen.refusal is None:
            return
        self._refused |= {seen.insertion}
        say = self._log.debug if seen.refusal.why in ORDINARY else self._log.warning
        say(f"{seen.title}: not taken, {seen.refusal.words}", card=seen.volume.label, reason=seen.refusal.why)

    def look(self, seen: tuple[Seen, ...]) -> None:
        """Know what is in now; say of each card whose last part became safe that it may be pulled."""
        self._seen = seen
        self._refused &= {one.insertion for one in seen}
        station = self._station
        if station is None:
            return
        for job_id in sorted(station.wiring.half_safe):
            is_in = self._is_in(station, job_id)
            if is_in and self.is_half_safe(station, job_id):
                continue
            station.wiring.half_safe.discard(job_id)
            job = station.get_job(job_id)
            if job is not None and is_in:
                tell_removable(station.wiring, job)

    def is_half_safe(self, station: Station, job: JobId) -> bool:
        """Whether another volume of this job's card is not safe yet. From any thread."""
        own = station.wiring.slots.get(job)
        if own is None or not own.medium.diskseq:
            return False
        return any(
            self._is_open(station, other)
            for other in self._seen
            if str(other.insertion.diskseq) == own.medium.diskseq
            and (other.mount is None or other.mount.device != own.medium.device)
        )

    def _is_in(self, station: Station, job: JobId) -> bool:
        """Whether a job's card is in, as far as the last look tells: its slot lasts a moment longer."""
        own = station.wiring.slots.get(job)
        return own is not None and any(
            attendance.slot is not None and attendance.slot.medium == own.medium
            for attendance in self._present.values()
        )

    def _is_open(self, station: Station, other: Seen) -> bool:
        if other.refusal is not None:
            return other.refusal.why in PASSING and other.insertion not in self._refused
        attendance = self._present.get(other.insertion)
        if attendance is None or attendance.slot is None:
            return True
        job = station.get_job(attendance.slot.job)
        return job is not None and job.safety is not Safety.SECURED

    def describe(self) -> list[dict[str, Any]]:
        """The cards that are in, for the status."""
        station = self._station
        described = []
        for attendance in self._present.values():
            slot, seen = attendance.slot, attendance.seen
            job, safe = None, False
            if slot is not None and station is not None:
                job = station.get_job(slot.job)
                whole = job is not None and job.safety is Safety.SECURED
                safe = whole and not self.is_half_safe(station, slot.job)
            described.append(
                {
                    "card": seen.volume.label,
                    "device": seen.name,
                    "job": None if job is None else job.id,
                    "state": None if job is None else job.safety,
                    "safe_to_remove": safe,
                    "trouble": attendance.trouble,
                }
            )
        return described

    def _bring(self, attendance: Attendance, station: Station) -> None:
        threading.Thread(
            target=self._attend,
            args=(station, self._admit, attendance, tuple(self._leaving)),
            name=f"admit-{attendance.seen.name}",
            daemon=True,
        ).start()

    def _attend(self, station: Station, do: Callable[..., None], *arguments: object) -> None:
        """Run the body of a thread: the main loop decides what a failure means, as for a thread of the engine.

        Of a station that was closed meanwhile it means nothing.
        """
        try:
            do(station, *arguments)
        except Exception as failure:  # noqa: BLE001  # kept, not swallowed
            if station is self._station:
                self.failure = failure
        finally:
            self._wake()

    def _admit(self, station: Station, attendance: Attendance, leaving: tuple[threading.Thread, ...]) -> None:
        seen = attendance.seen
        if seen.mount is None:
            raise AssertionError("what has no mount is refused")
        for thread in leaving:
            thread.join(_LEAVING)
        try:
            slot = station.admit(seen.mount.point, diskseq=seen.insertion.diskseq or None)
        except CardGone as error:
            self._log.debug(f"{seen.title}: {error}")
            return
        except GhostrollError as error:
            known, attendance.trouble = attendance.trouble, str(error)
            attendance.passing = isinstance(error, ParkError | TransientError)
            if attendance.trouble != known:  # said once, however often it is tried
                self._log.error(f"{seen.title}: NOT SAFE: {error}", card=seen.volume.label)
            return
        attendance.trouble = None
        self._log.info(
            f"{seen.title}: a camera's card of {say_bytes(seen.volume.size)} is in",
            card=seen.volume.label,
            device=seen.name,
        )
        with attendance.guard:
            attendance.slot = slot
            left = attendance.left
        if left:
            self._dismiss(attendance, slot, station)

    def _take_away(self, station: Station, attendance: Attendance) -> None:
        with attendance.guard:
            attendance.left = True
            slot = attendance.slot
        if slot is not None:
            self._dismiss(attendance, slot, station)

    def _dismiss(self, attendance: Attendance, slot: Slot, station: Station) -> None:
        """Everybody who reads this card lets go of it; a request may have brought it in as well."""
        others = [one for one in list(station.wiring.slots.values()) if one.medium == slot.medium]
        for one in {id(one): one for one in (*others, slot)}.values():
            if not station.dismiss(one):
                self._log.warning(
                    f"{attendance.seen.title}: a read of it hangs in the kernel and was left behind;"
                    " if the reader is blind to the next card, unplug the reader",
                    card=attendance.seen.volume.label,
                )
        job = station.get_job(slot.job)
        if job is None or job.safety in (Safety.SECURED, Safety.CLOSED):
            self._log.info(
                f"{attendance.seen.title}: removed", card=attendance.seen.volume.label, job=slot.job
            )
