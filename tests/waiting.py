"""Waiting for what another process or the kernel does: bounded, and without burning a core."""

import select
import time
from collections.abc import Callable


def wait_for(is_so: Callable[[], bool], otherwise: str, timeout: float = 30) -> None:
    """Look fifty times a second until something is so; AssertionError with `otherwise` after `timeout` seconds."""
    until = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < until, f"{otherwise} (for {timeout:g} s)"
        select.select([], [], [], 0.02)
