"""The worker process: takes one picture at a time, decodes it, answers with bytes.

Started by `child.Child` as `python -I -B -W ignore -m ghostroll.render.worker ORDER`; ORDER is JSON with the
channel's descriptor, the parent's process id and the limits. It writes nothing to disk, knows no
credentials, and dies with the thread that started it.

Tests make it fail by name: with `GHOSTROLL_RENDER_FAULT=crash:IMG_0007` it dies of SIGSEGV when asked
for a path that contains `IMG_0007`; `hang` sleeps for ever, `eat` allocates until it is refused,
`rubbish` answers nonsense, `flood` answers more than an answer may have, `exit` ends with status 3,
and `early` ends before it takes the task. Several are joined by commas.
"""

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

from ghostroll.errors import PermanentError, TransientError
from ghostroll.model import Kind, Rendered
from ghostroll.render.limits import RenderLimits
from ghostroll.render.wire import (
    HEAD,
    REQUEST_LARGEST,
    Tag,
    pack,
    pack_reason,
    pack_rendered,
    unpack_head,
    unpack_task,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_DESCRIPTORS = 64
# Where the machine runs out of memory the kernel is to take a worker, whatever the daemon's size: proc(5), half of all memory.
_KILLED_FIRST = 500
Render = Callable[[bytes, Kind], Rendered]
NEEDS_MEMORY = "needs more memory than render.memory_mib allows"


def main(order: str) -> None:
    """Serve until the channel closes. `order` is what the module's docstring says."""
    logging.disable()  # remarks of decoders have no reader
    wanted = json.loads(order)
    limits = RenderLimits(**wanted["limits"])
    confine(limits, wanted["parent"])
    from ghostroll.render.decode import render  # noqa: PLC0415  # within the limits

    with socket.socket(fileno=wanted["channel"]) as channel:
        serve(channel, lambda path, kind: render(path, kind, limits))


def confine(limits: RenderLimits, parent: int) -> None:
    """Bind this process to its parent's life and to its limits; on return nothing can undo them."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):  # a sandbox may forbid `nice`; the work is the same
        os.nice(limits.niceness)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write(str(_KILLED_FIRST))
    for which, largest in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # no file grows by its hand
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        _, hard = resource.getrlimit(which)
        least = largest if hard == resource.RLIM_INFINITY else min(largest, hard)
        resource.setrlimit(which, (least, least))


def serve(channel: socket.socket, render: Render) -> None:
    """Answer tasks until the other end closes."""
    faults = os.environ.get("GHOSTROLL_RENDER_FAULT", "")
    while (payload := _receive_task(channel)) is not None:
        path, kind = unpack_task(payload)
        fault = _fault_for(path, faults)
        if fault == "early":
            os._exit(3)
        channel.sendall(pack(Tag.TAKEN))
        if fault:
            _fail(fault, channel)
        channel.sendall(_answer(path, kind, render))


def _answer(path: bytes, kind: Kind, render: Render) -> bytes:
    try:
        return pack_rendered(render(path, kind))
    except PermanentError as error:
        return pack_reason(Tag.PERMANENT, str(error))
    except TransientError as error:
        return pack_reason(Tag.TRANSIENT, str(error))
    except MemoryError:
        return pack_reason(Tag.TRANSIENT, NEEDS_MEMORY)


def _receive_task(channel: socket.socket) -> bytes | None:
    head = _receive_exactly(channel, HEAD.size)
    if head is None:
        return None
    tag, length = unpack_head(head)
    if tag is not Tag.TASK or length > REQUEST_LARGEST:
        return None
    return _receive_exactly(channel, length)


def _receive_exactly(channel: socket.socket, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = channel.recv(length - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _fault_for(path: bytes, faults: str) -> str:
    for fault in faults.split(",") if faults else ():
        name, _, part = fault.partition(":")
        if os.fsencode(part) in path:
            return name
    return ""


def _fail(fault: str, channel: socket.socket) -> None:
    match fault:
        case "crash":
            signal.raise_signal(signal.SIGSEGV)
        case "hang":
            while True:
                signal.pause()
        case "eat":
            eaten = []
            with contextlib.suppress(MemoryError):
                while True:
                    eaten.append(bytearray(b"x" * 2**24))
            eaten.clear()
            channel.sendall(pack_reason(Tag.TRANSIENT, NEEDS_MEMORY))
        case "rubbish":
            channel.sendall(pack(Tag.RENDERED, b"\0\0\0\2{}\xff\xd8\xff"))
        case "flood":
            channel.sendall(HEAD.pack(Tag.RENDERED.value, 2**32 - 1) + b"x" * 4096)
        case "exit":
            os._exit(3)
        case _:
            os._exit(4)


if __name__ == "__main__":
    main(sys.argv[1])
