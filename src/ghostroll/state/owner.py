"""One owner: only one process at a time works on a state."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from typing import Self

from ghostroll.disk import make_folder
from ghostroll.errors import StateHeld, StateUnusable


def make_state_folder(state_path: str) -> None:
    """See to it that the state's folder exists, durably. Raises StateUnusable."""
    try:
        make_folder(os.path.dirname(os.path.abspath(state_path)))
    except OSError as error:
        raise StateUnusable(
            f"the folder for the state at {state_path} can't be made ({error.strerror}): check state.path"
        ) from error


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

        Waits a moment for an owner that is just leaving. Raises StateHeld, which names the holder, and
        StateUnusable where the state's place can't be written.
        """
        make_state_folder(state_path)
        try:
            descriptor = os.open(state_path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        except OSError as error:
            raise StateUnusable(
                f"the state at {state_path} can't be owned ({error.strerror}): check state.path and its permissions"
            ) from error
        for attempt in range(max(1, int(wait_seconds / 0.1))):
            if attempt:
                pause(0.1)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            holder = json.dumps({"pid": os.getpid(), "command": command})
            os.ftruncate(descriptor, 0)
            with contextlib.suppress(
                OSError
            ):  # on a full disk the holder has no name; the lock holds all the same
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
