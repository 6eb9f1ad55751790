"""The table is the queue: wanted once, claimed by one, settled by who holds the claim."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger import add_files, add_job, add_session, open_ledger

from ghostroll.model import Cause, JobId, SourceState, Stage, Task, TaskState
from ghostroll.state import assets, tasks
from ghostroll.state.database import Database
from ghostroll.state.tasks import LostClaim


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A fresh state."""
    with open_ledger(tmp_path) as opened:
        yield opened


def states(database: Database, stage: Stage = Stage.COPY) -> dict[str, int]:
    """How many tasks of a stage are in each state."""
    with database.read() as db:
        return dict(
            db.execute("SELECT state, count(*) FROM task WHERE stage = ? GROUP BY state", (stage,)).fetchall()
        )


def take(
    database: Database,
    stage: Stage = Stage.COPY,
    *,
    job: JobId | None = None,
    limit: int = 1,
    weight: int | None = None,
    now: float = 0,
) -> list[Task]:
    """Claim in a transaction of its own."""
    with database.write() as db:
        return tasks.claim(db, stage, job=job, limit=limit, weight=weight, now=now)


def settle(
    database: Database,
    task: Task,
    state: TaskState,
    *,
    charged: bool = False,
    due: float = 0,
    cause: Cause | None = None,
    error: str | None = None,
) -> None:
    """Settle in a transaction of its own."""
    with database.write() as db:
        tasks.settle(db, task, state, charged=charged, due=due, cause=cause, error=error)


def read_task(database: Database, task: Task) -> dict[str, object]:
    """A task's row."""
    with database.read() as db:
        return dict(db.execute("SELECT * FROM task WHERE id = ?", (task.id,)).fetchone())


def test_threads_get_every_task_exactly_once(database: Database) -> None:
    """Eight threads that claim and settle at the same time do each of 400 tasks once."""
    job = add_job(database)
    add_files(database, job, 400)
    done: list[int] = []
    start = threading.Barrier(8)

    def serve() -> None:
        start.wait(30)
        while claimed := take(database, limit=3):
            for task in claimed:
                settle(database, task, TaskState.DONE)
                done.append(task.subject)

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 400
    assert set(Counter(done).values()) == {1}
    assert states(database) == {"done": 400}


def test_a_lost_claim_cant_settle(database: Database) -> None:
    """Who lost a claim can't settle: the error undoes the facts that were written beside it."""
    job = add_job(database)
    (source,) = add_files(database, job, 1)
    (stale,) = take(database)
    with database.write() as db:
        tasks.requeue_running(db)
    (fresh,) = take(database)
    assert fresh.id == stale.id
    with pytest.raises(LostClaim), database.write() as db:  # noqa: PT012  # the block is the transaction
        assets.fail_source(db, source.id, "a fact of the stale worker")
        tasks.settle(db, stale, TaskState.DONE, charged=False)
    with database.read() as db:
        assert assets.get_source(db, source.id).state is SourceState.PENDING
    assert states(database) == {"running": 1}
    settle(database, fresh, TaskState.DONE)
    with pytest.raises(LostClaim):
        settle(database, fresh, TaskState.DONE)


def test_a_forgotten_task_cant_settle_another(database: Database) -> None:
    """A worker whose task was forgotten can't settle the next one that is wanted, whatever its number."""
    job = add_job(database)
    add_files(database, job, 1)
    (stale,) = take(database)
    with database.write() as db:
        tasks.forget_job(db, job)
        tasks.want(db, Stage.COPY, job, stale.subject)
    (fresh,) = take(database)
    with pytest.raises(LostClaim):
        settle(database, stale, TaskState.DONE)
    assert read_task(database, fresh)["state"] == "running"


def test_wanted_twice_is_wanted_once(database: Database) -> None:
    """A task that is in the queue already stays as it is."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.RENDER, job, 5, priority=1)
        tasks.want(db, Stage.RENDER, job, 5, priority=9)
    (task,) = take(database, Stage.RENDER)
    settle(database, task, TaskState.DONE)
    with database.write() as db:
        tasks.want(db, Stage.RENDER, job, 5)
    assert states(database, Stage.RENDER) == {"done": 1}
    assert read_task(database, task)["priority"] == 1


def test_a_copy_that_was_settled_is_wanted_anew(database: Database) -> None:
    """A copy that was done or waits is ready again with fresh attempts; one under way is left alone."""
    job = add_job(database)
    sources = add_files(database, job, 3)
    done, parked, running = take(database, limit=3)
    settle(database, done, TaskState.DONE, charged=True)
    settle(database, parked, TaskState.PARKED, charged=True, cause=Cause.CARD_GONE, error="x")
    with database.write() as db:
        tasks.want_anew(db, Stage.COPY, job, ((source.id, 0, 7) for source in sources))
    assert states(database) == {"ready": 2, "running": 1}
    assert [read_task(database, task)["attempts"] for task in (done, parked)] == [0, 0]
    assert read_task(database, running)["claim"] == 1


def test_claim_takes_the_most_urgent_first(database: Database) -> None:
    """Larger priority goes first, and of equals the one that was wanted first; no more than the limit."""
    job = add_job(database)
    with database.write() as db:
        for subject, priority in ((1, 0), (2, 5), (3, 0), (4, 9), (5, 5)):
            tasks.want(db, Stage.RENDER, job, subject, priority=priority)
    assert [task.subject for task in take(database, Stage.RENDER, limit=4)] == [4, 2, 5, 1]
    assert [task.subject for task in take(database, Stage.RENDER, limit=4)] == [3]
    assert take(database, Stage.RENDER, limit=4) == []


def test_claim_respects_due_times(database: Database) -> None:
    """A task is not claimed before it is due, and `next_due` says when that is."""
    job = add_job(database)
    with database.write() as db:
        assert tasks.next_due(db, Stage.RENDER, None) is None
        tasks.want(db, Stage.RENDER, job, 1, due=50, priority=9)
        tasks.want(db, Stage.RENDER, job, 2, due=40.5)
        assert tasks.next_due(db, Stage.RENDER, None) == 40.5
        assert tasks.next_due(db, Stage.RENDER, job) == 40.5
        assert tasks.next_due(db, Stage.COPY, None) is None
    assert take(database, Stage.RENDER, now=40.4) == []
    assert [task.subject for task in take(database, Stage.RENDER, now=40.5, limit=9)] == [2]
    assert [task.subject for task in take(database, Stage.RENDER, now=50, limit=9)] == [1]


def test_claim_respects_weight(database: Database) -> None:
    """A batch stays within its weight, but one task is always taken, however heavy."""
    job = add_job(database)
    with database.write() as db:
        tasks.want_anew(db, Stage.COPY, job, [(1, 9, 60), (2, 8, 30), (3, 7, 20), (4, 6, 500), (5, 5, 1)])
    assert [task.subject for task in take(database, limit=9, weight=100)] == [1, 2]
    assert [task.subject for task in take(database, limit=9, weight=100)] == [3]
    assert [task.subject for task in take(database, limit=9, weight=100)] == [4]
    assert [task.subject for task in take(database, limit=9, weight=None)] == [5]


def test_claim_respects_job_and_stage(database: Database) -> None:
    """A crew of one job takes that job's tasks of its stage alone, and hears of no other's due time."""
    one, two = add_job(database), add_job(database)
    add_files(database, one, 1)
    add_files(database, two, 1)
    assert take(database, Stage.RENDER) == []
    assert [task.job_id for task in take(database, job=two, limit=9)] == [two]
    with database.read() as db:
        assert tasks.next_due(db, Stage.COPY, two) is None
        assert tasks.next_due(db, Stage.COPY, one) == 0
    assert [task.job_id for task in take(database, limit=9)] == [one]


def test_a_claim_counts_up(database: Database) -> None:
    """Each claim of the same task has a number of its own, and attempts grow only when charged."""
    add_files(database, add_job(database), 1)
    seen = []
    for charged in (True, False, True):
        (task,) = take(database)
        seen.append((task.claim, task.attempts))
        settle(database, task, TaskState.READY, charged=charged)
    assert seen == [(1, 0), (2, 1), (3, 1)]


def test_unpark_wakes_only_what_waits_for_these_causes(database: Database) -> None:
    """What waited for a cause (in a job) is ready with fresh attempts, everything else goes on waiting."""
    one, two = add_job(database), add_job(database)
    add_files(database, one, 2)
    add_files(database, two, 1)
    causes = [Cause.NO_SPACE, Cause.UNREADABLE, Cause.NO_SPACE]
    claimed = take(database, limit=3)
    for task, cause in zip(claimed, causes, strict=True):
        settle(database, task, TaskState.PARKED, charged=True, cause=cause, error="x")
    with database.write() as db:
        assert tasks.list_parked(db) == {Cause.NO_SPACE: 2, Cause.UNREADABLE: 1}
        assert tasks.list_parked(db, one) == {Cause.NO_SPACE: 1, Cause.UNREADABLE: 1}
        assert [row["cause"] for row in tasks.list_parked_stages(db, two)] == ["no-space"]
        assert tasks.unpark(db, [Cause.NO_SPACE], one) == 1
        assert tasks.list_parked(db) == {Cause.NO_SPACE: 1, Cause.UNREADABLE: 1}
        assert tasks.unpark(db, [Cause.NO_SPACE, Cause.CARD_GONE]) == 1
        assert tasks.unpark(db, [Cause.NO_SPACE]) == 0
    row = read_task(database, claimed[0])
    assert (row["state"], row["attempts"], row["cause"], row["error"]) == ("ready", 0, None, None)


def test_park_lets_what_runs_finish(database: Database) -> None:
    """Parking a job's copies touches what is ready; what runs is settled by who runs it."""
    job, other = add_job(database), add_job(database)
    add_files(database, job, 3)
    add_files(database, other, 1)
    (running,) = take(database, job=job)
    with database.write() as db:
        tasks.want(db, Stage.RENDER, job, 1)
        tasks.park(db, job, (Stage.COPY,), Cause.CARD_GONE)
    assert states(database) == {"parked": 2, "ready": 1, "running": 1}
    assert states(database, Stage.RENDER) == {"ready": 1}
    settle(database, running, TaskState.DONE)


def test_revive_and_want_again(database: Database) -> None:
    """A dead render lives again with fresh attempts; a done one whose picture was lost is ready anew."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.RENDER, job, 1)
        tasks.want(db, Stage.RENDER, job, 2)
    dead, done = take(database, Stage.RENDER, limit=2)
    settle(database, dead, TaskState.DEAD, charged=True, error="broken")
    settle(database, done, TaskState.DONE)
    with database.write() as db:
        assert tasks.revive(db, job) == 1
        assert tasks.revive(db, job) == 0
        tasks.want_again(db, Stage.RENDER, job, done.subject)
    assert states(database, Stage.RENDER) == {"ready": 2}
    assert read_task(database, dead)["attempts"] == 0


def test_a_restart_charges_nobody_and_voids_due_times(database: Database) -> None:
    """After a crash what ran is ready, uncharged; due times of another boot delay nothing."""
    job = add_job(database)
    add_files(database, job, 3)
    running, later, parked = take(database, limit=3, now=1e6)
    settle(database, later, TaskState.READY, charged=True, due=2e6, error="x")
    settle(database, parked, TaskState.PARKED, cause=Cause.CARD_GONE)
    with database.write() as db:
        assert tasks.requeue_running(db) == 1
    assert states(database) == {"ready": 2, "parked": 1}
    assert read_task(database, running)["attempts"] == 0
    assert read_task(database, later)["attempts"] == 1
    assert {task.id for task in take(database, limit=9, now=0)} == {running.id, later.id}


def test_a_restart_merges_two_wishes_for_one_gallery(database: Database) -> None:
    """A gallery that was being written, and wanted again meanwhile, is wanted once after a crash."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1)
    take(database, Stage.PUBLISH)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1, due=77)
        tasks.requeue_running(db)
    assert states(database, Stage.PUBLISH) == {"done": 1, "ready": 1}
    assert len(take(database, Stage.PUBLISH, limit=9)) == 1


def test_a_gallery_is_written_by_one_at_a_time(database: Database) -> None:
    """A second wish for a gallery waits while it is being written, other galleries don't."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1)
    (first,) = take(database, Stage.PUBLISH)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1)
        assert tasks.next_due(db, Stage.PUBLISH, None) is None
        tasks.want(db, Stage.PUBLISH, job, 2, due=5)
        assert tasks.next_due(db, Stage.PUBLISH, None) == 5
    assert [task.subject for task in take(database, Stage.PUBLISH, limit=9, now=9)] == [2]
    settle(database, first, TaskState.DONE)
    assert [task.subject for task in take(database, Stage.PUBLISH, limit=9, now=9)] == [1]


@pytest.mark.parametrize("state", [TaskState.READY, TaskState.PARKED])
def test_a_gallery_that_failed_takes_the_new_wish_along(state: TaskState, database: Database) -> None:
    """A gallery that fails while it is wanted again is in the queue once, with its own backoff or cause."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1)
    (task,) = take(database, Stage.PUBLISH)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1)
        tasks.want(db, Stage.PUBLISH, job, 2)
    cause = Cause.NO_SPACE if state is TaskState.PARKED else None
    settle(database, task, state, charged=True, due=60, cause=cause, error="no")
    row = read_task(database, task)
    assert (row["state"], row["attempts"], row["due"], row["error"]) == (state, 1, 60, "no")
    with database.read() as db:
        assert db.execute("SELECT count(*) FROM task WHERE subject = 1").fetchone()[0] == 1
    assert [other.subject for other in take(database, Stage.PUBLISH, limit=9)] == [2]


def test_hurry_spares_what_failed(database: Database) -> None:
    """A gallery that only rests is written now; one that failed waits its backoff out, or it would spin."""
    job = add_job(database)
    with database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, 1, due=50)
        tasks.hurry(db, Stage.PUBLISH, 1)
    (task,) = take(database, Stage.PUBLISH, now=0)
    settle(database, task, TaskState.READY, charged=True, due=50, error="no")
    with database.write() as db:
        tasks.hurry(db, Stage.PUBLISH, 1)
    assert take(database, Stage.PUBLISH, now=49) == []
    assert len(take(database, Stage.PUBLISH, now=50)) == 1


def test_counts_of_what_is_open(database: Database) -> None:
    """Open is what is ready or running; parked, done and dead are not, and other jobs are not this one."""
    job, other = add_job(database), add_job(database)
    add_files(database, job, 4)
    done, parked, _running = take(database, limit=3)
    settle(database, done, TaskState.DONE)
    settle(database, parked, TaskState.PARKED, cause=Cause.NO_SPACE)
    with database.read() as db:
        assert tasks.has_open(db, job, (Stage.SCAN, Stage.COPY))
        assert not tasks.has_open(db, job, (Stage.RENDER,))
        assert not tasks.has_open(db, other)
        assert tasks.has_any_open(db)
    with database.write() as db:
        tasks.park(db, job, (Stage.COPY,), Cause.CARD_GONE)
    assert states(database) == {"done": 1, "parked": 2, "running": 1}
    with database.read() as db:
        assert tasks.has_any_open(db)


def test_giving_up_and_pruning(database: Database) -> None:
    """What a person gives up is dropped unless it runs; of a finished job settled tasks are dropped."""
    job = add_job(database)
    add_files(database, job, 4)
    done, parked, running = take(database, limit=3)
    settle(database, done, TaskState.DONE)
    settle(database, parked, TaskState.PARKED, cause=Cause.UNREADABLE)
    with database.write() as db:
        tasks.drop_open(db, job, (Stage.COPY,))
    assert states(database) == {"done": 1, "running": 1}
    with database.write() as db:
        tasks.prune_done(db, job)
    assert states(database) == {"running": 1}
    settle(database, running, TaskState.DONE)


def test_a_session_that_is_wanted_later_still_has_its_task(database: Database) -> None:
    """A gallery that was written can be wanted again, any number of times."""
    job = add_job(database)
    session = add_session(database, job)
    for _ in range(3):
        with database.write() as db:
            tasks.want(db, Stage.PUBLISH, job, session)
        (task,) = take(database, Stage.PUBLISH)
        settle(database, task, TaskState.DONE)
    assert states(database, Stage.PUBLISH) == {"done": 3}
