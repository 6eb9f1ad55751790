"""Looking whether what parked work waits for has gone away by itself: room was made, the library's disk is back."""

import os
import sqlite3
from collections.abc import Callable

from ghostroll.engine.settle import Settlement
from ghostroll.errors import LibraryFailing, LibraryNotThere, NoSpace
from ghostroll.library.trial import try_writing
from ghostroll.model import Cause, GalleryId, Stage, Task, TaskState
from ghostroll.observe.wording import say_count
from ghostroll.state import galleries, tasks
from ghostroll.state.galleries import FOLDER
from ghostroll.station.outage import BUCKET_CAUSES
from ghostroll.station.wiring import Wiring

_LEAST_ROOM = 8 << 20  # bytes: what a picture's renditions or a record need
_LATELY = 60.0  # seconds
_OF_LIBRARY = frozenset({Cause.NO_SPACE, Cause.LIBRARY_GONE})


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
    now = wiring.clock.boot()
    lately = {cause for cause, at in wiring.resumed.items() if now - at < _LATELY}
    # What went on a moment ago and waits again is tried less often.
    of_library = _OF_LIBRARY & parked.keys() - (lately if patient else set())
    if of_library:
        causes |= of_library & _try_library(wiring, lightest if Cause.NO_SPACE in of_library else None)
    if not causes:
        return 0
    wiring.resumed.update(dict.fromkeys(causes, now))
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
    """What one task met at the bucket is what all wait for, also one that would try again by itself.

    Where one got through, all go on. One that was given up after many tries waits alone: that is its own trouble.
    """
    if settlement.state is TaskState.PARKED and settlement.charged:
        return
    cause, outage, now = settlement.cause, wiring.outage, wiring.clock.boot()
    got_through = outage.cause is not None and settlement.state is TaskState.DONE
    would_try = outage.cause is not None and settlement.state is TaskState.READY
    if cause not in BUCKET_CAUSES and not got_through and not would_try:
        return
    number = 0
    with wiring.database.write() as db:
        if not _needs_bucket(db, settlement.task):
            return
        if got_through:
            number = resume_bucket(wiring, db)
        elif cause is not None:
            outage.meet(cause, settlement.error or "", now)
        if outage.cause is not None:
            tasks.park_bucket(db, outage.cause, outage.error)
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


def _try_library(wiring: Wiring, lightest: int | None) -> set[Cause]:
    """What of a library's causes has gone away. `lightest` is the least that waits for room, None for nothing."""
    keep_free = wiring.settings.library.keep_free_mib << 20
    try:
        with wiring.library.enter() as root:
            space = os.fstatvfs(root)
            room = space.f_bavail * space.f_frsize - keep_free
            wanted = 0 if lightest is None else max(_LEAST_ROOM, lightest)
            fits = wanted <= room
            try_writing(root, wanted if fits else 0)
    except NoSpace:
        return {Cause.LIBRARY_GONE}
    except (LibraryNotThere, LibraryFailing, OSError):
        return set()
    return set(_OF_LIBRARY) if fits else {Cause.LIBRARY_GONE}
