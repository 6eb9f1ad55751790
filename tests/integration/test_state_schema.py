"""The invariants that stand in the schema: SQLite itself refuses what must never be."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger import open_ledger

from ghostroll.state.database import Database

ROWS = """
INSERT INTO library VALUES (1, 'id');
INSERT INTO session (id, name, created_at) VALUES (1, 'one', 'now'), (2, 'two', 'now');
INSERT INTO job (id, uuid, label, size, filesystem, root, created_at) VALUES
  (1, 'A', 'CARD', 9, 'vfat', x'2f', 'now'), (2, NULL, 'CARD', 9, 'vfat', x'2f', 'now');
UPDATE job SET session_id = 1, folder = 'CARD' WHERE id = 1;
INSERT INTO asset (id, sha256, size, head, path, session_id, verified_at) VALUES
  (1, randomblob(32), 5, randomblob(32), x'61', 1, 7), (2, randomblob(32), 5, randomblob(32), x'62', 1, 7);
INSERT INTO source (id, job_id, path, size, mtime_ns, kind, state) VALUES
  (1, 1, x'61', 5, 0, 'jpeg', 'pending'), (2, 1, x'62', 5, 0, 'jpeg', 'pending');
INSERT INTO picture (source_id, session_id, share, width, height, share_bytes, thumb_bytes)
  VALUES (1, 1, 'a.jpg', 1, 1, 1, 1);
INSERT INTO task (id, stage, job_id, subject) VALUES (1, 'copy', 1, 1), (2, 'render', 1, 1), (3, 'publish', 1, 1);
"""

JOB = "INSERT INTO job (uuid, label, size, filesystem, root, created_at) VALUES "
SOURCE = "INSERT INTO source (job_id, path, size, mtime_ns, kind, state) VALUES "
ASSET = "INSERT INTO asset (sha256, size, head, path, session_id, verified_at) VALUES "
PICTURE = (
    "INSERT INTO picture (source_id, session_id, share, width, height, share_bytes, thumb_bytes) VALUES "
)
TASK = "INSERT INTO task (stage, job_id, subject, state) VALUES "

REFUSED = {
    "a second library": ("INSERT INTO library VALUES (2, 'id')", "one = 1"),
    "a library without an id": ("UPDATE library SET id = NULL", "library.id"),
    "a session without a name": ("UPDATE session SET name = '' WHERE id = 1", "name <> ''"),
    "a session with a slash": ("UPDATE session SET name = 'a/b' WHERE id = 1", "name <> ''"),
    "a hidden session": ("UPDATE session SET name = '..' WHERE id = 1", "name <> ''"),
    "two sessions of one name": ("UPDATE session SET name = 'one' WHERE id = 2", "session.name"),
    "a job of no session": ("UPDATE job SET session_id = 77 WHERE id = 1", "FOREIGN KEY"),
    "a folder that leads elsewhere": ("UPDATE job SET folder = '../x' WHERE id = 1", "folder NOT LIKE"),
    "a folder with a slash": ("UPDATE job SET folder = 'a/b' WHERE id = 1", "folder NOT LIKE"),
    "a session without a folder": ("UPDATE job SET folder = NULL WHERE id = 1", "session_id IS NULL"),
    "a folder without a session": ("UPDATE job SET folder = 'X' WHERE id = 2", "session_id IS NULL"),
    "a device of negative size": ("UPDATE job SET size = -1 WHERE id = 1", "size >= 0"),
    "an unknown safety": ("UPDATE job SET safety = 'fine' WHERE id = 1", "safety IN"),
    "an unknown publication": ("UPDATE job SET publication = 'fine' WHERE id = 1", "publication IN"),
    "secured without a time": ("UPDATE job SET safety = 'secured' WHERE id = 1", "secured_at"),
    "a time without secured": ("UPDATE job SET secured_at = 'now' WHERE id = 1", "secured_at"),
    "published without a session": (
        "UPDATE job SET publication = 'live' WHERE id = 2",
        "publication = 'none'",
    ),
    "two volumes in one folder": (
        "UPDATE job SET session_id = 1, folder = 'CARD' WHERE id = 2",
        "job.session_id, job.folder",
    ),
    "two ingests of one card": (JOB + "('A', 'CARD', 9, 'vfat', x'2f', 'now')", "job.uuid, job.size"),
    "text for a size": (
        JOB + "('B', 'CARD', 'big', 'vfat', x'2f', 'now')",
        "cannot store TEXT value in INTEGER",
    ),
    "text for a root": (JOB + "('B', 'CARD', 9, 'vfat', '/', 'now')", "cannot store TEXT value in BLOB"),
    "a blob for a label": (JOB + "('B', x'00', 9, 'vfat', x'2f', 'now')", "cannot store BLOB value in TEXT"),
    "text for a path": (SOURCE + "(1, 'c', 5, 0, 'jpeg', 'pending')", "cannot store TEXT value in BLOB"),
    "a fraction for a time": (SOURCE + "(1, x'63', 5, 0.5, 'jpeg', 'pending')", "cannot store REAL value"),
    "a source of no job": (SOURCE + "(77, x'63', 5, 0, 'jpeg', 'pending')", "FOREIGN KEY"),
    "a path twice on a card": (SOURCE + "(1, x'61', 5, 0, 'jpeg', 'pending')", "source.job_id, source.path"),
    "a file of negative size": ("UPDATE source SET size = -1 WHERE id = 1", "size >= 0"),
    "an unknown source state": ("UPDATE source SET state = 'fine' WHERE id = 1", "state IN"),
    "stored without an asset": ("UPDATE source SET state = 'stored' WHERE id = 1", "asset_id IS NOT NULL"),
    "duplicate without an asset": (
        "UPDATE source SET state = 'duplicate' WHERE id = 1",
        "asset_id IS NOT NULL",
    ),
    "known without an asset": ("UPDATE source SET state = 'known' WHERE id = 1", "asset_id IS NOT NULL"),
    "pending with an asset": ("UPDATE source SET asset_id = 1 WHERE id = 1", "asset_id IS NOT NULL"),
    "an asset that is not there": (
        "UPDATE source SET state = 'stored', asset_id = 77 WHERE id = 1",
        "FOREIGN KEY",
    ),
    "failed without a reason": ("UPDATE source SET state = 'failed' WHERE id = 1", "error IS NOT NULL"),
    "skipped without a reason": ("UPDATE source SET state = 'skipped' WHERE id = 1", "error IS NOT NULL"),
    "pending with a reason": ("UPDATE source SET error = 'x' WHERE id = 1", "error IS NOT NULL"),
    "a short checksum": (ASSET + "(x'00', 5, randomblob(32), x'63', 1, 7)", "length(sha256)"),
    "a short head": (ASSET + "(randomblob(32), 5, x'00', x'63', 1, 7)", "length(head)"),
    "one content twice": (
        "UPDATE asset SET sha256 = (SELECT sha256 FROM asset WHERE id = 1) WHERE id = 2",
        "sha256",
    ),
    "two assets in one place": ("UPDATE asset SET path = x'61' WHERE id = 2", "asset.path"),
    "an asset of no session": (ASSET + "(randomblob(32), 5, randomblob(32), x'63', 77, 7)", "FOREIGN KEY"),
    "an asset of negative size": ("UPDATE asset SET size = -1 WHERE id = 1", "size >= 0"),
    "an asset that was never verified": ("UPDATE asset SET verified_at = NULL WHERE id = 1", "verified_at"),
    "a picture with an error": ("UPDATE picture SET error = 'x'", "share IS NULL"),
    "no picture and no error": (
        "INSERT INTO picture (source_id, session_id) VALUES (2, 1)",
        "share IS NULL",
    ),
    "a picture without a width": ("UPDATE picture SET width = NULL", "share IS NULL"),
    "a picture without a height": ("UPDATE picture SET height = NULL", "share IS NULL"),
    "a picture without its bytes": ("UPDATE picture SET share_bytes = NULL", "share IS NULL"),
    "a picture without a thumbnail": ("UPDATE picture SET thumb_bytes = NULL", "share IS NULL"),
    "two pictures of one name": (
        PICTURE + "(2, 1, 'a.jpg', 1, 1, 1, 1)",
        "picture.session_id, picture.share",
    ),
    "a picture of no source": (
        "INSERT INTO picture (source_id, session_id, error) VALUES (77, 1, 'x')",
        "FOREIGN KEY",
    ),
    "an unknown stage": (TASK + "('polish', 1, 9, 'ready')", "stage IN"),
    "an unknown task state": (TASK + "('copy', 1, 9, 'lost')", "state IN"),
    "a task of no job": (TASK + "('copy', 77, 9, 'ready')", "FOREIGN KEY"),
    "a copy wanted twice": (TASK + "('copy', 1, 1, 'ready')", "task.stage, task.subject"),
    "a copy wanted again once done": (TASK + "('copy', 1, 1, 'done')", "task.stage, task.subject"),
    "a gallery wanted twice": (TASK + "('publish', 1, 1, 'ready')", "task.stage, task.subject"),
    "a gallery parked and wanted": (
        "INSERT INTO task (stage, job_id, subject, state, cause) VALUES ('publish', 1, 1, 'parked', 'no-space')",
        "task.stage, task.subject",
    ),
    "a gallery written twice at a time": (
        TASK + "('publish', 1, 9, 'running'), ('publish', 1, 9, 'running')",
        "task.stage, task.subject",
    ),
    "parked without a cause": ("UPDATE task SET state = 'parked' WHERE id = 1", "cause IS NOT NULL"),
    "a cause without parking": ("UPDATE task SET cause = 'no-space' WHERE id = 1", "cause IS NOT NULL"),
    "a dead copy": ("UPDATE task SET state = 'dead', error = 'x' WHERE id = 1", "'dead'"),
    "a dead gallery": ("UPDATE task SET state = 'dead', error = 'x' WHERE id = 3", "'dead'"),
    "dead without a reason": ("UPDATE task SET state = 'dead' WHERE id = 2", "'dead'"),
    "attempts below zero": ("UPDATE task SET attempts = -1 WHERE id = 1", "attempts >= 0"),
    "a weight below zero": ("UPDATE task SET weight = -1 WHERE id = 1", "weight >= 0"),
}

ACCEPTED: dict[str, str | tuple[str, ...]] = {
    "the same card after it was secured": (
        "UPDATE job SET safety = 'secured', secured_at = 'now' WHERE id = 1",
        JOB + "('A', 'CARD', 9, 'vfat', x'2f', 'now')",
    ),
    "two cards without a UUID": JOB + "(NULL, 'CARD', 9, 'vfat', x'2f', 'now')",
    "a card of the same UUID and another size": JOB + "('A', 'CARD', 10, 'vfat', x'2f', 'now')",
    "one folder in two sessions": "UPDATE job SET session_id = 2, folder = 'CARD' WHERE id = 2",
    "a dead render": "UPDATE task SET state = 'dead', error = 'x' WHERE id = 2",
    "a gallery wanted while it is written": (
        "UPDATE task SET state = 'running' WHERE id = 3",
        TASK + "('publish', 1, 1, 'ready')",
    ),
    "a name that is not UTF-8": SOURCE + "(1, x'ff00fe', 5, -1, 'jpeg', 'pending')",
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A state with a row or two in each table."""
    with open_ledger(tmp_path) as opened:
        opened._connection.executescript(ROWS)
        yield opened


@pytest.mark.parametrize("name", REFUSED)
def test_schema_refuses(name: str, database: Database) -> None:
    """What must never be is refused by SQLite itself, naming the invariant."""
    statement, reason = REFUSED[name]
    with pytest.raises(sqlite3.IntegrityError) as refused, database.write() as db:
        db.execute(statement)
    assert reason in str(refused.value)


@pytest.mark.parametrize("name", ACCEPTED)
def test_schema_accepts(name: str, database: Database) -> None:
    """The invariants leave room for what really happens."""
    with database.write() as db:
        statements = ACCEPTED[name]
        for statement in (statements,) if isinstance(statements, str) else statements:
            assert db.execute(statement).rowcount == 1


def test_every_table_is_strict(database: Database) -> None:
    """No table takes values of another type than its columns name."""
    with database.read() as db:
        tables = db.execute(
            "SELECT name, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
    assert {row["name"] for row in tables} >= {
        "job",
        "session",
        "source",
        "asset",
        "picture",
        "task",
        "library",
    }
    assert {row["name"] for row in tables if not row["strict"]} == set()


def test_numbers_are_not_used_again(database: Database) -> None:
    """A job's number that a person wrote down, and a task's that a late worker holds, never mean another one."""
    with database.write() as db:
        db.execute("DELETE FROM task WHERE id = 3")
        db.execute("DELETE FROM job WHERE id = 2")
        db.execute(TASK + "('publish', 1, 1, 'ready')")
        db.execute(JOB + "(NULL, 'CARD', 9, 'vfat', x'2f', 'now')")
        assert db.execute("SELECT max(id) FROM task").fetchone()[0] == 4
        assert db.execute("SELECT max(id) FROM job").fetchone()[0] == 3
