"""A line to a server, made worse: a TCP proxy with a delay, a bandwidth, and faults that are switched while it runs.

It is a process of its own, so that it disturbs neither the timing of a test nor the figures of a benchmark, and it
ends with the process that opened it. What it doesn't have is packets: nothing is lost, and TCP doesn't start slowly.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Way = Literal["up", "down"]  # up is from the client to the server


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over a wire since it was opened. Bytes count when they arrive."""

    connections: int  # that were accepted
    open: int  # now
    most_open: int  # at one moment
    up: int
    down: int
    faults: int  # how often a connection was reset, closed or stalled by a fault


class Wire:
    """A proxy to one server. It listens on a port of its own, the same one for as long as it is open."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self._lock = threading.Lock()
        self.port = port

    @property
    def endpoint(self) -> str:
        """What a client is given instead of the server's."""
        return f"http://127.0.0.1:{self.port}"

    def shape(self, *, rtt: float, bits_per_second: float) -> None:
        """A round trip in seconds, half of it each way, and a limit each way over all connections; 0 is none."""
        self._ask("shape", rtt=rtt, rate=bits_per_second)

    def refuse(self) -> None:
        """Nobody listens any more: a connection is refused. Those that are open go on; `cut` ends them."""
        self._ask("refuse")

    def vanish(self) -> None:
        """The host is gone: a connection is neither made nor refused, and the open ones stand still."""
        self._ask("vanish")

    def cut(self) -> None:
        """Every open connection is reset, now."""
        self._ask("cut")

    def reset_after(self, count: int, way: Way = "up", *, times: int = 0) -> None:
        """A connection is reset when so many bytes have gone this way. `times`: how often; 0 is for ever."""
        self._ask("fault", sort="reset", after=count, way=way, times=times)

    def stall_after(self, count: int, way: Way = "up", *, times: int = 0) -> None:
        """A connection stands still when so many bytes have gone this way: it is open, and nothing comes."""
        self._ask("fault", sort="stall", after=count, way=way, times=times)

    def close_after(self, count: int, way: Way = "up", *, times: int = 0) -> None:
        """A connection is closed in order when so many bytes have gone this way."""
        self._ask("fault", sort="close", after=count, way=way, times=times)

    def mend(self) -> None:
        """No fault any more: it listens again, and what stood still goes on. Delay and bandwidth stay."""
        self._ask("mend")

    @property
    def traffic(self) -> Traffic:
        """What went over it."""
        return Traffic(**self._ask("tell"))

    def _ask(self, word: str, **more: Any) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"word": word, **more}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, "the wire's process has ended"
        told: dict[str, int] = json.loads(answer)
        return told


@contextlib.contextmanager
def open_wire(address: tuple[str, int], *, rtt: float = 0, bits_per_second: float = 0) -> Iterator[Wire]:
    """A wire to the server at host and port; with `Store.at(wire.endpoint)` a store is behind it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wire_process", address[0], str(address[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=__file__.rpartition("/")[0],
    )
    try:
        assert process.stdout is not None
        wire = Wire(process, int(process.stdout.readline()))
        wire.shape(rtt=rtt, bits_per_second=bits_per_second)
        yield wire
    finally:
        process.kill()
        process.communicate()
