"""A store that misbehaves: an HTTP proxy in front of a real one, which answers chosen requests as a store in trouble does.

It also tells which requests came. The `Host` header stays as the client sent it, so that signatures stay valid; a
store that checks them refuses a request from which a signed header was dropped.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from refusing import (
    ACCESS_DENIED,
    BAD_DIGEST,
    CLOCK_SKEWED,
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    INVALID_KEY_ID,
    INVALID_TOKEN,
    NO_SUCH_BUCKET,
    NO_SUCH_UPLOAD,
    NOT_IMPLEMENTED,
    QUOTA_EXCEEDED,
    SLOW_DOWN,
    UNAVAILABLE,
    WRONG_REGION,
    WRONG_SIGNATURE,
    Answered,
    Asked,
    Refusal,
)

__all__ = [
    "ACCESS_DENIED",
    "BAD_DIGEST",
    "CLOCK_SKEWED",
    "EXPIRED_TOKEN",
    "INTERNAL_ERROR",
    "INVALID_KEY_ID",
    "INVALID_TOKEN",
    "NOT_IMPLEMENTED",
    "NO_SUCH_BUCKET",
    "NO_SUCH_UPLOAD",
    "QUOTA_EXCEEDED",
    "SLOW_DOWN",
    "UNAVAILABLE",
    "WRONG_REGION",
    "WRONG_SIGNATURE",
    "Answered",
    "Asked",
    "Held",
    "Mischief",
    "Refusal",
    "open_mischief",
]

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "expect",
    "content-length",
    "proxy-connection",
    "te",
}
_NETWORK = (OSError, HTTPException)
_LONGEST = 60  # seconds that a held request waits; a test that forgets it fails by then


class Held:
    """Requests that wait where they are. `release` lets them go, and all that come later."""

    def __init__(self) -> None:
        self._came = threading.Semaphore(0)
        self._go = threading.Event()

    def wait(self) -> None:
        """Until one more has come."""
        assert self._came.acquire(timeout=_LONGEST), "no such request came"

    def release(self) -> None:
        """Let them go on."""
        self._go.set()

    def _hold(self) -> None:
        if not self._go.is_set():
            self._came.release()
            self._go.wait(_LONGEST)


@dataclass(slots=True)
class _Rule:
    """To which requests something happens, and what. 0 times is for ever."""

    operation: str
    key: str
    having: Callable[[Asked], bool]
    times: int
    refusal: Refusal | None = None
    late: bool = False
    damage: bool = False
    held: Held | None = None
    put: Mapping[str, str] = field(default_factory=dict)


def _always(_: Asked) -> bool:
    return True


class Mischief:
    """The proxy. A rule is for an operation ("PutObject", "*Multipart*") and a key ("*/share/*"), both with wildcards."""

    def __init__(self, store: tuple[str, int]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._dropped: dict[str, list[str]] = {"request": [], "answer": []}
        self._answered: list[Answered] = []
        self._under_way = self._most = 0
        self.bugs: list[BaseException] = []
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def refuse(
        self,
        refusal: Refusal,
        *,
        operation: str = "*",
        key: str = "*",
        having: Callable[[Asked], bool] = _always,
        times: int = 0,
        late: bool = False,
    ) -> None:
        """Answer such requests so. `late`: the store has done it, only its answer is lost."""
        self._add(_Rule(operation, key, having, times, refusal, late))

    def damage(self, *, operation: str = "*", key: str = "*", times: int = 0) -> None:
        """One bit of the body of such requests changes on its way."""
        self._add(_Rule(operation, key, _always, times, damage=True))

    def hold(self, *, operation: str = "*", key: str = "*", times: int = 0) -> Held:
        """Such requests wait before the store hears of them."""
        held = Held()
        self._add(_Rule(operation, key, _always, times, held=held))
        return held

    def change_answer(
        self, put: Mapping[str, str], *, operation: str = "*", key: str = "*", times: int = 0
    ) -> None:
        """The store's answer to such requests has these headers, whatever it said itself."""
        self._add(_Rule(operation, key, _always, times, put=put))

    def drop_request_headers(self, *names: str) -> None:
        """Headers that never reach the store, with wildcards, in lower case: "x-amz-checksum-*"."""
        self._dropped["request"] += names

    def drop_answer_headers(self, *names: str) -> None:
        """Headers of the store that never reach the client."""
        self._dropped["answer"] += names

    def relent(self) -> None:
        """No mischief any more, and what is held goes on. What came is still remembered."""
        with self._lock:
            held = [rule.held for rule in self._rules if rule.held is not None]
            self._rules.clear()
            for names in self._dropped.values():
                names.clear()
        for each in held:
            each.release()

    def tell(self, operation: str = "*", key: str = "*") -> list[Answered]:
        """Such requests as they were answered, in that order."""
        with self._lock:
            return [
                each
                for each in self._answered
                if fnmatchcase(each.asked.operation, operation) and fnmatchcase(each.asked.key, key)
            ]

    @property
    def most_at_once(self) -> int:
        """How many requests were under way at one moment."""
        return self._most

    def close(self) -> None:
        """No connection and no thread of it is left."""
        self.relent()
        self._server.stop()

    # What the server asks.

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def _choose(self, asked: Asked) -> list[_Rule]:
        """The rules that this request meets, the first of each kind; each is used once by that."""
        with self._lock:
            self._under_way += 1
            self._most = max(self._most, self._under_way)
            met: dict[tuple[bool, ...], _Rule] = {}
            for rule in self._rules:
                if (
                    fnmatchcase(asked.operation, rule.operation)
                    and fnmatchcase(asked.key, rule.key)
                    and rule.having(asked)
                ):
                    met.setdefault((bool(rule.refusal), rule.damage, bool(rule.held), bool(rule.put)), rule)
            for rule in met.values():
                if rule.times:
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
            return list(met.values())

    def _remember(self, asked: Asked, status: int, *, refused: bool) -> None:
        with self._lock:
            self._under_way -= 1
            self._answered.append(Answered(asked, status, refused))

    def _is_dropped(self, name: str, side: str) -> bool:
        return any(fnmatchcase(name.lower(), pattern) for pattern in self._dropped[side])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, mischief: Mischief) -> None:
        self.mischief = mischief
        self._open: set[socket.socket] = set()
        self._workers: list[threading.Thread] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._workers.append(thread)
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # as its base has it
        error = sys.exception()
        if error is not None and not isinstance(error, _NETWORK):
            self.mischief.bugs.append(error)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for each in tuple(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *self._workers):
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, and one to the store."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out as a whole
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._upstream = HTTPConnection(*self.server.mischief._store, timeout=_LONGEST)

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle_expect_100(self) -> bool:
        """The client waits for it, so it goes out at once."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as its base has it
        """Tests ask `tell`."""

    def do_any(self) -> None:
        """Whatever the method."""
        mischief = self.server.mischief
        body = self._read_body()
        asked = Asked(
            self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, len(body)
        )
        rules = mischief._choose(asked)
        refusal = next((rule for rule in rules if rule.refusal is not None), None)
        status: int = HTTPStatus.BAD_GATEWAY
        try:
            status, headers, content = self._find_answer(body, rules, refusal)
        except _NETWORK:
            # The store is gone: so is the connection.
            self.close_connection = True
            return
        finally:
            mischief._remember(asked, status, refused=refusal is not None)
        self._answer(status, headers, content)

    def _find_answer(
        self, body: bytes, rules: list[_Rule], refusal: _Rule | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        put: dict[str, str] = {}
        for rule in rules:
            if rule.held is not None:
                rule.held._hold()
            if rule.damage and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            put |= rule.put
        if refusal is None or refusal.late:
            status, headers, content = self._pass_on(body)
            if refusal is None:
                kept = [(name, value) for name, value in headers if name.lower() not in put]
                return status, [*kept, *put.items()], content
        assert refusal is not None
        assert refusal.refusal is not None
        told = refusal.refusal
        return told.status, [("Content-Type", "application/xml"), *told.headers.items()], told.document

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815  # names that http.server calls

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the store answers; an idle connection that it has closed is opened again."""
        is_new = self._upstream.sock is None
        try:
            return self._ask_store(body)
        except _NETWORK:
            self._upstream.close()
            if is_new:
                raise
            return self._ask_store(body)

    def _ask_store(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        mischief = self.server.mischief
        self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP and not mischief._is_dropped(name, "request"):
                self._upstream.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            self._upstream.putheader("Content-Length", str(len(body)))
        self._upstream.endheaders(body or None)
        answer = self._upstream.getresponse()
        content = answer.read()
        kept = _HOP_BY_HOP - ({"content-length"} if self.command == "HEAD" else set())
        return answer.status, [(n, v) for n, v in answer.getheaders() if n.lower() not in kept], content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if not self.server.mischief._is_dropped(name, "answer"):
                self.send_header(name, value)
        if self.command != "HEAD":
            if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.end_headers()
        self.wfile.flush()


@contextlib.contextmanager
def open_mischief(address: tuple[str, int]) -> Iterator[Mischief]:
    """A proxy to the store at host and port, harmless so far: `Store.at(mischief.endpoint)` goes through it."""
    mischief = Mischief(address)
    try:
        yield mischief
    finally:
        mischief.close()
    assert mischief.bugs == []
