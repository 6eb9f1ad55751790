"""Named places where a test may kill the process, or stop one thread. In production each costs one look at a flag.

`GHOSTROLL_CRASH_AT=copy.renamed` kills the process by SIGKILL when it first gets there,
`copy.renamed:3` at the third time. `GHOSTROLL_CRASH_LOG=FILE` appends each point's name when it is
first reached, so that a test can tell whether every point is ever reached.
"""

import os
import signal
import threading
from collections.abc import Callable


def kill_process() -> None:
    """End this process at once, as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)


_lock = threading.Lock()
_hits: dict[str, int] = {}
_name, _, _count = os.environ.get("GHOSTROLL_CRASH_AT", "").partition(":")
_nth = int(_count or 1)
_act: Callable[[], None] = kill_process
_log = os.environ.get("GHOSTROLL_CRASH_LOG")
_armed = bool(_name or _log)


def arm(name: str, nth: int, act: Callable[[], None]) -> None:
    """For a test in this process: `act` is called by the thread that gets to a place the nth time from now on, once."""
    global _name, _nth, _act, _armed  # one process, one fault
    with _lock:
        _hits.clear()
        _name, _nth, _act, _armed = name, nth, act, True


def crash_point(name: str) -> None:
    """Mark a place between two steps that a crash could separate. Does nothing unless armed."""
    if not _armed:
        return
    with _lock:
        _hits[name] = _hits.get(name, 0) + 1
        if _log and _hits[name] == 1:
            with open(_log, "a", encoding="ascii") as log:
                log.write(name + "\n")
        is_meant = name == _name and _hits[name] == _nth
    if is_meant:
        _act()
