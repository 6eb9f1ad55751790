"""The engine over a real ledger: order, overlap, failures, graceful stop. Only the work itself is made up."""

import contextlib
import functools
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ledger import add_files, add_job, open_ledger

from ghostroll.engine.crew import ClaimTaken, Clock, Crew, Gate, Work
from ghostroll.engine.engine import Engine
from ghostroll.engine.settle import Outcome, Policy, Settlement
from ghostroll.errors import (
    CardGone,
    GhostrollError,
    InnocentError,
    NoSpace,
    PermanentError,
    Stopped,
    TransientError,
)
from ghostroll.model import Cause, JobId, SourceId, SourceState, Stage, Task, TaskState
from ghostroll.state import assets, tasks
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


def test_everything_is_done_once_in_order(tmp_path: Path) -> None:
    """One thread takes the tasks in the order of the card, in batches, and is told after each that it settled."""
    with start_bench(tmp_path, files=10) as bench:
        bench.engine.start(bench.crew(nothing, batch=4))
        bench.wait(bench.is_quiet)
        assert bench.log.batches == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
        assert bench.log.done == list(range(1, 11))
        assert bench.states() == {"done": 10}
        assert bench.log.settled == 3


def test_a_batch_keeps_its_weight(tmp_path: Path) -> None:
    """What a thread claims at once weighs at most what its crew may."""
    with start_bench(tmp_path, files=5) as bench:
        bench.engine.start(bench.crew(nothing, batch=4, batch_weight=250))
        bench.wait(bench.is_quiet)
        assert bench.log.batches == [[1, 2], [3, 4], [5]]


def test_threads_of_a_crew_overlap(tmp_path: Path) -> None:
    """Three threads work on three tasks at the same time."""
    together = threading.Barrier(3)

    def meet(_: Task) -> None:
        together.wait(PATIENCE)

    with start_bench(tmp_path, files=9) as bench:
        bench.engine.start(bench.crew(meet, threads=3))
        bench.wait(bench.is_quiet)
        assert set(Counter(bench.log.done).values()) == {1}
        assert bench.states() == {"done": 9}


def test_stages_overlap(tmp_path: Path) -> None:
    """What a settled task wants is worked on while the tasks before it still go on."""
    rendered = threading.Event()
    with start_bench(tmp_path, files=2) as bench:

        def render(_: Task) -> None:
            rendered.set()

        class Copy(FakeWork):
            def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
                (task,) = claimed
                if task.subject == 2:
                    assert rendered.wait(PATIENCE), "the render waits for the whole card"
                return [
                    Outcome(task, facts=lambda db: tasks.want(db, Stage.RENDER, task.job_id, task.subject))
                ]

        bench.engine.start(Crew(Stage.RENDER, lambda: FakeWork(render, bench.log)))
        bench.engine.start(Crew(Stage.COPY, lambda: Copy(nothing, bench.log)))
        bench.wait(bench.is_quiet)
        assert bench.states() == {"done": 4}


def test_a_transient_failure_comes_back_later(tmp_path: Path) -> None:
    """A task that failed is tried again once its backoff is over, each time longer, and charged each time."""
    failures = iter([TransientError("once"), TransientError("twice")])

    def do(_: Task) -> None:
        for failure in failures:
            raise failure

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(do))
        bench.wait(lambda: len(bench.settlements) == 1)
        assert (bench.row()["state"], bench.row()["error"], bench.row()["attempts"]) == ("ready", "once", 1)
        first = bench.settlements[0].due - bench.clock.time
        bench.advance(first)
        bench.wait(lambda: len(bench.settlements) == 2)
        second = bench.settlements[1].due - bench.clock.time
        assert second == 2 * first > 0
        bench.advance(second)
        bench.wait(bench.is_quiet)
        assert (bench.row()["state"], bench.row()["error"], bench.row()["attempts"]) == ("done", None, 2)


def test_a_task_is_not_tried_before_it_is_due(tmp_path: Path) -> None:
    """Rings of the bell before a task is due do not start it."""
    tries: list[float] = []
    with start_bench(tmp_path, files=1) as bench:

        def do(_: Task) -> None:
            tries.append(bench.clock.time)
            raise TransientError("no")

        bench.engine.start(bench.crew(do))
        bench.wait(lambda: len(bench.settlements) == 1)
        due = bench.settlements[0].due
        for part in (0.25, 0.5, 0.999):
            bench.clock.time = 1000 + (due - 1000) * part
            for _ in range(20):
                bench.engine.bell.ring()
        bench.clock.time = due
        bench.engine.bell.ring()
        bench.wait(lambda: len(bench.settlements) == 2)
        assert tries == [1000, due]


def fail(error: Exception) -> None:
    """Raise it."""
    raise error


ENDS = {
    "transient, out of attempts": (TransientError("x"), Policy(attempts=1), "parked", "unreadable", 1),
    "permanent": (PermanentError("x"), Policy(waits_for=Cause.NETWORK_DOWN), "parked", "network-down", 1),
    "card gone": (CardGone("x"), Policy(attempts=1), "parked", "card-gone", 0),
    "no space": (NoSpace("x"), Policy(attempts=1), "parked", "no-space", 0),
    "a bug": (ZeroDivisionError("x"), Policy(attempts=1), "parked", "unreadable", 1),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_failure_ends_as_its_type_says(name: str, tmp_path: Path) -> None:
    """A failed task waits for its cause, or for a person; only failures of its own are charged."""
    error, policy, state, cause, attempts = ENDS[name]
    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(lambda _: fail(error), policy=policy))
        bench.wait(bench.is_quiet)
        row = bench.row()
        assert (row["state"], row["cause"], row["attempts"]) == (state, cause, attempts)
        assert "x" in str(row["error"])
        assert bench.engine.failure is None


def test_a_render_dies_of_its_last_attempt(tmp_path: Path) -> None:
    """A stage whose tasks may die gives a task up after its attempts, and not one earlier."""
    with start_bench(tmp_path, files=0) as bench:
        with bench.database.write() as db:
            tasks.want(db, Stage.RENDER, bench.job, 1)
        bench.engine.start(
            Crew(
                Stage.RENDER,
                lambda: FakeWork(lambda _: fail(TransientError("x")), bench.log),
                policy=Policy(attempts=3, may_die=True),
            )
        )
        for tries in (1, 2):
            bench.wait(lambda tries=tries: len(bench.settlements) == tries)  # type: ignore[misc]  # bound now
            assert bench.row()["state"] == "ready"
            bench.advance(600)
        bench.wait(bench.is_quiet)
        assert (bench.row()["state"], bench.row()["attempts"], bench.row()["error"]) == ("dead", 3, "x")


def test_what_is_nobodys_fault_charges_nobody(tmp_path: Path) -> None:
    """A task that was never taken comes back soon, with all its attempts, however often that happens."""
    left = iter([InnocentError("x")] * 5)

    def do(_: Task) -> None:
        for failure in left:
            raise failure

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(do, policy=Policy(attempts=1)))
        for tries in range(1, 6):
            bench.wait(lambda tries=tries: len(bench.settlements) == tries)  # type: ignore[misc]  # bound now
            bench.advance(1)
        bench.wait(bench.is_quiet)
        assert (bench.row()["state"], bench.row()["attempts"]) == ("done", 0)


def test_one_bad_task_of_a_batch_stays_one(tmp_path: Path) -> None:
    """Of a batch the failed task alone is charged; the others are done in the same transaction."""
    with start_bench(tmp_path, files=3) as bench:
        bench.engine.start(
            bench.crew(lambda task: fail(CardGone("x")) if task.subject == 2 else None, batch=3)
        )
        bench.wait(bench.is_quiet)
        assert bench.states() == {"done": 2, "parked": 1}
        assert bench.log.done == [1, 3]


def test_a_bug_is_one_tasks_bad_luck(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody foresaw is logged with its traceback and charged; the thread goes on."""
    with start_bench(tmp_path, files=2) as bench:
        bench.engine.start(
            bench.crew(
                lambda task: fail(ZeroDivisionError("oh")) if task.subject == 1 else None,
                policy=Policy(attempts=1),
            )
        )
        bench.wait(bench.is_quiet)
        assert bench.states() == {"done": 1, "parked": 1}
        assert bench.engine.failure is None
    assert "ZeroDivisionError" in caplog.text


def test_a_ledger_that_is_lost_is_no_tasks_fault(tmp_path: Path) -> None:
    """Where the state's disk fails in the middle of a run, the engine stops: nothing is charged, and no bug is told of."""
    lost = sqlite3.OperationalError("disk I/O error")

    def lose(_: Task) -> None:
        raise lost

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(lose))
        bench.wait(lambda: bench.engine.failure is not None)
        assert bench.engine.failure is lost
        assert bench.row()["attempts"] == 0
        assert bench.settlements == []


def test_a_wrong_record_is_one_tasks_bad_luck(tmp_path: Path) -> None:
    """What the ledger refuses by its own rules is a bug of one task, and stops nothing."""

    def refuse(_: Task) -> None:
        raise sqlite3.IntegrityError("CHECK constraint failed")

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(refuse, policy=Policy(attempts=1)))
        bench.wait(bench.is_quiet)
        assert bench.engine.failure is None
        assert bench.row()["state"] == "parked"


def test_words_that_are_no_text_are_one_tasks_bad_luck(tmp_path: Path) -> None:
    """An error that quotes a name which is not UTF-8 can be put down like any other."""
    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(lambda _: fail(CardGone("\udcff is gone"))))
        bench.wait(bench.is_quiet)
        assert bench.row()["error"] == "? is gone"
        assert bench.engine.failure is None


def test_a_run_must_answer_for_each_task(tmp_path: Path) -> None:
    """A run that forgets a task is a bug: its tasks are charged, none of them runs for ever."""

    class Forgetful(FakeWork):
        def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
            return [Outcome(claimed[0])]

    with start_bench(tmp_path, files=2) as bench:
        crew = Crew(Stage.COPY, lambda: Forgetful(nothing, bench.log), batch=2, policy=Policy(attempts=1))
        bench.engine.start(crew)
        bench.wait(bench.is_quiet)
        assert bench.states() == {"parked": 2}


def test_a_thread_that_fails_by_itself_stops_the_engine(tmp_path: Path) -> None:
    """What goes wrong outside any task ends all threads, and `failure` says what it was."""
    bad = RuntimeError("the conclusions can't be drawn")

    def conclude(_: Sequence[Settlement]) -> None:
        raise bad

    with start_bench(tmp_path, files=1, on_settled=conclude) as bench:
        waiting = bench.engine.start(Crew(Stage.RENDER, lambda: FakeWork(nothing, bench.log), threads=2))
        bench.engine.start(bench.crew(nothing))
        bench.wait(lambda: bench.engine.failure is not None)
        assert bench.engine.failure is bad
        assert bench.engine.join(PATIENCE)
        assert not any(thread.is_alive() for thread in waiting)
        assert len(bench.log.closed) == 3
        assert bench.engine.start(bench.crew(nothing)) == []


def test_a_failure_is_known_before_anything_looks_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds nobody between a settlement and its conclusions finds the failure of those conclusions, too."""
    seen: list[BaseException | None] = []
    pass_through = Gate.pass_through

    @contextlib.contextmanager
    def look_behind(gate: Gate) -> Iterator[None]:
        try:
            with pass_through(gate):
                yield
        finally:
            seen.append(bench.engine.failure)

    def conclude(_: Sequence[Settlement]) -> None:
        raise RuntimeError("no conclusion")

    monkeypatch.setattr(Gate, "pass_through", look_behind)
    with start_bench(tmp_path, files=1, on_settled=conclude) as bench:
        bench.engine.start(bench.crew(nothing))
        bench.wait(lambda: bench.engine.failure is not None)
        assert bench.engine.join(PATIENCE)
    assert [str(failure) for failure in seen] == ["no conclusion"]


def test_facts_that_fail_undo_the_settlement(tmp_path: Path) -> None:
    """Facts and settlement are one transaction: where the facts can't be written the task is not done."""

    class Liar(FakeWork):
        def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
            def write(db: object) -> None:
                assets.fail_source(db, SourceId(1), "first")  # type: ignore[arg-type]  # the transaction
                raise KeyError("second")

            return [Outcome(task, facts=write) for task in claimed]

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(Crew(Stage.COPY, lambda: Liar(nothing, bench.log)))
        bench.wait(lambda: bench.engine.failure is not None)
        assert bench.states() == {"running": 1}
        with bench.database.read() as db:
            assert assets.get_source(db, SourceId(1)).state is SourceState.PENDING
        assert bench.log.settled == 1, "the work lets go of what it held"


def test_work_that_cant_be_made_stops_the_engine(tmp_path: Path) -> None:
    """A crew whose work can't even be made is a failure of the engine."""

    def make() -> Work:
        raise OSError("no more processes")

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(Crew(Stage.COPY, make))
        bench.wait(lambda: bench.engine.failure is not None)
        assert isinstance(bench.engine.failure, OSError)
        assert bench.states() == {"ready": 1}


def test_a_lost_claim_stops_the_engine(tmp_path: Path) -> None:
    """A worker that finds its claim lost goes no further: that is a bug, not a failed task."""
    with start_bench(tmp_path, files=1) as bench:

        def lose(_: Task) -> None:
            with bench.database.write() as db:
                tasks.requeue_running(db)

        bench.engine.start(bench.crew(lose))
        bench.wait(lambda: bench.engine.failure is not None)
        assert isinstance(bench.engine.failure, ClaimTaken)
        assert bench.log.done == []
        assert bench.states() == {"ready": 1}


def test_a_graceful_stop_gives_back_what_is_under_way(tmp_path: Path) -> None:
    """A stop interrupts the work; its task is ready again, uncharged, and nothing new is begun."""
    begun = threading.Event()
    with start_bench(tmp_path, files=5) as bench:

        class Slow(FakeWork):
            def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
                begun.set()
                assert self.stopping.wait(PATIENCE)
                raise Stopped(f"in the middle of {len(claimed)} tasks")

        bench.engine.start(Crew(Stage.COPY, lambda: Slow(nothing, bench.log), threads=2, batch=2))
        assert begun.wait(PATIENCE)
        bench.engine.stop()
        assert bench.engine.join(PATIENCE)
        assert bench.states() == {"ready": 5}
        with bench.database.read() as db:
            assert db.execute("SELECT sum(attempts) FROM task").fetchone()[0] == 0
        assert len(bench.log.closed) == 2
        assert bench.engine.failure is None


def test_work_that_ends_in_spite_of_a_stop_is_done(tmp_path: Path) -> None:
    """A run that ends well after the stop is settled as done, and claims nothing more."""
    with start_bench(tmp_path, files=3) as bench:

        def do(_: Task) -> None:
            bench.engine.stop()

        bench.engine.start(bench.crew(do))
        assert bench.engine.join(PATIENCE)
        assert bench.states() == {"done": 1, "ready": 2}
        with bench.database.read() as db:
            assert db.execute("SELECT sum(claim) FROM task WHERE state = 'ready'").fetchone()[0] == 0


def test_a_stop_between_claim_and_run_gives_the_task_back(tmp_path: Path) -> None:
    """What was claimed in the settling transaction while the stop came is not begun."""
    with start_bench(tmp_path, files=2, on_settled=lambda _: bench.engine.stop()) as bench:
        bench.engine.start(bench.crew(nothing))
        assert bench.engine.join(PATIENCE)
        assert bench.log.batches == [[1]]
        assert bench.states() == {"done": 1, "ready": 1}
        with bench.database.read() as db:
            assert db.execute("SELECT sum(attempts) FROM task").fetchone()[0] == 0


def test_a_stop_while_the_work_is_made(tmp_path: Path) -> None:
    """A stop that comes before the work is there reaches it all the same."""
    making, go_on = threading.Event(), threading.Event()
    with start_bench(tmp_path, files=1) as bench:

        def make() -> Work:
            making.set()
            assert go_on.wait(PATIENCE)
            return FakeWork(nothing, bench.log)

        bench.engine.start(Crew(Stage.COPY, make))
        assert making.wait(PATIENCE)
        bench.engine.stop()
        go_on.set()
        assert bench.engine.join(PATIENCE)
        assert bench.log.interrupted.is_set()
        assert len(bench.log.closed) == 1
        assert bench.states() == {"ready": 1}


def test_after_a_stop_nothing_starts(tmp_path: Path) -> None:
    """A crew that comes after the stop gets no thread; stopping twice and joining nothing is fine."""
    with start_bench(tmp_path, files=1) as bench:
        assert bench.engine.join(PATIENCE)
        bench.engine.stop()
        bench.engine.stop()
        assert bench.engine.start(bench.crew(nothing)) == []
        assert bench.states() == {"ready": 1}


def test_work_is_closed_by_the_thread_that_made_it(tmp_path: Path) -> None:
    """Each thread gives its own work back, under its own name."""
    with start_bench(tmp_path, files=1) as bench:
        threads = bench.engine.start(bench.crew(nothing, threads=3))
        bench.wait(bench.is_quiet)
        bench.engine.stop()
        assert bench.engine.join(PATIENCE)
        assert sorted(bench.log.closed) == sorted(thread.name for thread in threads)


def test_a_stuck_thread_is_told(tmp_path: Path) -> None:
    """A thread that hangs (a read of a dying card) does not hold up the join; it is said that it is there."""
    begun, free = threading.Event(), threading.Event()

    def hang(_: Task) -> None:
        begun.set()
        free.wait(PATIENCE)

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(hang))
        assert begun.wait(PATIENCE)
        bench.engine.stop()
        assert not bench.engine.join(0)
        free.set()


def test_crews_of_two_jobs_keep_apart(tmp_path: Path) -> None:
    """A crew of one job leaves another job's tasks alone."""
    with start_bench(tmp_path, files=3) as bench:
        other = add_job(bench.database)
        add_files(bench.database, other, 2)
        bench.engine.start(bench.crew(nothing, job=other))
        bench.wait(lambda: bench.states() == {"done": 2, "ready": 3})
        bench.engine.start(bench.crew(nothing, job=bench.job))
        bench.wait(bench.is_quiet)
        assert bench.states() == {"done": 5}


def test_finished_threads_are_forgotten(tmp_path: Path) -> None:
    """Crews of cards that left don't pile up in an engine that runs for months."""
    with start_bench(tmp_path, files=0) as bench:
        for _ in range(20):
            (thread,) = bench.engine.start(bench.crew(nothing))
            thread.stop()
            thread.join(PATIENCE)
        bench.engine.start(bench.crew(nothing))
        assert len(bench.engine._threads) == 1


def test_no_wake_up_is_lost(tmp_path: Path) -> None:
    """Tasks that are wanted one by one, each after the one before was done, are all done: no ring is missed."""
    with start_bench(tmp_path, files=0) as bench:
        bench.engine.start(bench.crew(nothing, threads=2))
        for number in range(1, 201):
            with bench.database.write() as db:
                tasks.want(db, Stage.COPY, bench.job, number)
            bench.engine.bell.ring()
            bench.wait(lambda number=number: len(bench.settlements) == number)  # type: ignore[misc]  # bound now
        assert bench.states() == {"done": 200}


def test_nothing_is_over_before_its_conclusions(tmp_path: Path) -> None:
    """Between a settlement and what follows from it the engine is not quiet, though no task is open."""
    inside, go_on = threading.Event(), threading.Event()

    def conclude(_: Sequence[Settlement]) -> None:
        inside.set()
        assert go_on.wait(PATIENCE)

    with start_bench(tmp_path, files=1, on_settled=conclude) as bench:
        bench.engine.start(bench.crew(nothing))
        assert inside.wait(PATIENCE)
        assert bench.states() == {"done": 1}
        assert not bench.is_quiet()
        go_on.set()
        bench.wait(bench.is_quiet)


def test_conclusions_come_after_the_commit(tmp_path: Path) -> None:
    """Who draws conclusions from a settlement reads it in the ledger."""
    seen: list[TaskState] = []

    def conclude(several: Sequence[Settlement]) -> None:
        with bench.database.read() as db:
            rows = db.execute("SELECT state FROM task WHERE id = ?", (several[0].task.id,)).fetchall()
        seen.append(TaskState(rows[0]["state"]))

    with start_bench(tmp_path, files=2, on_settled=conclude) as bench:
        bench.engine.start(bench.crew(nothing))
        bench.wait(bench.is_quiet)
    assert seen == [TaskState.DONE, TaskState.DONE]


def test_a_gallery_that_cant_be_written_while_it_is_wanted_again(tmp_path: Path) -> None:
    """A new wish for a gallery while its writing fails ends in one parked task, not in a failed engine."""
    with start_bench(tmp_path, files=0) as bench:

        def do(task: Task) -> None:
            with bench.database.write() as db:
                tasks.want(db, Stage.PUBLISH, bench.job, task.subject)
            raise NoSpace("the disk is full")

        with bench.database.write() as db:
            tasks.want(db, Stage.PUBLISH, bench.job, 1)
        bench.engine.start(Crew(Stage.PUBLISH, lambda: FakeWork(do, bench.log), threads=2))
        bench.wait(bench.is_quiet)
        assert bench.engine.failure is None
        assert (bench.row()["state"], bench.row()["cause"]) == ("parked", "no-space")


def test_a_thread_that_hung_may_come_back_late(tmp_path: Path) -> None:
    """A thread left behind, whose task others took over, ends without settling anything and without harm."""
    hanging, let_go = threading.Event(), threading.Event()

    def hang(_: Task) -> None:
        hanging.set()
        assert let_go.wait(PATIENCE)

    with start_bench(tmp_path, files=1) as bench:
        threads = bench.engine.start(bench.crew(hang))
        assert hanging.wait(PATIENCE)
        assert not bench.engine.dismiss(threads, 0)
        with bench.database.write() as db:
            assert tasks.take_away(db, bench.job, (Stage.COPY,), Cause.CARD_GONE) == 1
        let_go.set()
        assert bench.engine.dismiss(threads, PATIENCE)
        assert (bench.row()["state"], bench.row()["cause"]) == ("parked", "card-gone")
        assert bench.log.done == []
        assert bench.engine.failure is None
        assert bench.engine.is_sound()


def test_dismissed_threads_end_alone(tmp_path: Path) -> None:
    """Threads that are not needed any more end; the others go on."""
    with start_bench(tmp_path, files=0) as bench:
        idle = bench.engine.start(Crew(Stage.RENDER, lambda: FakeWork(nothing, bench.log), threads=2))
        others = bench.engine.start(bench.crew(nothing))
        assert bench.engine.dismiss(idle, PATIENCE)
        assert not any(thread.is_alive() for thread in idle)
        add_files(bench.database, bench.job, 1)
        bench.engine.bell.ring()
        bench.wait(bench.is_quiet)
        assert bench.log.done == [1]
        assert all(thread.is_alive() for thread in others)
        assert bench.engine.is_sound()


def test_an_engine_with_a_dead_thread_is_not_sound(tmp_path: Path) -> None:
    """A worker that ended though nobody asked it to is noticed."""

    def quit_thread(_: Task) -> None:
        raise SystemExit

    with start_bench(tmp_path, files=1) as bench:
        assert bench.engine.is_sound()
        (thread,) = bench.engine.start(bench.crew(quit_thread))
        thread.join(PATIENCE)
        assert not bench.engine.is_sound()


def test_an_idle_crew_rests_once(tmp_path: Path) -> None:
    """A thread without a task gives back what it holds after a while, once until it has worked again."""
    with start_bench(tmp_path, files=1) as bench:

        def pass_a_second() -> bool:
            bench.advance(0 if bench.log.rested else 1)
            return len(bench.log.rested) == 1

        bench.engine.start(bench.crew(nothing, rest_after=5.0))
        bench.wait(pass_a_second)
        assert bench.clock.time >= 1005
        for _ in range(20):
            bench.advance(100)
        with bench.database.write() as db:
            tasks.want_again(db, Stage.COPY, bench.job, 1)
        bench.engine.bell.ring()
        bench.wait(lambda: bench.log.done == [1, 1])
        assert len(bench.log.rested) == 1


def test_idle_threads_of_a_stage_make_ready(tmp_path: Path) -> None:
    """What is said to be coming reaches every idle thread of that stage and of no other, and they still work after it."""
    with start_bench(tmp_path, files=0) as bench:
        copying = bench.engine.start(bench.crew(nothing, threads=2))
        bench.engine.start(Crew(Stage.RENDER, lambda: FakeWork(nothing, bench.log)))
        bench.engine.expect(Stage.COPY)
        bench.wait(lambda: len(bench.log.expecting) == 2)
        assert sorted(bench.log.expecting) == sorted(thread.name for thread in copying)
        with bench.database.write() as db:
            tasks.want(db, Stage.COPY, bench.job, 1)
        bench.engine.bell.ring()
        bench.wait(lambda: bench.log.done == [1])
        assert len(bench.log.expecting) == 2
