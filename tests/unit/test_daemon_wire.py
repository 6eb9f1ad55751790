"""What goes over the daemon's socket: every request arrives as it was, and nothing else is taken for one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostroll.daemon.peers import Peer, is_owner, may_ask
from ghostroll.daemon.progress import Glance, describe_glance, describe_note, read_glance, read_note
from ghostroll.daemon.wire import (
    LONGEST_REQUEST,
    Answer,
    Close,
    Done,
    Failed,
    Folder,
    Heard,
    Ingest,
    Link,
    Progress,
    Publish,
    Request,
    Retry,
    encode_answer,
    encode_request,
    parse_answer,
    parse_request,
)
from ghostroll.errors import UsageError
from ghostroll.model import JobId, SourceState, Stage
from ghostroll.observe.meter import Reading
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally

numbers = st.integers(1, 2**63 - 1).map(JobId)
paths = st.binary(max_size=4000).map(lambda path: b"/" + path.replace(b"\0", b""))
requests = st.one_of(
    *(st.builds(kind, numbers) for kind in (Retry, Close, Link, Publish)),
    st.builds(
        Ingest,
        paths,
        st.none() | st.text(max_size=255),
        st.none() | st.builds(Folder, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    ),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
documents = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=20), max_size=5)


def path_of(path: bytes) -> str:
    return base64.b64encode(path).decode()


@settings(deadline=None)  # a busy machine is no failure
@given(requests)
def test_a_request_arrives_as_it_was(request: Request) -> None:
    """Every request fits on one line, and is the same one at its other end."""
    line = encode_request(request)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= LONGEST_REQUEST
    assert parse_request(line) == request


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_no_request(noise: bytes) -> None:
    """Bytes of any kind are a request or a sentence, never another failure."""
    try:
        parse_request(noise)
    except UsageError as error:
        assert str(error)  # noqa: PT017  # a request may come of it, by a miracle


@settings(deadline=None)
@given(
    st.sampled_from(["retry", "close", "link", "publish", "ingest", "nothing"]) | values,
    st.dictionaries(st.sampled_from(["version", "job", "path_b64", "session", "more"]), values),
)
def test_values_of_any_type_are_no_request(name: object, fields: dict[str, Any]) -> None:
    """Whatever stands in a request's fields, what comes of it is a valid request or a sentence."""
    try:
        request = parse_request(json.dumps({"version": 1, "request": name, **fields}).encode())
    except UsageError:
        return
    assert parse_request(encode_request(request)) == request


JOB = {"version": 1, "request": "retry", "job": 1}
FOLDER = {"version": 1, "request": "ingest", "path_b64": path_of(b"/card"), "session": None}


@pytest.mark.parametrize(
    "wrong",
    [
        JOB | {"job": 0},
        JOB | {"job": -1},
        JOB | {"job": 2**63},
        JOB | {"job": True},
        JOB | {"job": 1.0},
        JOB | {"job": "1"},
        JOB | {"job": None},
        JOB | {"job": [1]},
        JOB | {"more": 1},
        JOB | {"session": None},
        JOB | {"request": "Retry"},
        JOB | {"request": "__class__"},
        JOB | {"request": None},
        JOB | {"request": ["retry"]},
        JOB | {"version": 2},
        JOB | {"version": True},
        JOB | {"version": "1"},
        JOB | {"version": 1.0},
        {"request": "retry", "job": 1},
        {"version": 1},
        FOLDER | {"path_b64": path_of(b"")},
        FOLDER | {"path_b64": path_of(b"card")},
        FOLDER | {"path_b64": path_of(b"/ca\0rd")},
        FOLDER | {"path_b64": path_of(b"/" + b"a" * 4096)},
        FOLDER | {"path_b64": "/card"},
        FOLDER | {"path_b64": "L2Nhcm Q="},
        FOLDER | {"path_b64": "\u00e9"},
        FOLDER | {"path_b64": 7},
        FOLDER | {"path_b64": None},
        FOLDER | {"session": 7},
        FOLDER | {"session": ["a"]},
        FOLDER | {"session": "a" * 256},
        FOLDER | {"seen": [1]},
        FOLDER | {"seen": [1, 2, 3]},
        FOLDER | {"seen": [-1, 2]},
        FOLDER | {"seen": [1, 2**64]},
        FOLDER | {"seen": [1.0, 2]},
        FOLDER | {"seen": "12"},
        FOLDER | {"seen": {"device": 1, "inode": 2}},
        FOLDER | {"job": 1},
        [],
        "retry",
        None,
    ],
)
def test_what_is_not_exactly_a_request(wrong: object) -> None:
    """A wrong type, a number out of range, a missing field and one too many are refused with a sentence."""
    assert parse_request(json.dumps(JOB).encode()) == Retry(JobId(1))
    assert parse_request(json.dumps(FOLDER).encode()) == Ingest(b"/card")
    with pytest.raises(UsageError):
        parse_request(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"version":1,"request":"retry","job":' + b"9" * 60_000 + b"}",
        b'{"version":' + b"9" * 4000 + b',"request":"retry","job":1}',
        b'{"version":1,"request":"retry","job":NaN}',
        b'{"version":1,"request":"retry","job":1}' + b" " * LONGEST_REQUEST,
        json.dumps(JOB).encode("utf-16"),
    ],
)
def test_what_breaks_parsers(line: bytes) -> None:
    """Endless numbers, deep nesting, half a line and another encoding are refused with a sentence."""
    with pytest.raises(UsageError):
        parse_request(line)


@pytest.mark.parametrize(
    "answer",
    [
        Heard(),
        Progress({"tally": {"files": 3}}),
        Done({"path": "caf\udce9 \u2028 \n"}, 3),
        Failed("there is no job 7: caf\udce9", 2),
    ],
)
def test_an_answer_arrives_as_it_was(answer: Answer) -> None:
    """Every answer is one line, also with names in it that are not UTF-8."""
    line = encode_answer(answer)
    assert line.count(b"\n") == 1
    assert parse_answer(line) == answer


@settings(deadline=None)
@given(documents, st.integers(0, 255))
def test_documents_arrive_as_they_were(document: dict[str, Any], code: int) -> None:
    """A document of any text and numbers comes through."""
    assert parse_answer(encode_answer(Done(document, code))) == Done(document, code)
    assert parse_answer(encode_answer(Progress(document))) == Progress(document)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"{}", b'{"done":1,"code":0}', b'{"error":"x"}', b'{"heard":true}', b"[" * 100_000]
)
def test_another_language_is_told(line: bytes) -> None:
    """A daemon of another version is named as that."""
    with pytest.raises(UsageError):
        parse_answer(line)


def test_progress_arrives_as_it_was() -> None:
    """Counts of files, pictures and stages come through the socket as they were."""
    readings = {stage: Reading(items=1, bytes=2, started=3.5, ended=4.5) for stage in Stage}
    tally = Tally(files=3, bytes=9, states={SourceState.STORED: 2, SourceState.FAILED: 1}, bytes_done=6)
    glance = Glance(tally, PictureTally(wanted=2, shown=1, failed=0), readings)
    answer = parse_answer(encode_answer(Progress(describe_glance(glance))))
    assert isinstance(answer, Progress)
    assert read_glance(answer.document) == glance
    assert read_note(answer.document) is None
    assert read_note(describe_note("nothing to do")) == "nothing to do"


@settings(deadline=None)
@given(documents | st.fixed_dictionaries({"tally": values, "pictures": values, "stages": values}))
def test_progress_of_another_version_is_not_shown(document: dict[str, Any]) -> None:
    """Counts that are not understood are left out."""
    read_note(document)
    assert read_glance(document) is None


OWN, OTHER, GROUP, UNMAPPED = 1001, 1002, 2001, 65534


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        (Peer(1, 0, frozenset({0})), True),
        (Peer(1, 0, frozenset({UNMAPPED})), True),
        (Peer(1, OWN, frozenset({5})), True),
        (Peer(1, OTHER, frozenset({GROUP})), True),
        (Peer(1, OTHER, frozenset({5, 6, GROUP})), True),
        (Peer(1, OTHER, frozenset({5, 6})), False),
        (Peer(1, OTHER, frozenset()), False),
        (Peer(1, UNMAPPED, frozenset({UNMAPPED, GROUP})), True),
        (Peer(1, UNMAPPED, frozenset({UNMAPPED})), False),
    ],
)
def test_who_may_ask(peer: Peer, allowed: bool) -> None:
    """Root, the daemon's own user and members of its group may ask; nobody else, named or not."""
    assert may_ask(peer, uid=OWN, groups={GROUP}) is allowed


def test_who_is_an_owner() -> None:
    """Root and the daemon's own user may have anything read; members of its group may not."""
    assert is_owner(Peer(1, 0, frozenset()), OWN)
    assert is_owner(Peer(1, OWN, frozenset()), OWN)
    assert not is_owner(Peer(1, OTHER, frozenset({GROUP, 0})), OWN)


def test_nobody_is_told_apart_by_the_overflow_number() -> None:
    """The number of all who have none is nobody's own, even where the daemon itself bears it."""
    stranger = Peer(1, UNMAPPED, frozenset({UNMAPPED}))
    assert not is_owner(stranger, UNMAPPED)
    assert not may_ask(stranger, uid=UNMAPPED, groups={UNMAPPED})
