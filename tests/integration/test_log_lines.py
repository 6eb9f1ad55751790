"""What a log line is to the journal and to a person: a real datagram socket stands where the journal would."""

import fcntl
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import structlog
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.config import Log, LogFormat, LogLevel
from ghostroll.observe.journal import is_journal, name_field
from ghostroll.observe.logs import hide_secrets, open_log

KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"
TOKEN = "FwoGZXIvYXdzEJr" * 4
ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

Fields = dict[str, str]


def parse_entry(data: bytes) -> list[tuple[str, str]]:
    """An entry of the journal's native protocol, read as its description has it: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, short, value = data[at:end].partition(b"=")
        at = end + 1
        if not short:
            size = int.from_bytes(data[at : at + 8], "little")
            value = data[at + 8 : at + 8 + size]
            at += 8 + size
            assert data[at : at + 1] == b"\n"
            at += 1
        assert re.fullmatch(rb"[A-Z0-9][A-Z0-9_]{0,63}", name), name
        fields.append((name.decode("ascii"), value.decode("utf-8")))
    return fields


class JournalPeer:
    """Listens where a journal would, and reads only when asked to."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self.path)
        self.seals: int | None = None  # of the memory file that came last

    def read_entry(self) -> Fields | None:
        """The next entry; None if there is none."""
        try:
            data, descriptors, _flags, _sender = socket.recv_fds(self._socket, 1 << 20, 4)
        except BlockingIOError:
            return None
        if descriptors:
            assert data == b""
            with open(descriptors[0], "rb") as memory:
                self.seals = fcntl.fcntl(memory, fcntl.F_GET_SEALS)
                memory.seek(0)
                data = memory.read()
        fields = parse_entry(data)
        assert len(dict(fields)) == len(fields)
        return dict(fields)

    def read_all(self) -> list[Fields]:
        """Every entry that has come."""
        return list(iter(self.read_entry, None))

    def only(self) -> Fields:
        """The one entry that has come."""
        (entry,) = self.read_all()
        return entry

    def fill(self) -> None:
        """Have so many datagrams waiting that no other fits."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            try:
                while True:
                    other.sendto(b"MESSAGE=somebody else's\n", self.path)
            except BlockingIOError:
                pass

    def close(self) -> None:
        """Go away, as a journal that is stopped."""
        self._socket.close()
        os.unlink(self.path)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    loggers = [logging.getLogger("ghostroll"), logging.getLogger()]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[JournalPeer]:
    """A journal that listens."""
    made = JournalPeer(tmp_path / "journal")
    yield made
    made.close()


def open_journal(path: str, **settings: Any) -> structlog.stdlib.BoundLogger:
    """The log, as the daemon has it under systemd."""
    return open_log(Log(format=LogFormat.JOURNAL, **settings), quiet=False, journal=path)


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


def raise_over(name: str) -> None:
    """Fail as a bug would, with a card's name in the words."""
    raise ValueError(f"can't do {name}")


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


def sign(version: str) -> str:
    """A real signed address, as the S3 target makes them."""
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=KEY_ID * 2,
        aws_session_token=TOKEN,
        config=Config(signature_version=version),
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "s/index.html"})
    assert isinstance(url, str)
    return url


def signatures(url: str) -> list[str]:
    """What of a signed address must not be told."""
    found = re.findall(r"(?:Signature|AWSAccessKeyId|Credential|(?i:security-token))=([^&]+)", url)
    assert len(found) == 3
    return [*found, KEY_ID, TOKEN]


WRAPS: list[Callable[[str], str]] = [
    str,
    "could not reach {}: no route".format,
    '{{"Link": "{}"}}'.format,
    "<a href='{}'>".format,
    lambda url: "redirect?to=" + url.replace("=", "%3D").replace("&", "%26"),
    lambda url: repr(url.encode()),
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_signed_address_never_gets_through(
    peer: JournalPeer, capsys: pytest.CaptureFixture[str], version: str, wrap: Callable[[str], str]
) -> None:
    """In a sentence, a value or an exception, to the journal, as JSON and on a terminal: no signature, key or token."""
    url = sign(version)
    for kind in LogFormat:
        log = open_log(Log(format=kind), quiet=False, environ={}, journal=peer.path)
        log.info(wrap(url), where=wrap(url), several=[wrap(url)])
        try:
            raise_over(wrap(url))
        except ValueError:
            log.exception("a bug")

    said = capsys.readouterr().err + "\n".join("\n".join(entry.values()) for entry in peer.read_all())
    assert said.count("[hidden]") >= 4 * len(LogFormat)
    assert "a bug" in said
    for secret in signatures(url):
        assert secret not in said


@pytest.mark.parametrize(
    "word",
    [
        "X-Amz-Signature=1f2e",
        "x-amz-security-token%3D1f2e",
        "X-Amz-Credential%253D1f2e",
        "X-Goog-Signature=1f2e",
        "/b/k?AWSAccessKeyId=1f2e",
        "GoogleAccessId=1f2e",
        "?Expires=1&Signature=1f2e",
        "Credential=1f2e",
        "aws_secret_access_key=1f2e",
        "aws_session_token=1f2e",
        KEY_ID,
        "ASIA" + KEY_ID[4:] + "/20261122/eu-central-1/s3/aws4_request",
    ],
)
def test_every_mark_of_a_secret_is_known_by_itself(word: str) -> None:
    """A word with one such mark is hidden whole, and nothing beside it."""
    assert hide_secrets(f"no route to '{word}' today") == "no route to '[hidden]' today"


@pytest.mark.parametrize(
    "text",
    [
        "DCIM/100CANON/IMG_0001.JPG can't be read",
        "DCIM/Signature=1/Credential=2.JPG",
        "ASIA2026 asiaphotographs12345 AKIA",
        "safe to remove, 1201 files verified: ghostroll link 42",
        "https://photos.example/s/index.html?X-Amz-Expires=3600",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """The net lets names of files, sentences and plain addresses pass."""
    assert hide_secrets(text) == text


def test_a_long_word_is_looked_at_once() -> None:
    """A word of a megabyte that only looks like a secret is through before anybody gives up."""
    text = "AKIA?Signature&X-Amz-" * 50_000
    assert hide_secrets(text) == text


def test_what_a_library_warns_of_passes_the_same_net(peer: JournalPeer) -> None:
    """A library's warning comes as an entry without secrets; what it says below a warning is not logged."""
    open_journal(peer.path, level=LogLevel.DEBUG)
    other = logging.getLogger("anything.connectionpool")
    other.warning("Retrying %s", "/x?X-Amz-Signature=abc\nPRIORITY=0")
    other.setLevel(logging.DEBUG)
    other.info("Found credentials")
    other.setLevel(logging.NOTSET)

    entry = peer.only()
    assert entry["MESSAGE"] == "Retrying [hidden]"
    assert entry["PRIORITY"] == "4"


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
