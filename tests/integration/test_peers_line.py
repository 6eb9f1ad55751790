"""The line that other tests stand on does what those tests take for granted: it is slow, breaks, stalls and mends."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from buckets import PART
from peers import ODD
from stores import Store
from waiting import wait_for
from wires import Wire, open_wire


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(peer: socket.socket) -> None:
            with peer, contextlib.suppress(OSError):
                while content := peer.recv(65536):
                    peer.sendall(content)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(echo: tuple[str, int]) -> Iterator[Wire]:
    """A perfect line to it."""
    with open_wire(echo) as line:
        yield line


def connect(wire: Wire) -> socket.socket:
    """A connection through the line; nothing waits for longer than ten seconds."""
    return socket.create_connection(("127.0.0.1", wire.port), timeout=10)


def read(peer: socket.socket, count: int) -> bytes:
    """So many bytes, or what came before the end."""
    content = b""
    while len(content) < count and (more := peer.recv(count - len(content))):
        content += more
    return content


def ask(peer: socket.socket, content: bytes = b"hello") -> bytes:
    """What comes back."""
    peer.sendall(content)
    return read(peer, len(content))


def test_a_line_takes_its_time(wire: Wire) -> None:
    """An answer is never there before a round trip, and the first not before the handshake's as well."""
    wire.shape(rtt=0.1, bits_per_second=0)
    began = time.monotonic()
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        first = time.monotonic()
        assert ask(peer) == b"hello"
    assert (first - began >= 0.2, time.monotonic() - first >= 0.1) == (True, True)


def test_connections_share_the_line(wire: Wire) -> None:
    """Two connections together are no faster than the line, and neither loses a byte."""
    wire.shape(rtt=0, bits_per_second=20e6)
    content = os.urandom(250_000)
    began = time.monotonic()
    with connect(wire) as one, connect(wire) as other:
        senders = [threading.Thread(target=peer.sendall, args=(content,)) for peer in (one, other)]
        for sender in senders:
            sender.start()
        assert read(one, len(content)) == read(other, len(content)) == content
        for sender in senders:
            sender.join()
    assert time.monotonic() - began >= 2 * 250_000 * 8 / 20e6
    traffic = wire.traffic
    assert (traffic.connections, traffic.most_open, traffic.up, traffic.down) == (2, 2, 500_000, 500_000)


def test_a_refusal_is_over_when_it_is_mended(wire: Wire) -> None:
    """While nobody listens a connection is refused; an open one goes on until it is cut."""
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(wire)
        assert ask(peer) == b"hello"
        wire.cut()
        with pytest.raises(ConnectionResetError):
            read(peer, 1)
    wire.mend()
    with connect(wire) as peer:
        assert ask(peer) == b"hello"


def test_a_connection_is_reset_in_the_middle(wire: Wire) -> None:
    """After so many bytes the client is reset, as often as was said."""
    wire.reset_after(100_000, times=1)
    with connect(wire) as peer, pytest.raises(ConnectionResetError):
        ask(peer, bytes(1_000_000))
    traffic = wire.traffic
    assert (traffic.up, traffic.faults) == (100_000, 1)
    with connect(wire) as peer:
        assert ask(peer, bytes(200_000)) == bytes(200_000)


def test_an_answer_is_cut_short(wire: Wire) -> None:
    """A connection is closed in order when so many bytes of an answer have come."""
    wire.close_after(3, "down")
    with connect(wire) as peer:
        assert ask(peer) == b"hel"


def test_a_stalled_connection_goes_on_when_it_is_mended(wire: Wire) -> None:
    """A connection that stands still is open and silent; what was held back comes after all."""
    wire.stall_after(3)
    with connect(wire) as peer:
        peer.sendall(b"hello")
        wait_for(lambda: wire.traffic.faults == 1, "it never stalled")
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        peer.settimeout(10)
        wire.mend()
        assert read(peer, 5) == b"hello"


def test_a_host_vanishes(wire: Wire) -> None:
    """A connection to a host that is gone is neither made nor refused; an open one is silent until it is back."""
    with connect(wire) as peer:
        assert ask(peer) == b"hello"
        wire.vanish()
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", wire.port), timeout=0.2)
        peer.sendall(b"there?")
        wire.mend()
        assert read(peer, 6) == b"there?"


def test_a_store_is_reached_through_a_line(rclone: Store) -> None:
    """A store that checks signatures takes a request that came over a line."""
    with open_wire(rclone.address) as line:
        rclone.at(line.endpoint).client().put_object(Bucket=rclone.bucket, Key=ODD, Body=bytes(PART))
        assert line.traffic.up > PART
    assert rclone.read(ODD) == bytes(PART)
