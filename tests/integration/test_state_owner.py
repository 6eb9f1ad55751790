"""Who owns a state, for those who only want to know: told without disturbing anybody."""

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from knocking import open_folder
from ledger import open_ledger
from running import do_without

from ghostroll.errors import StateHeld, StateUnusable
from ghostroll.state.database import Database
from ghostroll.state.owner import Owner, Ownership, explain_refusal, find_owner

MEMBER, GROUP = 52_102, 52_110


@pytest.fixture
def state(tmp_path: Path) -> str:
    """Where a state is."""
    return str(tmp_path / "state" / "state.db")


def test_nobody_owns_what_is_not_there(state: str) -> None:
    """Where there is no state, nobody owns it, and looking makes nothing."""
    assert find_owner(state) is None
    assert find_owner("/dev/null/state.db") is None
    assert not os.path.exists(os.path.dirname(state))


def test_an_owner_leaves_word(state: str) -> None:
    """The owner is found by its process and command, and a daemon by its socket; afterwards nobody is."""
    owner = Ownership.take(state, command="ingest /card")
    assert find_owner(state) == Owner(os.getpid(), "ingest /card", None)
    owner.release()
    assert find_owner(state) is None
    socket = os.fsdecode(b"/run/caf\xe9/socket")
    owner = Ownership.take(state, command="daemon", socket=socket)
    assert find_owner(state) == Owner(os.getpid(), "daemon", socket)
    owner.release()


def test_a_killed_owner_is_none(state: str) -> None:
    """What a killed owner left in its lock is no owner."""
    Ownership.take(state, command="x").release()
    Path(state + ".lock").write_text(json.dumps({"pid": 1, "command": "daemon", "socket": "/run/socket"}))
    assert find_owner(state) is None


def test_looking_disturbs_nobody(state: str) -> None:
    """Between looks a state can be taken at once, and a look beside another one finds nobody."""
    Ownership.take(state, command="x").release()
    with open(state + ".lock", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert find_owner(state) is None
    before = os.stat(state + ".lock")
    for _ in range(3):
        assert find_owner(state) is None
        Ownership.take(state, command="x", wait_seconds=0).release()
    assert os.stat(state + ".lock").st_ino == before.st_ino


def test_a_look_while_somebody_takes(state: str) -> None:
    """Whoever becomes the owner while another only looks, becomes it a moment later."""
    Ownership.take(state, command="x").release()
    with open(state + ".lock", "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        owner = Ownership.take(state, command="x", pause=lambda _seconds: fcntl.flock(looking, fcntl.LOCK_UN))
    assert find_owner(state) == Owner(os.getpid(), "x")
    owner.release()


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"pid": "x", "command": "c"}',
        b'{"pid": 1}',
        b"\xff",
        b"[" * 60_000,
        b'{"pid": ' + b"9" * 6000 + b"}",
    ],
)
def test_a_word_that_says_nothing(state: str, word: bytes) -> None:
    """What stands in the lock is only a courtesy: rubbish in it is an owner without a name."""
    owner = Ownership.take(state, command="x", socket="/run/socket")
    Path(state + ".lock").write_bytes(word)
    assert find_owner(state) == Owner()
    owner.release()


def test_who_can_not_ask_is_told_to_stop_the_daemon(state: str) -> None:
    """A command that needs the state for itself names the daemon that holds it, and how it is stopped."""
    owner = Ownership.take(state, command="daemon", socket="/run/socket")
    with pytest.raises(
        StateHeld, match=r"process \d+ \(daemon\); stop it first with '(sudo )?systemctl.* stop ghostroll'"
    ):
        Ownership.take(state, command="verify", wait_seconds=0)
    owner.release()


@pytest.mark.parametrize(("umask", "expected"), [(0o007, "660"), (0o022, "644"), (0o077, "600")])
def test_files_are_for_the_group_as_the_umask_has_it(tmp_path: Path, umask: int, expected: str) -> None:
    """A state that a service makes may be written by its group, the files beside it too; strangers never take it."""
    code = """
import os, sys
os.umask(int(sys.argv[2]))
from ghostroll.state.database import Database
from ghostroll.state.owner import Ownership
owner = Ownership.take(sys.argv[1], command="x")
database = Database(sys.argv[1])
for end in ("", "-wal", "-shm", ".lock"):
    print(f"{os.stat(sys.argv[1] + end).st_mode & 0o777:o}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "new" / "state.db", str(umask)],
        capture_output=True,
        check=True,
        text=True,
    )
    database, wal, shm, lock = done.stdout.split()
    assert (database, wal, shm) == (expected,) * 3
    assert int(lock, 8) == 0o660 & ~umask


def test_an_existing_state_keeps_its_mode(tmp_path: Path) -> None:
    """Opening changes no mode that somebody gave a state."""
    with open_ledger(tmp_path) as database:
        path = database.path
    os.chmod(path, 0o600)
    Database(path).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users get to."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    with open_folder() as folder:
        yield folder


_LOOK = """
import os, sys
from ghostroll.errors import StateUnusable
from ghostroll.state.owner import Ownership, explain_refusal, find_owner
path, uid, groups = sys.argv[1], int(sys.argv[2]), [int(group) for group in sys.argv[3:]]
os.setgroups(groups)
os.setgid(uid)
os.setuid(uid)
for look in (lambda: find_owner(path), lambda: Ownership.take(path, command="x", wait_seconds=0)):
    try:
        print(look())
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
print(explain_refusal(path))
"""


def look_as(path: str, uid: int, *groups: int) -> list[str]:
    """What another user learns of a state's owner, and of taking the state."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, path, str(uid), *map(str, groups)],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("closed", ["folder", "lock"])
def test_a_stranger_is_told_of_the_group(shared: Path, closed: str) -> None:
    """Whoever is not in the state's group learns that, and the command that changes it."""
    state = str(shared / "state" / "state.db")
    owner = Ownership.take(state, command="daemon", socket="/run/socket")
    os.chown(os.path.dirname(state), -1, GROUP)
    os.chown(state + ".lock", -1, GROUP)
    os.chmod(os.path.dirname(state), 0o750 if closed == "folder" else 0o755)
    os.chmod(state + ".lock", 0o660)
    asked, taken, _ = look_as(state, MEMBER)
    sentence = f"you are not in the group {GROUP}: 'sudo usermod -aG {GROUP} {MEMBER}', then log in again"
    assert asked == taken == f"StateUnusable: {sentence}"
    asked, taken, refusal = look_as(state, MEMBER, GROUP)
    assert asked == str(Owner(os.getpid(), "daemon", "/run/socket"))
    assert taken.startswith("StateHeld: the daemon holds")
    assert refusal == "None"
    owner.release()


def test_what_the_group_would_not_help(shared: Path) -> None:
    """Where the group has no right either, nobody is sent to join it."""
    state = str(shared / "state" / "state.db")
    Ownership.take(state, command="x").release()
    os.chown(state + ".lock", -1, GROUP)
    os.chmod(state + ".lock", 0o600)
    Path(state).parent.chmod(0o755)
    asked, taken, refusal = look_as(state, MEMBER)
    assert asked == "None"
    assert "can't be owned (Permission denied)" in taken
    assert refusal == "None"
    assert look_as(state, MEMBER, GROUP)[2] == "None"
    os.chmod(state + ".lock", 0o640)
    asked, taken, refusal = look_as(state, MEMBER, GROUP)
    assert "can't be owned (Permission denied)" in taken
    assert (asked, refusal) == ("None", "None")


def test_nothing_keeps_the_owner_out(state: str) -> None:
    """Where this user may do everything, there is nothing to explain; nor where the file is not there."""
    Ownership.take(state, command="x").release()
    assert explain_refusal(state + ".lock") is None
    assert explain_refusal("/nowhere/at/all") is None


def test_what_cant_be_looked_at_has_no_owner(tmp_path: Path) -> None:
    """A lock that can't be opened for another reason is told of when the state is taken."""
    (tmp_path / "state.db.lock").symlink_to("state.db.lock")
    assert find_owner(str(tmp_path / "state.db")) is None
    with pytest.raises(StateUnusable, match="can't be owned"):
        Ownership.take(str(tmp_path / "state.db"), command="x")
