"""What systemd is told of the daemon: sd_notify(3), in the few lines that it is."""

import contextlib
import math
import os
import socket
import struct
from collections.abc import MutableMapping
from dataclasses import dataclass

from ghostroll.observe.wording import say_name

_PATIENCE = struct.pack(
    "@ll", 2, 0
)  # struct timeval; systemd's queue is long, so that full means that it hangs
_LONGEST_STATUS = 2000  # bytes; systemd throws a message of more than 4096 away


def _say_status(text: str) -> str:
    short = say_name(text).encode()[:_LONGEST_STATUS].decode(errors="ignore")
    return f"STATUS={short}"


def _read_seconds(microseconds: str | None, meant_for: str | None) -> float | None:
    # As sd_watchdog_enabled(3): another process's watchdog is nobody's, and 0 or nonsense is none.
    if meant_for not in (None, str(os.getpid())) or not microseconds or not microseconds.isdecimal():
        return None
    return int(microseconds) / 1e6 or None


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells systemd how the daemon is. Says nothing where systemd doesn't listen; never raises, never waits over 2 s."""

    address: bytes | None
    """Where systemd listens, as the kernel wants it; None: nowhere."""

    watchdog_seconds: float | None
    """systemd ends the daemon if `watchdog` isn't called for so long; None: it doesn't watch."""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """What systemd asked for at the start; takes it out of `environ`, so that no child believes it was asked."""
        address = os.fsencode(environ.pop("NOTIFY_SOCKET", ""))
        watchdog = _read_seconds(environ.pop("WATCHDOG_USEC", None), environ.pop("WATCHDOG_PID", None))
        if address.startswith(b"@"):  # a name outside the filesystem
            address = b"\0" + address[1:]
        elif not address.startswith(b"/"):
            return cls(None, watchdog)
        return cls(address, watchdog)

    def ready(self, status: str) -> None:
        """The daemon is up: whoever waits for it goes on."""
        self._send("READY=1", _say_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`; control characters are replaced, what is too long is cut."""
        self._send(_say_status(text))

    def watchdog(self) -> None:
        """All is well: systemd waits another `watchdog_seconds`."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The daemon is about to end."""
        self._send("STOPPING=1", _say_status(status))

    def extend_timeout(self, seconds: float) -> None:
        """Starting or stopping goes on: systemd gives it so many seconds more from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={math.ceil(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
            peer.sendto("\n".join(lines).encode(), self.address)
