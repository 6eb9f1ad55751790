"""Each look happens in a process of its own: what hangs in the kernel or crashes there takes nothing else along.

A thread would not do: a process whose thread waits for a dying disk can't end, and the shell waits with it.
"""

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ghostroll.doctor.finding import Finding
from ghostroll.doctor.surroundings import Account

_CHUNK = 64 * 1024
_EXIT_SECONDS = 1.0  # between the end of what it says and its end


class NoAnswer(Exception):
    """The look did not end in time; its process was left behind."""


class Crashed(Exception):
    """The look's process ended without an answer; the message says how."""


@dataclass(frozen=True, slots=True)
class Looking:
    """A look under way."""

    process: int  # a descriptor of it
    answer: int


def start_look(look: Callable[[], list[Finding]], writer: Account | None) -> Looking:
    """Begin to look, as another user where one is given. Only for a process without threads."""
    answer, far = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(answer)
            _look(look, writer, far)
        finally:
            os._exit(1)
    os.close(far)
    return Looking(os.pidfd_open(pid), answer)


def finish_look(looking: Looking, until: float) -> list[Finding]:
    """What was found; waits until that time of the monotonic clock. Call it once.

    Raises NoAnswer or Crashed. A mistake of ours in there is raised as RuntimeError, with its traceback.
    """
    try:
        answer = _read_all(looking.answer, until)
        if answer is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(looking.process, signal.SIGKILL)
            raise NoAnswer
        if not answer:
            raise Crashed(_describe_end(looking.process))
    finally:
        os.close(looking.answer)
        os.close(looking.process)
    found = json.loads(answer)
    if isinstance(found, str):
        raise RuntimeError(found)  # noqa: TRY004  # the traceback of a mistake, not a wrong type
    return [Finding.parse(one) for one in found]


def _look(look: Callable[[], list[Finding]], writer: Account | None, answer: int) -> None:
    # Whoever reads our output must not wait for a process that was left behind.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    found: str | list[dict[str, str]]
    try:
        if writer is not None:
            become(writer)
        found = [one.describe() for one in look()]
    except BaseException:  # noqa: BLE001  # nobody else could tell of it
        found = traceback.format_exc()
    data = json.dumps(found).encode()
    while data:
        data = data[os.write(answer, data) :]


def become(writer: Account) -> None:
    """Give up root for good. Only for a process of its own."""
    os.initgroups(writer.name, writer.gid)
    os.setresgid(writer.gid, writer.gid, writer.gid)
    os.setresuid(writer.uid, writer.uid, writer.uid)


def _read_all(descriptor: int, until: float) -> bytes | None:
    """Everything until the other end closes; None where that takes too long."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    parts = b""
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        part = os.read(descriptor, _CHUNK)
        if not part:
            return parts
        parts += part
    return None


def _describe_end(process: int) -> str:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(_EXIT_SECONDS * 1000):
        return "without a word"
    end = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG)
    if end is None or end.si_code == os.CLD_EXITED:
        return "without a word"
    return f"by signal {end.si_status} ({signal.strsignal(end.si_status)})"
