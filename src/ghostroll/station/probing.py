"""Looking whether what parked work waits for has gone away by itself: room was made, the library's disk is back."""

import os
from collections.abc import Callable

from ghostroll.engine.settle import Settlement
from ghostroll.errors import LibraryNotThere
from ghostroll.model import Cause, TaskState
from ghostroll.observe.wording import say_count
from ghostroll.state import tasks
from ghostroll.station.outage import BUCKET_CAUSES
from ghostroll.station.wiring import Wiring

_LEAST_ROOM = 8 << 20  # bytes: what a picture's renditions or a record need


def probe_causes(wiring: Wiring, *, patient: bool) -> int:
    """Make ready again what can go on; returns how many tasks that are.

    The other causes (a gallery's folder that can't be written, workers that don't start) can only be tried:
    not where `patient`.
    """
    with wiring.database.read() as db:
        parked = tasks.list_parked(db)
        lightest = tasks.find_lightest_parked(db, Cause.NO_SPACE)
    causes = set() if patient else {Cause.TARGET, Cause.NO_WORKER} & parked.keys()
    if wiring.outage.cause is Cause.TARGET:  # the bucket has a rhythm of its own
        causes -= {Cause.TARGET}
    if parked.keys() & {Cause.NO_SPACE, Cause.LIBRARY_GONE}:
        room = _tell_room(wiring)
        if room is not None:
            causes |= {Cause.LIBRARY_GONE} & parked.keys()
            if Cause.NO_SPACE in parked and room >= max(_LEAST_ROOM, lightest):
                causes.add(Cause.NO_SPACE)
    if not causes:
        return 0
    with wiring.database.write() as db:
        number = tasks.unpark(db, causes)
    wiring.waiting -= causes
    wiring.log.info(f"going on: {say_count(number, 'task')} waited for {', '.join(sorted(causes))}")
    return number


def is_anything_parked(wiring: Wiring) -> bool:
    """Whether any work waits for something that may go away by itself."""
    with wiring.database.read() as db:
        parked = tasks.list_parked(db)
    mine = {Cause.NO_SPACE, Cause.LIBRARY_GONE, Cause.NO_WORKER, *BUCKET_CAUSES}
    return bool(parked.keys() & mine)


def note_bucket(wiring: Wiring, settlement: Settlement) -> None:
    """What one task met at the bucket is what all wait for; where one got through, all go on."""
    cause, outage, now = settlement.cause, wiring.outage, wiring.clock.boot()
    got_through = outage.cause is not None and settlement.state is TaskState.DONE
    if cause not in BUCKET_CAUSES and not got_through:
        return
    number = 0
    with wiring.database.write() as db:
        if not tasks.is_of_bucket(db, settlement.task.id):
            return
        if cause is not None:
            outage.meet(cause, settlement.error or "", now)
            tasks.park_bucket(db, cause, settlement.error or "")
        else:
            number = tasks.unpark_bucket(db, BUCKET_CAUSES)
            outage.end(now)
    if got_through:
        wiring.waiting -= set(BUCKET_CAUSES)
        wiring.log.info(f"the bucket can be used again: {say_count(number, 'task')} go on")


def try_bucket(wiring: Wiring, ring: Callable[[], None]) -> None:
    """Have one task try the bucket, if it is time to."""
    now = wiring.clock.boot()
    if not wiring.outage.is_due(now):
        return
    with wiring.database.write() as db:
        wiring.outage.note_try(now)
        if not tasks.unpark_bucket(db, BUCKET_CAUSES, limit=1):
            wiring.outage.end(now)  # nothing needs it any more
    ring()


def _tell_room(wiring: Wiring) -> int | None:
    """Bytes that the library may still take; None where it is not there."""
    try:
        with wiring.library.enter() as root:
            space = os.fstatvfs(root)
    except (LibraryNotThere, OSError):
        return None
    return space.f_bavail * space.f_frsize - (wiring.settings.library.keep_free_mib << 20)
