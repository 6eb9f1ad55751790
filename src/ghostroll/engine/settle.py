"""What becomes of a task after its run: a pure decision over what the run returned or raised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

from ghostroll.errors import GhostrollError, ParkError, TransientError, Verdict
from ghostroll.model import Cause, Task, TaskState

# Written to the ledger in the same transaction that settles the task. Its argument is that transaction.
Facts = Callable[[Any], None]

_SOON = 0.2  # seconds until an innocent task is tried again
_LONGEST_WAIT = 300.0  # seconds between two tries of the same task


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one task's run came to: the facts it made, or the error that it ended with."""

    task: Task
    facts: Facts | None = None
    error: GhostrollError | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a stage is. `attempts` None means that it never gives up.

    A task that is given up waits for what its error names; else it dies where `may_die`, or waits for `waits_for`.
    """

    attempts: int | None = None
    may_die: bool = False
    waits_for: Cause = Cause.UNREADABLE


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a task is put down. `due` is boot-time seconds; of one that waits for a cause, when it met that."""

    task: Task
    state: TaskState
    charged: bool = False
    due: float = 0.0
    cause: Cause | None = None
    error: str | None = None
    facts: Facts | None = None


def settle_outcome(outcome: Outcome, policy: Policy, *, now: float, jitter: float) -> Settlement:
    """Decide a task's next state. `jitter` in [0, 1) spreads retries, `now` is boot-time seconds."""
    task, error = outcome.task, outcome.error
    if error is None:
        return Settlement(task, TaskState.DONE, facts=outcome.facts)
    text = str(error).encode("utf-8", "replace").decode()  # a card's name in it need not be UTF-8
    match error.verdict:
        case Verdict.AGAIN:
            return Settlement(task, TaskState.READY, due=now + _SOON, error=text)
        case Verdict.PARK:
            cause = error.cause if isinstance(error, ParkError) else policy.waits_for
            return Settlement(task, TaskState.PARKED, due=now, cause=cause, error=text)
        case Verdict.DIE:
            return _give_up(task, text, policy, now)
        case Verdict.RETRY:
            if policy.attempts is not None and task.attempts + 1 >= policy.attempts:
                waits_for = error.waits_for if isinstance(error, TransientError) else None
                return _give_up(task, text, policy, now, waits_for)
            wait = wait_before_retry(task.attempts, jitter)
            return Settlement(task, TaskState.READY, charged=True, due=now + wait, error=text)
        case _:
            assert_never(error.verdict)


def wait_before_retry(attempts: int, jitter: float) -> float:
    """Seconds until the next try: doubling from half a second, at most five minutes, half of it random."""
    longest = min(_LONGEST_WAIT, 0.5 * 2.0 ** min(attempts, 20))
    return longest * (0.5 + jitter / 2)


def _give_up(task: Task, text: str, policy: Policy, now: float, waits_for: Cause | None = None) -> Settlement:
    if policy.may_die and waits_for is None:
        return Settlement(task, TaskState.DEAD, charged=True, error=text)
    cause = waits_for or policy.waits_for
    return Settlement(task, TaskState.PARKED, charged=True, due=now, cause=cause, error=text)
