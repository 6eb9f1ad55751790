"""Transactions: what a promise makes durable, and what an error leaves undone."""

import ctypes
import os
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from ledger import CREATED, open_ledger

from ghostroll.errors import NoSpace, StateUnusable
from ghostroll.state import jobs


def test_a_promise_is_full_and_a_write_is_not(tmp_path: Path) -> None:
    """Inside a promise synchronous is FULL (2); before, after and inside a plain write it is NORMAL (1)."""
    seen = []
    with open_ledger(tmp_path) as database:
        for transaction in (database.write, database.promise, database.write):
            with transaction() as db:
                seen.append(db.execute("PRAGMA synchronous").fetchone()[0])
                jobs.add_session(db, f"s{len(seen)}", created_at=CREATED)
    assert seen == [1, 2, 1]


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Cached(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


def count_unwritten_pages(path: str) -> int:
    """Pages of a file that are in memory and not on its medium yet, by cachestat(2) (Linux 6.5)."""
    with open(path, "rb") as file:
        whole, cached = _Range(0, 0), _Cached()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(451, file.fileno(), ctypes.byref(whole), ctypes.byref(cached), 0) != 0:
            pytest.skip(f"no cachestat ({os.strerror(ctypes.get_errno())}): needs Linux 6.5")
        return int(cached.dirty) + int(cached.writeback)


def test_a_promise_reaches_the_medium(tmp_path: Path) -> None:
    """After a promise nothing of the log is in memory alone; plain writes wait there for it."""
    log = str(tmp_path / "state.db-wal")
    kinds = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, check=True).stdout
    if kinds.strip() in (b"tmpfs", b"ramfs"):
        pytest.skip("the temporary folder is in memory: use --basetemp on a disk")
    waiting, kept = [], []
    with open_ledger(tmp_path) as database:
        for number in range(5):  # several, because the kernel may write by itself at any moment
            with database.write() as db:
                jobs.add_session(db, f"plain-{number}", created_at=CREATED)
            waiting.append(count_unwritten_pages(log))
            with database.promise() as db:
                jobs.add_session(db, f"promised-{number}", created_at=CREATED)
            kept.append(count_unwritten_pages(log))
    assert max(waiting) > 0
    assert kept == [0] * 5


@pytest.mark.parametrize("backup", [False, True])
def test_a_promise_is_not_given_in_a_file_that_was_taken_away(tmp_path: Path, *, backup: bool) -> None:
    """Where somebody moves a state away, or an older one into its place, nothing is promised that nobody would find."""
    with open_ledger(tmp_path) as database:
        path = Path(database.path)
        with database.promise() as db:
            jobs.add_session(db, "before", created_at=CREATED)
        path.rename(tmp_path / "away")
        if backup:
            path.write_bytes((tmp_path / "away").read_bytes())
        with pytest.raises(StateUnusable, match="adopt"), database.promise() as db:
            jobs.add_session(db, "after", created_at=CREATED)
        with pytest.raises(StateUnusable, match="adopt"), database.snapshot():
            pass


def test_an_empty_promise_is_an_error(tmp_path: Path) -> None:
    """A promise that changes no row would not be made durable: it is a bug, and the next one works."""
    with open_ledger(tmp_path) as database:
        with pytest.raises(AssertionError, match="promise"), database.promise() as db:
            db.execute("UPDATE session SET name = 'x' WHERE id = 77")
        with database.promise() as db:
            jobs.add_session(db, "s", created_at=CREATED)
        with database.read() as db:
            assert db.execute("PRAGMA synchronous").fetchone()[0] == 1
            assert len(jobs.list_sessions(db)) == 1


def test_a_broken_promise_is_undone(tmp_path: Path) -> None:
    """An error in a promise undoes it, and the transactions after it are NORMAL again."""
    with open_ledger(tmp_path) as database:
        with pytest.raises(KeyError), database.promise() as db:  # noqa: PT012  # the block is the transaction
            jobs.add_session(db, "s", created_at=CREATED)
            raise KeyError
        with database.read() as db:
            assert jobs.list_sessions(db) == []
            assert db.execute("PRAGMA synchronous").fetchone()[0] == 1


def test_an_error_undoes_the_whole_write(tmp_path: Path) -> None:
    """Of a transaction that ends in an error nothing stays."""
    with open_ledger(tmp_path) as database:
        with pytest.raises(KeyError), database.write() as db:  # noqa: PT012  # the block is the transaction
            jobs.add_session(db, "s", created_at=CREATED)
            raise KeyError
        with database.read() as db:
            assert jobs.list_sessions(db) == []


def test_a_failure_that_sqlite_undoes_itself_is_told(tmp_path: Path) -> None:
    """Where SQLite has rolled back by itself the first error is the one that is raised, and work goes on."""
    with open_ledger(tmp_path) as database:
        with pytest.raises(sqlite3.IntegrityError), database.write() as db:
            db.execute("INSERT OR ROLLBACK INTO session (name, created_at) VALUES ('', 'now')")
        with database.write() as db:
            jobs.add_session(db, "s", created_at=CREATED)


def test_a_full_disk_is_no_space(tmp_path: Path) -> None:
    """A state that can't grow is NoSpace with its own exit code; nothing of that write stays, and reads go on."""
    with open_ledger(tmp_path) as database:
        with database.read() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(NoSpace) as full, database.write() as db:  # noqa: PT012  # the block is the transaction
            for number in range(10_000):
                jobs.add_session(db, f"s{number}", created_at=CREATED)
        assert full.value.exit_code == 5
        with database.read() as db:
            assert jobs.list_sessions(db) == []
            db.execute("PRAGMA max_page_count = 100000")
        with database.write() as db:
            jobs.add_session(db, "s", created_at=CREATED)


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    """Where the commit itself fails (here: a deferred foreign key) everything is undone and work goes on."""
    with open_ledger(tmp_path) as database:
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), database.write() as db:  # noqa: PT012  # the block is the transaction
            db.execute("PRAGMA defer_foreign_keys = ON")
            db.execute(
                "INSERT INTO source (job_id, path, size, mtime_ns, kind, state) VALUES (77, x'61', 1, 1, 'jpeg', 'pending')"
            )
        with database.write() as db:
            jobs.add_session(db, "s", created_at=CREATED)


def test_threads_never_see_half_a_transaction(tmp_path: Path) -> None:
    """What one thread reads is never in the middle of another's transaction."""
    with open_ledger(tmp_path) as database:
        seen: list[int] = []
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                with database.read() as db:
                    seen.append(db.execute("SELECT count(*) FROM session").fetchone()[0])

        thread = threading.Thread(target=look)
        thread.start()
        for number in range(200):
            with database.write() as db:
                jobs.add_session(db, f"a{number}", created_at=CREATED)
                jobs.add_session(db, f"b{number}", created_at=CREATED)
        done.set()
        thread.join(30)
    assert len(set(seen)) > 1
    assert [number for number in seen if number % 2] == []
