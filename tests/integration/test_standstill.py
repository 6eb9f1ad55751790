"""The runner that has a command stand still now and then."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import do_without

STANDSTILL = Path(__file__).resolve().parents[1] / "standstill.py"
# A parent and its child look at the clock all the time, and say how long they once could not.
LOOK = """
import os, select, sys, time
child = os.fork()
longest, now, until = 0.0, time.monotonic(), time.monotonic() + 12
while now < until and longest < 0.15:
    now, before = time.monotonic(), now
    longest = max(longest, now - before)
    select.select([], [], [], 0.001)
print(f"longest {longest:.3f}", flush=True)
if child:
    os.waitpid(child, 0)
    sys.exit(7)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A command that stands still now and then."""
    return subprocess.run(
        [sys.executable, STANDSTILL, *words], capture_output=True, check=False, text=True, timeout=60
    )


def list_groups() -> set[Path]:
    """The control groups of commands that stand still now and then; these tests may be in one."""
    return set(Path("/sys/fs/cgroup").glob("**/ghostroll-standstill-*"))


def test_a_command_stands_still_and_goes_on() -> None:
    """Every process of a command is held now and then, its exit code comes out, and its group is removed."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    before = list_groups()
    done = run("1", sys.executable, "-c", LOOK)
    assert done.returncode == 7, done.stderr
    told = re.search(r"it stood still (\d+) times", done.stdout)
    assert told is not None
    assert int(told[1]) > 0
    longest = [float(found) for found in re.findall(r"longest (\S+)", done.stdout)]
    assert len(longest) == 2
    assert max(longest) >= 0.15
    assert list_groups() == before


@pytest.mark.parametrize("words", [(), ("1",), ("soon", "true")])
def test_a_wrong_use_is_said(words: tuple[str, ...]) -> None:
    """Without a seed and a command it says what it wants."""
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
