"""What goes over the socket: one request, then replies, each a JSON object on a line of its own. Pure.

    {"version": 1, "request": "retry", "job": 42}       a client asks, once
    {"version": 1, "heard": true}                       it was understood, and will be seen to
    {"progress": {...}}                                 any number of times
    {"done": {...}, "code": 0}                          the end; or
    {"error": "a sentence", "code": 7}                  the end, also instead of everything else

Whoever asks is not trusted: what is not exactly a request is refused with a sentence.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from ghostroll.errors import UsageError
from ghostroll.model import JobId

VERSION = 1
LONGEST_REQUEST = 64 * 1024  # bytes, with its newline
_LARGEST_JOB = 2**63 - 1  # what SQLite's integers hold
_END_OF_NUMBERS = 2**64  # what a device's and an inode's numbers are below
_LONGEST_PATH = 4096  # bytes; PATH_MAX of Linux
_LONGEST_NAME = 255  # characters; what a name may be beyond that is for the library to say


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again what a job could not read or render."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Close:
    """Give up what is missing of a job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Link:
    """Say where a job's gallery is."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Publish:
    """Write a job's gallery now."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as whoever asks sees it: its device and inode."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Ingest:
    """Ingest the card at an absolute path. `seen` tells whether the daemon sees the same folder there."""

    path: bytes
    session: str | None = None
    seen: Folder | None = None


Request = Retry | Close | Link | Publish | Ingest
_OF_A_JOB: Mapping[str, type[Retry | Close | Link | Publish]] = {
    "retry": Retry,
    "close": Close,
    "link": Link,
    "publish": Publish,
}


@dataclass(frozen=True, slots=True)
class Heard:
    """The request was understood."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it, and the exit code that goes with it."""

    document: dict[str, Any]
    code: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why nothing came of it: a sentence, and its exit code."""

    sentence: str
    code: int


Answer = Heard | Progress | Done | Failed


def name_request(request: Request) -> str:
    """`retry`, `close`, `link`, `publish` or `ingest`."""
    return type(request).__name__.lower()


def encode_request(request: Request) -> bytes:
    """A request as its line."""
    document: dict[str, Any] = {"version": VERSION, "request": name_request(request)}
    match request:
        case Retry(job) | Close(job) | Link(job) | Publish(job):
            document["job"] = job
        case Ingest(path, session, seen):
            document |= {"path_b64": base64.b64encode(path).decode(), "session": session}
            document["seen"] = None if seen is None else [seen.device, seen.inode]
        case _:
            assert_never(request)
    return _encode(document)


def parse_request(line: bytes) -> Request:
    """The request on a line. Raises UsageError for everything else."""
    if len(line) > LONGEST_REQUEST:
        raise UsageError("the request is too long")
    document = _parse_object(line)
    version = document.pop("version", None)
    if type(version) is not int or version != VERSION:
        raise UsageError("the daemon is of another version than this command: restart it")
    name = document.pop("request", None)
    if name == "ingest":
        request: Request = Ingest(
            _take_path(document.pop("path_b64", None)),
            _take_session(document.pop("session", None)),
            _take_folder(document.pop("seen", None)),
        )
    elif isinstance(name, str) and name in _OF_A_JOB:
        request = _OF_A_JOB[name](_take_job(document.pop("job", None)))
    else:
        raise UsageError("the daemon knows no such request")
    if document:
        raise UsageError("the request says more than the daemon understands")
    return request


def encode_answer(answer: Answer) -> bytes:
    """An answer as its line."""
    match answer:
        case Heard():
            return _encode({"version": VERSION, "heard": True})
        case Progress(document):
            return _encode({"progress": document})
        case Done(document, code):
            return _encode({"done": document, "code": code})
        case Failed(sentence, code):
            return _encode({"error": sentence, "code": code})
        case _:
            assert_never(answer)


def parse_answer(line: bytes) -> Answer:
    """The answer on a line. Raises UsageError for everything else."""
    match _parse_object(line):
        case {"version": int(version), "heard": True} if version == VERSION:
            return Heard()
        case {"progress": dict(document)}:
            return Progress(document)
        case {"done": dict(document), "code": int(code)}:
            return Done(document, code)
        case {"error": str(sentence), "code": int(code)}:
            return Failed(sentence, code)
        case _:
            raise UsageError("the daemon speaks another language: it is of another version, restart it")


def _encode(document: Mapping[str, Any]) -> bytes:
    # ASCII, so that a name that is not UTF-8 gets through as it is; no newline can stand in it.
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _parse_object(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, endless numbers and deep nesting too
        raise UsageError("what came over the socket is not JSON") from error
    if not isinstance(document, dict):
        raise UsageError("what came over the socket is not an object")
    return document


def _take_job(value: object) -> JobId:
    if type(value) is not int or not 1 <= value <= _LARGEST_JOB:
        raise UsageError("the request names no job: a job's number is at least 1")
    return JobId(value)


def _take_path(value: object) -> bytes:
    if not isinstance(value, str):
        raise UsageError("the request names no folder")
    try:
        path = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("the request's folder is not base64") from error
    if not path.startswith(b"/") or b"\0" in path or len(path) > _LONGEST_PATH:
        raise UsageError("the request's folder is not an absolute path")
    return path


def _take_session(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise UsageError("the request's session is no name")
    return value


def _take_folder(value: object) -> Folder | None:
    match value:
        case None:
            return None
        case [int(device), int(inode)] if min(device, inode) >= 0 and max(device, inode) < _END_OF_NUMBERS:
            return Folder(device, inode)
        case _:
            raise UsageError("the request's folder is not told by device and inode")
