"""What systemd hears of the daemon: a real datagram socket stands where systemd's would."""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghostroll.daemon.notify import Notifier


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[socket.socket]:
    """The end that systemd has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as made:
        made.bind(str(tmp_path / "notify"))
        yield made


def tell(peer: socket.socket, **more: str) -> Notifier:
    """A notifier that systemd listens to."""
    return Notifier.from_environment({"NOTIFY_SOCKET": peer.getsockname(), **more})


def hear(peer: socket.socket) -> list[str]:
    """Every message that has come."""
    heard = []
    while True:
        try:
            heard.append(peer.recv(1 << 16).decode("utf-8"))
        except BlockingIOError:
            return heard


def test_systemd_hears_a_whole_life(peer: socket.socket) -> None:
    """Up, busy, alive, slow and ending are said in the words of sd_notify(3)."""
    notifier = tell(peer)
    notifier.ready("waiting for a card")
    notifier.status("EOS_DIGITAL: 12 of 40 files")
    notifier.watchdog()
    notifier.extend_timeout(2.5)
    notifier.stopping("waiting for a disk")

    assert hear(peer) == [
        "READY=1\nSTATUS=waiting for a card",
        "STATUS=EOS_DIGITAL: 12 of 40 files",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=2500000",
        "STOPPING=1\nSTATUS=waiting for a disk",
    ]


def test_a_socket_outside_the_filesystem_is_found() -> None:
    """An address with an @ names a socket of the abstract kind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("")  # the kernel gives it a name
        name = abstract.getsockname()
        assert name[:1] == b"\0"
        Notifier.from_environment({"NOTIFY_SOCKET": "@" + name[1:].decode("ascii")}).watchdog()
        assert abstract.recv(100) == b"WATCHDOG=1"


def test_a_cards_name_says_nothing_to_systemd(peer: socket.socket) -> None:
    """A line break in a status starts no second assignment, and no control character gets through."""
    tell(peer).status("EOS\nSTOPPING=1\r\x1b[2J\udcff")

    assert hear(peer) == ["STATUS=EOS\ufffdSTOPPING=1\ufffd\ufffd[2J\ufffd"]


def test_a_long_status_is_cut_and_heard(peer: socket.socket) -> None:
    """A status beyond what systemd takes is cut between two letters, not thrown away by it."""
    tell(peer).status("x" + "é" * 5000)

    (message,) = hear(peer)
    assert message.startswith("STATUS=xééé")
    assert 1000 < len(message.encode()) < 4096


def test_nobody_listens(tmp_path: Path) -> None:
    """Without systemd, with a socket that is gone, or with an address of another kind nothing is said or raised."""
    gone = str(tmp_path / "gone")
    for environ in (
        {},
        *({"NOTIFY_SOCKET": one} for one in ("", gone, "vsock:2:1234", "relative", "/" * 200)),
    ):
        notifier = Notifier.from_environment(environ)
        notifier.ready("up")
        notifier.watchdog()
        notifier.stopping("down")
        assert notifier.watchdog_seconds is None


def test_a_systemd_that_does_not_read_holds_nobody_up(peer: socket.socket) -> None:
    """A message that finds no room is given up, and the next one with room is heard."""
    notifier = tell(peer)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        try:
            while True:
                other.sendto(b"full", peer.getsockname())
        except BlockingIOError:
            pass
    notifier.watchdog()
    assert set(hear(peer)) == {"full"}
    notifier.watchdog()
    assert hear(peer) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
    ],
)
def test_the_watchdog_is_ours_or_none(environ: dict[str, str], seconds: float | None) -> None:
    """The time is read in microseconds, and one that is meant for another process does not count."""
    assert Notifier.from_environment(environ).watchdog_seconds == seconds


def test_no_child_believes_that_systemd_asked_it(peer: socket.socket) -> None:
    """The variables are taken out of the environment, so that a child that looks for them finds none."""
    environ = {
        "NOTIFY_SOCKET": str(peer.getsockname()),
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": os.environ["PATH"],
    }
    notifier = Notifier.from_environment(environ)
    told = subprocess.run(
        [sys.executable, "-c", "import os; print(*[n for n in os.environ if n[:6] in ('NOTIFY', 'WATCHD')])"],
        env=environ,
        capture_output=True,
        check=True,
        text=True,
    )

    assert told.stdout.strip() == ""
    assert notifier.watchdog_seconds == 60.0
    notifier.watchdog()
    assert hear(peer) == ["WATCHDOG=1"]


def test_it_is_the_daemon_itself_that_speaks(peer: socket.socket) -> None:
    """What systemd hears comes from the main process, as NotifyAccess=main wants it."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    tell(peer).watchdog()

    _data, ((_level, kind, credentials),), _flags, _sender = peer.recvmsg(100, 100)
    assert kind == socket.SCM_CREDENTIALS
    assert struct.unpack("3i", credentials)[0] == os.getpid()
