"""Crews: the threads that do a stage's work, from claim to settle, until they are told to stop."""

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ghostroll.engine.settle import Outcome, Policy, Settlement, settle_outcome
from ghostroll.errors import GhostrollError, MachineShort, Stopped, TransientError
from ghostroll.faults import crash_point
from ghostroll.model import JobId, Stage, Task

log = logging.getLogger("ghostroll.engine")


class ClaimTaken(Exception):
    """A claim was taken away from its thread: what the thread did in the meantime counts for nothing."""


class Work(Protocol):
    """What one thread of a crew does. Made, used and closed by that thread; interrupted by another."""

    def run(self, tasks: Sequence[Task]) -> Sequence[Outcome]:
        """Do the tasks. An error of one is in its outcome; what is raised is the fate of all of them."""

    def expect(self) -> None:
        """Tasks will come soon: make ready what takes a moment. Only between two runs."""

    def settled(self) -> None:
        """The outcomes of the last run are committed, or will never be."""

    def rest(self) -> None:
        """Nothing came for a while: give back what is easily had again."""

    def interrupt(self) -> None:
        """Make a run under way end soon, with errors.Stopped. From any thread, at any time."""

    def close(self) -> None:
        """Give everything back."""


class Queue(Protocol):
    """What the engine needs of the ledger."""

    def claim(self, crew: "Crew") -> list[Task]:
        """Take due tasks for a crew."""

    def settle(self, crew: "Crew", settlements: Sequence[Settlement], *, claim_next: bool) -> list[Task]:
        """Settle and, in the same transaction, claim what is next. Raises ClaimTaken; then nothing was settled."""

    def next_due(self, crew: "Crew") -> float | None:
        """When the next ready task of a crew may be claimed (boot-time seconds), None for none."""

    def is_lost(self, error: Exception) -> bool:
        """Whether an error says that the ledger itself can't be used: no task is to blame, and none can be settled."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Threads that share a stage's work, or one job's or one rank's share of it.

    At most `batch` tasks that together weigh at most `batch_weight` are claimed at once. Each thread
    makes its own work.
    """

    stage: Stage
    make_work: Callable[[], Work]
    threads: int = 1
    batch: int = 1
    batch_weight: int | None = None
    job: JobId | None = None
    rank: int | None = None
    policy: Policy = field(default_factory=Policy)
    rest_after: float = 20.0  # seconds without a task


class Bell:
    """Tells waiting threads that something changed. A ring between a look and a wait is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    def count(self) -> int:
        """Rings so far: taken before a look, given to `wait`."""
        with self._condition:
            return self._rings

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float | None) -> None:
        """Return once it rang after `seen`, or after `timeout` seconds."""
        with self._condition:
            if self._rings == seen:
                self._condition.wait(timeout)


class Gate:
    """Who is between a settlement and the end of what follows from it. While anybody is, nothing is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextlib.contextmanager
    def pass_through(self) -> Iterator[None]:
        """Settle, and draw the conclusions, inside."""
        with self._lock:
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def is_empty_and(self, so: Callable[[], bool]) -> bool:
        """Whether something is so while nobody is inside, nor can come in before it was looked at."""
        with self._lock:
            return self._inside == 0 and so()


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the engine gets boot-time seconds and randomness from."""

    now: Callable[[], float]
    jitter: Callable[[], float]


class CrewThread(threading.Thread):
    """One worker: claim, run, settle; again, until stopped. Reports a failure of its own to `on_failure`."""

    def __init__(
        self,
        name: str,
        crew: Crew,
        *,
        queue: Queue,
        bell: Bell,
        gate: Gate,
        clock: Clock,
        on_settled: Callable[[Sequence[Settlement]], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name=name)
        self._crew, self._queue, self._clock = crew, queue, clock
        self._bell, self._gate = bell, gate
        self._on_settled, self._on_failure = on_settled, on_failure
        self._stopping = threading.Event()
        self._expecting = threading.Event()
        self._work: Work | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    @property
    def stage(self) -> Stage:
        """Whose work it does."""
        return self._crew.stage

    def expect(self) -> None:
        """Tell a worker without a task that some will come soon."""
        self._expecting.set()

    def stop(self) -> None:
        """Ask the worker to end: what it does is given back, charged to nobody."""
        self._stopping.set()
        work = self._work
        if work is not None:
            work.interrupt()
        self._bell.ring()

    def run(self) -> None:
        """Work until stopped; what fails here, outside any task, fails the engine."""
        try:
            self._work = self._crew.make_work()
            try:
                if self._stopping.is_set():
                    self._work.interrupt()
                self._serve(self._work)
            finally:
                self._work.close()
        except BaseException as failure:  # noqa: BLE001  # a thread that dies must take the engine along
            self._on_failure(failure)

    def _serve(self, work: Work) -> None:
        tasks: list[Task] = []
        while True:
            tasks = tasks or self._wait_for_tasks(work)
            if not tasks:
                return
            crash_point("engine.claimed")
            outcomes = self._attempt(work, tasks)
            with self._gate.pass_through():
                try:
                    tasks = self._settle(work, outcomes)
                except BaseException as failure:
                    self._on_failure(failure)  # before the gate is empty: who finds that, finds this too
                    raise
            self._bell.ring()

    def _settle(self, work: Work, outcomes: Sequence[Outcome]) -> list[Task]:
        settlements = [
            settle_outcome(outcome, self._crew.policy, now=self._clock.now(), jitter=self._clock.jitter())
            for outcome in outcomes
        ]
        try:
            crash_point("engine.settling")
            tasks = self._queue.settle(self._crew, settlements, claim_next=not self._stopping.is_set())
            crash_point("engine.settled")
        except ClaimTaken:
            if not self._stopping.is_set():
                raise
            return []  # it hung too long after it was told to stop, and others went on without it
        finally:
            work.settled()
        self._on_settled(settlements)
        return tasks

    def _wait_for_tasks(self, work: Work) -> list[Task]:
        rest_at = self._clock.now() + self._crew.rest_after
        while not self._stopping.is_set():
            seen = self._bell.count()
            due = self._queue.next_due(self._crew)
            if due is not None and due <= self._clock.now():
                tasks = self._queue.claim(self._crew)
                if tasks:
                    return tasks
                continue
            if self._expecting.is_set():
                self._expecting.clear()
                work.expect()
                rest_at = self._clock.now() + self._crew.rest_after
                continue
            if rest_at <= self._clock.now():
                work.rest()
                rest_at = math.inf
            wake_at = min(rest_at, math.inf if due is None else due)
            self._bell.wait(seen, None if wake_at == math.inf else wake_at - self._clock.now())
        return []

    def _attempt(self, work: Work, tasks: Sequence[Task]) -> Sequence[Outcome]:
        """The one place that catches everything but the loss of the ledger."""
        if self._stopping.is_set():
            return [Outcome(task, error=Stopped("stopped before it began")) for task in tasks]
        try:
            return self._check_ledger(_check_complete(tasks, work.run(tasks)))
        except Exception as bug:
            if self._queue.is_lost(bug):
                raise
            known = bug if isinstance(bug, GhostrollError) else MachineShort.find(bug)
            if known is not None:
                return [Outcome(task, error=known) for task in tasks]
            log.exception("a bug in stage %s", self._crew.stage)
            unexpected = TransientError(f"unexpected {type(bug).__name__}: {bug}")
            return [Outcome(task, error=unexpected) for task in tasks]

    def _check_ledger(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """A task of a batch that met the loss of the ledger is no more to blame than a run that did."""
        for one in outcomes:
            if one.error is not None and self._queue.is_lost(one.error):
                raise one.error
        return outcomes


def _check_complete(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """A task without an outcome would run for ever, and nothing would be over."""
    if sorted(task.id for task in tasks) != sorted(outcome.task.id for outcome in outcomes):
        raise AssertionError("a run must end with one outcome for each of its tasks")
    return outcomes
