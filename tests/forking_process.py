"""The far side of `forking.py`: forks a process with the program for each connection, and tells there how it ended.

Started as `python -m forking_process SOCKET`, with everything imported once. It ends when its stdin does, and with it
whatever it forked.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time

from forking import NUMBER

from ghostroll.cli import main as run

# All that an ingest, a daemon or another command that works on a library comes to import.
_IMPORTED = (
    *(f"ghostroll.cli.{name}" for name in ("app", "ingest", "daemon", "reports", "upkeep")),
    *("ghostroll.config.merging", "ghostroll.publish.s3.bucket"),
    *("boto3", "botocore.session", "botocore.config", "botocore.handlers", "botocore.exceptions", "segno"),
)


class Forker:
    """Forks, waits and tells."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._events = selectors.DefaultSelector()
        self._events.register(listener, selectors.EVENT_READ)
        self._events.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._living: dict[int, tuple[int, socket.socket]] = {}  # by their pidfd

    def serve(self) -> list[str] | None:
        """Fork until nobody asks any more; in a forked process, return the command's arguments."""
        while True:
            for key, _ in self._events.select():
                if key.fd in self._living:
                    self._bury(key.fd)
                elif key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    if (arguments := self._fork(connection)) is not None:
                        return arguments
                else:
                    for pid, _ in self._living.values():
                        os.kill(pid, signal.SIGKILL)
                    return None

    def _fork(self, connection: socket.socket) -> list[str] | None:
        size, (out, err), _, _ = socket.recv_fds(connection, NUMBER, 2)
        with connection.makefile("rb") as order:
            folder, env, arguments = json.loads(order.read(int.from_bytes(size)))
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._forget()
            _become(folder, env, out, err)
            return [*arguments]
        os.close(out)
        os.close(err)
        connection.sendall(pid.to_bytes(NUMBER, signed=True))
        watched = os.pidfd_open(pid)
        self._events.register(watched, selectors.EVENT_READ)
        self._living[watched] = pid, connection
        return None

    def _forget(self) -> None:
        """Hold nothing that belongs to whoever forked this process."""
        self._events.close()
        self._listener.close()
        for watched, (_, connection) in self._living.items():
            os.close(watched)
            connection.close()

    def _bury(self, watched: int) -> None:
        pid, connection = self._living.pop(watched)
        self._events.unregister(watched)
        os.close(watched)
        _, status = os.waitpid(pid, 0)
        with connection, contextlib.suppress(BrokenPipeError):
            connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(NUMBER, signed=True))


def _become(folder: str, env: dict[str, str], out: int, err: int) -> None:
    """Be the process that a shell would have started, in a session of its own."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    with contextlib.suppress(AttributeError):  # only where it was preloaded
        ctypes.CDLL(None).faulty_begin()
    importlib.reload(sys.modules["ghostroll.faults"])  # it reads the environment


def main(address: str) -> None:
    """Fork for every connection; a forked process runs its command instead, to the interpreter's own end."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        arguments = Forker(listener).serve()
    if arguments is not None:
        sys.argv = ["ghostroll", *arguments]
        run()


if __name__ == "__main__":
    main(sys.argv[1])
