"""The daemon's socket: what people may do there, and the file that it is."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from knocking import RETRY, ask, open_notes, parse, say_it_back, serve

from ghostroll.daemon.reply import Reply
from ghostroll.daemon.requests import RequestServer
from ghostroll.daemon.wire import Close, Done, Failed, Heard, Ingest, Progress, Request, Retry, encode_request
from ghostroll.errors import CardGone, StateHeld, UsageError
from ghostroll.model import JobId

GROUP = 52_010 if os.geteuid() == 0 else os.getgid()  # what this user may give a file to


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the socket goes."""
    return tmp_path / "run" / "socket"


def test_a_request_is_heard_and_answered(place: Path) -> None:
    """A request comes to the answer as it was asked, and its end comes back; who asked is logged."""
    with serve(place, say_it_back) as (_, notes):
        assert ask(place, RETRY) == [Heard(), Done({"asked": repr(Retry(JobId(7)))}, 0)]
        assert ask(place, encode_request(Ingest(b"/caf\xe9", "s")))[0] == Heard()
    (line,) = notes.find("retry 7")
    assert line.startswith("INFO")
    assert f"uid={os.getuid()}" in line
    assert f"pid={os.getpid()}" in line
    assert notes.find("ingest /caf\ufffd")


def test_progress_comes_before_the_end(place: Path) -> None:
    """What is told on the way arrives in its order, and then the end."""

    def answer(_request: Request, reply: Reply) -> None:
        for number in range(3):
            reply.progress({"number": number})
        reply.finish({}, 3)

    with serve(place, answer):
        told = ask(place, RETRY)
    assert told == [Heard(), *(Progress({"number": number}) for number in range(3)), Done({}, 3)]


def test_an_error_is_a_sentence_with_its_exit_code(place: Path) -> None:
    """What an answer raises for a person reaches them as its sentence."""

    def answer(_request: Request, _reply: Reply) -> None:
        raise CardGone("the card is gone: caf\udce9")

    with serve(place, answer):
        assert ask(place, RETRY) == [Heard(), Failed("the card is gone: caf\udce9", 4)]


def test_a_bug_costs_one_request(place: Path) -> None:
    """An unexpected failure is a traceback in the log, a plain sentence for the client, and no end of the server."""

    def fail(_reply: Reply) -> None:
        raise KeyError("secret")

    def forget(_reply: Reply) -> None:
        """No end at all."""

    def end_twice(reply: Reply) -> None:
        reply.finish({}, 0)
        reply.finish({}, 1)

    bugs: list[Callable[[Reply], None]] = [fail, forget, end_twice]

    def answer(_request: Request, reply: Reply) -> None:
        bugs.pop(0)(reply)

    with serve(place, answer) as (_, notes):
        for expected in ([Failed], [Failed], [Done]):
            heard, *rest = ask(place, RETRY)
            assert heard == Heard()
            assert [type(one) for one in rest] == expected
            assert not any("secret" in str(one) for one in rest)
        assert bugs == []
    assert len(notes.find("Traceback")) == 3
    assert len(notes.find("KeyError")) == 1


def test_the_sockets_file(place: Path) -> None:
    """The socket is for its owner and its group alone, in a folder for them alone; a stop takes it away."""
    with serve(place, say_it_back, GROUP):
        found = place.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, GROUP)
        above = place.parent.stat()
        assert stat.S_IMODE(above.st_mode) & ~0o750 == 0
        assert above.st_gid == GROUP
    assert not place.exists()


def test_a_long_path(tmp_path: Path) -> None:
    """A socket may stand deeper than its address has room for."""
    deep = tmp_path
    while len(os.fsencode(deep)) < 200:
        deep /= "folder"
    deep.mkdir(parents=True)
    with serve(deep / "socket", say_it_back):
        assert stat.S_ISSOCK((deep / "socket").stat().st_mode)
        inside = os.open(deep, os.O_PATH)
        assert len(ask(Path(f"/proc/self/fd/{inside}/socket"), RETRY)) == 2
        os.close(inside)


def test_a_dead_socket_is_replaced(place: Path) -> None:
    """A file that a killed daemon left is no obstacle."""
    place.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(place))
    dead.close()
    with serve(place, say_it_back):
        assert len(ask(place, RETRY)) == 2


@pytest.mark.parametrize("busy", [False, True])
def test_a_living_socket_is_left_alone(place: Path, busy: bool) -> None:
    """Where another daemon answers, or has its hands full, a second one is refused and the first goes on."""
    place.parent.mkdir()
    first = socket.socket(socket.AF_UNIX)
    first.bind(str(place))
    first.listen(0)
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(3 if busy else 0)]
    for one in crowd:
        one.setblocking(False)
        one.connect_ex(str(place))
    log, _ = open_notes("second")
    with pytest.raises(StateHeld):
        RequestServer(str(place), None, say_it_back, log).start()
    accepted, _ = first.accept()
    for one in (*crowd, accepted, first):
        one.close()
    assert place.exists()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_something_else_is_in_the_way(place: Path, what: str) -> None:
    """What is no socket is not removed: a person is told."""
    place.parent.mkdir()
    match what:
        case "file":
            place.write_text("precious")
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to("/nowhere")
    log, _ = open_notes("blocked")
    with pytest.raises(UsageError, match="in the way"):
        RequestServer(str(place), None, say_it_back, log).start()
    assert os.path.lexists(place)


def test_a_place_that_cant_be_used() -> None:
    """A folder that can't be made is a sentence."""
    log, _ = open_notes("nowhere")
    with pytest.raises(UsageError, match="no request can come in"):
        RequestServer("/proc/self/nowhere/socket", None, say_it_back, log).start()


def test_a_stop_leaves_what_is_not_its_own(place: Path) -> None:
    """A socket that another daemon put in place of ours stays."""
    with serve(place, say_it_back):
        place.unlink()
        with serve(place, say_it_back) as (second, _):
            pass
        assert not place.exists()
        place.touch()
    assert place.exists()
    assert second.stop()


def test_close_and_others_are_named_in_the_log(place: Path) -> None:
    """Every request is logged by its name and job."""
    with serve(place, say_it_back) as (_, notes):
        ask(place, encode_request(Close(JobId(3))))
    assert notes.find("close 3")


def test_answers_are_cut_at_lines() -> None:
    """The tests' own reader sees half a line."""
    with pytest.raises(AssertionError):
        parse(b'{"done"')
