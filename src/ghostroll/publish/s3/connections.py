"""The connections of a client: a stop need not wait for a store that doesn't answer, and half an answer is none."""

import contextlib
import http.client
import socket
import threading
import weakref
from typing import Any


class Connections:
    """Every connection that a watched client has open. Once cut, it opens no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._is_cut = False

    def watch(self, client: Any) -> None:
        """Know the connections that a boto3 client makes from now on.

        botocore has no official way to reach one that a thread waits on; which class makes them is kept in
        this dictionary, for proxies and for the direct way alike.
        """
        pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001  # as said above
        for scheme, pool in pools.items():
            pools[scheme] = self._make_watched(pool)

    def cut(self) -> None:
        """Whoever waits on a connection fails at once, from any thread; and so does whoever opens another."""
        with self._lock:
            self._is_cut = True
            cut = list(self._open)
        for connection in cut:
            _shut(connection)

    def _make_watched(self, pool: type[Any]) -> type[Any]:
        note = self._note
        parent: type[Any] = pool.ConnectionCls

        class Watched(parent):  # type: ignore[misc]  # botocore has no types
            response_class = _WholeResponse

            def connect(self) -> None:
                super().connect()
                note(self)

        return type(pool.__name__, (pool,), {"ConnectionCls": Watched})

    def _note(self, connection: Any) -> None:
        with self._lock:
            self._open.add(connection)
            is_cut = self._is_cut
        if is_cut:
            _shut(connection)


class _WholeResponse(http.client.HTTPResponse):
    """An answer whose headers came to their end, which is an empty line (RFC 9112, section 2.1).

    http.client takes the end of a connection for it too: then a length may lack digits, and a checksum that was
    cut off was never there.
    """

    fp: Any  # a file; while the headers are read, one that knows its last line

    def begin(self) -> None:
        """Read status and headers. Raises RemoteDisconnected, which is tried again, where the connection ended first."""
        lines = self.fp = _LineReader(self.fp)
        try:
            super().begin()
        finally:
            if self.fp is lines:  # else it was closed: there is no body
                self.fp = lines.file
        if lines.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.RemoteDisconnected("the connection ended within the headers of an answer")


class _LineReader:
    """A file that knows the last line that was read."""

    def __init__(self, file: Any) -> None:
        self.file, self.last = file, b""

    def readline(self, limit: int = -1) -> bytes:
        """As a file does."""
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        """As a file does."""
        self.file.close()


def _shut(connection: Any) -> None:
    """End both ways. Of a TLS connection the layer below: its other thread may be in the middle of a record."""
    sock = connection.sock
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
