"""The program under test as something to be killed: an ingest, or a daemon that is asked for the same by its socket."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemons import RunningDaemon
from forking import Forked
from knocking import ask
from promises import ask as ask_state
from running import KILLED
from waiting import wait_for

from ghostroll.daemon.wire import Done, Failed, Ingest, encode_request


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run came to its end. `document` is what an ingest that ended by itself says of itself."""

    killed: bool
    document: dict[str, Any]
    said: str


# A program takes an environment, a card's folder and a folder of its own, and runs until it has ended or was killed.
Program = Callable[[Mapping[str, str], Path, Path], Ended]


def run_ingest(env: Mapping[str, str], card: Path, _place: Path) -> Ended:
    """`ghostroll ingest`."""
    process = Forked(env, "ingest", card, "--json")
    run = process.finish(timeout=100)
    check_no_orphan(process.pid)
    if run.code == KILLED:
        return Ended(killed=True, document={}, said=run.err)
    assert run.code == 0, run.err
    return Ended(killed=False, document=run.document, said=run.err)


def run_daemon(env: Mapping[str, str], card: Path, place: Path) -> Ended:
    """`ghostroll daemon`, asked to read a card once it is up, and stopped in order when that is done."""
    daemon = RunningDaemon(place / "daemon", env, forked=True)
    try:
        answer = None
        if daemon.is_up():
            answer = ask_for(daemon, card)
        if answer is not None:
            library = Path(env["GHOSTROLL_LIBRARY__PATH"])
            wait_for(
                lambda: daemon.process.poll() is not None or is_idle(library), "it never came to rest", 60
            )
        if daemon.process.poll() is None:
            daemon.process.send_signal(signal.SIGTERM)
        code = daemon.process.wait(60)
        text = daemon.text()
    finally:
        daemon.end()
    check_no_orphan(daemon.process.pid)
    assert code in (0, KILLED), f"{code}: {text}"
    assert "Traceback" not in text, text
    if code == 0:
        assert isinstance(answer, Done), (answer, text)
        assert answer.code == 0, (answer, text)
        return Ended(killed=False, document=dict(answer.document), said=text)
    return Ended(killed=True, document={}, said=text)


def ask_for(daemon: RunningDaemon, card: Path) -> Done | Failed | None:
    """Ask a daemon to read a card, and listen to the end; None where it was killed before it told one."""
    try:
        answers = ask(daemon.runtime / "socket", encode_request(Ingest(os.fsencode(card))))
    except (FileNotFoundError, ConnectionRefusedError):
        daemon.process.wait(60)
        return None
    last = answers[-1] if answers else None
    if isinstance(last, Done | Failed):
        return last
    daemon.process.wait(60)
    return None


def is_idle(library: Path) -> bool:
    """Whether nothing is under way any more, of earlier jobs either."""
    return not ask_state(library, "SELECT 1 FROM task WHERE state IN ('ready', 'running')")


PROGRAMS: Mapping[str, Program] = {"ingest": run_ingest, "daemon": run_daemon}


def check_no_orphan(leader: int) -> None:
    """Nothing that a process started outlives it for more than a moment, however it ended."""
    wait_for(lambda: not list_family(leader), "something that it started is left", 10)


def list_family(leader: int) -> list[int]:
    """The living processes of a session, and the render workers that its leader started: they have sessions of their own."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            command_line = Path(f"/proc/{entry}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _parent, _group, session = text.rpartition(")")[2].split()[:4]  # proc_pid_stat(5)
        is_worker = b"ghostroll.render.worker" in command_line and b'"parent": %d,' % leader in command_line
        if (session == str(leader) or is_worker) and state not in "ZX":
            found.append(int(entry))
    return found
