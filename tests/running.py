"""Running the real command in a process of its own, as a user does."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

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


def run_command(
    env: Mapping[str, str],
    *arguments: str | bytes | Path,
    before: Sequence[str | bytes | Path] = (),
    timeout: float = 100,
) -> Run:
    """Run a command to its end; `before` is what it is started by, such as setpriv."""
    done = subprocess.run(
        [*before, *command(*arguments)], env=env, capture_output=True, check=False, timeout=timeout
    )
    return Run(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


def start_command(env: Mapping[str, str], *arguments: str | bytes | Path) -> subprocess.Popen[bytes]:
    """Start a command and go on; `finish_command` tells how it ended."""
    return subprocess.Popen(command(*arguments), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish_command(process: subprocess.Popen[bytes], timeout: float = 60) -> Run:
    """Wait for a started command; one that doesn't end is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Run(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def wait_until(is_so: Callable[[], bool], timeout: float = 30) -> None:
    """Look again and again until something is so; AssertionError after `timeout` seconds."""
    until = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < until, "it never came to be"
        select.select([], [], [], 0.005)  # whoever is waited for needs the core


def check_sentence(run: Run) -> None:
    """What a person is told is a sentence, whatever happened: no traceback, no bug."""
    assert "Traceback" not in run.err + run.out, run.err
    assert "unexpected" not in run.err, run.err
    assert run.code != 1, run.err


def do_without(reason: str) -> NoReturn:
    """Skip the test that runs, with the remedy; where a machine tests, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_tools(**packages: str) -> None:
    """Go on only if each of these commands is there; else say which Debian package brings it."""
    for tool, package in packages.items():
        if shutil.which(tool.replace("_", ".")) is None:
            do_without(f"no {tool.replace('_', '.')} here: apt install {package}")


def run_python(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a piece of Python in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | env,
        capture_output=True,
        check=False,
        timeout=60,
    )
