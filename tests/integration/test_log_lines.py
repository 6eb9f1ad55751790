"""What a log line says, field by field: a real datagram socket stands where the journal would."""

import contextlib
import fcntl
import json
import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_peers import JournalPeer, open_journal, own_logging, raise_over

from ghostroll.config import Log, LogFormat, LogLevel
from ghostroll.observe.journal import name_field
from ghostroll.observe.logs import open_log

ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


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


def test_a_line_becomes_fields(peer: JournalPeer) -> None:
    """The sentence, its priority, the job, the card and every other value arrive under the journal's names."""
    log = open_journal(peer.path)
    log.info(
        "EOS_DIGITAL: 3 files copied",
        job=42,
        card="EOS_DIGITAL",
        seconds=1.5,
        resumed=True,
        path=None,
        rate_="é",
        **{"from-where " + "x" * 100: "a card"},
    )

    assert peer.only() == {
        "MESSAGE": "EOS_DIGITAL: 3 files copied",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "ghostroll",
        "GHOSTROLL_JOB": "42",
        "GHOSTROLL_CARD": "EOS_DIGITAL",
        "GHOSTROLL_SECONDS": "1.5",
        "GHOSTROLL_RESUMED": "true",
        "GHOSTROLL_RATE_": "é",
        "GHOSTROLL_FROM_WHERE_" + "X" * 43: "a card",  # 64 in all, as the journal wants it
    }


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_every_level_has_its_priority(peer: JournalPeer, level: str, priority: int) -> None:
    """What `journalctl -p` selects by is syslog's severity of the level."""
    getattr(open_journal(peer.path, level=LogLevel.DEBUG), level)("so it is")

    assert peer.only()["PRIORITY"] == str(priority)


def test_a_level_of_somebody_elses_own_is_a_notice(peer: JournalPeer) -> None:
    """A line at a level that syslog has no word for still arrives."""
    open_journal(peer.path)
    logging.getLogger("ghostroll.engine").log(25, "a line at %s", "25")

    assert peer.only() | {"MESSAGE": ""} == {"MESSAGE": "", "PRIORITY": "5", "SYSLOG_IDENTIFIER": "ghostroll"}


@given(key=st.text(), value=st.text(), sentence=st.text())
def test_no_name_of_a_card_makes_fields_or_steers_a_terminal(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str, sentence: str
) -> None:
    """Whatever stands in a sentence, a value or a key, the entry has the fields it should, of printable text."""
    peer = JournalPeer(tmp_path_factory.mktemp("peer") / "journal")
    log = open_journal(peer.path)
    log.info(sentence, **{"x" + key: value})
    entry = peer.only()
    peer.close()

    assert set(entry) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", name_field("x" + key)}
    assert len(entry["MESSAGE"]) == len(sentence)
    for text in entry.values():
        assert not [letter for letter in text if unicodedata.category(letter)[0] == "C"]


def test_a_forged_field_stays_a_name(peer: JournalPeer) -> None:
    """A card's name with a line break and a priority in it is one value and changes nothing."""
    open_journal(peer.path).warning(
        "what a card", card="EOS\nPRIORITY=0\nMESSAGE=all is well", path=b"\xff\n"
    )

    entry = peer.only()
    assert entry["PRIORITY"] == "4"
    assert entry["MESSAGE"] == "what a card"
    assert entry["GHOSTROLL_CARD"] == "EOS\ufffdPRIORITY=0\ufffdMESSAGE=all is well"


def test_a_bug_is_shown_whole(peer: JournalPeer) -> None:
    """The traceback follows the sentence in MESSAGE, and no line of it starts where an entry of the log would."""
    log = open_journal(peer.path)
    try:
        raise_over("EOS\n\x1b[2Jsafe to remove")
    except ValueError:
        log.exception("a bug in stage copy", job=3)

    entry = peer.only()
    first, *others = entry["MESSAGE"].split("\n")
    assert first == "a bug in stage copy"
    assert others[0] == "    Traceback (most recent call last):"
    assert "raise_over" in entry["MESSAGE"]
    assert others[-2:] == ["    ValueError: can't do EOS", "    \ufffd[2Jsafe to remove"]
    assert all(line.startswith("    ") for line in others)
    assert entry["PRIORITY"] == "3"
    assert entry["GHOSTROLL_JOB"] == "3"


def test_a_bug_told_by_plain_logging_is_shown_whole(peer: JournalPeer) -> None:
    """A module that logs by the standard library alone gets the same traceback and the same fields."""
    open_journal(peer.path)
    try:
        raise_over("this")
    except ValueError:
        logging.getLogger("ghostroll.engine").exception("a bug in stage %s", "copy")

    entry = peer.only()
    assert entry["MESSAGE"].startswith("a bug in stage copy\n    Traceback (most recent call last):\n")
    assert set(entry) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"}


def test_a_line_too_long_for_a_datagram_is_handed_over_whole(peer: JournalPeer) -> None:
    """A line of megabytes comes in a memory file that nobody can change any more."""
    open_journal(peer.path).error("x" * 3_000_000, job=8)

    entry = peer.only()
    assert entry["MESSAGE"] == "x" * 3_000_000
    assert entry["GHOSTROLL_JOB"] == "8"
    assert peer.seals == ALL_SEALS


def test_opening_the_log_again_says_no_line_twice(peer: JournalPeer) -> None:
    """A log that is opened a second time takes the place of the first."""
    open_journal(peer.path)
    log = open_journal(peer.path)
    log.info("one")
    logging.getLogger("elsewhere").warning("two")

    assert [entry["MESSAGE"] for entry in peer.read_all()] == ["one", "two"]


@pytest.mark.parametrize(
    ("quiet", "bars", "level", "said"),
    [
        (False, False, LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (False, False, LogLevel.INFO, ["info", "warning", "error"]),
        (False, True, LogLevel.DEBUG, ["warning", "error"]),
        (True, False, LogLevel.DEBUG, ["error"]),
    ],
)
def test_who_reads_decides_what_is_said(
    peer: JournalPeer, quiet: bool, bars: bool, level: LogLevel, said: list[str]
) -> None:
    """Bars leave the warnings, a machine that reads only the errors, and the settings what they name."""
    log = open_log(Log(format=LogFormat.JOURNAL, level=level), quiet=quiet, bars=bars, journal=peer.path)
    for one in ("debug", "info", "warning", "error"):
        getattr(log, one)(one)

    assert [entry["MESSAGE"] for entry in peer.read_all()] == said


def test_json_keeps_numbers_and_hides_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of JSON has the fields as they are, with the traceback as one of them."""
    log = open_log(Log(format=LogFormat.JSON), quiet=False)
    try:
        raise_over("this")
    except ValueError:
        log.exception("a bug", job=3, ok=False, path="a\nb")

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["job"], line["ok"], line["path"]) == ("a bug", 3, False, "a\ufffdb")
    assert line["exception"].endswith("    ValueError: can't do this")
