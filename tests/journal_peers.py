"""A journal that is a real datagram socket, and the log as the daemon has it under systemd."""

import contextlib
import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from ghostroll.config import Log, LogFormat
from ghostroll.observe.logs import open_log

Fields = dict[str, str]


def parse_entry(data: bytes) -> list[tuple[str, str]]:
    """An entry of the journal's native protocol, read as its description has it: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, short, value = data[at:end].partition(b"=")
        at = end + 1
        if not short:
            size = int.from_bytes(data[at : at + 8], "little")
            value = data[at + 8 : at + 8 + size]
            at += 8 + size
            assert data[at : at + 1] == b"\n"
            at += 1
        assert re.fullmatch(rb"[A-Z0-9][A-Z0-9_]{0,63}", name), name
        fields.append((name.decode("ascii"), value.decode("utf-8")))
    return fields


class JournalPeer:
    """Listens where a journal would, and reads only when asked to."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self.path)
        self.seals: int | None = None  # of the memory file that came last

    def read_entry(self) -> Fields | None:
        """The next entry; None if there is none."""
        try:
            data, descriptors, _flags, _sender = socket.recv_fds(self._socket, 1 << 20, 4)
        except BlockingIOError:
            return None
        if descriptors:
            assert data == b""
            with open(descriptors[0], "rb") as memory:
                self.seals = fcntl.fcntl(memory, fcntl.F_GET_SEALS)
                memory.seek(0)
                data = memory.read()
        fields = parse_entry(data)
        assert len(dict(fields)) == len(fields)
        return dict(fields)

    def read_all(self) -> list[Fields]:
        """Every entry that has come."""
        return list(iter(self.read_entry, None))

    def only(self) -> Fields:
        """The one entry that has come."""
        (entry,) = self.read_all()
        return entry

    def fill(self) -> None:
        """Have so many datagrams waiting that no other fits."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            try:
                while True:
                    other.sendto(b"MESSAGE=somebody else's\n", self.path)
            except BlockingIOError:
                pass

    def close(self) -> None:
        """Go away, as a journal that is stopped."""
        self._socket.close()
        os.unlink(self.path)


@contextlib.contextmanager
def own_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    loggers = [logging.getLogger("ghostroll"), logging.getLogger()]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    try:
        yield
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
        structlog.reset_defaults()


def open_journal(path: str, **settings: Any) -> structlog.stdlib.BoundLogger:
    """The log, as the daemon has it under systemd."""
    return open_log(Log(format=LogFormat.JOURNAL, **settings), quiet=False, journal=path)


def raise_over(name: str) -> None:
    """Fail as a bug would, with a card's name in the words."""
    raise ValueError(f"can't do {name}")
