"""Ctrl-C and SIGTERM: the first asks for a graceful stop, the second ends at once. Both can be resumed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def catch_stops(*, quiet: bool) -> Iterator[threading.Event]:
    """An event that the first signal sets, for loops that look at it now and then.

    Stands around everything that a second signal must be able to end, the closing of a station included.
    """
    stopped = threading.Event()

    def hear(number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        stopped.set()
        if not quiet:
            os.write(2, b"\nstopping; once more to stop at once\n")

    for number in _SIGNALS:
        signal.signal(number, hear)
    try:
        yield stopped
    finally:
        # Everything is closed. What is left is to say how it ended, and with which code.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
