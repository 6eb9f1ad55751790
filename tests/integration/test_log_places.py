"""Where a log line goes: to the journal while one reads, else to stderr, and nothing fails where there is neither."""

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_peers import Fields, JournalPeer, open_journal, own_logging, raise_over

from ghostroll.observe.journal import is_journal


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    with own_logging():
        yield


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[JournalPeer]:
    """A journal that listens."""
    with contextlib.closing(JournalPeer(tmp_path / "journal")) as peer:
        yield peer


def test_no_journal_means_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody listens, a line goes to stderr with its priority in front of every line, fields included."""
    log = open_journal(str(tmp_path / "nobody"))
    log.warning("the disk is short", job=4, card="EOS\nX")
    try:
        raise_over("this")
    except ValueError:
        log.exception("a bug")

    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["<4>the disk is short job=4 card=EOS\ufffdX", "<3>a bug"]
    assert lines[2] == "<3>    Traceback (most recent call last):"
    assert lines[-1] == "<3>    ValueError: can't do this"
    assert all(line.startswith("<3>") for line in lines[1:])


def test_a_journal_that_does_not_read_loses_no_line(
    peer: JournalPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the journal's queue is full lines go to stderr, long ones too, and to the journal when it reads again."""
    log = open_journal(peer.path)
    peer.fill()
    log.info("one")
    log.info("two" * 1_000_000)
    waiting = peer.read_all()
    log.info("three")

    assert {entry["MESSAGE"] for entry in waiting} == {"somebody else's"}
    assert capsys.readouterr().err == "<6>one\n<6>" + "two" * 1_000_000 + "\n"
    assert peer.only()["MESSAGE"] == "three"


def test_a_journal_that_starts_anew_gets_the_next_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another journal at the same place gets lines without anybody opening the log again."""
    first = JournalPeer(tmp_path / "journal")
    log = open_journal(first.path)
    log.info("one")
    assert first.only()["MESSAGE"] == "one"
    first.close()
    log.info("two")
    second = JournalPeer(tmp_path / "journal")
    log.info("three")

    assert second.only()["MESSAGE"] == "three"
    assert capsys.readouterr().err == "<6>two\n"
    second.close()


def test_neither_journal_nor_stderr_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that can be said nowhere is lost, and the program goes on."""
    log = open_journal(str(tmp_path / "nobody"))
    nowhere = io.StringIO()
    nowhere.close()
    monkeypatch.setattr("sys.stderr", nowhere)
    log.error("nobody hears")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1, encoding="utf-8") as broken:
        monkeypatch.setattr("sys.stderr", broken)
        log.error("nobody hears")
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.close()


def test_lines_of_many_threads_stay_whole(peer: JournalPeer) -> None:
    """Every line of several threads arrives once, and whole."""
    log = open_journal(peer.path)
    done = threading.Event()
    seen: list[Fields] = []

    def read() -> None:
        while not done.is_set():
            seen.extend(peer.read_all())

    reader = threading.Thread(target=read)
    reader.start()
    writers = [
        threading.Thread(target=lambda job=job: [log.info("x" * 500, job=job, n=n) for n in range(50)])
        for job in range(4)
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    done.set()
    reader.join()
    seen.extend(peer.read_all())

    found = sorted((entry["GHOSTROLL_JOB"], int(entry["GHOSTROLL_N"])) for entry in seen)
    assert found == sorted((str(job), n) for job in range(4) for n in range(50))
    assert {entry["MESSAGE"] for entry in seen} == {"x" * 500}


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    """Only the very file that systemd names is the journal; nonsense and a closed descriptor are not."""
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        there = os.fstat(stream.fileno())
        named = f"{there.st_dev}:{there.st_ino}"
        assert is_journal(named, stream.fileno())
        assert not is_journal(named, other.fileno())
        assert not is_journal(None, stream.fileno())
        assert not is_journal("", stream.fileno())
        assert not is_journal("8:nonsense:", stream.fileno())
        closed = stream.fileno()
    assert not is_journal(named, closed)


SAY_HELLO = """
import sys
from ghostroll.config import Log
from ghostroll.observe.logs import open_log
open_log(Log(), quiet=False, journal=sys.argv[1]).info("hello", job=1)
"""


@pytest.mark.parametrize("there", [True, False])
def test_auto_means_the_journal_only_where_stderr_leads_to_it(
    peer: JournalPeer, tmp_path: Path, there: bool
) -> None:
    """A child whose stderr was sent elsewhere writes readable lines there, though it inherited JOURNAL_STREAM."""
    with (tmp_path / "stream").open("w+") as stream, (tmp_path / "elsewhere").open("w+") as elsewhere:
        named = os.fstat(stream.fileno())
        subprocess.run(
            [sys.executable, "-c", SAY_HELLO, peer.path],
            env={**os.environ, "JOURNAL_STREAM": f"{named.st_dev}:{named.st_ino}"},
            stderr=stream if there else elsewhere,
            check=True,
        )
        stream.seek(0)
        elsewhere.seek(0)
        said = stream.read(), elsewhere.read()

    entries = [entry["MESSAGE"] for entry in peer.read_all()]
    if there:
        assert (entries, said) == (["hello"], ("", ""))
    else:
        assert entries == []
        assert said[0] == ""
        assert re.fullmatch(r"\d\d:\d\d:\d\d \[info *\] hello +job=1\n", said[1]), said
