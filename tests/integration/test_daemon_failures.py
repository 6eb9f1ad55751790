"""What goes wrong around a daemon's cards and its state, and how it lives on. Nothing here needs root."""

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
import structlog
from daemons import RunningDaemon
from running import environment, wait_until

from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import CardRules, Changes, Insertion, Seen
from ghostroll.cards.watch import Watcher
from ghostroll.daemon.attending import Attendants
from ghostroll.errors import NoSpace
from ghostroll.model import Volume
from ghostroll.observe.wording import say_count
from ghostroll.station.station import Station

# A daemon whose state can't be used any more from a signal on, as when its disk fails.
_FAILING = """
import signal, sys
import ghostroll.cli.daemon
from ghostroll.cli.app import main
from ghostroll.daemon.daemon import Daemon
class Failing(Daemon):
    def run(self):
        signal.signal(signal.SIGUSR1, self.fail)
        super().run()
    def fail(self, *_):
        self._station.wiring.database._connection.close()
        self._wake()
ghostroll.cli.daemon.Daemon = Failing
sys.argv = ["ghostroll", "daemon"]
main()
"""


def test_a_state_that_fails_in_the_main_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that can't read its state any more opens it again; it neither ends nor stays behind as half a process."""
    monkeypatch.setattr("daemons.command", lambda *_: [sys.executable, "-c", _FAILING])
    daemon = RunningDaemon(tmp_path / "daemon", environment(tmp_path, tmp_path / "library"))
    try:
        daemon.wait_ready()
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.wait_for("can't be used any more", timeout=60)
        daemon.wait_for("waits for cards", times=2, timeout=60)  # it looks every ten seconds
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.text()
    finally:
        daemon.end()


def test_a_daemon_whose_socket_is_anothers(tmp_path: Path) -> None:
    """Where another daemon answers at its socket it ends with 7, and leaves that one's status alone."""
    one, two = (environment(tmp_path, tmp_path / name) for name in ("one", "two"))
    first = RunningDaemon(tmp_path / "daemon", one)
    second = None
    try:
        first.wait_ready()
        wait_until((first.runtime / "status.json").exists)
        second = RunningDaemon(tmp_path / "daemon", two)
        assert second.process.wait(20) == 7
        assert first.status()["pid"] == first.process.pid
    finally:
        first.end()
        if second is not None:
            second.end()


class _Counter:
    """A log that only counts its errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, sentence: str, **_fields: object) -> None:
        self.errors.append(sentence)


class _Wiring:
    is_half_safe: Callable[[int], bool]

    def __init__(self) -> None:
        self.half_safe: set[int] = set()


class _BadStation:
    """A station that admits nothing: `admit` does what it is told."""

    def __init__(self, admit: Callable[[], None]) -> None:
        self.wiring = _Wiring()
        self._admit = admit

    def admit(self, _path: bytes, *, diskseq: int | None) -> None:
        assert diskseq == 3
        self._admit()


def _see_card() -> Seen:
    mount = Mount(1, b"/", b"/media/card", "vfat", b"/dev/sdx1")
    return Seen(Insertion(3, "/sys/x"), "sdx1", Volume("u", "EOS", 1, "vfat"), (mount,), mount, None)


def _attend() -> tuple[Attendants, _Counter, threading.Semaphore]:
    log, woken = _Counter(), threading.Semaphore(0)
    attendants = Attendants(cast("structlog.stdlib.BoundLogger", log), woken.release)
    attendants.arrive(_see_card())
    return attendants, log, woken


def test_a_card_that_waits_is_said_once() -> None:
    """A card that can't be taken for a while is tried again and again, and said to be unsafe once."""

    def refuse() -> None:
        raise NoSpace("no space for the state")

    attendants, log, woken = _attend()
    attendants.open(cast("Station", _BadStation(refuse)))
    assert woken.acquire(timeout=30)
    for _ in range(3):
        assert attendants.is_waiting
        attendants.try_again()
        assert woken.acquire(timeout=30)
    assert len(log.errors) == 1
    assert attendants.failure is None
    assert attendants.describe()[0]["trouble"] == "no space for the state"


def test_a_failure_of_a_station_that_was_closed_means_nothing() -> None:
    """A thread that hung in a dying card and fails in a station of yesterday does not bring today's down."""
    go_on = threading.Event()

    def hang() -> None:
        assert go_on.wait(30)
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    attendants, _, woken = _attend()
    attendants.open(cast("Station", _BadStation(hang)))
    attendants.close()
    attendants.open(cast("Station", _BadStation(lambda: None)))
    go_on.set()
    assert woken.acquire(timeout=30)
    assert woken.acquire(timeout=30)
    assert not isinstance(attendants.failure, sqlite3.Error)


@contextmanager
def _interrupted(when: int, by: Callable[[], None]) -> Iterator[list[int]]:
    """Call something between two instructions of this thread, where a signal may come as well."""
    passed = [0]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(("watch.py", "threading.py")):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed[0] += 1
            if passed[0] == when:
                by()
        return trace

    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(None)


@pytest.mark.timeout(30)
def test_a_stop_in_the_middle_of_anything(tmp_path: Path) -> None:
    """A signal that comes between any two instructions of the wait ends it, and never waits for itself."""
    rules = CardRules(library=os.fsencode(tmp_path), mount_roots=(os.fsencode(tmp_path),))
    with Watcher(rules, rescan=3600, settle=0.0) as watcher:
        watcher.wait()

        def stop() -> None:
            watcher.stop()
            watcher._stopped = False  # for the next round

        when, passed = 1, [1]
        while when <= passed[0]:
            watcher.look_soon()
            with _interrupted(when, stop) as passed:
                assert watcher.wait(0.0) == Changes(), say_count(when, "instruction")
            when += 7
        assert when > 50
