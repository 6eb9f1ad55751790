"""Commands that cost a fork each: a start from nothing costs half a second of a core, and tests run thousands.

What is forked has imported the program and done nothing else; its environment, output, faults and end are those of a
process of its own. How a command starts from nothing, on a terminal, with signals and with another Python's settings is
what tests see that start one.
"""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from running import Run

NUMBER = 4  # bytes of a process id, and of how it ended


class Forked:
    """A command that runs in a session of its own, with what the tests use of `subprocess.Popen`.

    Its parent is another process, which tells how it ended. `err` is where its stderr goes, if it is not to be kept.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *arguments: str | bytes | Path,
        err: int | None = None,
        before: Sequence[str] = (),
        preload: Path | None = None,
    ) -> None:
        """Start it; whoever forks it was started by `before`, such as setpriv, and with the library `preload`."""
        self.returncode: int | None = None
        self._out = self._err = ""
        self._said = os.memfd_create("out"), os.memfd_create("err")
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.connect(_start_forker(tuple(before), preload))
        order = json.dumps(
            [os.getcwd(), dict(env), [os.fsdecode(argument) for argument in arguments]]
        ).encode()
        socket.send_fds(
            self._connection,
            [len(order).to_bytes(NUMBER)],
            [self._said[0], self._said[1] if err is None else err],
        )
        self._connection.sendall(order)
        self.pid = self._hear()

    def poll(self) -> int | None:
        """How it ended, None where it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ends: its exit code, or the number of a signal below zero. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = self._hear()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("ghostroll", timeout or 0) from None
            self._connection.close()
            self._out, self._err = map(_drain, self._said)
        return self.returncode

    def finish(self, timeout: float) -> Run:
        """Wait for its end, and hear what it said; one that doesn't end is killed."""
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise
        return Run(code, self._out, self._err)

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _hear(self) -> int:
        heard = self._connection.recv(NUMBER)
        assert len(heard) == NUMBER, "whoever forks is gone"
        return int.from_bytes(heard, signed=True)


def _drain(file: int) -> str:
    """All that was written to a file of no name, which is gone with it."""
    with os.fdopen(file, "rb") as said:
        said.seek(0)
        return said.read().decode("utf-8", "replace")


def fork_command(
    env: Mapping[str, str],
    *arguments: str | bytes | Path,
    before: Sequence[str] = (),
    timeout: float = 100,
    preload: Path | None = None,
) -> Run:
    """Run a command to its end, as `run_command` does; one that doesn't end is killed."""
    return Forked(env, *arguments, before=before, preload=preload).finish(timeout)


@functools.cache
def _start_forker(before: tuple[str, ...], preload: Path | None) -> str:
    """Where commands are forked; whoever does it ends with this process."""
    folder = tempfile.mkdtemp(prefix="ghostroll-forker-")
    address = os.path.join(folder, "socket")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GHOSTROLL_")}
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "forking_process", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
        env=clean | ({} if preload is None else {"LD_PRELOAD": str(preload)}),
    )
    assert process.stdout is not None

    def end() -> None:
        process.communicate()  # it ends when nobody can ask any more
        shutil.rmtree(folder)

    atexit.register(end)
    assert process.stdout.readline() == b"ready\n"
    return address
