"""What becomes of a task after its run, decided without a thread or a database."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.engine.settle import Outcome, Policy, Settlement, settle_outcome, wait_before_retry
from ghostroll.errors import (
    CardGone,
    GhostrollError,
    InnocentError,
    LibraryFailing,
    LibraryNotThere,
    NoSpace,
    PermanentError,
    SourceUnreadable,
    StateHeld,
    Stopped,
    TargetUnreachable,
    TransientError,
    UsageError,
)
from ghostroll.model import Cause, JobId, Stage, Task, TaskId, TaskState

jitters = st.floats(0, 1, exclude_max=True)
attempts = st.integers(0, 10_000)
errors = st.sampled_from(
    [
        CardGone,
        GhostrollError,
        InnocentError,
        LibraryNotThere,
        NoSpace,
        PermanentError,
        SourceUnreadable,
        StateHeld,
        Stopped,
        TargetUnreachable,
        TransientError,
        UsageError,
    ]
).flatmap(lambda kind: st.builds(kind, st.text(st.characters())))
policies = st.builds(
    Policy,
    attempts=st.none() | st.integers(1, 50),
    may_die=st.booleans(),
    waits_for=st.sampled_from(Cause),
)


def task(tried: int = 0) -> Task:
    """A claimed render that was tried so often before."""
    return Task(TaskId(1), Stage.RENDER, JobId(1), 1, tried, 1)


def decide(error: GhostrollError | None, policy: Policy, *, tried: int = 0, now: float = 0) -> Settlement:
    """Settle a task that ended so."""
    return settle_outcome(Outcome(task(tried), error=error), policy, now=now, jitter=0.5)


@given(attempts, jitters)
def test_a_wait_has_bounds(tried: int, jitter: float) -> None:
    """A task waits at least a quarter of a second and at most five minutes, half of it at random."""
    wait = wait_before_retry(tried, jitter)
    assert 0.25 <= wait <= 300
    assert wait_before_retry(tried, 0) <= wait <= 2 * wait_before_retry(tried, 0)


@given(attempts, jitters)
def test_waits_grow(tried: int, jitter: float) -> None:
    """With the same jitter each wait is twice the one before, until five minutes are reached."""
    wait, longer = wait_before_retry(tried, jitter), wait_before_retry(tried + 1, jitter)
    assert longer == min(2 * wait, wait_before_retry(9999, jitter))


@given(attempts, jitters, jitters)
def test_jitter_spreads(tried: int, one: float, two: float) -> None:
    """More jitter is a longer wait, so that what failed together does not come back together."""
    assert (one <= two) == (
        wait_before_retry(tried, one) <= wait_before_retry(tried, two)
    ) or one == pytest.approx(two)


@given(errors, policies, attempts, st.floats(0, 1e9), jitters)
def test_every_settlement_can_be_put_down(
    error: GhostrollError, policy: Policy, tried: int, now: float, jitter: float
) -> None:
    """Whatever a run raised, its settlement keeps the ledger's invariants and never comes back at once."""
    settlement = settle_outcome(Outcome(task(tried), error=error), policy, now=now, jitter=jitter)
    assert (settlement.state is TaskState.PARKED) == (settlement.cause is not None)
    assert settlement.state is not TaskState.DEAD or policy.may_die
    assert settlement.state in (TaskState.READY, TaskState.PARKED, TaskState.DEAD)
    assert settlement.facts is None
    assert settlement.error is not None
    settlement.error.encode()
    if settlement.state is TaskState.READY:
        assert now < settlement.due <= now + 300


@given(policies, attempts)
def test_success_is_done(policy: Policy, tried: int) -> None:
    """A run without an error is done with its facts, uncharged, after any number of failures."""

    def facts(_: object) -> None:
        """Write nothing."""

    settlement = settle_outcome(Outcome(task(tried), facts=facts), policy, now=0, jitter=0)
    assert settlement == Settlement(task(tried), TaskState.DONE, facts=facts)


@given(policies, attempts)
def test_innocence_is_never_charged(policy: Policy, tried: int) -> None:
    """A stop, or a failure before the task was taken, costs no attempt even where none is left."""
    for error in (Stopped("x"), InnocentError("x")):
        settlement = decide(error, policy, tried=tried)
        assert settlement.state is TaskState.READY
        assert not settlement.charged


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (CardGone("x"), Cause.CARD_GONE),
        (NoSpace("x"), Cause.NO_SPACE),
        (LibraryNotThere("x"), Cause.LIBRARY_GONE),
        (SourceUnreadable("x"), Cause.UNREADABLE),
        (TargetUnreachable("x"), Cause.NETWORK_DOWN),
    ],
)
def test_waiting_names_its_cause(error: GhostrollError, cause: Cause) -> None:
    """What can't go on for now waits for that very cause, uncharged, though the policy names another."""
    settlement = decide(error, Policy(attempts=1, may_die=True, waits_for=Cause.CLOCK_UNSET))
    assert (settlement.state, settlement.cause, settlement.charged) == (TaskState.PARKED, cause, False)
    assert settlement.error == "x"


@given(st.integers(1, 50), st.integers(0, 60), st.booleans())
def test_attempts_run_out(allowed: int, tried: int, may_die: bool) -> None:
    """A task is tried as often as its policy allows; then it dies where it may, else it waits."""
    settlement = decide(
        TransientError("x"), Policy(allowed, may_die=may_die, waits_for=Cause.NETWORK_DOWN), tried=tried
    )
    assert settlement.charged
    if tried + 1 < allowed:
        assert settlement.state is TaskState.READY
    elif may_die:
        assert settlement.state is TaskState.DEAD
    else:
        assert (settlement.state, settlement.cause) == (TaskState.PARKED, Cause.NETWORK_DOWN)


@given(policies)
def test_a_disk_that_fails_is_waited_for(policy: Policy) -> None:
    """What the library's disk spoilt too often waits for the disk: no picture dies of it, and no card is to blame."""
    settlement = decide(LibraryFailing("x"), replace(policy, attempts=1))
    assert (settlement.state, settlement.cause) == (TaskState.PARKED, Cause.LIBRARY_GONE)
    assert settlement.charged


def test_without_a_bound_nothing_is_given_up() -> None:
    """A stage that never gives up tries again after ten thousand failures."""
    assert decide(TransientError("x"), Policy(), tried=10_000).state is TaskState.READY


def test_what_can_never_work_is_given_up_at_once() -> None:
    """A permanent failure is not tried again, however many attempts are left."""
    assert decide(PermanentError("x"), Policy(attempts=9, may_die=True)).state is TaskState.DEAD
    parked = decide(PermanentError("x"), Policy(attempts=9))
    assert (parked.state, parked.cause) == (TaskState.PARKED, Cause.UNREADABLE)
