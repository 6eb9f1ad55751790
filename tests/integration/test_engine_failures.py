"""What becomes of a task that fails, and of an engine whose own thread does: over a real ledger, the work made up."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from crews import PATIENCE, FakeWork, fail, nothing, start_bench

from ghostroll.engine.crew import ClaimTaken, Crew, Gate, Work
from ghostroll.engine.settle import Outcome, Policy, Settlement
from ghostroll.errors import CardGone, InnocentError, NoSpace, PermanentError, StateUnusable, TransientError
from ghostroll.model import Cause, SourceId, SourceState, Stage, Task
from ghostroll.state import assets, tasks


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


@pytest.mark.parametrize(
    "want",
    [
        pytest.param(OSError(errno.EMFILE, "Too many open files"), id="files"),
        pytest.param(MemoryError(), id="memory"),
        pytest.param(RuntimeError("can't start new thread"), id="threads"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_a_task(
    want: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that ended for want of memory, files or threads is tried again later, and no bug is told of."""

    def do(_: Task) -> None:
        raise want

    with start_bench(tmp_path, files=1) as bench:
        bench.engine.start(bench.crew(do, policy=Policy(attempts=1)))
        bench.wait(lambda: len(bench.settlements) == 1)
        assert (bench.row()["state"], bench.row()["cause"]) == ("parked", Cause.LIBRARY_GONE)
        assert str(bench.row()["error"]).startswith("this machine")
    assert "a bug" not in caplog.text


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


@pytest.mark.parametrize("lost", [sqlite3.OperationalError("disk I/O error"), StateUnusable("a read failed")])
def test_a_ledger_that_is_lost_is_no_tasks_fault(lost: Exception, tmp_path: Path) -> None:
    """Where the state's disk fails in the middle of a run, the engine stops: nothing is charged, and no bug is told of."""

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
