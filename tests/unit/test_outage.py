"""A bucket that can't be used: when it is tried again, what is news, and for how long somebody waits."""

import itertools

import pytest

from ghostroll.model import Cause
from ghostroll.station.outage import BUCKET_CAUSES, Outage

START = 1000.0  # boot-time seconds
DAY = 86_400.0


def fail_for(outage: Outage, cause: Cause, seconds: float) -> list[float]:
    """The pauses between the tries of a bucket that fails at once for so long."""
    tries = [START]
    outage.meet(cause, "no", START)
    while outage.try_at < START + seconds:
        now = outage.try_at
        assert outage.is_due(now)
        outage.note_try(now)
        assert not outage.is_due(now + 0.1)
        outage.meet(cause, "no", now + 0.1)
        tries.append(now)
    return [later - earlier for earlier, later in itertools.pairwise(tries)]


@pytest.mark.parametrize("cause", BUCKET_CAUSES)
def test_pauses_grow(cause: Cause) -> None:
    """Each pause is twice the one before, up to a minute where it may end by itself and to five where it can't."""
    latest = 300.0 if cause is Cause.TARGET else 60.0
    pauses = fail_for(Outage(), cause, DAY)
    assert pauses[0] <= 10.0
    for before, after in itertools.pairwise(pauses):
        assert after == min(latest, 2 * before)
    assert len(pauses) < DAY / latest + 8


def test_nothing_is_tried_without_an_outage() -> None:
    """A bucket that works is not tried."""
    assert not Outage().is_due(START)


def test_many_that_fail_together_count_once() -> None:
    """Threads that fail in the same moment put the next try off no further than one would."""
    one, many = Outage(), Outage()
    one.meet(Cause.NETWORK_DOWN, "no", START)
    for number in range(16):
        many.meet(Cause.NETWORK_DOWN, "no", START + number / 100)
    assert many.try_at == one.try_at


def test_a_slow_failure_is_waited_for() -> None:
    """While one try hangs, the next is put off further each time."""
    outage = Outage()
    outage.meet(Cause.NETWORK_DOWN, "no", START)
    tries = []
    while outage.try_at < START + 60:
        tries.append(outage.try_at)
        outage.note_try(outage.try_at)
    assert len(tries) <= 5


def test_another_cause_is_news() -> None:
    """What everybody waits for is what was met last; the same again is no news, and a new one is tried soon."""
    outage = Outage()
    assert outage.meet(Cause.NETWORK_DOWN, "no network", START)
    assert not outage.meet(Cause.NETWORK_DOWN, "reset", START + 1)
    assert outage.error == "reset"
    fail_for(outage, Cause.NETWORK_DOWN, DAY)
    now = outage.try_at
    assert outage.meet(Cause.TARGET, "no bucket", now)
    assert (outage.cause, outage.error) == (Cause.TARGET, "no bucket")
    assert outage.try_at == now + 10.0


def test_the_end() -> None:
    """Once something got through nothing is due, and no cause and no sentence is left."""
    outage = Outage()
    outage.meet(Cause.NETWORK_DOWN, "no", START)
    outage.end(START + 5)
    assert (outage.cause, outage.error) == (None, "")
    assert not outage.is_due(START + DAY)


def test_a_line_that_comes_and_goes_is_used_in_between() -> None:
    """Short troubles with successes between them never make the pauses grow; one after long quiet starts anew."""
    outage = Outage()
    now = START
    for _ in range(50):
        outage.meet(Cause.NETWORK_DOWN, "no", now)
        assert outage.try_at - now <= 4.0
        now = outage.try_at
        outage.note_try(now)
        outage.end(now + 1)
        now += 10
    fail_for(outage, Cause.NETWORK_DOWN, DAY)
    outage.end(START + DAY)
    outage.meet(Cause.NETWORK_DOWN, "no", START + 2 * DAY)
    assert outage.try_at == START + 2 * DAY + 2.0


def test_a_store_that_is_often_too_busy_is_left_alone_longer() -> None:
    """A trouble soon after a long one is not tried as if it were the first."""
    outage = Outage()
    fail_for(outage, Cause.NETWORK_DOWN, 600)
    outage.end(START + 700)
    outage.meet(Cause.NETWORK_DOWN, "no", START + 701)
    assert outage.try_at - (START + 701) > 10.0


def test_a_person_waits_for_the_network_alone_and_not_long() -> None:
    """A command waits some seconds for a network that just failed; not for what a person must change."""
    outage = Outage()
    assert not outage.is_young(START)
    outage.meet(Cause.NETWORK_DOWN, "no", START)
    assert outage.is_young(START + 10)
    assert not outage.is_young(START + 30)
    for cause in (Cause.TARGET, Cause.CLOCK_UNSET):
        refused = Outage()
        refused.meet(cause, "no", START)
        assert not refused.is_young(START)
