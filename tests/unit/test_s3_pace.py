"""How many requests are under way, and how fast bytes may leave."""

import threading
from dataclasses import replace

import pytest

from ghostroll.errors import Stopped
from ghostroll.publish.s3.bandwidth import Bandwidth, reserve
from ghostroll.publish.s3.pace import Gate, Pace, Window, ease, judge, start_pace


def _run(pace: Pace, rate_at: list[float], windows: int) -> list[int]:
    """The limits over some windows on a line that brings `rate_at[limit]`."""
    limits = []
    for _ in range(windows):
        rate = rate_at[min(pace.limit, len(rate_at) - 1)]
        pace = judge(pace, Window(rate, 1.0, was_full=True))
        limits.append(pace.limit)
    return limits


def test_pace_starts_small_and_believes_a_number_that_was_set() -> None:
    """Four at first; somebody's own number at once."""
    assert start_pace(0, 16).limit == 4
    assert start_pace(0, 2).limit == 2
    assert start_pace(12, 12).limit == 12


def test_pace_grows_where_each_request_brings_more() -> None:
    """On a line with a long way it reaches the most within a few windows, and stays there."""
    limits = _run(start_pace(0, 16), [float(n) for n in range(17)], 8)
    assert limits == [8, 16, 16, 16, 16, 16, 16, 16]


def test_pace_goes_back_where_more_bring_nothing() -> None:
    """On a narrow line a large step up is taken back, and after that seldom a small one is tried."""
    limits = _run(start_pace(0, 16), [0.0] + [5.0] * 16, 12)
    assert limits == [8, 4, 4, 4, 4, 4, 4, 4, 4, 4, 6, 4]


def test_pace_halves_when_the_store_asks_for_it() -> None:
    """SlowDown halves it, down to one at a time, and it waits before it grows again."""
    eased = ease(Pace(12, 16))
    assert eased.limit == 6
    assert ease(Pace(1, 16)).limit == 1
    assert judge(eased, Window(1e9, 1.0, was_full=True)).limit == 6


def test_pace_stays_while_there_is_not_enough_to_do() -> None:
    """Where callers are fewer than the limit nothing can be learned."""
    pace = Pace(4, 16)
    assert judge(pace, Window(1.0, 1.0, was_full=False)) == pace


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_gate_lets_no_more_through_than_the_pace() -> None:
    """A thread beyond the limit waits, asks `check` meanwhile, and goes when another has left."""
    gate = Gate(Pace(1, 1))
    waited, inside = threading.Event(), threading.Event()

    def enter() -> None:
        with gate.turn(0, waited.set):
            inside.set()

    with gate.turn(0, lambda: None):
        thread = threading.Thread(target=enter)
        thread.start()
        assert waited.wait(10)
        assert not inside.is_set()
    thread.join(10)
    assert inside.is_set()


def test_gate_gives_up_waiting_when_told_to_stop() -> None:
    """What `check` raises comes out of the wait, and takes nobody's turn."""
    gate = Gate(Pace(1, 1))

    def stop() -> None:
        raise Stopped("stop")

    with gate.turn(0, lambda: None), pytest.raises(Stopped), gate.turn(0, stop):
        pass
    with gate.turn(0, stop):
        pass


def test_gate_learns_from_the_work_that_goes_through() -> None:
    """Turns that were full and quick enough to judge make it grow; ease halves it again."""
    clock = _Clock()
    gate = Gate(start_pace(1, 4), clock)
    gate.pace = replace(gate.pace, limit=1)
    for _ in range(2):
        with gate.turn(1000, lambda: None):
            clock.now += 1
    assert gate.pace.limit == 2
    gate.ease()
    assert gate.pace.limit == 1


def test_gate_does_not_count_a_pause_as_slowness() -> None:
    """Time in which nothing was asked for is no part of a window."""
    clock = _Clock()
    gate = Gate(Pace(1, 16), clock)
    with gate.turn(10**6, lambda: None):
        clock.now += 0.01
    clock.now += 3600
    with gate.turn(10**6, lambda: None):
        clock.now += 0.01
    assert gate.pace.limit == 1
    assert gate.pace.before == 0


def test_bandwidth_is_kept_over_all_that_leaves() -> None:
    """Bytes are spread at the rate that is allowed; time unused beyond a tenth of a second is lost."""
    free = 0.0
    waits = []
    for _ in range(4):
        free, wait = reserve(free, 100.0, 50, 100.0)
        waits.append(round(wait, 3))
    assert waits == [0.0, 0.4, 0.9, 1.4]


def test_bandwidth_without_a_limit_never_waits() -> None:
    """Zero is no limit, and `check` is asked all the same."""
    asked: list[int] = []
    Bandwidth(0).take(10**12, lambda: asked.append(1))
    assert asked == [1]
    assert Bandwidth(0).piece is None
    assert Bandwidth(8).piece == 50_000


def test_bandwidth_stops_waiting_when_told_to() -> None:
    """A stop comes out of the wait for a narrow line."""
    line = Bandwidth(1)
    line.take(10**9, lambda: None)
    asked: list[int] = []

    def stop_second() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Stopped("stop")

    with pytest.raises(Stopped):
        line.take(1, stop_second)
