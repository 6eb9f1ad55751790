"""What one client of the daemon is told. A client that is slow, or has left, holds nobody up."""

import select
import socket
import threading
import time
from typing import Any

from ghostroll.daemon.wire import Answer, Done, Failed, Heard, Progress, encode_answer

_TELLING = 2.0  # seconds for a line to be taken that is told whole


class Reply:
    """What one client is told: progress, as long as it listens, and one end. For the thread that answers.

    `to_owner`: whoever asks is root or the daemon's own user, who may read what the daemon may read.
    """

    def __init__(
        self, connection: socket.socket, stopping: threading.Event, *, to_owner: bool = False
    ) -> None:
        self._connection, self._stopping = connection, stopping
        self.to_owner = to_owner
        self._lost = self._ended = False

    @property
    def is_gone(self) -> bool:
        """Whether nobody listens any more: the client left, or the daemon stops."""
        if self._lost or self._stopping.is_set():
            return True
        poller = select.poll()
        poller.register(self._connection, 0)  # POLLHUP and POLLERR come unasked
        self._lost = bool(poller.poll(0))
        return self._lost

    @property
    def has_ended(self) -> bool:
        """Whether the end was told."""
        return self._ended

    def hear(self) -> bool:
        """Tell that the request was understood; False where nobody listens any more."""
        self._send(Heard())
        return not self._lost

    def progress(self, document: dict[str, Any]) -> None:
        """Tell how far it is; dropped where the client has left, or has not yet read what it was told."""
        self._send(Progress(document), may_drop=True)

    def finish(self, document: dict[str, Any], exit_code: int) -> None:
        """Tell what came of it."""
        self._end(Done(document, exit_code))

    def fail(self, sentence: str, exit_code: int) -> None:
        """Tell why nothing came of it."""
        self._end(Failed(sentence, exit_code))

    def _end(self, answer: Answer) -> None:
        if self._ended:
            raise AssertionError("an answer has one end")
        self._ended = True
        self._send(answer)

    def _send(self, answer: Answer, *, may_drop: bool = False) -> None:
        """Send a line whole, or not at all where that is allowed; a client that takes too long is given up."""
        left = memoryview(b"" if self._lost else encode_answer(answer))
        until = time.monotonic() + _TELLING
        self._connection.setblocking(False)
        while left:
            try:
                sent = self._connection.send(left)
            except BlockingIOError:
                if may_drop:
                    return
                self._lost = not self._wait_writable(until)
            except OSError:
                self._lost = True
            else:
                left, may_drop = left[sent:], False
            if self._lost:
                return

    def _wait_writable(self, until: float) -> bool:
        poller = select.poll()
        poller.register(self._connection, select.POLLOUT)
        return bool(poller.poll(max(0.0, until - time.monotonic()) * 1000))
