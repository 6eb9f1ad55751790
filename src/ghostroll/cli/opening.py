"""What every command that works on a station does first: settings, log, clock, owner."""

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from ghostroll.config import Settings
from ghostroll.errors import CardGone
from ghostroll.observe.logs import open_log
from ghostroll.station.station import Station
from ghostroll.station.wiring import Sources
from ghostroll.station.witness import Witness

_PATIENCE = 7.0  # seconds for every thread to notice a stop; a connection that can't be made takes five
_LAST_PATIENCE = 15.0  # more seconds, said to the person; a large file on a slow disk takes that long to sync


def real_clock() -> Sources:
    """The machine's own time and randomness."""
    return Sources(
        wall=lambda: datetime.now().astimezone(),
        boot=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        random=random.SystemRandom(),
    )


def find_witness(environ: Mapping[str, str]) -> Witness:
    """Where this user (or service) remembers its libraries; nowhere where it has no home."""
    state = environ.get("STATE_DIRECTORY") or environ.get("XDG_STATE_HOME")
    if not state and environ.get("HOME"):
        state = os.path.join(environ["HOME"], ".local", "state")
    if not state:
        return Witness(None)
    return Witness(os.path.join(state, "ghostroll", "libraries.json"))


@contextmanager
def open_station(
    settings: Settings, command: str, *, quiet: bool, bars: bool = False, witness: Witness | None = None
) -> Iterator[Station]:
    """A station for one command, closed in order at the end, whatever happens."""
    station = Station.open(
        settings,
        real_clock(),
        command=command,
        witness=find_witness(os.environ) if witness is None else witness,
        log=open_log(settings.log, quiet=quiet, bars=bars),
    )
    try:
        yield station
    finally:
        if not station.close(_PATIENCE):
            sys.stderr.write(
                "waiting for a slow disk, card or network; Ctrl-C ends at once, and nothing verified is lost\n"
            )
            if not station.close(_LAST_PATIENCE):
                # A thread hangs in the kernel and can't be ended; what it was doing is recovered next time.
                sys.stderr.write(
                    "ghostroll: the card, a disk or the network does not answer any more: check them, then run the same command again\n"
                )
                os._exit(CardGone.exit_code)
