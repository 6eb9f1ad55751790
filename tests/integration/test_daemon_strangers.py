"""Who may ask a daemon: root, its group and nobody else, also from within the sandbox."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from knocking import RETRY, KeptOut, ask, ask_as, open_folder, say_it_back, serve
from running import do_without

from ghostroll.daemon.peers import read_peer
from ghostroll.daemon.wire import Done, Failed, Heard

DAEMON, MEMBER, STRANGER, GROUP = 52_001, 52_002, 52_003, 52_010


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Where the socket goes so that other users get there."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    with open_folder() as folder:
        (folder / "run").mkdir()
        (folder / "run").chmod(0o711)
        yield folder / "run" / "socket"


def test_who_is_at_the_other_end() -> None:
    """The kernel tells the peer's process, user and all its groups."""
    ours, theirs = socket.socketpair()
    peer = read_peer(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert peer.groups == {os.getegid(), *os.getgroups()}
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("uid", "gid", "groups"),
    [
        (0, 0, ()),
        (0, STRANGER, ()),
        (MEMBER, GROUP, ()),
        (MEMBER, MEMBER, (GROUP,)),
        (MEMBER, MEMBER, (*range(60_000, 60_600), GROUP)),
    ],
)
def test_who_belongs_gets_in(open_place: Path, uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """Root and members of the group, however many others they are in, are answered."""
    with serve(open_place, say_it_back, GROUP):
        answers = ask_as(open_place, RETRY, uid=uid, gid=gid, groups=groups)
    assert [type(one) for one in answers] == [Heard, Done]


def test_a_stranger_stays_outside(open_place: Path) -> None:
    """Whoever is not in the group can't connect; where the file's mode lets them, they are refused and that is logged."""
    with serve(open_place, say_it_back, GROUP) as (_, notes):
        with pytest.raises(KeptOut, match="Permission denied"):
            ask_as(open_place, RETRY, uid=STRANGER, gid=STRANGER)
        open_place.chmod(0o666)
        answers = ask_as(open_place, RETRY, uid=STRANGER, gid=STRANGER, groups=(STRANGER + 1,))
        (refused,) = answers
        assert isinstance(refused, Failed)
        assert "not in its group" in refused.sentence
        assert len(ask(open_place, RETRY)) == 2
    (line,) = notes.find("outside the group")
    assert line.startswith("WARNING")
    assert f"uid={STRANGER}" in line


# A daemon as `PrivateUsers=yes` runs it: only root, its own user and its own group have a number.
SANDBOXED = """
import ctypes, os, signal, sys
from knocking import open_notes, say_it_back
from ghostroll.daemon.requests import RequestServer
path, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER, sched.h
print("unshared", flush=True)
sys.stdin.readline()
os.setgid(gid)
os.setuid(uid)
log, notes = open_notes("sandboxed")
server = RequestServer(path, None, say_it_back, log)
server.start()
print("listening", flush=True)
sys.stdin.readline()
server.stop()
print("\\n".join(notes.lines))
"""


@pytest.fixture
def sandboxed(open_place: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A daemon in a user namespace as systemd makes it: systemd.exec(5), PrivateUsers=."""
    os.chown(open_place.parent, DAEMON, GROUP)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SANDBOXED, open_place, str(DAEMON), str(GROUP)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "unshared\n"
            Path(f"/proc/{process.pid}/uid_map").write_text(f"0 0 1\n{DAEMON} {DAEMON} 1\n")
            Path(f"/proc/{process.pid}/gid_map").write_text(f"0 0 1\n{GROUP} {GROUP} 1\n")
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "listening\n"
            yield open_place, process
        finally:
            process.kill()


def test_the_group_is_known_in_the_sandbox(sandboxed: tuple[Path, subprocess.Popen[str]]) -> None:
    """Where nobody but root and the daemon has a number, members get in by their group, and strangers don't by having none."""
    place, process = sandboxed
    assert place.stat().st_gid == GROUP
    for uid, gid, groups in [
        (0, 0, ()),
        (DAEMON, DAEMON, ()),
        (MEMBER, MEMBER, (GROUP,)),
        (MEMBER, GROUP, ()),
    ]:
        answers = ask_as(place, RETRY, uid=uid, gid=gid, groups=groups)
        assert [type(one) for one in answers] == [Heard, Done], (uid, gid, groups)
    place.chmod(0o666)
    for uid, gid in [(STRANGER, STRANGER), (65534, 65534)]:
        answers = ask_as(place, RETRY, uid=uid, gid=gid, groups=(65534,))
        assert [type(one) for one in answers] == [Failed]
    out, _ = process.communicate("stop\n", timeout=60)
    assert out.count("INFO asked for: retry 7") + out.count("asked for: retry 7") >= 4
    assert out.count("outside the group") == 2
