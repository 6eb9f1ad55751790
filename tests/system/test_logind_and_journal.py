"""Words with the real systemd, journald, logind and polkit, from inside the sandbox of the daemon's own unit.

A program that only speaks takes the daemon's place in it: what is tried here is the unit, the rule and the speakers.
"""

import json
from typing import Any

import pytest
from container import Container

SPEAKER = "/opt/speaker.py"
PROGRAM = """
import os, signal, threading
from ghostroll.config import Log
from ghostroll.daemon.inhibit import SleepLock
from ghostroll.daemon.notify import Notifier
from ghostroll.observe.logs import open_log

systemd = Notifier.from_environment(os.environ)
log = open_log(Log(), quiet=False)
lock = SleepLock(log)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
signal.signal(signal.SIGUSR1, lambda *_: lock.hold("copying EOS_DIGITAL"))
signal.signal(signal.SIGUSR2, lambda *_: lock.release())
log.warning("EOS: NOT SAFE", job=7, card="EOS\\nPRIORITY=0\\x1b[2J")
try:
    raise ValueError("EOS\\nsafe to remove")
except ValueError:
    log.exception("a bug")
log.info("long " + "x" * 3_000_000)
log.info("watched", seconds=systemd.watchdog_seconds)
systemd.ready("waiting for EOS\\nSTOPPING=1")
while not stop.wait(1):
    systemd.watchdog()
systemd.stopping("ending")
log.info("ended")
"""

Locks = set[tuple[str, str, str, str]]


@pytest.fixture
def speaking(container: Container) -> Container:
    """A machine whose ghostroll.service is the program above."""
    container.run("systemctl", "stop", "ghostroll")
    container.write(SPEAKER, PROGRAM)
    container.write(
        "/run/systemd/system/ghostroll.service.d/speaker.conf",
        f"[Service]\nExecStart=\nExecStart=/opt/ghostroll/bin/python -I {SPEAKER}\n",
    )
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "ghostroll")
    return container


def list_locks(machine: Container) -> Locks:
    """What logind says of our locks: what for, who, why and how."""
    told = machine.run(
        *("busctl", "--json=short", "call", "org.freedesktop.login1", "/org/freedesktop/login1"),
        *("org.freedesktop.login1.Manager", "ListInhibitors"),
    )
    (locks,) = json.loads(told)["data"]
    return {(what, who, why, mode) for what, who, why, mode, _user, _process in locks if who == "ghostroll"}


def expect(mode: str) -> Locks:
    """Both locks."""
    return {(what, "ghostroll", "copying EOS_DIGITAL", mode) for what in ("shutdown", "sleep")}


def hold(machine: Container) -> None:
    """Tell the program to take its locks."""
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=USR1", "ghostroll")


def release(machine: Container) -> None:
    """Tell the program to give its locks back."""
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=USR2", "ghostroll")


def show(machine: Container, what: str) -> str:
    """What systemd knows of the service."""
    return machine.run("systemctl", "show", "--value", f"--property={what}", "ghostroll")


def test_the_machine_stays_awake_while_the_lock_is_held(speaking: Container) -> None:
    """By the installed rule sleep and shutdown are blocked from hold to release, over a restart of logind too."""
    hold(speaking)
    speaking.wait_until(lambda: list_locks(speaking) == expect("block"))
    speaking.run("systemctl", "restart", "systemd-logind")
    assert list_locks(speaking) == expect("block")

    release(speaking)
    speaking.wait_until(lambda: list_locks(speaking) == set())


def test_a_killed_daemon_lets_the_machine_sleep(speaking: Container) -> None:
    """No lock outlives the process that took it."""
    hold(speaking)
    speaking.wait_until(lambda: list_locks(speaking) == expect("block"))
    speaking.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "ghostroll")

    speaking.wait_until(lambda: list_locks(speaking) == set())


def test_without_the_rule_the_locks_delay(speaking: Container) -> None:
    """Where nobody installed the rule, polkit permits a delay, and the journal has one line about it."""
    speaking.run("rm", "/usr/share/polkit-1/rules.d/50-ghostroll.rules")
    speaking.run("systemctl", "restart", "polkit")
    hold(speaking)
    speaking.wait_until(lambda: list_locks(speaking) == expect("delay"))

    speaking.wait_for_line("delay sleep and shutdown by some seconds only")


def test_the_rule_permits_nothing_else(speaking: Container) -> None:
    """The user ghostroll may block shutdown and sleep; the keys and the lid it may not, and others may nothing."""
    for user, what, code in (
        ("ghostroll", "sleep", 0),
        ("ghostroll", "shutdown", 0),
        ("ghostroll", "handle-lid-switch", 1),
        ("ghostroll", "handle-power-key", 1),
        ("nobody", "sleep", 1),
        ("nobody", "shutdown", 1),
    ):
        done = speaking.execute("systemd-inhibit", f"--what={what}", "--mode=block", "true", user=user)
        assert (user, what, done.code) == (user, what, code), done.err


def test_the_service_runs_without_logind(speaking: Container) -> None:
    """Where logind can't be had the program goes on, and takes the locks when logind is back."""
    speaking.run("systemctl", "mask", "--runtime", "--now", "systemd-logind")
    hold(speaking)
    speaking.wait_for_line("logind gives no lock")
    assert show(speaking, "ActiveState") == "active"
    speaking.run("systemctl", "unmask", "--runtime", "systemd-logind")
    hold(speaking)
    speaking.wait_until(lambda: list_locks(speaking) == expect("block"))


def one(entries: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """The one entry whose sentence begins so."""
    (found,) = [entry for entry in entries if str(entry["MESSAGE"]).startswith(text)]
    return found


def test_the_journal_has_fields_and_systemd_the_status(speaking: Container) -> None:
    """Lines arrive as native fields, long and hostile ones too, and a stop is orderly."""
    assert show(speaking, "StatusText") == "waiting for EOS\ufffdSTOPPING=1"
    assert show(speaking, "ActiveState") == "active"
    speaking.run("systemctl", "stop", "ghostroll")
    assert show(speaking, "Result") == "success"

    entries = speaking.journal(SYSLOG_IDENTIFIER="ghostroll", _TRANSPORT="journal")
    unsafe = one(entries, "EOS: NOT SAFE")
    assert (unsafe["PRIORITY"], unsafe["GHOSTROLL_JOB"]) == ("4", "7")
    assert unsafe["GHOSTROLL_CARD"] == "EOS\ufffdPRIORITY=0\ufffd[2J"
    bug = one(entries, "a bug")
    assert bug["PRIORITY"] == "3"
    assert bug["MESSAGE"].endswith("\n    ValueError: EOS\n    safe to remove")
    assert len(one(entries, "long ")["MESSAGE"]) == 3_000_005
    assert one(entries, "watched")["GHOSTROLL_SECONDS"] == "60.0"
    assert one(entries, "ended")["_SYSTEMD_UNIT"] == "ghostroll.service"
