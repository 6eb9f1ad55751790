"""Requests to a running daemon, over a Unix socket for members of its group. The table stays the queue."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

import structlog

from ghostroll.daemon.listening import hear_request, listen_at
from ghostroll.daemon.peers import Peer, is_owner, may_ask, read_peer
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import Ingest, Request, name_request
from ghostroll.errors import GhostrollError, StateHeld, UsageError
from ghostroll.library.layout import show_path

_MOST_AT_ONCE = 16  # connections; each has a thread
_AFTER_NO_ACCEPT = 1.0  # seconds; no descriptor is left, and that does not change at once

Answerer = Callable[[Request, Reply], None]


class RequestServer:
    """Listens on a socket for this user, root, and a group; a thread answers each connection's one request."""

    def __init__(
        self,
        path: str,
        group: int | None,
        answer: Answerer,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.path = path
        self._group, self._answer, self._log = group, answer, log
        self._stopping = threading.Event()
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._guard = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._groups = frozenset({os.getegid()} if group is None else {os.getegid(), group})

    def start(self) -> None:
        """Listen from now on. Whoever may not ask can't even connect.

        Raises StateHeld where another process answers at the path, UsageError where nobody can.
        """
        self._listener, self._identity = listen_at(self.path, self._group)
        self._thread = threading.Thread(target=self._listen, name="requests", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 2.0) -> bool:
        """Take no more requests, and let the answers under way end; False where one has not after `patience` seconds.

        On return the socket's file is gone, unless somebody else has put another one in its place.
        """
        until = time.monotonic() + patience
        self._stopping.set()
        with contextlib.suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._identity:
                os.unlink(self.path)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join(patience)
        self._listener.close()
        with self._guard:
            still = dict(self._open)
        for connection in still.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # whoever still waits for a request, waits no longer
        for thread in still:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in still)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if not self._stopping.is_set():
                    self._log.warning(f"a request can't be taken ({error.strerror})")
                    self._stopping.wait(_AFTER_NO_ACCEPT)
                continue
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        """Give a connection its thread, if whoever made it may ask and there is room."""
        try:
            peer = read_peer(connection)
        except OSError as error:
            self._log.warning(f"nobody knows who asks ({error.strerror}): refused")
            connection.close()
            return
        if not may_ask(peer, uid=os.geteuid(), groups=self._groups):
            self._log.warning("refused a request of somebody outside the group", uid=peer.uid, pid=peer.pid)
            self._refuse(
                connection, UsageError("the daemon takes no requests from you: you are not in its group")
            )
            return
        if not self._room.acquire(blocking=False):
            self._log.warning("refused a request: too many at once", uid=peer.uid, pid=peer.pid)
            self._refuse(connection, StateHeld("the daemon has too many requests at once: try again later"))
            return
        thread = threading.Thread(
            target=self._serve, args=(connection, peer), name=f"request-{peer.pid}", daemon=True
        )
        with self._guard:
            self._open[thread] = connection
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            self._leave(thread, connection)

    def _refuse(self, connection: socket.socket, error: GhostrollError) -> None:
        Reply(connection, self._stopping).fail(str(error), error.exit_code)  # nothing was sent yet: it fits
        connection.close()

    def _serve(self, connection: socket.socket, peer: Peer) -> None:
        reply = Reply(connection, self._stopping, to_owner=is_owner(peer, os.geteuid()))
        try:
            self._converse(connection, peer, reply)
        except GhostrollError as error:
            self._end(reply, str(error), error.exit_code)
        except Exception:  # noqa: BLE001  # a bug costs one request, not the daemon
            self._log.exception("a bug in answering a request", uid=peer.uid, pid=peer.pid)
            self._end(reply, "the daemon met a bug: its log tells more", GhostrollError.exit_code)
        finally:
            if self._stopping.is_set():
                self._end(reply, "the daemon stops: start it again and the work goes on", StateHeld.exit_code)
            self._leave(threading.current_thread(), connection)

    def _converse(self, connection: socket.socket, peer: Peer, reply: Reply) -> None:
        request = hear_request(connection)
        if self._stopping.is_set() or not reply.hear():
            return
        self._log.info(f"asked for: {_say(request)}", uid=peer.uid, pid=peer.pid)
        self._answer(request, reply)
        if not reply.has_ended and not reply.is_gone:
            raise AssertionError("an answer without an end")

    @staticmethod
    def _end(reply: Reply, sentence: str, exit_code: int) -> None:
        if not reply.has_ended:
            reply.fail(sentence, exit_code)

    def _leave(self, thread: threading.Thread, connection: socket.socket) -> None:
        with self._guard:
            del self._open[thread]
        connection.close()
        self._room.release()


def _say(request: Request) -> str:
    if isinstance(request, Ingest):
        return f"ingest {show_path(request.path)}"
    return f"{name_request(request)} {request.job}"
