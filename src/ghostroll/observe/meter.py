"""Counts of items and bytes per job and stage, for progress and for the summary. Lost with the process."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ghostroll.model import JobId, Stage

_JOBS_KEPT = 64


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
        self._readings: dict[tuple[JobId, Stage], Reading] = {}

    def begin(self, job: JobId, stage: Stage) -> None:
        """A stage starts on something of a job."""
        with self._lock:
            reading = self._readings.get((job, stage), Reading())
            if reading.started is None:
                self._readings[job, stage] = replace(reading, started=self._now())
                self._drop_oldest()

    def count(self, job: JobId, stage: Stage, *, items: int = 0, size: int = 0) -> None:
        """A stage got on with a job by this much."""
        with self._lock:
            reading = self._readings.get((job, stage), Reading())
            self._readings[job, stage] = replace(
                reading, items=reading.items + items, bytes=reading.bytes + size, ended=self._now()
            )

    def read(self, job: JobId | None = None) -> dict[Stage, Reading]:
        """All stages of a job, or of all jobs together, at this moment."""
        with self._lock:
            if job is not None:
                return {stage: self._readings.get((job, stage), Reading()) for stage in Stage}
            known = dict(self._readings)
        return {stage: _add(reading for key, reading in known.items() if key[1] is stage) for stage in Stage}

    def move(self, old: JobId, new: JobId) -> None:
        """What was counted for a job was another one's: it goes on with that."""
        with self._lock:
            for stage in Stage:
                counted = self._readings.pop((old, stage), None)
                if counted is not None:
                    self._readings[new, stage] = counted

    def forget(self, job: JobId, stage: Stage) -> None:
        """A stage of a job begins anew: what was counted before was another run's."""
        with self._lock:
            self._readings.pop((job, stage), None)

    def _drop_oldest(self) -> None:
        """A daemon runs for years: of jobs long over nobody asks any more."""
        jobs = sorted({job for job, _ in self._readings})
        for job in jobs[:-_JOBS_KEPT]:
            for stage in Stage:
                self._readings.pop((job, stage), None)


def _add(readings: Iterable[Reading]) -> Reading:
    added = list(readings)
    return Reading(
        items=sum(reading.items for reading in added),
        bytes=sum(reading.bytes for reading in added),
        started=min((one.started for one in added if one.started is not None), default=None),
        ended=max((one.ended for one in added if one.ended is not None), default=None),
    )
