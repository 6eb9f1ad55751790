"""What can go wrong, as types that say what the caller must do.

Every message is one sentence for a person, with the remedy where there is one. The engine reads
`verdict` (and `cause`) of whatever a stage raises; the command line reads `exit_code`.
"""

import errno
from enum import Enum, auto
from typing import Self

from ghostroll.model import Cause


class Verdict(Enum):
    """What becomes of a task whose run raised."""

    RETRY = auto()  # later, with backoff; the attempt is charged
    AGAIN = auto()  # soon; the task is innocent and is charged nothing
    PARK = auto()  # waits until the named cause goes away
    DIE = auto()  # can never work


class GhostrollError(Exception):
    """Base of all errors that are not bugs."""

    exit_code = 1
    verdict = Verdict.RETRY


class UsageError(GhostrollError):
    """The command line, the configuration or an argument is wrong; the person must change it."""

    exit_code = 2
    verdict = Verdict.DIE


class TransientError(GhostrollError):
    """May well work next time: try again later."""

    exit_code = 2  # where it ends the program: the machine at hand has to be looked at
    # What its task waits for once it was tried often enough; None leaves that to the stage.
    waits_for: Cause | None = None


class PermanentError(GhostrollError):
    """Will never work for this input: name it and go on."""

    exit_code = 3
    verdict = Verdict.DIE


class InnocentError(TransientError):
    """Something around the task failed before the task was taken: charge nobody."""

    verdict = Verdict.AGAIN


_NO_MEMORY = "this machine has no memory left: end what else runs on it"
_NO_THREAD = "can't start new thread"  # all that tells it from other RuntimeErrors: CPython, _threadmodule.c


class MachineShort(TransientError):
    """The machine has no open file, memory or thread left just now: no card, no disk and no picture is to blame.

    Whoever waits for it looks whether a file can be written again, as for a disk that failed.
    """

    waits_for = Cause.LIBRARY_GONE

    # What an OSError of it carries: the limits of the process and of the machine, and memory. open(2)
    numbers = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

    @classmethod
    def check(cls, error: OSError) -> None:
        """Raise it where that is what an error means."""
        if error.errno in cls.numbers:
            raise cls.explain(error) from error

    @classmethod
    def explain(cls, error: OSError) -> Self:
        """The sentence for such an error."""
        if error.errno == errno.ENOMEM:
            return cls(_NO_MEMORY)
        return cls(
            f"this machine can open no more files ({error.strerror}): end what else runs on it, or give ghostroll"
            " a higher limit (LimitNOFILE= of its service, ulimit -n in a shell)"
        )

    @classmethod
    def find(cls, error: BaseException) -> Self | None:
        """The sentence for whatever Python raises where a machine has too little of something, None for all else."""
        match error:
            case OSError() if error.errno in cls.numbers:
                return cls.explain(error)
            case MemoryError():
                return cls(_NO_MEMORY)
            case RuntimeError() if str(error) == _NO_THREAD:
                return cls(
                    "this machine starts no more threads: end what else runs on it, or give ghostroll a higher limit"
                    " (TasksMax= of its service, ulimit -u in a shell)"
                )
            case _:
                return None


class Stopped(GhostrollError):
    """A graceful stop was asked for in the middle of a run: give the task back, uncharged."""

    verdict = Verdict.AGAIN


class ParkError(GhostrollError):
    """Can't go on until a named cause goes away; nothing is wrong with the task itself."""

    verdict = Verdict.PARK
    cause: Cause


class SourceUnreadable(ParkError):
    """One file of the card can't be read or changed while it was read; others go on."""

    exit_code = 3
    cause = Cause.UNREADABLE


class CardGone(ParkError):
    """The medium is not there any more, or is another one: no byte of it may be believed."""

    exit_code = 4
    cause = Cause.CARD_GONE


class CardFailing(ParkError):
    """Not even the card's own folder can be read: a person must help its contacts, or mount it anew."""

    exit_code = 4
    cause = Cause.UNREADABLE


class NoSpace(ParkError):
    """The library's (or the state's) disk is full."""

    exit_code = 5
    cause = Cause.NO_SPACE


class LibraryNotThere(ParkError):
    """The folder at library.path is not the library that the state knows: write nothing."""

    exit_code = 2
    cause = Cause.LIBRARY_GONE


class LibraryFailing(TransientError):
    """The library's disk has failed at something: try again, then wait for the disk. No card and no picture is to blame."""

    waits_for = Cause.LIBRARY_GONE


class NoWorker(ParkError):
    """No render worker can be started on this machine; originals are not concerned."""

    exit_code = 3
    cause = Cause.NO_WORKER


class TargetUnreachable(ParkError):
    """The publishing target can't be reached or is overloaded: goes on by itself."""

    exit_code = 6
    cause = Cause.NETWORK_DOWN


class TargetRefused(ParkError):
    """The publishing target answers, and refuses: a person must change credentials, bucket or quota."""

    exit_code = 6
    cause = Cause.TARGET


class ClockUnset(ParkError):
    """The clock of this machine is too wrong for signatures or certificates."""

    exit_code = 6
    cause = Cause.CLOCK_UNSET


class StateHeld(GhostrollError):
    """Another process owns the state and does not answer."""

    exit_code = 7
    verdict = Verdict.DIE


class StateUnusable(GhostrollError):
    """The database is corrupt or was written by a newer version; it was left untouched."""

    exit_code = 2
    verdict = Verdict.DIE
