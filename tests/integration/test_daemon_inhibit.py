"""Keeping the machine awake: a peer that speaks D-Bus over a real socket stands where the bus and logind would."""

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import structlog
from jeepney import HeaderFields, Message, Parser, new_error, new_method_return
from running import wait_until
from structlog.testing import LogCapture

from ghostroll.daemon.inhibit import SleepLock

DENIED = "org.freedesktop.DBus.Error.AccessDenied"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that was given: what for, and logind's end of the pipe."""

    what: str
    who: str
    why: str
    mode: str
    end: int

    @property
    def is_held(self) -> bool:
        """Whether anybody still has the other end."""
        return not select.select([self.end], [], [], 0)[0]


@dataclass(slots=True)
class Logind:
    """A system bus with logind on it, as far as locks go."""

    path: Path
    modes: tuple[str, ...] = ("block", "delay")  # which of them are permitted
    locks: list[Lock] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    leaves_after: int = 99  # locks
    served: int = 0

    @property
    def address(self) -> str:
        """Where it is, as D-Bus says it."""
        return f"unix:path={self.path}"

    def held(self) -> set[tuple[str, str]]:
        """What is inhibited, and how."""
        return {(lock.what, lock.mode) for lock in self.locks if lock.is_held}

    def serve(self, listener: socket.socket) -> None:
        """Talk to one after the other, until the listener is shut down."""
        while True:
            try:
                peer, _address = listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(ConnectionError):
                self._greet(peer)
                self._talk(peer)
            self.served += 1

    def _greet(self, peer: socket.socket) -> None:
        with peer.makefile("rb", buffering=0) as lines:
            assert lines.readline().lstrip(b"\0").startswith(b"AUTH EXTERNAL")
            peer.sendall(b"OK 00000000000000000000000000000000\r\n")
            assert lines.readline() == b"NEGOTIATE_UNIX_FD\r\n"
            peer.sendall(b"AGREE_UNIX_FD\r\n")
            assert lines.readline() == b"BEGIN\r\n"

    def _talk(self, peer: socket.socket) -> None:
        parser, serials = Parser(), count(1)
        while data := peer.recv(4096):
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                descriptors = array.array("i")
                reply = self._answer(message).serialise(next(serials), fds=descriptors)
                socket.send_fds(peer, [reply], list(descriptors))
                for descriptor in descriptors:
                    os.close(descriptor)

    def _answer(self, message: Message) -> Message:
        if message.header.fields[HeaderFields.member] == "Hello":
            return new_method_return(message, "s", (":1.7",))
        assert message.header.fields[HeaderFields.interface] == "org.freedesktop.login1.Manager"
        assert message.header.fields[HeaderFields.member] == "Inhibit"
        what, who, why, mode = message.body
        self.asked.append((what, mode))
        assert self.may_answer.wait(20)
        if len(self.locks) == self.leaves_after:
            raise ConnectionError
        if mode not in self.modes:
            return new_error(message, DENIED, "s", ("Access denied.",))
        ours, theirs = os.pipe()
        self.locks.append(Lock(what, who, why, mode, ours))
        return new_method_return(message, "h", (theirs,))


@pytest.fixture
def logind(tmp_path: Path) -> Iterator[Logind]:
    """A logind that answers at once."""
    made = Logind(tmp_path / "bus")
    made.may_answer.set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(made.path))
        listener.listen()
        thread = threading.Thread(target=made.serve, args=(listener,))
        thread.start()
        yield made
        made.may_answer.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for lock in made.locks:
        os.close(lock.end)


@pytest.fixture
def said() -> LogCapture:
    """What was said in the log."""
    return LogCapture()


def log_to(said: LogCapture) -> structlog.stdlib.BoundLogger:
    """A log that only remembers."""
    log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        None, processors=[said], wrapper_class=structlog.stdlib.BoundLogger
    )
    return log


def is_quiet() -> bool:
    """Whether no thread asks for a lock."""
    return not any(one.name == "sleep-lock" for one in threading.enumerate())


BLOCKED = {("shutdown", "block"), ("sleep", "block")}
DELAYED = {("shutdown", "delay"), ("sleep", "delay")}


def test_sleep_and_shutdown_wait_while_it_is_held(logind: Logind, said: LogCapture) -> None:
    """From hold to release logind sees one lock against each, with our name and the reason, and then none."""
    lock = SleepLock(log_to(said), logind.address)
    lock.hold("copying EOS\n_DIGITAL")
    wait_until(lambda: logind.held() == BLOCKED)
    assert {(one.who, one.why) for one in logind.locks} == {("ghostroll", "copying EOS\ufffd_DIGITAL")}

    lock.release()
    wait_until(lambda: logind.held() == set())
    assert said.entries == []


def test_both_methods_may_be_called_again_and_again(logind: Logind, said: LogCapture) -> None:
    """A lock that is held is not asked for again; after a release it can be taken anew."""
    lock = SleepLock(log_to(said), logind.address)
    lock.release()
    lock.hold("one card")
    wait_until(lambda: logind.held() == BLOCKED and logind.served == 1)
    lock.hold("another card")
    assert logind.asked == [("shutdown", "block"), ("sleep", "block")]

    lock.release()
    lock.release()
    wait_until(lambda: logind.held() == set())
    lock.hold("a third")
    wait_until(lambda: logind.held() == BLOCKED)
    assert [one.why for one in logind.locks] == ["one card", "one card", "a third", "a third"]
    lock.release()


def test_what_may_not_block_delays(logind: Logind, said: LogCapture) -> None:
    """Where polkit doesn't permit to block, the locks delay, and that is said once."""
    logind.modes = ("delay",)
    lock = SleepLock(log_to(said), logind.address)
    for _card in range(2):
        lock.hold("a card")
        wait_until(is_quiet)
        assert logind.held() == DELAYED
        lock.release()

    assert [entry["event"] for entry in said.entries] == [
        "polkit lets ghostroll delay sleep and shutdown by some seconds only, not block them"
    ]


def test_nothing_permitted_is_said_once(logind: Logind, said: LogCapture) -> None:
    """Where polkit permits nothing, the card is copied without a lock, and the log has one sentence about it."""
    logind.modes = ()
    lock = SleepLock(log_to(said), logind.address)
    for _card in range(2):
        lock.hold("a card")
        wait_until(is_quiet)

    assert logind.locks == []
    assert len(logind.asked) == 4
    assert [entry["event"] for entry in said.entries] == [
        "this machine may sleep or shut down while a card is copied: logind gives no lock (Access denied)"
    ]


def test_half_a_permission_leaves_no_lock_behind(logind: Logind, said: LogCapture) -> None:
    """If logind gives one lock and then goes away, that one is not kept by accident."""
    logind.leaves_after = 1
    lock = SleepLock(log_to(said), logind.address)
    lock.hold("a card")
    wait_until(lambda: len(said.entries) == 1)
    wait_until(lambda: logind.held() == set())

    assert len(logind.locks) == 1
    lock.release()


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=localhost,port=1"])
def test_no_logind_is_nothing_unusual(said: LogCapture, address: str) -> None:
    """Without a bus, or with an address of another kind, hold and release do nothing and the log says why, once."""
    lock = SleepLock(log_to(said), address)
    for _card in range(2):
        lock.hold("a card")
        wait_until(is_quiet)
        lock.release()

    (entry,) = said.entries
    assert entry["event"].startswith("this machine may sleep or shut down while a card is copied")


def test_a_logind_that_hangs_holds_nobody_up(logind: Logind, said: LogCapture) -> None:
    """While logind does not answer, hold and release return; its late answer counts if the lock is still wanted."""
    logind.may_answer.clear()
    lock = SleepLock(log_to(said), logind.address)
    lock.hold("a card")
    wait_until(lambda: logind.asked == [("shutdown", "block")])
    lock.release()
    lock.hold("a card that came after it")
    assert len([one for one in threading.enumerate() if one.name == "sleep-lock"]) == 1
    assert logind.locks == []

    logind.may_answer.set()
    wait_until(lambda: logind.held() == BLOCKED and logind.served == 1)
    assert len(logind.locks) == 2
    lock.release()
    wait_until(lambda: logind.held() == set())
    assert said.entries == []


def test_a_lock_that_comes_too_late_is_given_back(logind: Logind, said: LogCapture) -> None:
    """What logind gives after the card was copied does not keep the machine awake."""
    logind.may_answer.clear()
    lock = SleepLock(log_to(said), logind.address)
    lock.hold("a card")
    wait_until(lambda: logind.asked == [("shutdown", "block")])
    lock.release()
    logind.may_answer.set()
    wait_until(lambda: logind.served == 1)
    wait_until(lambda: logind.held() == set())

    assert len(logind.locks) == 2


def test_a_bus_that_went_away_in_between_is_tried_again(tmp_path: Path, said: LogCapture) -> None:
    """A hold that found nobody is followed by one that finds logind there."""
    path = tmp_path / "bus"
    lock = SleepLock(log_to(said), f"unix:path={path}")
    lock.hold("a card")
    wait_until(is_quiet)
    made = Logind(path)
    made.may_answer.set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=made.serve, args=(listener,))
        thread.start()
        lock.hold("a card")
        wait_until(lambda: made.held() == BLOCKED)
        lock.release()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in made.locks:
        os.close(one.end)


def test_no_child_keeps_the_machine_awake(logind: Logind, said: LogCapture) -> None:
    """A child that inherits what it can, and lives on, has no part in the lock."""
    lock = SleepLock(log_to(said), logind.address)
    lock.hold("a card")
    wait_until(lambda: logind.held() == BLOCKED and logind.served == 1)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        wait_until(lambda: logind.held() == set())
        assert child.poll() is None
        child.communicate()


HOLD = """
import sys, structlog
from ghostroll.daemon.inhibit import SleepLock
SleepLock(structlog.get_logger(), sys.argv[1]).hold("a card")
sys.stdin.read()
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_lock_ends_with_the_process(logind: Logind, way: signal.Signals | None) -> None:
    """A daemon that is killed, stopped or just ends leaves no lock behind."""
    with subprocess.Popen([sys.executable, "-c", HOLD, logind.address], stdin=subprocess.PIPE) as daemon:
        wait_until(lambda: logind.held() == BLOCKED)
        if way:
            daemon.send_signal(way)
        daemon.communicate()

    assert logind.held() == set()
    assert daemon.returncode == (-way if way else 0)
