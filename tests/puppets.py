"""Real stations in processes of their own, told what to do step by step, and killed for real.

A station here is what a daemon runs: SQLite, files, threads, render workers. What is not here is udev, systemd
and the command line. Its process is a fork of one that has imported everything, so that it is there in a moment.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from commanding import POWERLESS
from killing import check_no_orphan

_PATIENCE = 90.0


class Refused(Exception):
    """What a command raised over there: the name of the error, and its sentence."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name, self.sentence = name, sentence


class Killed(Exception):
    """The process is gone."""


class Puppet:
    """One station's process; see `puppet_process.Puppet` for what can be asked."""

    def __init__(self, address: str) -> None:
        self._connection: Connection[Any, Any] = Client(address, "AF_UNIX")
        self.pid: int = self._connection.recv()

    def ask(self, command: str, *arguments: object) -> Any:
        """Have something done and wait for it. Raises Refused with what it raised there, Killed where it is gone."""
        try:
            self._connection.send((command, arguments))
            assert self._connection.poll(_PATIENCE), f"{command} hangs"
            error, answer = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as gone:
            raise Killed from gone
        if error:
            raise Refused(error, answer)
        return answer

    def kill(self) -> None:
        """SIGKILL; nothing that it started may be left."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._connection.close()
        check_no_orphan(self.pid)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where puppets come from."""

    address: str

    def enter(self) -> Puppet:
        """A new process, without a station yet."""
        return Puppet(self.address)


@contextlib.contextmanager
def open_stage(*broken: str) -> Iterator[Stage]:
    """A process that forks puppets, without root's power over the modes of files. It ends with the test.

    `broken` names what is wrong with the product over there: see `sabotages`.
    """
    with tempfile.TemporaryDirectory(prefix="ghostroll-puppets-") as folder:
        address = os.path.join(folder, "stage")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GHOSTROLL_")}
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", *POWERLESS),
                *(sys.executable, "-m", "puppet_process", address, *broken),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent,
            env={**clean, "HOME": folder},
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield Stage(address)
        finally:
            process.kill()
            process.communicate()
