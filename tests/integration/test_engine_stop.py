"""The engine is told to end, as a whole or in parts: over a real ledger, the work made up."""

import threading
from collections.abc import Sequence
from pathlib import Path

from crews import PATIENCE, FakeWork, nothing, start_bench
from ledger import add_files

from ghostroll.engine.crew import Crew, Work
from ghostroll.engine.settle import Outcome
from ghostroll.errors import Stopped
from ghostroll.model import Cause, Stage, Task
from ghostroll.state import tasks


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


def test_a_machine_that_slept_has_kept_nobody_waiting(tmp_path: Path) -> None:
    """A stop in whose middle the machine sleeps still gives its threads all the time that they were promised."""
    with start_bench(tmp_path, files=2) as bench:
        delays, begun = iter([0, 0.5]), threading.Semaphore(0)

        class Slow(FakeWork):
            def run(self, claimed: Sequence[Task]) -> Sequence[Outcome]:
                delay = next(delays)
                begun.release()
                assert self.stopping.wait(PATIENCE)
                bench.advance(3600)
                threading.Event().wait(delay)  # the second one is still at work when the first has ended
                raise Stopped(f"in the middle of {len(claimed)} tasks")

        bench.engine.start(Crew(Stage.COPY, lambda: Slow(nothing, bench.log), threads=2))
        assert begun.acquire(timeout=PATIENCE)
        assert begun.acquire(timeout=PATIENCE)
        bench.engine.stop()
        assert bench.engine.join(PATIENCE)
