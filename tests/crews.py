"""An engine over a real ledger whose work is scripted by a test."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ledger import add_files, add_job, open_ledger

from ghostroll.engine.crew import Clock, Crew
from ghostroll.engine.engine import Engine
from ghostroll.engine.settle import Outcome, Settlement
from ghostroll.errors import GhostrollError
from ghostroll.model import JobId, Stage, Task
from ghostroll.state.database import Database
from ghostroll.station.queue import LedgerQueue

PATIENCE = 30.0  # seconds until a test that waits is a failed one


class HandClock:
    """Boot time that goes on when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        """Boot-time seconds."""
        return self.time


@dataclass
class FakeWork:
    """Work that a test scripts. `do` gets each task; what it raises is that task's error."""

    do: Callable[[Task], None]
    log: "Log"
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
        """Do one task after the other."""
        outcomes = []
        self.log.batches.append([task.subject for task in claimed])
        for task in claimed:
            try:
                self.do(task)
            except GhostrollError as error:
                outcomes.append(Outcome(task, error=error))
            else:
                outcomes.append(Outcome(task, facts=functools.partial(self.log.record, task.subject)))
        return outcomes

    def expect(self) -> None:
        """Count, and by whom."""
        self.log.expecting.append(threading.current_thread().name)

    def settled(self) -> None:
        """Count."""
        self.log.settled += 1

    def rest(self) -> None:
        """Count."""
        self.log.rested.append(threading.current_thread().name)

    def interrupt(self) -> None:
        """Remember."""
        self.stopping.set()
        self.log.interrupted.set()

    def close(self) -> None:
        """Count, and by whom."""
        self.log.closed.append(threading.current_thread().name)


@dataclass
class Log:
    """What the work of a test saw."""

    batches: list[list[int]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    settled: int = 0
    expecting: list[str] = field(default_factory=list)
    rested: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def record(self, subject: int, _: object) -> None:
        """A fact of a task, written in the transaction that settles it."""
        self.done.append(subject)


@dataclass
class Bench:
    """An engine at work on a real ledger."""

    database: Database
    engine: Engine
    clock: HandClock
    job: JobId
    settlements: list[Settlement]
    log: Log = field(default_factory=Log)

    def crew(self, do: Callable[[Task], None], **more: object) -> Crew:
        """A crew of copies whose work does this."""
        return Crew(Stage.COPY, lambda: FakeWork(do, self.log), **more)  # type: ignore[arg-type]  # named by the test

    def wait(self, so: Callable[[], bool]) -> None:
        """Wait until something is so, as the station does: by the bell, never by sleeping."""
        until = time.monotonic() + PATIENCE
        while True:
            seen = self.engine.bell.count()
            if so():
                return
            assert time.monotonic() < until, f"still not so: {self.states()}"
            self.engine.bell.wait(seen, 1)

    def advance(self, seconds: float) -> None:
        """Let boot time go on, and wake who waits for it."""
        self.clock.time += seconds
        self.engine.bell.ring()

    def is_quiet(self) -> bool:
        """Whether nothing is ready or running, nor about to be."""
        return self.engine.gate.is_empty_and(lambda: not self.states().keys() & {"ready", "running"})

    def states(self) -> dict[str, int]:
        """How many tasks are in each state."""
        with self.database.read() as db:
            return dict(db.execute("SELECT state, count(*) FROM task GROUP BY state").fetchall())

    def row(self) -> dict[str, object]:
        """The only task."""
        with self.database.read() as db:
            (row,) = db.execute("SELECT * FROM task").fetchall()
        return dict(row)


@contextlib.contextmanager
def start_bench(
    folder: Path, *, files: int, on_settled: Callable[[Sequence[Settlement]], None] = lambda _: None
) -> Iterator[Bench]:
    """A ledger with so many copies wanted, and an engine; at the end no thread is left."""
    before = set(threading.enumerate())
    with open_ledger(folder) as database:
        clock = HandClock()
        settlements: list[Settlement] = []

        def settled(several: Sequence[Settlement]) -> None:
            settlements.extend(several)
            on_settled(several)

        queue = LedgerQueue(database, clock.now, {})
        engine = Engine(queue, Clock(clock.now, lambda: 0.5), on_settled=settled)
        job = add_job(database)
        add_files(database, job, files)
        try:
            yield Bench(database, engine, clock, job, settlements)
        finally:
            engine.stop()
            assert engine.join(PATIENCE), "a thread is stuck"
    assert set(threading.enumerate()) - before == set()


def nothing(_: Task) -> None:
    """Work that succeeds at once."""


def fail(error: Exception) -> None:
    """Raise it."""
    raise error
