"""A station that runs for years: its main loop waits for cards, and everything else is looked at on the way.

The loop is the watcher's, so that systemd's watchdog is fed only while cards are seen, the database answers and
the workers live. What may hang (a dying card, a slow client) has threads of its own.
"""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import structlog

from ghostroll import __version__
from ghostroll.cards.sight import Changes
from ghostroll.cards.watch import Watcher
from ghostroll.config import Settings
from ghostroll.daemon.attending import Attendants
from ghostroll.daemon.desk import Desk
from ghostroll.daemon.inhibit import SleepLock
from ghostroll.daemon.notify import Notifier
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.reporting import IDLE, StatusFile, describe_daemon, find_runtime_folder, say_status
from ghostroll.daemon.requests import RequestServer
from ghostroll.daemon.rules import make_card_rules
from ghostroll.daemon.wire import Request
from ghostroll.errors import (
    GhostrollError,
    LibraryNotThere,
    NoSpace,
    StateHeld,
    StateUnusable,
    TransientError,
    UsageError,
)
from ghostroll.library.layout import show_path
from ghostroll.model import Job, JobId
from ghostroll.state.owner import find_owner
from ghostroll.station.station import Station
from ghostroll.station.wiring import Slot, Sources
from ghostroll.station.witness import Witness

COMMAND = "daemon"
_BUSY = 1.0  # seconds between two looks while something is under way
_WAITING = 10.0  # seconds between two looks at what parked work waits for, or at a library that is not there
_PATIENT_LOOKS = 6  # of these looks before what can only be tried is tried
_LAST_PATIENCE = (
    8.0  # seconds for all threads at the end: more than a connection tries, less than systemd waits
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a daemon is given by whoever starts it."""

    settings: Settings
    environ: Mapping[str, str]
    clock: Sources
    witness: Witness
    notifier: Notifier
    log: structlog.stdlib.BoundLogger


class Daemon:
    """Made, run once, and gone."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._log = around.log
        runtime = find_runtime_folder(around.environ, os.fspath(around.settings.state_path))
        self._socket = os.path.join(runtime, "socket")
        self._status = StatusFile(
            os.fspath(around.settings.status.path or os.path.join(runtime, "status.json"))
        )
        self._attendants = Attendants(around.log, self._wake)
        self._sleep_lock = SleepLock(around.log)
        self._station: Station | None = None
        self._requests: RequestServer | None = None
        self._had_station = False
        self._trouble = ""  # why there is no station, as was said
        self._look_at = 0.0  # boot time of the next look at what is waited for
        self._looks = 0
        self._answering = 0
        self._busy = False
        self._at_work: list[Job] = []  # at the last beat
        self._watcher: Watcher | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; on return everything was given back.

        Raises UsageError or StateUnusable where the configuration or the state must be mended by a person, and
        StateHeld where another daemon holds the state.
        """
        settings = self._around.settings
        rules = make_card_rules(settings)
        with Watcher(rules, rescan=float(settings.cards.rescan_seconds)) as watcher, _catch_stops(watcher):
            self._watcher = watcher
            try:
                self._open_station()
                pause = self._turn(watcher, watcher.wait())
                self._around.notifier.ready(self._trouble or IDLE)
                while not watcher.stopped:
                    pause = self._turn(watcher, watcher.wait(pause))
            finally:
                self._stop()

    def _turn(self, watcher: Watcher, changes: Changes) -> float | None:
        """Act, and tell; returns the seconds until the next turn, if nothing happens before, None for any number.

        Where the state can't be read or written here, it is as if a thread had found that.
        """
        try:
            self._hear(watcher, changes)
            self._beat()
            return self._tell_pause()
        except (sqlite3.Error, OSError, NoSpace, StateUnusable) as error:
            if self._station is None:
                raise
            self._attendants.failure = error
            self._check_station(self._station)
            return 0.0

    def _hear(self, watcher: Watcher, changes: Changes) -> None:
        """Act on what changed: who left goes first, so that a card which comes back finds its job parked."""
        for note in changes.notes:
            self._log.info(note)
        for seen in changes.left:
            self._attendants.leave(seen)
        for seen in changes.refused:
            self._attendants.refuse(seen)
        for seen in changes.arrived:
            self._attendants.arrive(seen)
        self._attendants.look(watcher.seen)
        if self._station is not None:
            self._check_station(self._station)
        elif not watcher.stopped and self._is_time_to_look():
            self._open_station()

    def _wake(self) -> None:
        """Something happened that the next beat should tell. From any thread."""
        if self._watcher is not None:
            self._watcher.return_soon()

    def _beat(self) -> None:
        """Tell systemd and everybody else how it is, and keep the machine awake where a card is read."""
        station = self._station
        status = self._trouble
        if station is not None:
            if self._is_waiting(station) and self._is_time_to_look():
                self._looks += 1
                station.probe(patient=self._looks % _PATIENT_LOOKS != 0)
                self._attendants.try_again()
            station.try_bucket()
            station.renew_addresses()
        # After all that begins anything, and before anything is looked at: what ends meanwhile gets one more beat.
        self._busy = station is not None and (self._answering > 0 or not station.is_quiet())
        if station is not None:
            self._at_work = station.list_at_work()
            being_read = station.list_being_read()
            if being_read:
                self._sleep_lock.hold(f"{', '.join(job.volume.label for job in being_read)} is being copied")
            else:
                self._sleep_lock.release()
            status = say_status(station)
        self._around.notifier.status(status)
        self._status.write(describe_daemon(station, self._attendants.describe(), status))
        if station is None or station.engine.is_sound():
            self._around.notifier.watchdog()

    def _tell_pause(self) -> float | None:
        """Seconds until the next beat, if nothing happens before: as few wake-ups as the moment allows."""
        watchdog = self._around.notifier.watchdog_seconds
        pauses = [] if watchdog is None else [watchdog / 2]
        station = self._station
        if station is None or self._is_waiting(station):
            pauses.append(max(0.0, self._look_at - self._around.clock.boot()))
        moments = [] if station is None else [station.next_trial(), station.next_renewal()]
        now = self._around.clock.boot()
        pauses += [max(0.0, moment - now) for moment in moments if moment is not None]
        if self._busy:
            pauses.append(_BUSY)
        return min(pauses, default=None)

    def _is_waiting(self, station: Station) -> bool:
        return station.is_anything_parked() or self._attendants.is_waiting

    def _is_time_to_look(self) -> bool:
        now = self._around.clock.boot()
        if now < self._look_at:
            return False
        self._look_at = now + _WAITING
        return True

    def _open_station(self) -> None:
        """Take the state and the library. A library that is not there is waited for; a wrong configuration is not."""
        around = self._around
        self._look_at = around.clock.boot() + _WAITING
        owner = None
        try:
            owner = find_owner(os.fspath(around.settings.state_path))
            station = Station.open(
                around.settings,
                around.clock,
                command=COMMAND,
                witness=around.witness,
                log=around.log,
                socket=self._socket,
            )
        except StateHeld as error:
            if owner is not None and owner.command == COMMAND:
                raise
            self._say_trouble(error)  # a command that a person runs: it will end
            return
        except (UsageError, StateUnusable) as error:
            if not self._had_station:
                raise
            self._say_trouble(error)  # its disk failed a moment ago
            return
        except (LibraryNotThere, NoSpace, TransientError, sqlite3.Error, OSError) as error:
            self._say_trouble(error)
            return
        self._begin(station)

    def _begin(self, station: Station) -> None:
        """Put a station to work that was opened."""
        around = self._around
        self._trouble = ""
        self._had_station = True
        library = show_path(os.fsencode(around.settings.library.path))
        self._log.info(f"ghostroll {__version__} waits for cards; they go to {library}")
        self._station = station
        try:
            station.start()
        except (GhostrollError, sqlite3.Error, OSError) as error:  # its disk fails, or is full
            self._say_trouble(error)
            self._close_station(station)
            return
        self._attendants.open(station)
        self._start_requests(station)

    def _say_trouble(self, error: Exception) -> None:
        trouble = str(error)
        if not isinstance(error, GhostrollError):
            trouble = f"the state or the library can't be used ({error}): check its disk"
        if trouble != self._trouble:
            self._log.error(f"nothing is copied: {trouble}")
            self._trouble = trouble

    def _start_requests(self, station: Station) -> None:
        def admit(path: bytes, session: str | None, resume: JobId | None) -> Slot:
            return station.admit(path, session=session, resume=resume)

        desk = Desk(station, admit)

        def answer(request: Request, reply: Reply) -> None:
            self._answering += 1
            self._wake()  # the beat is quicker while somebody waits
            try:
                desk.answer(request, reply)
            finally:
                self._answering -= 1

        server = RequestServer(self._socket, None, answer, self._log)
        try:
            server.start()
        except UsageError as error:
            self._log.warning(f"no requests are taken: {error}")
        else:
            self._requests = server

    def _check_station(self, station: Station) -> None:
        """A station whose disk failed is closed and opened again when it is back; a bug ends the daemon."""
        failure = station.engine.failure or self._attendants.failure
        if failure is None:
            return
        if not isinstance(failure, (sqlite3.Error, OSError, GhostrollError)):
            raise failure
        self._log.error(
            f"the state or the library can't be used any more ({failure}): looking for them again"
        )
        self._close_station(station)

    def _close_station(self, station: Station, *, stopping: bool = False) -> None:
        self._attendants.close()
        self._station = None
        self._look_at = self._around.clock.boot() + _WAITING
        if self._requests is not None:
            self._requests.stop()
            self._requests = None
        self._sleep_lock.release()
        try:
            ended = station.close(_LAST_PATIENCE)
        except (sqlite3.Error, OSError, GhostrollError) as error:
            self._log.warning(
                f"the state could not be closed in order ({error}): it is put in order at the next start"
            )
            ended = True
        if stopping:
            # Who hangs may hold the state: then only what was known before can be told.
            self._tell_cut_short(station.cut_short if ended else self._at_work)
        if not ended:
            self._leave_behind(0 if stopping else 1)

    def _tell_cut_short(self, cut_short: Sequence[Job]) -> None:
        for job in cut_short:
            self._log.warning(
                f"{job.volume.label}: NOT SAFE, ghostroll was stopped in the middle: the copy goes on when it runs"
                " again with the card in",
                job=job.id,
                card=job.volume.label,
                safe=False,
            )

    def _stop(self) -> None:
        self._around.notifier.stopping("stopping")
        if self._station is not None:
            self._close_station(self._station, stopping=True)
        self._status.remove()

    def _leave_behind(self, exit_code: int) -> NoReturn:
        """A thread hangs in the kernel and can't be ended; what it was doing is recovered at the next start."""
        self._log.warning(
            "a card, a disk or the network does not answer any more: ended without waiting for it"
        )
        self._status.remove()
        with contextlib.suppress(OSError):
            os.unlink(self._socket)
        os._exit(exit_code)


@contextlib.contextmanager
def _catch_stops(watcher: Watcher) -> Iterator[None]:
    """SIGTERM and SIGINT end the main loop; after that everything is being given back, and they say nothing new."""

    def hear(_number: int, _frame: FrameType | None) -> None:
        watcher.stop()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
