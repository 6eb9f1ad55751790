"""Waiting for cards without waking up: udev's events and changes of the mount table only mean "look again"."""

import contextlib
import math
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Self

import pyudev

from ghostroll.cards.lookout import Lookout, is_udev_running
from ghostroll.cards.mounts import MOUNTINFO
from ghostroll.cards.reconcile import reconcile
from ghostroll.cards.sight import Active, CardRules, Changes, Seen, Why

_FIRST = 2.0  # seconds that the first look may wait for the top folders of cards which are in already
_STUCK = 1.0  # seconds to wait at the end for a top folder that is being listed
_AGAIN = 1.0  # seconds until the next look after one that could not be had
_BURST = 10_000  # events that are taken off at once


class Watcher:
    """Tells which cards arrived and which left. `wait`, `run` and `close` belong to one thread.

    No descriptor on a card's filesystem is kept. `rescan` is the longest time in seconds between two looks,
    `settle` how long a burst of events may go on before one look answers it. `looks` counts them.
    """

    def __init__(
        self,
        rules: CardRules,
        *,
        rescan: float = 60.0,
        settle: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._rescan = rescan
        self._settle = settle
        self._clock = clock
        self._active: Active | None = None
        self._told: set[str] = set()
        # Plain values, no events: a signal may come in the middle of one, and its lock is not to be had twice.
        self._stopped = False
        self._look_wanted = False
        self._return_wanted = False
        self._lock = threading.RLock()  # a signal may come while it is held
        self._closed = False
        self._context = _open_context()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._table = os.open(MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
        self._had_udevd = False
        self._monitor: pyudev.Monitor | None = None
        self._open_monitor()  # before the first look: what happens in between is an event
        self._lookout = Lookout(rules, self.look_soon, self._context)
        self._look_at = -math.inf
        self._seen: tuple[Seen, ...] = ()
        self._settling = False  # events came and wait for their look
        self._blind = False  # the last look could not be had
        self.looks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stopped

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Every volume as the last look saw it, cards and refused ones. From any thread."""
        return self._seen

    def stop(self) -> None:
        """Make `wait` return at once, now and ever after. From any thread."""
        self._stopped = True
        self.look_soon()

    def look_soon(self) -> None:
        """Look again without waiting for an event. From any thread."""
        self._look_wanted = True
        self._ring()

    def return_soon(self) -> None:
        """Make `wait` return, once, though there is nothing to tell. From any thread."""
        self._return_wanted = True
        self._ring()

    def _ring(self) -> None:
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Let go of everything. A thread that a dying card holds is left behind."""
        self._stopped = True
        self._lookout.close(_STUCK)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._monitor = None
            os.close(self._table)
            os.close(self._wake)

    def run(self, on_changes: Callable[[Changes], None]) -> None:
        """Call back with the first look, even an empty one, and with all that follows, until `stop`."""
        while not self.stopped:
            changes = self.wait()
            if not self.stopped:
                on_changes(changes)

    def wait(self, timeout: float | None = None) -> Changes:
        """Wait for something to tell; at most `timeout` seconds, then the answer is empty, as after `stop`.

        The first answer comes at once and may be empty: it is what was there before.
        """
        until = math.inf if timeout is None else self._clock() + timeout
        listened = False
        while not self.stopped:
            now = self._clock()
            if self._active is None:
                return self._reconcile(self._look_first(now + _FIRST))
            if self._look_at <= now:
                changes = self._reconcile(self._look())
                if changes:
                    return changes
            elif self._return_wanted or (until <= now and listened):
                break
            else:
                self._sleep(max(0.0, min(self._look_at, until) - now))
                listened = True
        self._return_wanted = False
        return Changes()

    def _look_first(self, until: float) -> tuple[Seen, ...]:
        """The first look, which has the top folders of the cards that are in, unless one doesn't answer."""
        while True:
            seen = self._look()
            unanswered = any(volume.refusal and volume.refusal.why is Why.NO_ANSWER for volume in seen)
            left = until - self._clock()
            if not unanswered or left <= 0 or self.stopped:
                return seen
            self._sleep(left)

    def _look(self) -> tuple[Seen, ...]:
        self._settling = False
        self._drain()
        self.looks += 1
        try:
            self._seen = self._lookout.look()
            self._blind = False
        except OSError:  # too many open files, disks in turmoil: what was seen last still counts
            self._blind = True
        return self._seen

    def _reconcile(self, seen: tuple[Seen, ...]) -> Changes:
        now = self._clock()
        changes, self._active = reconcile(seen, self._active, now, self._rules)
        due = math.inf if changes.due is None else changes.due
        # Whatever rang meanwhile was rung after the look had begun: the bell is still on.
        self._look_at = min(now + self._rescan, now + _AGAIN if self._blind else due, due)
        new = tuple(note for note in self._lookout.notes if note not in self._told)
        self._told.update(new)
        return replace(changes, notes=new)

    def _sleep(self, seconds: float) -> None:
        """Until something happens, at most so long. What happens is noted in `_look_at`."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._settling:
            poll.register(self._table, select.POLLPRI)  # POLLIN is always so
            if self._monitor is not None:
                poll.register(self._monitor.fileno(), select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(math.ceil(seconds * 1000))}
        if self._wake in ready:
            os.eventfd_read(self._wake)
            ready.discard(self._wake)
        if self._look_wanted:
            self._look_wanted = False
            self._look_at = -math.inf
        if ready:
            self._settling = True
            self._look_at = min(self._look_at, self._clock() + self._settle)

    def _drain(self) -> None:
        """Forget the events: only that they came matters. Whatever goes wrong with the monitor makes a new one."""
        try:
            for _ in range(_BURST):
                # A device without properties is falsy.
                if self._monitor is None or self._monitor.poll(timeout=0) is None:
                    break
        except OSError:  # more events than its buffer holds
            self._monitor = None
        if self._monitor is None or self._had_udevd != is_udev_running():
            self._open_monitor()

    def _open_monitor(self) -> None:
        self._monitor = None
        self._had_udevd = is_udev_running()
        if self._context is not None:
            with contextlib.suppress(OSError):  # tried again at the next look
                monitor = pyudev.Monitor.from_netlink(self._context, source="udev")
                monitor.filter_by("block")
                monitor.start()
                self._monitor = monitor


def _open_context() -> pyudev.Context | None:
    try:
        return pyudev.Context()
    except ImportError:  # libudev is not installed
        return None
