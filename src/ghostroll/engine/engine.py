"""The engine: starts crews, hears of failures, stops everything in order."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from ghostroll.engine.crew import Bell, Clock, Crew, CrewThread, Gate, Queue
from ghostroll.engine.settle import Settlement
from ghostroll.model import Stage


class Engine:
    """Owns all crew threads. `on_settled` runs in the thread that settled, after the commit.

    A thread that fails by itself (not by a task) stops the engine: it never limps on.
    """

    def __init__(
        self, queue: Queue, clock: Clock, *, on_settled: Callable[[Sequence[Settlement]], None]
    ) -> None:
        self._queue, self._clock, self._on_settled = queue, clock, on_settled
        self._threads: list[CrewThread] = []
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._stopping = False
        self.bell = Bell()
        self.gate = Gate()
        self.failure: BaseException | None = None

    def start(self, crew: Crew) -> list[CrewThread]:
        """Put a crew to work. Its threads are the engine's to stop and join."""
        with self._guard:
            if self._stopping:
                return []
            threads = [
                CrewThread(
                    f"{crew.stage}-{next(self._numbers)}",
                    crew,
                    queue=self._queue,
                    bell=self.bell,
                    gate=self.gate,
                    clock=self._clock,
                    on_settled=self._on_settled,
                    on_failure=self._fail,
                )
                for _ in range(crew.threads)
            ]
            self._threads = [
                thread for thread in self._threads if thread.is_alive() or not thread.is_stopping
            ]
            for thread in threads:
                thread.start()
                self._threads.append(thread)
            return threads

    def expect(self, stage: Stage) -> None:
        """Have the threads of a stage make ready: tasks will come soon."""
        with self._guard:
            for thread in self._threads:
                if thread.stage is stage:
                    thread.expect()
        self.bell.ring()

    def stop(self) -> None:
        """Ask every thread to end soon; work under way goes back to the queue, uncharged."""
        with self._guard:
            self._stopping = True
            threads = list(self._threads)
        for thread in threads:
            thread.stop()

    def dismiss(self, threads: Sequence[CrewThread], timeout: float) -> bool:
        """Stop some threads alone; False where one is still stuck after `timeout` seconds in all.

        One that is stuck is left behind: it ends by itself when what it waits for gives way.
        """
        for thread in threads:
            thread.stop()
        return self._join(threads, timeout)

    def is_sound(self) -> bool:
        """Whether no thread failed, and none ended that was not asked to."""
        with self._guard:
            threads = list(self._threads)
        return self.failure is None and all(thread.is_alive() or thread.is_stopping for thread in threads)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for all threads to end; False where one is still stuck after `timeout` seconds in all."""
        with self._guard:
            threads = list(self._threads)
        return self._join(threads, timeout)

    def _join(self, threads: Sequence[CrewThread], timeout: float | None) -> bool:
        # Not the engine's clock: that one goes on while the machine sleeps, and nobody has kept it waiting then.
        until = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self.stop()
        self.bell.ring()
