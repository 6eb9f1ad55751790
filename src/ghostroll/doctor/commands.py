"""Asking other programs, never for longer than they may take."""

import os
import subprocess
from collections.abc import Sequence

_SECONDS = 10.0
# Nothing of the person's own must change what a tool prints, or make it page or colour it.
_PLAIN = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def ask(*command: str, seconds: float = _SECONDS) -> str | None:
    """What a program prints; None where it is not installed, fails or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            env=os.environ | _PLAIN,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def ask_systemd(unit: str, properties: Sequence[str], *, own: bool) -> dict[str, str] | None:
    """Properties of a unit, by the system's manager or by this user's own; None where it doesn't answer."""
    manager = ("--user",) if own else ()
    answer = ask("systemctl", *manager, "show", "--no-pager", f"--property={','.join(properties)}", unit)
    if answer is None:
        return None
    lines = (line.partition("=") for line in answer.splitlines())
    return {key: value for key, equals, value in lines if equals}


def read_text(path: str) -> str | None:
    """A small text file without the white space around it; None where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).strip()
    except OSError:
        return None


def read_bytes(path: str) -> bytes | None:
    """A file as it is; None where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return None
