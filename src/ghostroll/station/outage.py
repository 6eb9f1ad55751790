"""A bucket that can't be used: what it waits for, and when it is tried again."""

from dataclasses import dataclass

from ghostroll.model import Cause

BUCKET_CAUSES = (Cause.NETWORK_DOWN, Cause.TARGET, Cause.CLOCK_UNSET)
_SOONEST = {Cause.NETWORK_DOWN: 2.0, Cause.CLOCK_UNSET: 5.0}  # seconds until the first try
_LATEST = {Cause.NETWORK_DOWN: 60.0, Cause.CLOCK_UNSET: 60.0}
_REFUSED = (10.0, 300.0)  # where a person must change something first
_WORTH_WAITING = 20.0  # seconds: a command in the foreground waits so long for a network that failed just now
_FORGIVEN = 4.0  # what a success takes off the next pause: a line that fails now and then is used in between
_LASTING = 120.0  # seconds without trouble, after which the next one is a new one


@dataclass(slots=True)
class Outage:
    """At most one at a time, for everything that needs the bucket. Times are boot-time seconds.

    One task is tried at a time, seldom enough to cost nothing, and what it meets is what all others wait for.
    """

    cause: Cause | None = None
    error: str = ""
    began: float = 0.0
    try_at: float = 0.0
    _pause: float = 0.0
    _ended: float = -_LASTING

    def meet(self, cause: Cause, error: str, now: float) -> bool:
        """Something that needs the bucket met this; whether that is news."""
        soonest = _SOONEST.get(cause, _REFUSED[0])
        news = cause is not self.cause
        if self.cause is None:
            self.began = now
            self._pause = max(soonest, self._pause if now - self._ended < _LASTING else 0.0)
        elif news:
            self._pause = soonest
        self.cause, self.error = cause, error
        if now >= self.try_at:  # of many that fail together, one counts
            self._wait(now)
        return news

    def end(self, now: float) -> None:
        """The bucket took something: everything may go on. Soon after, the next trouble is taken less easily."""
        self.cause, self.error, self._ended, self.try_at = None, "", now, 0.0
        self._pause /= _FORGIVEN

    def is_due(self, now: float) -> bool:
        """Whether one task should be tried now."""
        return self.cause is not None and now >= self.try_at

    def note_try(self, now: float) -> None:
        """One is being tried: the next follows only after that one had its time."""
        self._wait(now)

    def _wait(self, now: float) -> None:
        """Until the next try, each time twice as long."""
        cause = self.cause or Cause.TARGET
        latest = _LATEST.get(cause, _REFUSED[1])
        pause = min(latest, max(_SOONEST.get(cause, _REFUSED[0]), self._pause))
        self.try_at, self._pause = now + pause, min(latest, 2 * pause)

    def is_young(self, now: float) -> bool:
        """Whether a person who watches would rather wait a moment."""
        return self.cause is Cause.NETWORK_DOWN and now - self.began < _WORTH_WAITING
