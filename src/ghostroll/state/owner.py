"""One owner: only one process at a time works on a state."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from typing import Self

from ghostroll.errors import StateHeld


class Ownership:
    """An exclusive lock beside the database, held until `release()` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(
        cls,
        state_path: str,
        *,
        command: str,
        wait_seconds: float = 2.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Become the owner of the state at `state_path`.

        Waits a moment for an owner that is just leaving. Raises StateHeld, which names the holder.
        """
        os.makedirs(os.path.dirname(state_path), exist_ok=True)
        descriptor = os.open(state_path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        for attempt in range(max(1, int(wait_seconds / 0.1))):
            if attempt:
                pause(0.1)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            holder = json.dumps({"pid": os.getpid(), "command": command})
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
            return cls(descriptor)
        text = os.pread(descriptor, 4096, 0)
        os.close(descriptor)
        raise StateHeld(
            f"another ghostroll holds {state_path}: {_describe_holder(text)}; wait for it or stop it"
        )

    def release(self) -> None:
        """Let another process become the owner."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _describe_holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"process {int(holder['pid'])} ({holder['command']})"
    except (ValueError, KeyError, TypeError):
        return "a process that left no name"
