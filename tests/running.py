"""Running the real command in a process of its own, as a user does."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILLED = -9


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def environment(home: Path, library: Path, **more: str) -> dict[str, str]:
    """A user's environment with nothing of ours in it but the library's place."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GHOSTROLL_", "XDG_"))}
    return clean | {
        "HOME": str(home),
        "GHOSTROLL_LIBRARY__PATH": str(library),
        "GHOSTROLL_LIBRARY__KEEP_FREE_MIB": "1",
        **more,
    }


def command(*arguments: str | bytes | Path) -> list[str | bytes | Path]:
    """The command line of the program under test, in this very environment."""
    return [sys.executable, "-m", "ghostroll", *arguments]


def run_command(env: Mapping[str, str], *arguments: str | bytes | Path, timeout: float = 100) -> Run:
    """Run a command to its end."""
    done = subprocess.run(command(*arguments), env=env, capture_output=True, check=False, timeout=timeout)
    return Run(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
