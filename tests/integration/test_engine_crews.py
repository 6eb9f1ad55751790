"""The engine over a real ledger: order, overlap, waiting. Only the work itself is made up."""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from crews import PATIENCE, FakeWork, nothing, start_bench
from ledger import add_files, add_job

from ghostroll.engine.crew import Crew
from ghostroll.engine.settle import Outcome, Settlement
from ghostroll.errors import NoSpace
from ghostroll.model import Stage, Task, TaskState
from ghostroll.state import tasks


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
