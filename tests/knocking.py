"""Somebody at a daemon's socket: with any bytes, as any user, and as whoever answers there."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from ghostroll.daemon.reply import Reply
from ghostroll.daemon.requests import Answerer, RequestServer
from ghostroll.daemon.wire import Answer, Request, Retry, encode_request, parse_answer
from ghostroll.model import JobId

RETRY = encode_request(Retry(JobId(7)))  # a request like any other

# A process of another user. It has imported what it needs, for that user may not read Python itself.
_AS_SOMEBODY = """
import os, socket, sys
path, uid, gid, groups, line = sys.argv[1:]
os.setgroups([int(group) for group in groups.split(",") if group])
os.setgid(int(gid))
os.setuid(int(uid))
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(path)
except PermissionError as error:
    sys.exit(str(error))
try:
    connection.sendall(bytes.fromhex(line))
except BrokenPipeError:
    pass
try:
    while part := connection.recv(65536):
        os.write(1, part)
except ConnectionResetError:
    pass
"""


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users get to; pytest's own are closed to them, again and again."""
    with tempfile.TemporaryDirectory(prefix="ghostroll-test-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder


class Notes(logging.Handler):
    """Everything that was logged, one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")

    def find(self, part: str) -> list[str]:
        """Lines with this in them."""
        return [line for line in self.lines if part in line]


def open_notes(name: str) -> tuple[structlog.stdlib.BoundLogger, Notes]:
    """A log that is kept."""
    notes = Notes()
    logger = logging.Logger(name, logging.DEBUG)  # noqa: LOG001  # of this test alone
    logger.addHandler(notes)
    log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logger,
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return log, notes


@contextlib.contextmanager
def serve(path: Path, answer: Answerer, group: int | None = None) -> Iterator[tuple[RequestServer, Notes]]:
    """A server at work."""
    log, notes = open_notes("requests")
    server = RequestServer(str(path), group, answer, log)
    server.start()
    try:
        yield server, notes
    finally:
        server.stop(30)


def say_it_back(request: Request, reply: Reply) -> None:
    """Answer with what was asked."""
    reply.finish({"asked": repr(request)}, 0)


def knock(path: Path) -> socket.socket:
    """A connection; a test that waits for more than 30 s has failed."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def listen(connection: socket.socket) -> list[Answer]:
    """Everything that is answered, until the other end hangs up."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    connection.close()
    return parse(data)


def ask(path: Path, line: bytes) -> list[Answer]:
    """Send a line and listen."""
    connection = knock(path)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(line)
    return listen(connection)


class KeptOut(Exception):
    """Somebody could not even connect."""


def ask_as(path: Path, line: bytes, *, uid: int, gid: int, groups: tuple[int, ...] = ()) -> list[Answer]:
    """Ask as another user; what is answered. Raises KeptOut."""
    numbers = ",".join(str(group) for group in groups)
    done = subprocess.run(
        [sys.executable, "-c", _AS_SOMEBODY, path, str(uid), str(gid), numbers, line.hex()],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise KeptOut(done.stderr.decode().strip())
    return parse(done.stdout)


def parse(data: bytes) -> list[Answer]:
    """The answers in what came."""
    assert data == b"" or data.endswith(b"\n"), "an answer was cut off"
    return [parse_answer(line) for line in data.split(b"\n")[:-1]]


def list_descriptors() -> set[str]:
    """What this process holds open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return found
