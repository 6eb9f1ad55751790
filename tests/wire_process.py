"""The process behind `wires.Wire`: it moves bytes between sockets when their time has come.

Its words come as JSON on standard input, each is answered on standard output, and the end of the input ends it.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SLICE = 65536  # bytes read at once, and the most that one connection sends before it is another's turn
_TURN = 0.002  # seconds of the line; on a slow one a turn is shorter, so that a small request gets between
_QUEUE = (
    0.01  # seconds of the line that wait in its queue, so that it isn't idle when this process is woken late
)
_ROOM = 512 * 1024  # bytes that one way of a connection may hold beyond what is in flight
_FAST = 400e6  # bytes per second; what a line without limit is taken for when that room is measured
_FAREWELL = 5.0  # seconds that a client may take to see that the connection is closed
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


@dataclass(slots=True)
class _Fault:
    sort: str
    after: int
    way: str
    times: int


@dataclass(slots=True)
class _Lane:
    """One way of the line, for all connections: they take turns, and each byte takes its time."""

    way: str
    free_at: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    moved: int = 0

    async def take(self, count: int, rate: float) -> float:
        """Wait until so many bytes are in the line's queue; the moment at which the last of them leaves it."""
        if not rate:
            return asyncio.get_running_loop().time()
        async with self.turn:
            self.free_at = max(self.free_at, asyncio.get_running_loop().time()) + count * 8 / rate
            await _wait_till(self.free_at - _QUEUE)
            return self.free_at


@dataclass(slots=True, eq=False)
class _Link:
    """A connection: a client's socket and the server's."""

    client: socket.socket
    server: socket.socket
    opened: float
    moving: asyncio.Event = field(default_factory=asyncio.Event)  # not set while it stands still
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Pipe:
    """One way of one connection. What flies is bytes, no bytes at the end, or a fault."""

    link: _Link
    lane: _Lane
    source: socket.socket
    sink: socket.socket
    flying: asyncio.Queue[tuple[float, bytes | _Fault]] = field(default_factory=asyncio.Queue)
    held: int = 0
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    since: int = 0  # `sent` when the fault was switched on


class _StruckError(Exception):
    """A fault ends this connection: by a reset, or in order."""

    def __init__(self, sort: str) -> None:
        self.sort = sort


async def _wait_till(moment: float) -> None:
    loop = asyncio.get_running_loop()
    if moment > loop.time():
        has_come = asyncio.Event()
        loop.call_at(moment, has_come.set)
        await has_come.wait()


class _Exchange:
    """The proxy."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._pipes: set[_Pipe] = set()
        self._links: set[_Link] = set()
        self._lanes = {way: _Lane(way) for way in ("up", "down")}
        self._fault: _Fault | None = None
        self._here = asyncio.Event()
        self._here.set()
        self._rtt = self._rate = 0.0
        self._accepted = self._most = self._struck = 0
        self._plugs: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.port = 0
        self._listen()

    # Connections.

    def _listen(self, backlog: int = 128) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The kernel's own buffers count as the line's: without this limit they swallow megabytes at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM // 2)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        self.port = listener.getsockname()[1]
        self._listener = listener
        if backlog:
            self._accepting = self._loop.create_task(self._accept(listener))

    def _hang_up(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        for each in (*self._plugs, *([self._listener] if self._listener else [])):
            # Whoever waits in the accept queue is reset by this.
            each.close()
        self._plugs, self._listener = [], None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            link = _Link(client, socket.socket(), self._loop.time())
            link.moving.set()
            self._links.add(link)
            self._accepted += 1
            self._most = max(self._most, len(self._links))
            link.task = self._loop.create_task(self._carry(link))

    async def _carry(self, link: _Link) -> None:
        """A connection's life. Whatever one end meets, the other meets too."""
        up = _Pipe(link, self._lanes["up"], link.client, link.server)
        down = _Pipe(link, self._lanes["down"], link.server, link.client)
        abrupt = True
        try:
            for each in (link.client, link.server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(link.server, self._target)
            self._pipes |= {up, down}
            async with asyncio.TaskGroup() as group:
                for pipe in (up, down):
                    group.create_task(self._read(pipe))
                    group.create_task(self._write(pipe))
            abrupt = False
        except* _StruckError as struck:
            abrupt = any(each.sort == "reset" for each in struck.exceptions if isinstance(each, _StruckError))
            if not abrupt:
                await self._part(link)
        except* OSError:
            pass
        finally:
            self._links.discard(link)
            self._pipes -= {up, down}
            for each in (link.client, link.server):
                if abrupt:
                    with contextlib.suppress(OSError):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                each.close()

    async def _part(self, link: _Link) -> None:
        """End both ways in order. Bytes that nobody read would make the kernel reset the connection instead."""
        for each in (link.client, link.server):
            each.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                while await self._loop.sock_recv(link.client, _SLICE):
                    pass

    async def _read(self, pipe: _Pipe) -> None:
        while True:
            content = await self._loop.sock_recv(pipe.source, _SLICE)
            if not content:
                pipe.flying.put_nowait((self._tell_due(pipe, self._loop.time()), b""))
                return
            while content:
                await self._here.wait()
                await pipe.link.moving.wait()
                most, fault = self._tell_turn(pipe, len(content))
                piece, content = content[:most], content[most:]
                pipe.sent += len(piece)
                due = self._tell_due(pipe, await pipe.lane.take(len(piece), self._rate))
                if piece:
                    pipe.held += len(piece)
                    pipe.flying.put_nowait((due, piece))
                if fault is not None:
                    self._strike(pipe, fault, due)
            while pipe.held > _ROOM + (self._rate / 8 or _FAST) * self._rtt:
                pipe.has_room.clear()
                await pipe.has_room.wait()

    def _tell_due(self, pipe: _Pipe, sent_at: float) -> float:
        """When it arrives. The client has spent a round trip on its handshake, which was none here."""
        return max(sent_at + self._rtt / 2, pipe.link.opened + self._rtt * 3 / 2)

    def _tell_turn(self, pipe: _Pipe, count: int) -> tuple[int, _Fault | None]:
        """How much of it goes at once, and the fault that is reached by that."""
        most = max(4096, min(_SLICE, int(self._rate / 8 * _TURN))) if self._rate else _SLICE
        most = min(most, count)
        fault = self._fault
        if fault is None or fault.way != pipe.lane.way:
            return most, None
        left = max(0, fault.after - (pipe.sent - pipe.since))
        return (most, None) if most < left else (left, fault)

    def _strike(self, pipe: _Pipe, fault: _Fault, due: float) -> None:
        self._struck += 1
        if fault.times:
            fault.times -= 1
            if not fault.times:
                self._fault = None
        pipe.link.moving.clear()
        if fault.sort == "stall":
            # What is on its way before this arrives, then nothing does.
            return
        pipe.flying.put_nowait((due, fault))

    async def _write(self, pipe: _Pipe) -> None:
        while True:
            due, piece = await pipe.flying.get()
            await _wait_till(due)
            await self._here.wait()
            if isinstance(piece, _Fault):
                raise _StruckError(piece.sort)
            if not piece:
                pipe.sink.shutdown(socket.SHUT_WR)
                return
            await self._loop.sock_sendall(pipe.sink, piece)
            pipe.held -= len(piece)
            pipe.has_room.set()
            pipe.lane.moved += len(piece)

    # Words.

    def shape(self, rtt: float, rate: float) -> None:
        self._rtt, self._rate = rtt, rate

    def fault(self, sort: str, after: int, way: str, times: int) -> None:
        self._fault = _Fault(sort, after, way, times)
        for pipe in self._pipes:
            pipe.since = pipe.sent

    def refuse(self) -> None:
        self._hang_up()

    def vanish(self) -> None:
        self._hang_up()
        self._here.clear()
        self._listen(backlog=0)
        # One fills the queue of those that nobody accepts; from then on the kernel drops what knocks.
        for _ in range(2):
            plug = socket.socket()
            plug.setblocking(False)
            plug.connect_ex(("127.0.0.1", self.port))
            self._plugs.append(plug)

    def cut(self) -> None:
        for link in tuple(self._links):
            if link.task is not None:
                link.task.cancel()

    def mend(self) -> None:
        self._fault = None
        self._here.set()
        for link in self._links:
            link.moving.set()
        if self._accepting is None:
            self._hang_up()
            self._listen()

    def tell(self) -> dict[str, int]:
        return {
            "connections": self._accepted,
            "open": len(self._links),
            "most_open": self._most,
            "up": self._lanes["up"].moved,
            "down": self._lanes["down"].moved,
            "faults": self._struck,
        }


async def _serve(target: tuple[str, int]) -> None:
    exchange = _Exchange(target)
    words: dict[str, Callable[..., Any]] = {
        name: getattr(exchange, name)
        for name in ("shape", "fault", "refuse", "vanish", "cut", "mend", "tell")
    }
    _say(exchange.port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        asked = json.loads(line)
        _say(words[asked.pop("word")](**asked) or {})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve((sys.argv[1], int(sys.argv[2]))))
