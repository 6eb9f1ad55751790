"""Who owns a state: one process at a time, known by name, told to who only wants to know without disturbing anybody."""

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from knocking import open_folder
from ledger import open_ledger
from running import do_without, environment, run_command

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


HOLD = """
import sys
from ghostroll.state.owner import Ownership
held = Ownership.take(sys.argv[1], command="ghostroll daemon")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holder_of(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that owns a state."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    """A second `ghostroll ingest` on the same state ends with 7 and names the holder's process and command."""
    library, card = tmp_path / "library", tmp_path / "card"
    card.mkdir()
    (card / "a.txt").write_text("a")
    env = environment(tmp_path, library)
    assert run_command(env, "ingest", card, "--json").code == 0
    with holder_of(library / ".ghostroll" / "state.db") as holder:
        run = run_command(env, "ingest", card)
    assert run.code == 7
    assert f"process {holder.pid} (ghostroll daemon)" in run.err
    assert "Traceback" not in run.err


def test_a_killed_owner_leaves_the_state_free(tmp_path: Path) -> None:
    """After SIGKILL of its owner a state is free at once, and its new owner is the one that is named."""
    path = tmp_path / "state.db"
    with holder_of(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
    owner = Ownership.take(str(path), command="ghostroll ingest", wait_seconds=0)
    try:
        with pytest.raises(StateHeld) as held:
            Ownership.take(str(path), command="other", wait_seconds=0)
        assert f"process {os.getpid()} (ghostroll ingest)" in str(held.value)
        assert held.value.exit_code == 7
    finally:
        owner.release()
    Ownership.take(str(path), command="other", wait_seconds=0).release()


def test_an_owner_that_is_leaving_is_waited_for(tmp_path: Path) -> None:
    """Who comes while another is just leaving becomes the owner a moment later."""
    path = str(tmp_path / "state.db")
    first = Ownership.take(path, command="first")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            first.release()

    Ownership.take(path, command="second", pause=pause).release()
    assert len(pauses) == 3


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": "x", "command": "c"}', b"\xff"])
def test_a_holder_without_a_name(text: bytes, tmp_path: Path) -> None:
    """What stands in the lock file is only a courtesy: rubbish in it is no crash."""
    path = str(tmp_path / "state.db")
    owner = Ownership.take(path, command="x")
    Path(path + ".lock").write_bytes(text)
    with pytest.raises(StateHeld, match="left no name"):
        Ownership.take(path, command="y", wait_seconds=0)
    owner.release()


@pytest.mark.parametrize("place", ["/proc/self/nowhere/state.db", "/dev/null/state.db"])
def test_a_place_that_cant_be_written(place: str) -> None:
    """A state.path where nothing can be made is one sentence that names the setting."""
    with pytest.raises(StateUnusable, match=r"state\.path"):
        Ownership.take(place, command="x")
