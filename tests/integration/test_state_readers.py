"""Who reads a state beside its owner, or when there is none: other processes, other users, other places."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from ledger import CREATED, fingerprint, make_state, open_ledger
from running import run_python

from ghostroll.errors import StateUnusable
from ghostroll.state import jobs
from ghostroll.state.database import open_reader

NOBODY = 65534

READ = """
from ghostroll.errors import StateUnusable
from ghostroll.state import jobs
from ghostroll.state.database import open_reader
try:
    with open_reader(sys.argv[1]) as db:
        print(len(jobs.list_sessions(db)))
except StateUnusable as error:
    print(error)
"""


def read_as_stranger(path: Path) -> bytes:
    """What a reader says who may not write the state's folder: another user, or this one where we aren't root."""
    if os.geteuid() != 0:
        path.parent.chmod(0o555)
        try:
            return run_python("import sys\n" + READ, str(path)).stdout
        finally:
            path.parent.chmod(0o755)
    for folder in (path.parent, *path.parent.parents):  # a stranger must get there
        if folder.stat().st_mode & 0o055 == 0o055:
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    # Imported before the change of user, who may not read this working copy.
    imports = "import os, sys, ghostroll.state.jobs, ghostroll.state.database\n"
    drop = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    return run_python(imports + drop + READ, str(path)).stdout


def test_a_stranger_reads_a_closed_state(tmp_path: Path) -> None:
    """A state that was closed cleanly is read by who may write neither it nor its folder."""
    path = make_state(tmp_path, sessions=3)
    before = fingerprint(tmp_path)
    assert read_as_stranger(path) == b"3\n"
    assert fingerprint(tmp_path) == before


def test_a_stranger_reads_beside_the_owner(tmp_path: Path) -> None:
    """Another process reads what is committed while the owner holds a write transaction open."""
    path = tmp_path / "state.db"
    with open_ledger(tmp_path) as database:
        with database.write() as db:
            jobs.add_session(db, "one", created_at=CREATED)
        with database.write() as db:
            jobs.add_session(db, "two", created_at=CREATED)
            assert read_as_stranger(path) == b"1\n"
        assert read_as_stranger(path) == b"2\n"


def test_no_permission_is_not_damage(tmp_path: Path) -> None:
    """A good state that this user may not read is not called damaged: nobody is told to move it away."""
    path = make_state(tmp_path)
    path.chmod(0)
    words = read_as_stranger(path)
    assert b"Permission denied" in words
    assert b"damaged" not in words
    path.chmod(0o644)
    Path(f"{path}-wal").touch()  # as a crash leaves it; a stranger can't make the shared memory beside it
    words = read_as_stranger(path)
    assert b"permissions" in words
    assert b"damaged" not in words


def test_a_reader_sees_the_owners_commits(tmp_path: Path) -> None:
    """A connection that only reads sees each commit of the owner at once, and can't write."""
    with open_ledger(tmp_path) as database, contextlib.closing(open_reader(database.path)) as reader:
        assert jobs.list_sessions(reader) == []
        with database.write() as db:
            jobs.add_session(db, "s", created_at=CREATED)
        assert len(jobs.list_sessions(reader)) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            jobs.add_session(reader, "t", created_at=CREATED)


def test_a_reader_without_a_state(tmp_path: Path) -> None:
    """Where there is no state yet a reader is told so, and none is made."""
    with pytest.raises(StateUnusable, match="ingest a card first"):
        open_reader(str(tmp_path / "state.db"))
    assert fingerprint(tmp_path) == {}
