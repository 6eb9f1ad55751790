"""A lane: one thread, one worker process, one picture in flight.

A pool shared by several pictures blames innocents when a decoder crashes, or breaks as a whole. In a
lane there is never a doubt whose fault it was: what dies after it took a task dies of that task.
"""

import os
import select
import threading
import time
from typing import assert_never

from ghostroll.errors import InnocentError, PermanentError, Stopped, TransientError
from ghostroll.model import Kind, Rendered
from ghostroll.render.child import Child, Died, TooSlow, describe_end
from ghostroll.render.limits import RenderLimits
from ghostroll.render.wire import Rubbish, Tag, pack_task, unpack_reason, unpack_rendered

__all__ = ["Lane", "RenderLimits"]

_START_SECONDS = 60.0  # to take the first task; a Pi under load imports slowly
_EXIT_SECONDS = 2.0  # between a closed channel and the exit status behind it
_PAUSE_LARGEST = 5.0  # seconds between starts, where workers die before they take anything


class Lane:
    """One worker process, one task in flight.

    Used by one thread, which must outlive it: the worker dies with the thread that started it
    (PR_SET_PDEATHSIG). Only `interrupt` may be called from elsewhere.
    """

    def __init__(self, limits: RenderLimits) -> None:
        """Start nothing yet."""
        self._limits = limits
        self._child: Child | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False
        self._lock = threading.Lock()  # `interrupt` must not write to a descriptor that was reused
        self._vain_starts = 0

    def start(self) -> None:
        """Start the worker early, so that the first picture doesn't wait for it. Optional.

        Raises InnocentError where no process can be started.
        """
        if self._child is None:
            self._child = self._spawn()

    def render(self, path: bytes, kind: Kind) -> Rendered:
        """The two renditions of the file at `path`, and what its metadata says.

        Raises PermanentError where the picture can't be decoded, TransientError where the worker
        crashed on it, hung or needed too much memory, InnocentError where the worker ended before it
        took the task, and Stopped after `interrupt`. Every error but PermanentError may end the
        worker; the next call starts another.
        """
        child = self._idle_child()
        try:
            child.send(pack_task(path, kind))
            tag, _ = child.receive(time.monotonic() + _START_SECONDS)
        except (Died, TooSlow):
            raise self._blame_nobody() from None
        except Rubbish:
            raise self._blame_rubbish() from None
        except Stopped:
            self._end()
            raise
        if tag is not Tag.TAKEN:
            raise self._blame_rubbish()
        self._vain_starts = 0
        return self._await_answer(child)

    def interrupt(self) -> None:
        """Make a render under way raise Stopped at once, and every later one. From any thread."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def rest(self) -> None:
        """End the worker until the next picture: it holds memory."""
        self._end()

    def close(self) -> None:
        """End the process, reap it, close every descriptor. Harmless when done twice."""
        self._end()
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._wake)

    def _idle_child(self) -> Child:
        if self._closed or self._is_woken(0):
            raise Stopped("the render was stopped and will be done again")
        if self._child is not None and not self._child.is_idle():
            self._end()  # it died between two tasks: nobody's fault
        if self._child is not None:
            self._child.forget_words()
        if self._child is None:
            self._pause_before_start()
            self._child = self._spawn()
        return self._child

    def _spawn(self) -> Child:
        try:
            return Child(self._limits, self._wake)
        except OSError as error:
            self._vain_starts += 1
            raise InnocentError(f"no render worker could be started: {error.strerror}") from error

    def _pause_before_start(self) -> None:
        """Wait longer after each start in vain, so that a broken machine is not made busy as well."""
        pause = min(0.1 * 2**self._vain_starts, _PAUSE_LARGEST) if self._vain_starts else 0
        if pause and self._is_woken(pause):
            raise Stopped("the render was stopped and will be done again")

    def _is_woken(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _await_answer(self, child: Child) -> Rendered:
        try:
            return self._read_answer(*child.receive(time.monotonic() + self._limits.seconds))
        except Rubbish:
            raise self._blame_rubbish() from None
        except TooSlow:
            self._end()
            raise TransientError(f"took longer than {self._limits.seconds:g} s") from None
        except Died:
            raise TransientError(self._end(_EXIT_SECONDS)) from None
        except Stopped:
            self._end()
            raise

    def _read_answer(self, tag: Tag, payload: bytes) -> Rendered:
        match tag:
            case Tag.RENDERED:
                return unpack_rendered(payload, self._limits.share_edge, self._limits.thumb_edge)
            case Tag.PERMANENT:
                raise PermanentError(unpack_reason(payload))
            case Tag.TRANSIENT:
                self._end()  # a process that met its memory limit is not asked again
                raise TransientError(unpack_reason(payload))
            case Tag.TASK | Tag.TAKEN:
                raise Rubbish
            case _:
                assert_never(tag)

    def _blame_nobody(self) -> InnocentError:
        self._vain_starts += 1
        return InnocentError(f"a render worker ended before it took a picture: {self._end(_EXIT_SECONDS)}")

    def _blame_rubbish(self) -> TransientError:
        self._end()
        return TransientError("the decoder's answer made no sense")

    def _end(self, patience: float = 0.0) -> str:
        """End the worker, if there is one; how it ended, in words."""
        child, self._child = self._child, None
        if child is None:
            return ""
        return describe_end(child.end(patience), child.last_words())
