"""How many requests are under way at once: as many as pay, fewer when the store asks for it.

The decision is pure. On a line with a long way, twice as many requests bring twice as much; on a narrow one,
or with a slow processor, more only wait for each other.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

_START = 4
_PAYS = 1.08  # growth of throughput from which more requests are kept
_REQUEST_WORTH = 64 * 1024  # bytes that one request counts for: small objects cost their round trip
_REST = 8  # windows without growth after a step that did not pay
_WINDOW = 0.25  # seconds that a window lasts at least
_PAUSE = 0.05  # seconds without any request that are no slowness: a window that they fall into isn't judged
_LOOK = 0.2  # seconds after which a waiting thread looks whether it should stop


@dataclass(frozen=True, slots=True)
class Pace:
    """How many requests may be under way, and what is known of it.

    `before` is the throughput with the former, smaller `limit` that the present one is tried against;
    `smaller` that limit, 0 when nothing is being tried. `rest` counts windows until the next try. `eager`: no
    step was too large yet, so that the next one doubles; most cards are through before small steps pay.
    """

    limit: int
    most: int
    before: float = 0.0
    smaller: int = 0
    rest: int = 0
    eager: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """What came of a number of requests: worth (bytes, with each request counted for some), and in what time."""

    worth: float
    seconds: float
    was_full: bool  # as many requests were under way as allowed, so that the limit was what held them


def start_pace(threads: int, most: int) -> Pace:
    """The first pace: a number of `threads` that somebody set is believed at once."""
    return Pace(threads or min(_START, most), most)


def judge(pace: Pace, window: Window) -> Pace:
    """The pace after a window: one step up while that pays, back when it did not."""
    rate = window.worth / window.seconds
    if not window.was_full:
        return pace
    if pace.smaller and rate < pace.before * _PAYS:
        return replace(pace, limit=pace.smaller, smaller=0, rest=_REST, eager=False)
    if pace.rest:
        return replace(pace, rest=pace.rest - 1, smaller=0)
    if pace.limit >= pace.most:
        return replace(pace, smaller=0)
    grown = min(pace.most, pace.limit + (pace.limit if pace.eager else max(1, pace.limit // 2)))
    return replace(pace, limit=grown, before=rate, smaller=pace.limit)


def ease(pace: Pace) -> Pace:
    """The pace after the store said that it is too much, or the line stalled: half, and slowly up again."""
    return replace(pace, limit=max(1, pace.limit // 2), smaller=0, rest=_REST, eager=False)


class Gate:
    """Lets as many threads through at once as the pace allows."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self._clock = clock
        self._free = threading.Condition()
        self._under_way = 0
        self._was_full = False
        self._worth = 0.0
        self._count = 0
        self._since = self._left = clock()

    @contextmanager
    def turn(self, weight: int, check: Callable[[], None]) -> Iterator[None]:
        """Wait for a turn and hold it; `weight` is the bytes of the request. Raises what `check` raises."""
        with self._free:
            while self._under_way >= self.pace.limit:
                self._free.wait(_LOOK)
                check()
            if not self._under_way and self._clock() - self._left > _PAUSE:
                self._begin()
            self._under_way += 1
            self._was_full |= self._under_way >= self.pace.limit
        went_well = False
        try:
            yield
            went_well = True
        finally:
            self._leave(weight if went_well else None)

    def ease(self) -> None:
        """The store or the line is overburdened."""
        with self._free:
            self.pace = ease(self.pace)
            self._begin()

    def _leave(self, weight: int | None) -> None:
        with self._free:
            self._under_way -= 1
            if weight is not None:
                self._worth += weight + _REQUEST_WORTH
                self._count += 1
                self._look()
            self._left = self._clock()
            self._free.notify(max(1, self.pace.limit - self._under_way))

    def _look(self) -> None:
        """Judge the window when it is long enough."""
        seconds = self._clock() - self._since
        if self._count >= 2 * self.pace.limit and seconds >= _WINDOW:
            self.pace = judge(self.pace, Window(self._worth, seconds, self._was_full))
            self._begin()

    def _begin(self) -> None:
        self._worth, self._count, self._was_full = 0.0, 0, self._under_way >= self.pace.limit
        self._since = self._clock()
