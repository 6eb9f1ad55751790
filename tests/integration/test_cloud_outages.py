"""A bucket that can't be used: who waits, for what, who is told, and when it is over."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from secured import add_secured_job, find_gallery, find_session, make_picture, make_settings, tell_states

from ghostroll.cli.opening import open_station
from ghostroll.config import Publish
from ghostroll.config.settings import Originals
from ghostroll.engine.settle import Outcome, Policy, Settlement, settle_outcome
from ghostroll.errors import TargetRefused, TransientError
from ghostroll.model import (
    Cause,
    Stage,
    Task,
    TaskId,
    TaskState,
)
from ghostroll.state import tasks
from ghostroll.station.galleries import record_picture, want_original
from ghostroll.station.probing import note_bucket, try_bucket
from ghostroll.station.station import Station
from ghostroll.station.telling import tell_settlement
from ghostroll.station.upkeep import publish_job, want_link
from ghostroll.station.witness import Witness

OFFLINE = "There is no network to the store"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station with a bucket; nobody works."""
    with open_station(make_settings(tmp_path), "test", quiet=True, witness=Witness(None)) as made:
        yield made


@pytest.mark.parametrize("ask_for", [publish_job, want_link])
def test_request_for_one_job_forgets_no_other(station: Station, ask_for: object) -> None:
    """While uploads wait for the network, a person asks for one job's link: the others' uploads still go on by themselves."""
    wiring = station.wiring
    (first, _), (second, sources) = add_secured_job(wiring, "first"), add_secured_job(wiring, "second")
    with wiring.database.write() as db:
        record_picture(db, wiring, sources[0], find_session(wiring, second), make_picture(sources[0]))
        tasks.park_bucket(db, Cause.NETWORK_DOWN, OFFLINE)
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    assert callable(ask_for)
    ask_for(wiring, first)
    wiring.outage.try_at = 0.0
    try_bucket(wiring, lambda: None)
    assert wiring.outage.cause is not None or "parked" not in tell_states(wiring, second)


def test_outage_that_a_last_page_ended_is_over(station: Station) -> None:
    """The bucket took a gallery's last page, whose task is gone with its job's: that ends an outage like any other."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    gallery = find_gallery(wiring, job)
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    wiring.waiting.add(Cause.NETWORK_DOWN)
    with wiring.database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, gallery)
        (task,) = tasks.claim(db, Stage.PUBLISH, job=None, limit=1, now=wiring.clock.boot())
        tasks.settle(db, task, TaskState.DONE, charged=False)
        tasks.prune_done(db, job)
    note_bucket(wiring, Settlement(task, TaskState.DONE))
    assert wiring.outage.cause is None


def test_what_was_under_way_when_an_outage_began_waits_with_the_rest(station: Station) -> None:
    """What fails in another way while the bucket can't be used does not try again by itself: nobody waits for it alone."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    with wiring.database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, find_gallery(wiring, job))
        (task,) = tasks.claim(db, Stage.PUBLISH, job=None, limit=1, now=wiring.clock.boot())
    wiring.outage.meet(Cause.TARGET, "refused", wiring.clock.boot())
    with wiring.database.write() as db:
        tasks.settle(db, task, TaskState.READY, charged=True, error="a bug")
    note_bucket(wiring, Settlement(task, TaskState.READY, charged=True, error="a bug"))
    with wiring.database.read() as db:
        assert [*tasks.list_parked(db)] == [Cause.TARGET]


def test_one_object_that_is_refused_keeps_no_other(tmp_path: Path) -> None:
    """A bucket that takes pictures and no originals gets the pictures, however small the original that it refuses."""
    settings = make_settings(tmp_path, Publish(originals=Originals.ALL))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        job, sources = add_secured_job(wiring, "session", files=2)
        with wiring.database.write() as db:
            want_original(wiring, db, sources[0])
            (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
            refused = settle_outcome(Outcome(task, error=TargetRefused("no")), Policy(), now=1.0, jitter=0.0)
            tasks.settle(
                db, task, refused.state, charged=refused.charged, due=refused.due, cause=refused.cause
            )
            record_picture(db, wiring, sources[1], find_session(wiring, job), make_picture(sources[1]))
            db.execute("UPDATE task SET weight = 1 WHERE id = ?", (task.id,))
            db.execute("DELETE FROM task WHERE stage = 'publish'")
        note_bucket(wiring, refused)
        wiring.outage.try_at = 0.0
        try_bucket(wiring, lambda: None)
        with wiring.database.read() as db:
            ready = db.execute("SELECT id FROM task WHERE state = 'ready'").fetchall()
        assert len(ready) == 1
        assert ready[0][0] != task.id


def test_what_was_given_up_alone_is_no_outage(station: Station) -> None:
    """An object that failed again and again in a way of its own waits by itself; whatever else there is goes on."""
    wiring = station.wiring
    job, sources = add_secured_job(wiring, "session", files=2)
    with wiring.database.write() as db:
        for source in sources:
            record_picture(db, wiring, source, find_session(wiring, job), make_picture(source))
        db.execute("DELETE FROM task WHERE stage = 'publish'")
        (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
        given_up = settle_outcome(
            Outcome(task, error=TransientError("other bytes")),
            Policy(attempts=1, waits_for=Cause.TARGET),
            now=1.0,
            jitter=0.0,
        )
        tasks.settle(db, task, given_up.state, charged=True, due=given_up.due, cause=given_up.cause)
    note_bucket(wiring, given_up)
    assert sorted(tell_states(wiring, job)) == ["parked", "ready"]


@pytest.mark.parametrize("ask_for", [publish_job, want_link, None])
def test_next_outage_is_told_too(station: Station, ask_for: object) -> None:
    """However an outage ended, the next one of the same cause is told of."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    wiring.waiting.add(Cause.NETWORK_DOWN)
    wiring.outage.try_at = 0.0
    if callable(ask_for):
        ask_for(wiring, job)
    else:
        try_bucket(wiring, lambda: None)
    assert wiring.outage.cause is None
    assert Cause.NETWORK_DOWN not in wiring.waiting


def test_what_many_meet_at_once_is_told_once(station: Station) -> None:
    """Of all threads whose requests fail in the same moment one tells it."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    both, told = threading.Barrier(2), []

    class Slow(set[Cause]):
        """Known causes, at which two threads look before one adds its own, if they can."""

        def __contains__(self, cause: object) -> bool:
            known = super().__contains__(cause)
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.5)
            return known

    class Log:
        """Counts warnings."""

        def warning(self, sentence: str, **_: object) -> None:
            told.append(sentence)

        def debug(self, *_: object, **__: object) -> None:
            """Nobody reads it."""

    wiring.waiting, wiring.log = Slow(), Log()  # type: ignore[assignment]
    task = Task(TaskId(1), Stage.UPLOAD, job, 1, 0, 1)
    parked = Settlement(task, TaskState.PARKED, cause=Cause.TARGET, error="refused")
    threads = [threading.Thread(target=tell_settlement, args=(wiring, parked)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["waiting: refused"]
