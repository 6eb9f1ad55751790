"""The database file: how it is opened, damage, and migrations."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger import fingerprint, make_state, open_ledger
from running import KILLED, run_python

from ghostroll.errors import StateUnusable
from ghostroll.state import database as database_module
from ghostroll.state import jobs
from ghostroll.state.database import Database, load_migrations, open_reader
from ghostroll.state.owner import Ownership


def is_whole(path: Path) -> bool:
    """Whether a state opens at its newest version, sound and with all its tables."""
    database = Database(str(path))
    try:
        with database.read() as db:
            tables = db.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'task'")
            return bool(
                tables.fetchone()[0] == 1
                and db.execute("PRAGMA user_version").fetchone()[0] == len(load_migrations())
                and db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            )
    finally:
        database.close()


def test_fresh_state_reaches_the_newest_version(tmp_path: Path) -> None:
    """A state that was not there is made whole, in a folder that its owner has made."""
    path = tmp_path / "deep" / "er" / "state.db"
    Ownership.take(str(path), command="a test").release()
    assert is_whole(path)


def test_settings_of_the_owner(tmp_path: Path) -> None:
    """The owner's connection has a write-ahead log, foreign keys and synchronous=NORMAL."""
    with open_ledger(tmp_path) as database, database.read() as db:
        settings = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1}


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    """A state is migrated once; opened again it has what was committed."""
    path = make_state(tmp_path, sessions=3)
    with open_ledger(tmp_path) as database, database.read() as db:
        assert len(jobs.list_sessions(db)) == 3
    assert fingerprint(tmp_path).keys() == {path.name}, "a clean close folds the log into the file"


def test_empty_file_is_a_fresh_state(tmp_path: Path) -> None:
    """A file of 0 bytes, as a crash before the first write leaves it, is a new state."""
    (tmp_path / "state.db").touch()
    assert is_whole(tmp_path / "state.db")


def test_odd_names_are_names(tmp_path: Path) -> None:
    """A state's path may hold what means something in a URI, and bytes that are not UTF-8."""
    name = os.fsdecode(b"100%41 #1 ?mode=memory \xff")
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(name) + b"/state.db"
    os.mkdir(os.path.dirname(path))
    database = Database(os.fsdecode(path))
    database.close()
    assert os.path.getsize(path) > 0
    open_reader(os.fsdecode(path)).close()


def newer(path: Path) -> None:
    """Make a state one of a version to come."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(load_migrations()) + 1}")
        db.commit()


def garbage(path: Path) -> None:
    """Make a state random bytes."""
    path.write_bytes(os.urandom(10_000))


def overwrite_pages(path: Path) -> None:
    """Leave a state's header and damage every page behind the first."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def truncate(path: Path) -> None:
    """Cut a state off in the middle."""
    os.truncate(path, path.stat().st_size // 2)


def cut_to_a_few_bytes(path: Path) -> None:
    """Leave less than a header."""
    path.write_bytes(b"SQLite")


SPOILT: list[Callable[[Path], None]] = [newer, garbage, overwrite_pages, truncate, cut_to_a_few_bytes]


@pytest.mark.parametrize("spoil", SPOILT)
def test_unusable_state_is_refused_untouched(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """A state that is damaged or newer is refused with a sentence; not a byte and not a file changes."""
    path = make_state(tmp_path, sessions=500)
    spoil(path)
    before = fingerprint(tmp_path)
    with pytest.raises(StateUnusable) as refused:
        Database(str(path))
    assert str(path) in str(refused.value)
    assert "left untouched" in str(refused.value)
    assert ("newer" in str(refused.value)) == (spoil is newer)
    assert fingerprint(tmp_path) == before


CRASH = """
import os, signal, sys
from ghostroll.state import jobs
from ghostroll.state.database import Database
database = Database(sys.argv[1])
with database.write() as db:
    for number in range(500):
        jobs.add_session(db, f"session-{number}", created_at="now")
database._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
with database.write() as db:
    db.execute("PRAGMA user_version = " + sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("spoil", [None, overwrite_pages])
def test_unusable_state_after_a_crash_is_refused_untouched(
    spoil: Callable[[Path], None] | None, tmp_path: Path
) -> None:
    """A newer or damaged state whose owner was killed is refused too, and so is its log kept byte for byte."""
    path = tmp_path / "state.db"
    version = len(load_migrations()) + (spoil is None)  # the newer version stands in the log alone
    assert run_python(CRASH, str(path), str(version)).returncode == KILLED
    if spoil is not None:
        spoil(path)
    before = fingerprint(tmp_path)
    assert before.keys() == {"state.db", "state.db-wal", "state.db-shm"}
    with pytest.raises(StateUnusable, match="newer" if spoil is None else "damaged"):
        Database(str(path))
    del before["state.db-shm"]  # shared memory, void without a process
    assert before.items() <= fingerprint(tmp_path).items()


def test_a_killed_owner_loses_no_commit(tmp_path: Path) -> None:
    """What was committed is there after SIGKILL, whatever was under way is not."""
    code = """
import os, signal, sys
from ghostroll.state import jobs
from ghostroll.state.database import Database
database = Database(sys.argv[1])
with database.write() as db:
    jobs.add_session(db, "kept", created_at="now")
with database.write() as db:
    jobs.add_session(db, "lost", created_at="now")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "state.db"
    assert run_python(code, str(path)).returncode == KILLED
    with open_ledger(tmp_path) as database, database.read() as db:
        assert [session.name for session in jobs.list_sessions(db)] == ["kept"]


STATEMENTS = load_migrations()[0].count("CREATE ")


@pytest.mark.parametrize("nth", [1, 2, STATEMENTS // 2, STATEMENTS])
def test_killed_inside_a_migration(nth: int, tmp_path: Path) -> None:
    """Killed before any statement of a migration, a state opens and is migrated whole."""
    code = """
import itertools, os, signal, sys
from ghostroll.state import database
connect, counter = database._connect, itertools.count(1)
def trace(statement):
    if "CREATE " in statement and next(counter) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
def connect_traced(*arguments):
    connection = connect(*arguments)
    connection.set_trace_callback(trace)
    return connection
database._connect = connect_traced
database.Database(sys.argv[1])
"""
    path = tmp_path / "state.db"
    assert run_python(code, str(path), str(nth)).returncode == KILLED
    assert is_whole(path)


@pytest.mark.parametrize("point", ["state.migrating", "state.migrated"])
def test_killed_around_a_migration(point: str, tmp_path: Path) -> None:
    """Killed right before or after a migration, a state opens and is migrated whole."""
    path = tmp_path / "state.db"
    code = "import sys; from ghostroll.state.database import Database; Database(sys.argv[1])"
    assert run_python(code, str(path), GHOSTROLL_CRASH_AT=point).returncode == KILLED
    assert is_whole(path)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is one transaction: where its last statement fails, the version before it stands."""
    path = make_state(tmp_path)
    scripts = [*load_migrations(), "CREATE TABLE more (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"]
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "load_migrations", lambda: scripts)
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            Database(str(path))
    with open_ledger(tmp_path) as database, database.read() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(load_migrations())
        assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone()[0] == 0


def test_a_later_migration_finds_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state of an older version is brought to the newest with what it holds."""
    make_state(tmp_path, sessions=2)
    scripts = [
        *load_migrations(),
        "CREATE TABLE more (a TEXT) STRICT; INSERT INTO more SELECT name FROM session;",
    ]
    monkeypatch.setattr(database_module, "load_migrations", lambda: scripts)
    with open_ledger(tmp_path) as database, database.read() as db:
        assert db.execute("SELECT count(*) FROM more").fetchone()[0] == 2
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(scripts)


def test_migrations_are_numbered_without_gaps() -> None:
    """The number in a migration's name is the version that it makes."""
    names = sorted(entry.name for entry in database_module._MIGRATIONS.iterdir())
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, len(names) + 1))
