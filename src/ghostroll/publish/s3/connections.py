"""The connections of a client, so that a stop need not wait for a store that doesn't answer."""

import contextlib
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


def _shut(connection: Any) -> None:
    """End both ways. Of a TLS connection the layer below: its other thread may be in the middle of a record."""
    sock = connection.sock
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
