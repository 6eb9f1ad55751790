"""Keeps the machine awake while a card is being copied: logind's inhibitor locks.

A lock is one end of a pipe from logind: it lasts until we close it or are no more, however we ended, and outlives
a restart of logind. Asked for over D-Bus and not by `systemd-inhibit`: no child that could outlive us or be killed.
"""

import os
import threading
from contextlib import ExitStack
from enum import StrEnum

import structlog
from jeepney import DBusAddress, DBusErrorResponse, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import unwrap_msg

from ghostroll.observe.wording import say_name

_LOGIND = DBusAddress(
    "/org/freedesktop/login1",
    bus_name="org.freedesktop.login1",
    interface="org.freedesktop.login1.Manager",
)
_PATIENCE = 30.0  # seconds for the bus, and for an answer: logind may only be starting
_LONGEST_REASON = 200  # characters

# One lock for each: asked for both in one, logind (systemd 252) wants the right to inhibit the lid switch.
_WHAT = ("shutdown", "sleep")


class Mode(StrEnum):
    """What a lock does, the best first."""

    BLOCK = "block"  # the machine stays on until the lock is released
    DELAY = "delay"  # it stays on for some more seconds: InhibitDelayMaxSec= of logind, 5 by default


def _ask(bus: DBusConnection, what: str, why: str, mode: Mode) -> int:
    request = new_method_call(_LOGIND, "Inhibit", "ssss", (what, "ghostroll", why, mode.value))
    (lock,) = unwrap_msg(bus.send_and_get_reply(request, timeout=_PATIENCE))
    descriptor: int = lock.to_raw_fd()
    os.set_inheritable(descriptor, False)  # a worker must not keep the machine awake after us
    return descriptor


def _take_one(bus: DBusConnection, what: str, why: str) -> tuple[int, Mode]:
    try:
        return _ask(bus, what, why, Mode.BLOCK), Mode.BLOCK
    except DBusErrorResponse:  # not permitted, or no polkit to permit it
        return _ask(bus, what, why, Mode.DELAY), Mode.DELAY


def take_locks(bus: str, why: str) -> tuple[list[int], Mode]:
    """Take a lock against shutdown and one against sleep; a descriptor each, and the weaker of the modes.

    `bus` is "SYSTEM" or a D-Bus address. Raises OSError where no bus or logind answers within 30 s each,
    DBusErrorResponse where logind gives no lock, AuthenticationError and RuntimeError where the bus is none of ours.
    """
    taken: list[tuple[int, Mode]] = []
    with ExitStack() as gone_wrong:
        with open_dbus_connection(bus, enable_fds=True, auth_timeout=_PATIENCE) as connection:
            for what in _WHAT:
                taken.append(_take_one(connection, what, why))
                gone_wrong.callback(os.close, taken[-1][0])
        gone_wrong.pop_all()
    modes = {mode for _descriptor, mode in taken}
    return [descriptor for descriptor, _mode in taken], Mode.DELAY if Mode.DELAY in modes else Mode.BLOCK


def _say_why(error: Exception) -> str:
    match error:
        case DBusErrorResponse():
            return str(error.data[0]).rstrip(".") if error.data else str(error.name)
        case TimeoutError():
            return "no answer"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


class SleepLock:
    """Keeps the machine from sleeping and shutting down while it is held, as far as logind and polkit permit.

    Both methods return at once and never raise, whatever logind does; they may be called by any thread, again and
    again. What can't be had is said in the log once, as a sentence, and is no reason to copy nothing.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger, bus: str = "SYSTEM") -> None:
        self._log = log
        self._bus = bus
        self._guard = threading.Lock()
        self._wanted = False
        self._asking = False
        self._held: list[int] = []
        self._said: set[Mode | None] = set()

    def hold(self, why: str) -> None:
        """See to it that the machine stays awake; a person reads `why` where they wonder. Tries again if need be."""
        with self._guard:
            self._wanted = True
            if self._held or self._asking:
                return
            self._asking = True
        reason = say_name(why)[:_LONGEST_REASON]
        # Nobody waits for this thread, not even a stop: logind may hang, and the locks end with the process anyway.
        threading.Thread(target=self._take, args=(reason,), name="sleep-lock", daemon=True).start()

    def release(self) -> None:
        """Let the machine sleep again."""
        with self._guard:
            self._wanted = False
            held, self._held = self._held, []
        for descriptor in held:
            os.close(descriptor)

    def _take(self, why: str) -> None:
        taken: list[int] = []
        try:
            taken, mode = take_locks(self._bus, why)
            if mode is Mode.DELAY:
                self._say_once(
                    mode,
                    "polkit lets ghostroll delay sleep and shutdown by some seconds only, not block them",
                )
        except (OSError, DBusErrorResponse, AuthenticationError, RuntimeError) as error:
            self._say_once(
                None,
                f"this machine may sleep or shut down while a card is copied: logind gives no lock ({_say_why(error)})",
            )
        finally:
            with self._guard:
                self._asking = False
                if self._wanted:
                    self._held, taken = taken, []
            for descriptor in taken:
                os.close(descriptor)

    def _say_once(self, mode: Mode | None, sentence: str) -> None:
        if mode not in self._said:
            self._said.add(mode)
            self._log.info(sentence)
