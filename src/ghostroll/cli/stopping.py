"""Ctrl-C and SIGTERM: the first asks for a graceful stop, the second ends at once. Both can be resumed."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def catch_stops(notify: Callable[[], None], *, quiet: bool) -> Iterator[threading.Event]:
    """An event that the first signal sets; `notify` wakes whoever waits for it. Signals are as before afterwards."""
    stopped = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        stopped.set()
        if not quiet:
            sys.stderr.write("\nstopping; once more to stop at once\n")
        # Not in the signal's own frame: it may have interrupted the waiter inside the very lock it needs.
        threading.Thread(target=notify, name="stop-notice").start()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
