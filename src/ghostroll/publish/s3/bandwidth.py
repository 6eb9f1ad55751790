"""The bandwidth limit, shared by all threads."""

import threading
import time
from collections.abc import Callable

_BURST = 0.1  # seconds of the allowed rate that may go at once
_LOOK = 0.1  # seconds after which a waiting thread looks whether it should stop


def reserve(free_at: float, now: float, amount: int, rate: float) -> tuple[float, float]:
    """When the line is free after `amount` bytes at `rate` bytes a second, and how long to wait before sending them."""
    start = max(free_at, now - _BURST)
    return start + amount / rate, max(0.0, start - now)


class Bandwidth:
    """Bytes leave at `mbit` megabits a second at most, over all threads together; 0 is no limit."""

    def __init__(self, mbit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = mbit * 1_000_000 / 8
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._never = threading.Event()

    def take(self, amount: int, check: Callable[[], None]) -> None:
        """Return when `amount` bytes may go. Raises what `check` raises, at once."""
        check()
        if not self.rate:
            return
        with self._lock:
            self._free_at, wait = reserve(self._free_at, self._clock(), amount, self.rate)
        until = self._clock() + wait
        while (left := until - self._clock()) > 0:
            self._never.wait(min(left, _LOOK))
            check()

    @property
    def piece(self) -> int | None:
        """How many bytes should go at once so that they leave evenly; None where nothing is limited."""
        return max(1024, int(self.rate * _BURST / 2)) if self.rate else None
