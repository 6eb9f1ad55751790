"""Sizes, times, counts and names in words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.cli.ending import say_waiting
from ghostroll.model import Cause, Stage
from ghostroll.observe.wording import say_bytes, say_count, say_name, say_seconds


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_449, "99.4 kB"),
        (99_500, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (38_200_000_000, "38.2 GB"),
        (2e15, "2000 TB"),
    ],
)
def test_sizes(size: float, words: str) -> None:
    """Sizes are in powers of a thousand, with three digits."""
    assert say_bytes(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (0.84, "0.8 s"), (42, "42 s"), (185, "3 min 05 s"), (4000, "66 min 40 s")],
)
def test_seconds(seconds: float, words: str) -> None:
    """Times have as many digits as they deserve."""
    assert say_seconds(seconds) == words


def test_counts() -> None:
    """One is singular, all others are plural."""
    assert [say_count(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@given(st.text())
def test_names_are_tame(name: str) -> None:
    """What is shown of a name has its length and nothing that a terminal would obey."""
    shown = say_name(name)
    assert len(shown) == len(name)
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)


def test_names_stay_readable() -> None:
    """Letters of all languages are left alone; an escape sequence and a reversal are not."""
    assert say_name("Ålesund 日本 é.jpg") == "Ålesund 日本 é.jpg"
    assert say_name("a\x1b[31m\u202egpj.exe\n\x9b") == "a\ufffd[31m\ufffdgpj.exe\ufffd\ufffd"


def test_everything_that_waits_has_words() -> None:
    """Each stage and each cause can be said, one and many."""
    said = {
        say_waiting({"stage": stage, "cause": cause, "tasks": tasks, "error": ""})
        for stage in Stage
        for cause in Cause
        for tasks in (1, 2)
    }
    assert len(said) == len(Stage) * len(Cause) * 2
    assert "waiting  2 files to copy, for the card" in said


def test_what_waits_says_why() -> None:
    """A task's own words are added, tamed."""
    waiting = {"stage": "copy", "cause": "no-space", "tasks": 1, "error": "full\x1b[2J"}
    assert say_waiting(waiting) == "waiting  1 file to copy, for room on the library's disk: full\ufffd[2J"
