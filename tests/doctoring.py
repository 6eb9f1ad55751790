"""The real `ghostroll doctor` on this machine: what it says to a person, and typing what it says.

What needs another mount is broken in a mount namespace of the command's own, which ends with it. What needs a
system that systemd runs is broken where the tests have one.
"""

import os
import shlex
import subprocess
import sys
from typing import Any

from commanding import Person
from running import Run, check_sentence, do_without, need_tools, run_command


def examine(person: Person, *arguments: str, **more: str) -> list[dict[str, Any]]:
    """Everything that is said, as the person sees it."""
    return read_checks(person.run("doctor", "--json", *arguments, code=None, **more))


def examine_inside(person: Person, script: str, **more: str) -> list[dict[str, Any]]:
    """Everything that is said to root in a mount namespace that a script has changed."""
    return read_checks(run_inside(person, script, "doctor", "--json", **more))


def run_inside(person: Person, script: str, *arguments: str, **more: str) -> Run:
    """Run a command as root in a mount namespace of its own, after a script has changed it."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(unshare="util-linux")
    inside = ("unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh")
    run = run_command(person.env | more, *arguments, before=inside)
    check_sentence(run)
    return run


def read_checks(run: Run) -> list[dict[str, Any]]:
    """Everything that was said, counted."""
    checks: list[dict[str, Any]] = run.document["checks"]
    assert [one["level"] for one in checks].count("finding") == run.document["findings"]
    assert [one["level"] for one in checks].count("hint") == run.document["hints"]
    assert run.code == (3 if run.document["findings"] else 0)
    return checks


def pick(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """What was said of one thing, once."""
    (one,) = (one for one in found if one["check"] == check)
    return one


def find(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """The finding about one thing: it says what, why, and what mends it."""
    one = pick(found, check)
    assert one["level"] == "finding", one
    assert all(one[text] for text in ("what", "why", "remedy"))
    return one


def levels(found: list[dict[str, Any]]) -> dict[str, str]:
    """How bad each check came out."""
    return {one["check"]: one["level"] for one in found}


def mend(person: Person, remedy: str) -> None:
    """Type what is said, with this very program as `ghostroll`; whoever tests needs no sudo."""
    script = f'ghostroll() {{ {shlex.join([sys.executable, "-m", "ghostroll"])} "$@"; }}\nsudo() {{ "$@"; }}\n{remedy}'
    subprocess.run(["sh", "-ec", script], env=person.env, check=True, capture_output=True)
