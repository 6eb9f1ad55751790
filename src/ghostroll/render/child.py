"""One worker process as its lane sees it: started, asked with a deadline, ended for certain."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict

from ghostroll.errors import Stopped
from ghostroll.faults import crash_point
from ghostroll.render.limits import RenderLimits
from ghostroll.render.wire import ANSWER_LARGEST, HEAD, REASON_LARGEST, Rubbish, Tag, clean, unpack_head

_CHUNK = 256 * 1024
_TAIL = 4 * 1024  # bytes kept of what a worker said on stderr
_END_SECONDS = 5.0  # a process that SIGKILL doesn't end in this time hangs in the kernel: leave it

_PYTHON = ("-I", "-B", "-W", "ignore")  # nothing from the user's environment, no .pyc, no remarks

# What a decoder may know of its surroundings: no credentials, no proxies, nothing to obey.
_KEPT_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "GHOSTROLL_RENDER_FAULT")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a lane is one core
# glibc gives a picture's memory back to the kernel after each one, and faults it in again for the next: a tenth of
# all CPU. Both are needed (mallopt(3); 32 MiB is the largest threshold it takes).
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}


class Died(Exception):  # named for what happened
    """The worker's end of the channel is closed: the process is gone or going."""


class TooSlow(Exception):  # named for what happened
    """The deadline passed before the worker answered."""


class Child:
    """A running worker process and the channel to it; owned by the thread that made it."""

    def __init__(self, limits: RenderLimits, wake: int) -> None:
        """Start the process. `wake` is a descriptor that turns readable when all waiting must end."""
        self._wake = wake
        self._tail = b""
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as far_ends:
            self._socket, far = (on_failure.enter_context(end) for end in socket.socketpair())
            far_ends.callback(far.close)
            self._stderr, far_stderr = os.pipe()
            on_failure.callback(os.close, self._stderr)
            far_ends.callback(os.close, far_stderr)
            for end in (self._stderr, far_stderr):
                os.set_blocking(end, False)  # a chatty decoder loses words rather than hangs
            self._socket.setblocking(False)
            order = {"channel": far.fileno(), "parent": os.getpid(), "limits": asdict(limits)}
            crash_point("render.child_starting")
            self._process = _spawn(order, far.fileno(), far_stderr)
            crash_point("render.child_started")
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        """The process id, for people and tests."""
        return self._process.pid

    def is_idle(self) -> bool:
        """Whether the worker waits for a task: it is alive and has said nothing unasked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def send(self, frame: bytes) -> None:
        """Hand the worker a frame far smaller than the socket's buffer. Raises Died."""
        try:
            self._socket.sendall(frame)
        except OSError:
            raise Died from None

    def receive(self, deadline: float) -> tuple[Tag, bytes]:
        """The next frame. `deadline` is in seconds of `time.monotonic`.

        Raises Died, TooSlow, Rubbish, or Stopped as soon as the wake descriptor is readable.
        """
        tag, length = unpack_head(self._receive_exactly(HEAD.size, deadline))
        return tag, self._receive_exactly(length, deadline)

    def _receive_exactly(self, length: int, deadline: float) -> bytes:
        if length > ANSWER_LARGEST:
            raise Rubbish
        parts = bytearray()
        while len(parts) < length:
            self._wait_readable(deadline)
            try:
                part = self._socket.recv(min(_CHUNK, length - len(parts)))
            except BlockingIOError:
                continue
            except OSError:
                raise Died from None
            if not part:
                raise Died
            parts += part
        return bytes(parts)

    def _wait_readable(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        left = deadline - time.monotonic()
        ready = poll.poll(left * 1000) if left > 0 else []
        if any(fd == self._wake for fd, _ in ready):
            raise Stopped("the render was stopped and will be done again")
        if not ready:
            raise TooSlow

    def end(self, patience: float = 0.0) -> int | None:
        """End the process, reap it and close every descriptor; call it once.

        `patience` is how many seconds a worker that is on its way out may take before it is killed,
        so that its own exit status is seen. Returns that status as `subprocess` has it (negative: the
        signal), or None where the kernel does not let go of the process.
        """
        self._socket.close()
        status: int | None = None
        for seconds in (patience, _END_SECONDS):
            try:
                status = self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._drain_stderr()
        os.close(self._stderr)
        return status

    def last_words(self) -> str:
        """The last line that the worker wrote to stderr, or nothing."""
        lines = self._tail.decode(errors="replace").split("\n")
        return next((clean(line, REASON_LARGEST) for line in reversed(lines) if line.strip()), "")

    def forget_words(self) -> None:
        """Empty the stderr pipe: what was said belongs to an earlier picture."""
        self._drain_stderr()
        self._tail = b""

    def _drain_stderr(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._stderr, _CHUNK):
                self._tail = (self._tail + part)[-_TAIL:]


def describe_end(status: int | None, last_words: str) -> str:
    """Why a worker ended, in words for a photographer."""
    if "bad_alloc" in last_words or "MemoryError" in last_words:
        return "needs more memory than render.memory_mib allows"
    if status is None:
        return "the decoder hangs in the kernel"
    if status >= 0:
        return f"the decoder failed ({last_words or f'exit status {status}'})"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if name == "SIGKILL":
        return "the decoder was killed (SIGKILL), perhaps because the machine ran out of memory"
    return f"the decoder crashed ({name})"


def _spawn(order: dict[str, object], channel: int, stderr: int) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, *_PYTHON, "-m", "ghostroll.render.worker", json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(channel,),
        env=environment | _ONE_THREAD | _KEEP_MEMORY,
        cwd="/",  # where we were started may be gone by now, or a card that is to be let go of
        start_new_session=True,  # a Ctrl-C at the terminal is the parent's business
    )
