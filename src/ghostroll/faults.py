"""Named places where a test may kill the process. In production each costs one dictionary look-up.

`GHOSTROLL_CRASH_AT=copy.renamed` kills the process by SIGKILL when it first gets there,
`copy.renamed:3` at the third time. `GHOSTROLL_CRASH_LOG=FILE` appends each point's name when it is
first reached, so that a test can tell whether every point is ever reached.
"""

import os
import signal
import threading

_lock = threading.Lock()
_hits: dict[str, int] = {}
_name, _, _count = os.environ.get("GHOSTROLL_CRASH_AT", "").partition(":")
_nth = int(_count or 1)
_log = os.environ.get("GHOSTROLL_CRASH_LOG")
_armed = bool(_name or _log)


def crash_point(name: str) -> None:
    """Mark a place between two steps that a crash could separate. Does nothing unless armed."""
    if not _armed:
        return
    with _lock:
        _hits[name] = _hits.get(name, 0) + 1
        if _log and _hits[name] == 1:
            with open(_log, "a", encoding="ascii") as log:
                log.write(name + "\n")
        if name == _name and _hits[name] == _nth:
            os.kill(os.getpid(), signal.SIGKILL)
