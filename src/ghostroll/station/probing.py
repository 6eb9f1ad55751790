"""Looking whether what parked work waits for has gone away by itself: room was made, the library's disk is back."""

import os
import sqlite3
from collections.abc import Callable

from ghostroll.engine.settle import Settlement
from ghostroll.errors import LibraryNotThere
from ghostroll.model import Cause, GalleryId, Stage, Task, TaskState
from ghostroll.observe.wording import say_count
from ghostroll.state import galleries, tasks
from ghostroll.state.galleries import FOLDER
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
        if not _needs_bucket(db, settlement.task):
            return
        if cause is not None:
            outage.meet(cause, settlement.error or "", now)
            tasks.park_bucket(db, cause, settlement.error or "")
        else:
            number = resume_bucket(wiring, db)
    if got_through:
        wiring.log.info(f"the bucket can be used again: {say_count(number, 'task')} go on")


def _needs_bucket(db: sqlite3.Connection, task: Task) -> bool:
    """Its row may be gone by now, with those of a job that is complete."""
    if task.stage is Stage.PUBLISH:
        return galleries.get_gallery(db, GalleryId(task.subject)).place != FOLDER
    return task.stage is Stage.UPLOAD


def resume_bucket(wiring: Wiring, db: sqlite3.Connection) -> int:
    """Whatever waits for the bucket goes on, of all jobs; returns how many tasks that are.

    The next outage is a new one, and told of.
    """
    wiring.outage.end(wiring.clock.boot())
    wiring.waiting -= set(BUCKET_CAUSES)
    return tasks.unpark_bucket(db, BUCKET_CAUSES)


def try_bucket(wiring: Wiring, ring: Callable[[], None]) -> None:
    """Have one task try the bucket, if it is time to."""
    now = wiring.clock.boot()
    if not wiring.outage.is_due(now):
        return
    with wiring.database.write() as db:
        wiring.outage.note_try(now)
        if not tasks.unpark_bucket(db, BUCKET_CAUSES, limit=1):
            resume_bucket(wiring, db)  # nothing needs it any more
    ring()


def _tell_room(wiring: Wiring) -> int | None:
    """Bytes that the library may still take; None where it is not there."""
    try:
        with wiring.library.enter() as root:
            space = os.fstatvfs(root)
    except (LibraryNotThere, OSError):
        return None
    return space.f_bavail * space.f_frsize - (wiring.settings.library.keep_free_mib << 20)
