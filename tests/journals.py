"""Asking a journal: the command line of journalctl, and reading what it tells as it comes."""

import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping


def ask_journal(unit: str, since: str | None, this_boot: bool, fields: Mapping[str, str]) -> list[str]:
    """The command that tells the entries of a unit, one JSON object a line."""
    asked = ["journalctl", "--no-pager", "--all", "--output=json", "--quiet", f"--unit={unit}"]
    asked += ["--boot"] if this_boot else []
    asked += [f"--after-cursor={since}"] if since else []
    return [*asked, *(f"{name}={value}" for name, value in fields.items())]


def read_lines(process: subprocess.Popen[bytes], until: float) -> Iterator[bytes]:
    """Lines as they come, until a moment of time.monotonic()."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    rest = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            return
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
