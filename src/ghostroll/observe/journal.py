"""The journal's own protocol: fields that `journalctl` can search for, where stderr has lines of text."""

import os
import re
import socket
import struct
from collections.abc import Mapping
from typing import Any

from logging_journald import JournaldTransport

JOURNAL_SOCKET = "/run/systemd/journal/socket"

# syslog's severities, as systemd.journal-fields(7) wants them. A level of somebody else's own is a notice.
_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_NOTICE = 5
_NOT_FIELDS = ("event", "level", "timestamp", "exception")  # said in MESSAGE and PRIORITY, or by the journal
_LONGEST_NAME = 64  # bytes; the journal leaves out a field with a longer name

# How long a line may wait while the journal's queue is full. A journal that hangs (rotating on a slow card) must
# not hang the copying of another card; the fallback goes to a pipe that holds megabytes.
_PATIENCE = struct.pack("@ll", 0, 200_000)  # struct timeval: seconds, microseconds


def is_journal(stream: str | None, descriptor: int) -> bool:
    """Whether a descriptor leads to the journal. `stream` is `$JOURNAL_STREAM`, its device and inode: systemd.exec(5)."""
    try:
        there = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{there.st_dev}:{there.st_ino}"


def _say(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def name_field(key: str) -> str:
    """What the journal calls a value of an event: `GHOSTROLL_JOB` for `job`; only A-Z, 0-9 and _, 64 at most."""
    return ("GHOSTROLL_" + re.sub("[^A-Z0-9_]", "_", key.upper()))[:_LONGEST_NAME]


def list_fields(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The journal's fields of one event: what is known to it under its own names, all else as `GHOSTROLL_…`.

    A traceback follows the sentence in MESSAGE, so that `journalctl -u ghostroll` shows a bug whole.
    """
    traceback = event.get("exception")
    return [
        ("MESSAGE", f"{event.get('event', '')}" + (f"\n{traceback}" if traceback else "")),
        ("PRIORITY", str(_PRIORITY.get(event.get("level", ""), _NOTICE))),
        ("SYSLOG_IDENTIFIER", "ghostroll"),
    ] + [
        (name_field(key), _say(value))
        for key, value in event.items()
        if key not in _NOT_FIELDS and value is not None
    ]


def say_plainly(event: Mapping[str, Any]) -> str:
    """One event as lines for stderr, each with the prefix by which systemd knows its priority: sd-daemon(3)."""
    sentence, *traceback = str(event.get("event", "")), *str(event.get("exception", "")).splitlines()
    fields = " ".join(
        f"{key}={_say(value)}" for key, value in event.items() if key not in _NOT_FIELDS and value is not None
    )
    prefix = f"<{_PRIORITY.get(event.get('level', ''), _NOTICE)}>"
    return "\n".join(prefix + line for line in (f"{sentence} {fields}".rstrip(), *traceback))


class Journal:
    """Sends events to the journal at a socket. Keeps nothing open: the journal may be away, or start anew."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._path = path

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> str:
        """Send one event, as a structlog renderer. Returns what is left to be said on stderr: nothing if it was taken.

        Waits 0.2 s at most. What is longer than a datagram may be is handed over in a sealed memory file.
        """
        try:
            transport = JournaldTransport(self._path, connected=False)
            with transport.socket:
                transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
                transport.send(list_fields(event))
        except OSError:
            return say_plainly(event)
        return ""
