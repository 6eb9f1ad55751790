"""The table is the queue: tasks are wanted, claimed and settled here, and nowhere else."""

import sqlite3
from collections.abc import Iterable, Sequence

from ghostroll.errors import GhostrollError
from ghostroll.model import RANK_BITS, Cause, JobId, Stage, Task, TaskId, TaskState

# Of two wishes for one gallery the second waits until the first is settled.
_FREE = (
    "(stage <> 'publish' OR NOT EXISTS (SELECT 1 FROM task AS other WHERE other.state = 'running'"
    " AND other.stage = task.stage AND other.subject = task.subject))"
)
# The page that a link leads to is in the bucket before anything else, unless it fails.
_PAGES_FIRST = (
    "NOT EXISTS (SELECT 1 FROM task AS page INDEXED BY task_page JOIN gallery ON gallery.id = page.subject"
    " WHERE page.stage = 'publish' AND page.state IN ('ready', 'running') AND page.attempts = 0"
    " AND gallery.place <> 'folder' AND gallery.linked_at IS NULL)"
)
# While pictures are made or sent, one upload of the last rank goes on beside them: the line is theirs.
_ONE_BESIDE_PICTURES = (
    f"(NOT EXISTS (SELECT 1 FROM task AS other WHERE other.state = 'running' AND other.stage = 'upload'"
    f" AND other.priority < {1 << RANK_BITS})"
    " OR NOT (EXISTS (SELECT 1 FROM task INDEXED BY task_ready WHERE state = 'ready' AND stage = 'render')"
    " OR EXISTS (SELECT 1 FROM task INDEXED BY task_ready WHERE state = 'ready' AND stage = 'upload'"
    f" AND priority >= {1 << RANK_BITS})"
    " OR EXISTS (SELECT 1 FROM task INDEXED BY task_running WHERE state = 'running' AND (stage = 'render'"
    f" OR (stage = 'upload' AND priority >= {1 << RANK_BITS})))))"
)


class LostClaim(GhostrollError):
    """A worker settled a task that was not its own any more: a bug, and the transaction is undone."""


def want(
    db: sqlite3.Connection, stage: Stage, job: JobId, subject: int, *, priority: int = 0, due: float = 0
) -> None:
    """See to it that a task is in the queue; one that is there already is left as it is."""
    db.execute(
        "INSERT INTO task (stage, job_id, subject, priority, due) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (stage, job, subject, priority, due),
    )


def want_anew(
    db: sqlite3.Connection, stage: Stage, job: JobId, subjects: Iterable[tuple[int, int, int]]
) -> None:
    """Queue a copy or an upload for each (subject, priority, bytes); one that was settled or waits is ready anew."""
    db.executemany(
        f"INSERT INTO task (stage, job_id, subject, priority, weight) VALUES ('{stage}', ?, ?, ?, ?)"
        " ON CONFLICT (stage, subject) WHERE stage <> 'publish' DO UPDATE SET state = 'ready', attempts = 0, due = 0,"
        " cause = NULL, error = NULL, weight = excluded.weight WHERE task.state IN ('done', 'parked')",
        ((job, subject, priority, weight) for subject, priority, weight in subjects),
    )


def want_again(db: sqlite3.Connection, stage: Stage, job: JobId, subject: int, *, priority: int = 0) -> None:
    """What a settled task made is not there (any more), or is wanted of other bytes: it is ready anew."""
    forget_settled(db, stage, subject)
    want(db, stage, job, subject, priority=priority)


def forget_settled(db: sqlite3.Connection, stage: Stage, subject: int) -> None:
    """Drop a subject's task of a stage if it is done or dead, so that it may be wanted anew."""
    db.execute(
        "DELETE FROM task WHERE stage = ? AND stage <> 'publish' AND subject = ? AND state IN ('done', 'dead')",
        (stage, subject),
    )


def hurry(db: sqlite3.Connection, stage: Stage, subject: int) -> None:
    """A task need not wait for its due time, unless it failed: then it waits its backoff out."""
    db.execute(
        "UPDATE task SET due = 0 WHERE stage = ? AND subject = ? AND state = 'ready' AND error IS NULL",
        (stage, subject),
    )


def claim(
    db: sqlite3.Connection,
    stage: Stage,
    *,
    job: JobId | None,
    limit: int,
    weight: int | None = None,
    rank: int | None = None,
    now: float,
) -> list[Task]:
    """Take due tasks of a stage (of one job, or of one rank), most urgent first, for the caller alone.

    At most `limit`, and none that would bring their weight over `weight`, but always one. A gallery
    that is being written is not taken, nor an upload before a new gallery's page. `now` is boot-time seconds.
    """
    index, of_job = ("task_ready", "") if job is None else ("task_ready_of_job", " AND job_id = ?")
    of_rank = "" if rank is None else " AND priority >= ? AND priority < ?"
    span = () if rank is None else (rank << RANK_BITS, (rank + 1) << RANK_BITS)
    arguments = (stage, *span, now, limit) if job is None else (stage, job, *span, now, limit)
    rows = db.execute(
        f"SELECT id, stage, job_id, subject, attempts, claim, weight FROM task INDEXED BY {index}"
        f" WHERE state = 'ready' AND stage = ?{of_job}{of_rank} AND due <= ? AND {_may_go(stage, rank)}"
        " ORDER BY priority DESC, id LIMIT ?",
        arguments,
    ).fetchall()
    taken: list[Task] = []
    total = 0
    for row in rows:
        total += row["weight"]
        if taken and weight is not None and total > weight:
            break
        taken.append(
            Task(
                id=TaskId(row["id"]),
                stage=Stage(row["stage"]),
                job_id=JobId(row["job_id"]),
                subject=row["subject"],
                attempts=row["attempts"],
                claim=row["claim"] + 1,
            )
        )
    db.executemany(
        "UPDATE task SET state = 'running', claim = claim + 1 WHERE id = ?", ((task.id,) for task in taken)
    )
    return taken


def _may_go(stage: Stage, rank: int | None) -> str:
    """Which ready tasks of a stage (of a rank) need not wait for others."""
    if stage is not Stage.UPLOAD:
        return _FREE
    return f"{_PAGES_FIRST} AND {_ONE_BESIDE_PICTURES}" if rank == 0 else _PAGES_FIRST


def settle(
    db: sqlite3.Connection,
    task: Task,
    state: TaskState,
    *,
    charged: bool,
    due: float = 0,
    cause: Cause | None = None,
    error: str | None = None,
) -> None:
    """Put down what became of a claimed task, if and only if the claim still stands; else LostClaim.

    A gallery that goes back to the queue takes a wish that came meanwhile along: it is the same one.
    """
    if task.stage is Stage.PUBLISH and state in (TaskState.READY, TaskState.PARKED):
        db.execute(
            "DELETE FROM task WHERE stage = 'publish' AND subject = ? AND state IN ('ready', 'parked')",
            (task.subject,),
        )
    changed = db.execute(
        "UPDATE task SET state = ?, attempts = attempts + ?, due = ?, cause = ?, error = ?"
        " WHERE id = ? AND state = 'running' AND claim = ?",
        (state, int(charged), due, cause, error, task.id, task.claim),
    ).rowcount
    if changed != 1:
        raise LostClaim(f"task {task.id} ({task.stage}) was settled by another worker")


def next_due(
    db: sqlite3.Connection, stage: Stage, job: JobId | None, rank: int | None = None
) -> float | None:
    """When the earliest ready task of a stage (of a job, or of a rank) may be claimed; None where none is ready."""
    index, of_job = ("task_due", "") if job is None else ("task_due_of_job", " AND job_id = ?")
    arguments: tuple[object, ...] = (stage,) if job is None else (stage, job)
    if rank is not None:
        index, of_job, arguments = "task_due_of_rank", " AND priority >> 40 = ?", (stage, rank)
    row = db.execute(
        f"SELECT due FROM task INDEXED BY {index} WHERE state = 'ready' AND stage = ?{of_job} AND {_may_go(stage, rank)}"
        " ORDER BY due LIMIT 1",
        arguments,
    ).fetchone()
    return None if row is None else float(row[0])


def has_open(db: sqlite3.Connection, job: JobId, stages: Sequence[Stage] = tuple(Stage)) -> bool:
    """Whether any task of these stages is ready or running for a job. One look-up each, however many there are."""
    marks = ", ".join("?" * len(stages))
    row = db.execute(
        f"SELECT 1 FROM task WHERE state IN ('ready', 'running') AND job_id = ? AND stage IN ({marks}) LIMIT 1",
        (job, *stages),
    ).fetchone()
    return row is not None


def is_wanted(db: sqlite3.Connection, stage: Stage, subject: int) -> bool:
    """Whether a task for this subject is ready, running or waits."""
    row = db.execute(
        f"SELECT 1 FROM task WHERE stage = '{stage}' AND subject = ? AND state IN ('ready', 'running', 'parked') LIMIT 1",
        (subject,),
    ).fetchone()
    return row is not None


def is_parked(db: sqlite3.Connection, stage: Stage, subject: int) -> bool:
    """Whether a task for this subject waits for a cause, and none is ready or running."""
    rows = db.execute(
        f"SELECT DISTINCT state FROM task WHERE stage = '{stage}' AND subject = ?"
        " AND state IN ('ready', 'running', 'parked')",
        (subject,),
    ).fetchall()
    return [row["state"] for row in rows] == ["parked"]


def is_rendering(db: sqlite3.Connection, job: JobId) -> bool:
    """Whether pictures of a job are still to be made, now or when workers start again."""
    return has_open(db, job, (Stage.RENDER,)) or Cause.NO_WORKER in list_parked(db, job)


def has_any_open(db: sqlite3.Connection) -> bool:
    """Whether any task of any job is ready or running. One look-up, however many there are."""
    return db.execute("SELECT 1 FROM task WHERE state IN ('ready', 'running') LIMIT 1").fetchone() is not None


def count_open(db: sqlite3.Connection, job: JobId | None, stages: Sequence[Stage] = tuple(Stage)) -> int:
    """How many tasks of these stages are ready or running for a job, for all jobs without one."""
    marks = ", ".join("?" * len(stages))
    of_job, arguments = ("", ()) if job is None else ("job_id = ? AND ", (job,))
    row = db.execute(
        f"SELECT count(*) FROM task WHERE {of_job}stage IN ({marks}) AND state IN ('ready', 'running')",
        (*arguments, *stages),
    ).fetchone()
    return int(row[0])


def list_parked(db: sqlite3.Connection, job: JobId | None = None) -> dict[Cause, int]:
    """How many tasks (of a job) wait for each cause."""
    of_job, arguments = ("", ()) if job is None else (" AND job_id = ?", (job,))
    rows = db.execute(
        f"SELECT cause, count(*) FROM task WHERE state = 'parked'{of_job} GROUP BY cause", arguments
    ).fetchall()
    return {Cause(row[0]): int(row[1]) for row in rows}


def list_parked_stages(
    db: sqlite3.Connection, job: JobId, place: str | None = None
) -> list[dict[str, str | int]]:
    """What of a job waits: stage, cause, how many, and one task's own words.

    With a bucket's `place` also originals of its card that an earlier job sends there.
    """
    rows = db.execute(
        "SELECT stage, cause, count(*), min(error) FROM task WHERE id IN ("
        " SELECT id FROM task WHERE state = 'parked' AND job_id = ?"
        " UNION SELECT task.id FROM source JOIN object USING (asset_id) JOIN task ON task.subject = object.id"
        " WHERE source.job_id = ? AND object.place = ? AND task.stage = 'upload' AND task.state = 'parked'"
        ") GROUP BY stage, cause",
        (job, job, place),
    ).fetchall()
    return [{"stage": row[0], "cause": row[1], "tasks": int(row[2]), "error": row[3] or ""} for row in rows]


def find_lightest_parked(db: sqlite3.Connection, cause: Cause) -> int:
    """The smallest weight of what waits for a cause; 0 where nothing does."""
    row = db.execute("SELECT min(weight) FROM task WHERE state = 'parked' AND cause = ?", (cause,)).fetchone()
    return int(row[0] or 0)


def unpark(db: sqlite3.Connection, causes: Iterable[Cause], job: JobId | None = None) -> int:
    """Make what waited for these causes (in a job) ready again, with fresh attempts; returns how many."""
    wanted = list(causes)
    marks = ", ".join("?" * len(wanted))
    return db.execute(
        f"UPDATE task SET state = 'ready', cause = NULL, error = NULL, due = 0, attempts = 0"
        f" WHERE state = 'parked' AND cause IN ({marks}) AND (? IS NULL OR job_id = ?)",
        (*wanted, job, job),
    ).rowcount


def park(db: sqlite3.Connection, job: JobId, stages: Sequence[Stage], cause: Cause) -> None:
    """Let a job's ready tasks of these stages wait for a cause."""
    marks = ", ".join("?" * len(stages))
    db.execute(
        f"UPDATE task SET state = 'parked', cause = ? WHERE state = 'ready' AND job_id = ? AND stage IN ({marks})",
        (cause, job, *stages),
    )


# What needs the bucket: uploads, and the pages that stand in it.
_OF_BUCKET = "(stage = 'upload' OR (stage = 'publish' AND subject IN (SELECT id FROM gallery WHERE place <> 'folder')))"


def has_open_elsewhere(db: sqlite3.Connection) -> bool:
    """Whether anything is ready or running that does not need the bucket."""
    row = db.execute(
        f"SELECT 1 FROM task WHERE state IN ('ready', 'running') AND NOT {_OF_BUCKET} LIMIT 1"
    ).fetchone()
    return row is not None


def park_bucket(db: sqlite3.Connection, cause: Cause, error: str) -> int:
    """Let everything that is ready and needs the bucket wait for a cause; returns how many."""
    return db.execute(
        f"UPDATE task SET state = 'parked', cause = ?, error = ? WHERE state = 'ready' AND {_OF_BUCKET}",
        (cause, error),
    ).rowcount


def unpark_bucket(db: sqlite3.Connection, causes: Iterable[Cause], *, limit: int = -1) -> int:
    """Make what needs the bucket and waits for these causes ready again; returns how many.

    First what met nothing itself, then what met it longest ago: one that is refused alone keeps no other.
    """
    wanted = list(causes)
    marks = ", ".join("?" * len(wanted))
    return db.execute(
        "UPDATE task SET state = 'ready', cause = NULL, error = NULL, due = 0, attempts = 0 WHERE id IN ("
        f" SELECT id FROM task WHERE state = 'parked' AND cause IN ({marks}) AND {_OF_BUCKET}"
        f" ORDER BY due, stage = 'publish' DESC, priority >> {RANK_BITS} DESC, weight, id LIMIT ?)",
        (*wanted, limit),
    ).rowcount


def forget_elsewhere(db: sqlite3.Connection, place: str) -> None:
    """Drop what waits for a bucket that is not this one: the configuration names another, or none, by now."""
    db.execute(
        "DELETE FROM task WHERE state IN ('ready', 'parked') AND ("
        " (stage = 'upload' AND subject NOT IN (SELECT id FROM object WHERE place = ?)) OR"
        " (stage = 'publish' AND subject IN (SELECT id FROM gallery WHERE place NOT IN ('folder', ?))))",
        (place, place),
    )


def take_away(db: sqlite3.Connection, job: JobId, stages: Sequence[Stage], cause: Cause) -> int:
    """Take a job's running tasks of these stages from whoever claimed them; they wait for a cause. Returns how many.

    Their threads hang and can't give them back: what those still settle is LostClaim.
    """
    marks = ", ".join("?" * len(stages))
    return db.execute(
        "UPDATE task SET state = 'parked', cause = ?, claim = claim + 1"
        f" WHERE state = 'running' AND job_id = ? AND stage IN ({marks})",
        (cause, job, *stages),
    ).rowcount


def park_anew(
    db: sqlite3.Connection, job: JobId, stages: Sequence[Stage], causes: Iterable[Cause], cause: Cause
) -> None:
    """A job's tasks that wait for other causes wait for this one first."""
    wanted = list(causes)
    marks, causes_marks = ", ".join("?" * len(stages)), ", ".join("?" * len(wanted))
    db.execute(
        "UPDATE task SET cause = ? WHERE state = 'parked' AND job_id = ?"
        f" AND stage IN ({marks}) AND cause IN ({causes_marks})",
        (cause, job, *stages, *wanted),
    )


def revive(db: sqlite3.Connection, job: JobId) -> int:
    """Give a job's dead renders another life; returns how many."""
    return db.execute(
        "UPDATE task SET state = 'ready', attempts = 0, due = 0, error = NULL WHERE state = 'dead' AND job_id = ?",
        (job,),
    ).rowcount


def drop_wishes(db: sqlite3.Connection, stage: Stage, subjects: Iterable[int]) -> None:
    """Forget these subjects' tasks of a stage that are not under way: what they were to make is there by now."""
    db.executemany(
        "DELETE FROM task"
        f" WHERE stage = '{stage}' AND stage <> 'publish' AND subject = ? AND state IN ('ready', 'parked')",
        ((subject,) for subject in subjects),
    )


def drop_open(db: sqlite3.Connection, job: JobId, stages: Sequence[Stage]) -> None:
    """Forget a job's tasks of these stages that are not under way: a person gave them up."""
    marks = ", ".join("?" * len(stages))
    db.execute(
        f"DELETE FROM task WHERE job_id = ? AND stage IN ({marks}) AND state IN ('ready', 'parked')",
        (job, *stages),
    )


def requeue_running(db: sqlite3.Connection) -> int:
    """After a crash nobody runs: what was running is ready again, charged to nobody; returns how many.

    Due times were of an earlier boot, so they are void. Another wish for the same gallery may stand
    already; then the running one is simply done.
    """
    db.execute(
        "UPDATE task SET state = 'done' WHERE state = 'running' AND stage = 'publish' AND EXISTS ("
        " SELECT 1 FROM task AS other WHERE other.stage = 'publish' AND other.subject = task.subject"
        " AND other.state IN ('ready', 'parked'))"
    )
    db.execute("UPDATE task SET due = 0 WHERE state = 'ready' AND due <> 0")
    return db.execute("UPDATE task SET state = 'ready', due = 0 WHERE state = 'running'").rowcount


def prune_done(db: sqlite3.Connection, job: JobId) -> None:
    """Drop a finished job's settled tasks; the facts they made stay."""
    db.execute("DELETE FROM task WHERE job_id = ? AND state = 'done'", (job,))


def forget_job(db: sqlite3.Connection, job: JobId) -> None:
    """Drop all tasks of a job."""
    db.execute("DELETE FROM task WHERE job_id = ?", (job,))
