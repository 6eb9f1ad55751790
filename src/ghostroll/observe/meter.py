"""Counts of items and bytes per stage, for progress and for the summary. Lost with the process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ghostroll.model import Stage


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stage has done so far. `seconds` spans its first to its last sign of work."""

    items: int = 0
    bytes: int = 0
    started: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds from the first begin to the last count; 0 before both."""
        return 0.0 if self.started is None or self.ended is None else self.ended - self.started


class Meter:
    """Counts from any thread. `now` is seconds of a clock that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._readings = dict.fromkeys(Stage, Reading())

    def begin(self, stage: Stage) -> None:
        """A stage starts on something."""
        with self._lock:
            reading = self._readings[stage]
            if reading.started is None:
                self._readings[stage] = replace(reading, started=self._now())

    def count(self, stage: Stage, *, items: int = 0, size: int = 0) -> None:
        """A stage got on by this much."""
        with self._lock:
            reading = self._readings[stage]
            self._readings[stage] = replace(
                reading, items=reading.items + items, bytes=reading.bytes + size, ended=self._now()
            )

    def read(self) -> dict[Stage, Reading]:
        """All stages, at this moment."""
        with self._lock:
            return dict(self._readings)
