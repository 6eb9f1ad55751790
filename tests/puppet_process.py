"""The far side of `puppets.py`: forks a process with a real station for each connection, and does there what it is told.

Started as `python -m puppet_process SOCKET [SABOTAGE]`, with everything imported once: a station costs a fork, no more.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.connection import Connection, Listener
from typing import Any

from sabotages import SABOTAGES

from ghostroll import faults
from ghostroll.config import Settings
from ghostroll.errors import GhostrollError
from ghostroll.model import JobId
from ghostroll.observe.logs import open_log
from ghostroll.publish.s3.bucket import Bucket  # noqa: F401  # imported once, for all that are forked
from ghostroll.station.station import Station
from ghostroll.station.upkeep import close_job, reread_files, revive_job, verify_library
from ghostroll.station.wiring import Slot, Sources
from ghostroll.station.witness import Witness

PATIENCE = 60.0  # seconds until nothing that goes on by itself is an error
_GLANCE = 0.1
_STEP = 2.0  # seconds that the boot-time clock makes where only a due time is waited for
_CLOSING = 15.0
_MOMENT = 0.4  # seconds; a card that waits for another one's photos is not done in any time


@dataclass
class Clock:
    """Both clocks, as far as a test has moved them."""

    wall: float = 0.0  # seconds that the wall clock is off
    zone: int = 0  # minutes east of Greenwich
    boot: float = 0.0  # seconds on top of the time since the process began
    _began: float = field(default_factory=time.monotonic)

    def tell_wall(self) -> datetime:
        """What the wall clock says."""
        zone = timezone(timedelta(minutes=self.zone))
        return (datetime.now(UTC) + timedelta(seconds=self.wall)).astimezone(zone)

    def tell_boot(self) -> float:
        """Never goes back while the process lives."""
        return self.boot + time.monotonic() - self._began


class Puppet:
    """One station, or none yet. Every public method is a command."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._station: Station | None = None
        self._slots: list[Slot] = []
        self._held = threading.Event()
        self._go_on = threading.Event()

    def open(
        self, settings: Settings, clock: tuple[float, int, float], log: str, keys: dict[str, str]
    ) -> None:
        """Open the station, as a daemon does at its start. `clock`: what `Clock` has; `keys`: for the bucket."""
        os.environ.update(keys)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        self._clock = Clock(*clock)
        sources = Sources(self._clock.tell_wall, self._clock.tell_boot, random.SystemRandom())
        self._station = Station.open(
            settings,
            sources,
            command="puppet",
            witness=Witness(None),
            log=open_log(settings.log, quiet=False),
        )
        self._station.start()

    def close(self) -> bool:
        """Stop in order."""
        return self._need().close(_CLOSING)

    def admit(self, path: str) -> int:
        """A card is in; its number here."""
        self._slots.append(self._need().admit(os.fsencode(path)))
        return len(self._slots) - 1

    def dismiss(self, number: int) -> bool:
        """A card has left."""
        return self._need().dismiss(self._slots[number])

    def hold(self, point: str, nth: int) -> None:
        """The thread that gets to a point waits there."""
        self._held.clear()
        self._go_on.clear()
        faults.arm(point, nth, self._stand_still)

    def die_at(self, point: str, nth: int) -> None:
        """The process is killed when it gets to a point."""
        faults.arm(point, nth, faults.kill_process)

    def let_go(self) -> None:
        """Whoever waits goes on, and nobody will wait any more."""
        faults.arm("", 0, faults.kill_process)
        self._go_on.set()

    def settle(self) -> str:
        """Wait until nothing goes on by itself ("quiet"), somebody waits at a point ("held"), or it failed (why)."""
        station = self._need()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._held.is_set() and not self._go_on.is_set():
                return "held"
            try:
                if station.wait(station.is_quiet, _GLANCE):
                    return "quiet"
            except (OSError, GhostrollError) as error:
                return f"failed: {error}"
            except Exception as error:  # noqa: BLE001  # what made the engine stop is for the test to judge
                return f"failed: {type(error).__name__}: {error}"
            self.pass_time(_STEP)
        return "busy"

    def follow(self, number: int) -> None:
        """Give a card a moment to be copied, while somebody else waits."""
        slot = self._slots[number]
        self._need().wait(lambda: slot.job not in [job.id for job in self._need().list_at_work()], _MOMENT)

    def tick(self) -> None:
        """What a daemon looks at now and then."""
        station = self._need()
        station.probe(patient=False)
        station.try_bucket()
        station.renew_addresses()

    def pass_time(self, seconds: float) -> None:
        """The boot-time clock goes on, and everybody looks at it."""
        self._clock.boot += seconds
        self._need().engine.bell.ring()

    def set_clock(self, wall: float, zone: int) -> None:
        """The wall clock jumps."""
        self._clock.wall, self._clock.zone = wall, zone

    def verify(self) -> list[tuple[bytes, str]]:
        """What `ghostroll verify` finds."""
        found = verify_library(
            self._need().wiring, None, progress=lambda _done, _total: None, check=lambda _size: None
        )
        return [(one.path, str(one.finding)) for one in found if one.finding is not None]

    def retry(self, job: int, number: int | None) -> int | None:
        """What `ghostroll retry` does: with the card in its slot, if it is in."""
        station = self._need()
        revived, _ = revive_job(station.wiring, JobId(job))
        if revived.secured_at is not None or number is None:
            station.engine.bell.ring()
            return None
        slot = self._slots[number]
        if revived.id == slot.job and revived.safety == "copying":
            reread_files(station.wiring, JobId(job))
            station.engine.bell.ring()
            return number
        station.dismiss(slot)
        self._slots.append(station.admit(slot.medium.root, resume=JobId(job)))
        return len(self._slots) - 1

    def give_up(self, job: int) -> int:
        """What `ghostroll close` does."""
        return close_job(self._need().wiring, JobId(job))

    def _need(self) -> Station:
        if self._station is None:
            raise AssertionError("it was not opened")
        return self._station

    def _stand_still(self) -> None:
        self._held.set()
        self._go_on.wait()


def serve(connection: Connection) -> None:
    """Do what is told until nobody is there any more."""
    puppet = Puppet()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        command: Callable[..., Any] = getattr(puppet, name)
        try:
            answer: tuple[str, Any] = ("", command(*arguments))
        except Exception as error:  # noqa: BLE001  # it is raised on the other side
            answer = (type(error).__name__, str(error))
        connection.send(answer)


def main(address: str, *broken: str) -> None:
    """Fork for every connection; whoever started this ends it. `broken` names sabotages."""
    for name in broken:
        SABOTAGES[name].begin()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who are killed
    with Listener(address, "AF_UNIX") as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                connection.send(os.getpid())
                serve(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
