"""Whether the records are sound, and whoever is at work on them answers."""

import json
import os
import shlex
import socket
import sqlite3
from dataclasses import dataclass, replace

from ghostroll.daemon.wire import VERSION, parse_answer
from ghostroll.doctor.disk import find_nearest
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, hint, ok
from ghostroll.doctor.library import is_usable
from ghostroll.doctor.surroundings import ACCOUNT, UNIT, Service, Surroundings
from ghostroll.errors import StateUnusable, UsageError
from ghostroll.observe.wording import say_bytes
from ghostroll.state.database import check_untouched
from ghostroll.state.owner import Owner, find_owner

_ANSWER_SECONDS = 5.0
_LONGEST_ANSWER = 64 * 1024
_LARGE_LOG = 64 << 20  # bytes; SQLite folds it in at 4 MiB, unless somebody reads all the time
_LITTLE = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class StateFacts:
    """The database's file. `trouble` is why it can't be used, `damaged` whether that is its content.

    `forbidden` means that this user may not look, and that says nothing. `free` is the room on its disk in bytes.
    `owner` is who holds it; `answers` whether it answers a request, None where it takes none or nobody may ask.
    """

    path: str
    there: bool = True
    forbidden: bool = False
    trouble: str | None = None
    log_bytes: int = 0
    free: int = 0
    sessions: bool = False  # there are some in the library
    owner: Owner | None = None
    answers: bool | None = None
    service: Service = Service.NONE  # whose state this is


def look_at_state(surroundings: Surroundings) -> list[Finding]:
    """The records and their owner; nothing where they are in a library that can't be used anyway."""
    settings = surroundings.settings
    inside = settings.state_path.is_relative_to(settings.library.path)
    if inside and not is_usable(surroundings):
        return []
    return judge_state(_read_state(surroundings))


def judge_state(facts: StateFacts) -> list[Finding]:
    """Whether the records can be used, and are."""
    if facts.forbidden:
        return [could_not_look(Check.STATE, f"the state {facts.path}", "this user may not read them")]
    found = [*_judge_file(facts), *_judge_owner(facts)]
    if facts.trouble is None and facts.free < _LITTLE:
        what = f"the disk of the state is full: {say_bytes(facts.free)} are left"
        remedy = f"df -h {shlex.quote(os.path.dirname(facts.path))}  # make room there"
        found.append(finding(Check.STATE, what, "nothing can be recorded, so nothing can be copied", remedy))
    return found


def _judge_file(facts: StateFacts) -> list[Finding]:
    if not facts.there:
        if facts.sessions:
            what = f"there is no state at {facts.path}, but the library holds sessions"
            why = "cards that are in the library already would be copied again"
            return [
                hint(
                    Check.STATE,
                    what,
                    why,
                    "ghostroll adopt"
                    if facts.service is not Service.SYSTEM
                    else f"sudo -u {ACCOUNT} ghostroll adopt",
                )
            ]
        return [ok(Check.STATE, "there is no state yet: the first card begins it")]
    if facts.trouble is not None:
        what, _, remedy = facts.trouble.rpartition(": ")
        if "ghostroll adopt" in remedy:
            remedy = _say_anew(facts)
        return [finding(Check.STATE, what, "without its state ghostroll can't start", remedy)]
    if facts.log_bytes > _LARGE_LOG:
        what = f"the state's log {facts.path}-wal has grown to {say_bytes(facts.log_bytes)}"
        why = "it takes room, and makes every look at the state slow"
        remedy = _say_restart(facts.service) or "it is folded in when ghostroll ends"
        return [hint(Check.STATE, what, why, remedy)]
    return [ok(Check.STATE, f"the state {facts.path} is sound")]


def _say_anew(facts: StateFacts) -> str:
    """Put a damaged database out of the way, with what belongs to it, and make it anew from the manifests."""
    folder, name = (shlex.quote(part) for part in os.path.split(facts.path))
    names = f"\\( -name {name} -o -name {name}-wal -o -name {name}-shm \\)"
    move = f"find {folder} -maxdepth 1 {names} -exec mv {{}} {{}}.damaged \\;"
    match facts.service:
        case Service.SYSTEM:
            systemctl, adopt = f"sudo systemctl {{}} {UNIT}", f"sudo -u {ACCOUNT} ghostroll adopt"
            return f"{systemctl.format('stop')} && sudo {move} && {adopt} && {systemctl.format('start')}"
        case Service.USER:
            systemctl = f"systemctl --user {{}} {UNIT}"
            return f"{systemctl.format('stop')} && {move} && ghostroll adopt && {systemctl.format('start')}"
        case Service.NONE:
            return f"{move} && ghostroll adopt"


def _judge_owner(facts: StateFacts) -> list[Finding]:
    owner = facts.owner
    if owner is None:
        return []
    who = "a process that left no name" if owner.pid is None else f"process {owner.pid} ({owner.command})"
    if facts.answers is None:
        return [ok(Check.OWNER, f"{who} is at work on the state")]
    if facts.answers:
        return [ok(Check.OWNER, f"the daemon, {who}, answers")]
    remedy = _say_restart(facts.service) or f"kill {owner.pid}"
    why = "nothing can be asked of it, and no other command can take the state"
    return [finding(Check.OWNER, f"the daemon, {who}, holds the state and does not answer", why, remedy)]


def _say_restart(service: Service) -> str:
    return {
        Service.SYSTEM: f"sudo systemctl restart {UNIT}",
        Service.USER: f"systemctl --user restart {UNIT}",
    }.get(service, "")


def _read_state(surroundings: Surroundings) -> StateFacts:
    path = os.fspath(surroundings.settings.state_path)
    space = os.statvfs(find_nearest(os.path.dirname(os.fsencode(path))))
    facts = StateFacts(path, free=space.f_bavail * space.f_frsize, service=surroundings.runner)
    sees = surroundings.sees_as_writer
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return replace(
            facts, there=False, sessions=_has_sessions(os.fspath(surroundings.settings.library.path))
        )
    except OSError as error:
        trouble = f"the state at {path} can't be looked at ({error.strerror}): check its permissions"
        return replace(facts, forbidden=not sees, trouble=trouble)
    try:
        check_untouched(path, thorough=True)
        owner = find_owner(path)
    except StateUnusable as error:
        closed = isinstance(error.__cause__, (OSError, sqlite3.OperationalError))
        return replace(facts, forbidden=closed and not sees, trouble=str(error))
    return replace(
        facts,
        owner=owner,
        answers=None if owner is None or owner.socket is None else does_answer(owner.socket),
        log_bytes=_tell_size(f"{path}-wal"),
    )


def does_answer(path: str) -> bool | None:
    """Whether a daemon answers at this socket, as it must to whatever it doesn't know; None where it takes nothing of us."""
    request = json.dumps({"version": VERSION, "request": "doctor"}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answer:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(request)
            parse_answer(answer.readline(_LONGEST_ANSWER))
    except PermissionError:
        return None
    except (OSError, UsageError):
        return False
    return True


def _has_sessions(library: str) -> bool:
    try:
        return any(
            os.path.exists(os.path.join(library, name, "manifest.json")) for name in os.listdir(library)
        )
    except OSError:
        return False


def _tell_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
