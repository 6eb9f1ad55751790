"""Asking the daemon that owns the state, instead of taking the state: the same command, the same output."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ghostroll.cli.progress import choose_watcher
from ghostroll.config import Settings
from ghostroll.daemon.progress import read_glance, read_note
from ghostroll.daemon.wire import (
    Answer,
    Done,
    Failed,
    Heard,
    Progress,
    Request,
    encode_request,
    parse_answer,
)
from ghostroll.errors import GhostrollError, StateHeld, StateUnusable, UsageError
from ghostroll.model import JobId, Stage
from ghostroll.observe.meter import Meter, Reading
from ghostroll.observe.wording import say_name
from ghostroll.state.owner import Owner, explain_refusal, find_owner
from ghostroll.station.run import INTERRUPTED

_PATIENCE = 5.0  # seconds until a daemon must have answered
_PAUSE = 0.1  # seconds between two tries, while a daemon starts or stops
_LONGEST_ANSWER = 256 << 20  # bytes; a card's failures are named one by one
_PART = 1 << 16


class SaidByDaemon(GhostrollError):
    """What the daemon refused or failed at, in its words and with its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def ask_daemon(settings: Settings, request: Request, console: Console, *, quiet: bool) -> Done | None:
    """Have the daemon do it, and show how it goes; None where no daemon owns the state.

    Ctrl-C only ends the watching. Raises what the daemon says, StateHeld where it says nothing, StateUnusable
    where this user may not ask it.
    """
    try:
        with _find_listener(settings, request) as answers:
            return None if answers is None else _watch(answers, console, quiet=quiet)
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nnot watching any more; what the daemon began goes on: 'ghostroll status' shows how far it is\n"
        )
        raise typer.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def _find_listener(settings: Settings, request: Request) -> Iterator[Iterator[Answer] | None]:
    """What the daemon answers, once it has heard the request; None where there is no daemon."""
    until = time.monotonic() + _PATIENCE
    while True:
        owner = find_owner(os.fspath(settings.state_path))
        if owner is None or owner.socket is None:
            yield None
            return
        with _hold_on(owner.socket, until) as connection:
            answers = None if connection is None else _ask(connection, request, until)
            if answers is not None:
                yield answers
                return
        if time.monotonic() >= until:
            raise _say_silent(owner)
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _hold_on(path: str, until: float) -> Iterator[socket.socket | None]:
    """A connection to the daemon; None where it does not listen at the moment."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(max(_PAUSE, until - time.monotonic()))
        try:
            _connect(connection, path)
        except PermissionError as error:
            raise StateUnusable(
                explain_refusal(path) or f"the daemon at {path} takes no requests from you"
            ) from error
        except OSError:  # it starts, or stops, or its hands are full
            yield None
        else:
            yield connection


def _connect(connection: socket.socket, path: str) -> None:
    """By way of its folder: an address has room for 107 bytes, a path may have more."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def _ask(connection: socket.socket, request: Request, until: float) -> Iterator[Answer] | None:
    """Send a request; what is answered once it was heard, or None where nobody answers."""
    answers = _read_answers(connection)
    try:
        connection.sendall(encode_request(request))
    except OSError:
        connection.settimeout(_PAUSE)  # it did not want to hear it, and may have said why
    else:
        connection.settimeout(max(_PAUSE, until - time.monotonic()))
    try:
        first = next(answers, None)
    except OSError:
        return None
    match first:
        case Heard():
            connection.settimeout(None)
            return answers
        case Failed(sentence, code):
            raise SaidByDaemon(sentence, code)
        case None:
            return None
        case _:
            raise UsageError("the daemon answers without having heard: it is of another version, restart it")


def _read_answers(connection: socket.socket) -> Iterator[Answer]:
    """What the daemon says, until it hangs up."""
    data, searched = bytearray(), 0
    while True:
        end = data.find(b"\n", searched)
        if end >= 0:
            line = bytes(data[:end])
            del data[: end + 1]
            searched = 0
            yield parse_answer(line)
            continue
        searched = len(data)
        if searched > _LONGEST_ANSWER:
            raise UsageError("the daemon's answer has no end: restart it")
        try:
            part = connection.recv(_PART)
        except ConnectionResetError:  # it hung up without having read everything
            return
        if not part:
            return
        data += part


def _watch(answers: Iterator[Answer], console: Console, *, quiet: bool) -> Done:
    """Show what comes until the end."""
    told = _ToldMeter()
    watcher = choose_watcher(told, console, quiet=quiet)
    try:
        for answer in answers:
            match answer:
                case Done():
                    return answer
                case Failed(sentence, code):
                    raise SaidByDaemon(sentence, code)
                case Progress(document):
                    _show(document, told, watcher.show, None if quiet else console)
                case Heard():
                    pass
    finally:
        watcher.close()
    raise StateHeld("the daemon went away before this was done: 'ghostroll status' shows how far it came")


def _show(
    document: Mapping[str, Any], told: "_ToldMeter", show: Callable[..., None], console: Console | None
) -> None:
    note, glance = read_note(document), read_glance(document)
    if note is not None and console is not None:
        console.print(Text(say_name(note)), soft_wrap=True)
    if glance is not None:
        told.readings = dict(glance.readings)
        show(glance.tally, glance.pictures)


class _ToldMeter(Meter):
    """The daemon's counts, as it told them last."""

    def __init__(self) -> None:
        super().__init__(time.monotonic)
        self.readings = dict.fromkeys(Stage, Reading())

    def read(self, job: JobId | None = None) -> dict[Stage, Reading]:
        """Whatever job: the daemon tells of one."""
        del job
        return self.readings


def _say_silent(owner: Owner) -> StateHeld:
    return StateHeld(
        f"the daemon (process {owner.pid}) holds the state and does not answer: 'journalctl -u ghostroll' may tell"
        " why, and 'sudo systemctl restart ghostroll' helps; nothing verified is lost"
    )
