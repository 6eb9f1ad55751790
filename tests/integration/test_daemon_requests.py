"""The daemon's socket: what people may do there, and that nobody there can harm it."""

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from knocking import ask, knock, list_descriptors, listen, open_notes, parse, say_it_back, serve
from running import wait_until

from ghostroll.daemon import listening
from ghostroll.daemon import reply as replies
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.requests import RequestServer
from ghostroll.daemon.wire import (
    LONGEST_REQUEST,
    Close,
    Done,
    Failed,
    Heard,
    Ingest,
    Progress,
    Request,
    Retry,
    encode_request,
)
from ghostroll.errors import CardGone, StateHeld, UsageError
from ghostroll.model import JobId

RETRY = encode_request(Retry(JobId(7)))
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


HALVES = [b"", b"{", RETRY[:-1], RETRY[: len(RETRY) // 2]]


@pytest.mark.parametrize("half", HALVES)
def test_half_a_request(place: Path, half: bytes) -> None:
    """A client that leaves in the middle of its request costs nothing."""
    with serve(place, say_it_back):
        before = list_descriptors()
        connection = knock(place)
        connection.sendall(half)
        connection.close()
        leaving = knock(place)
        leaving.sendall(half)
        leaving.shutdown(socket.SHUT_WR)
        assert listen(leaving) == [Failed("the request ends in the middle", 2)]
        assert len(ask(place, RETRY)) == 2
        wait_until(lambda: list_descriptors() == before)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100 + b"\n",
        b"[" * 60_000 + b"\n",
        b'{"version":1,"request":"retry","job":' + b"9" * 60_000 + b"}\n",
        b'{"version":1,"request":"retry","job":9223372036854775808}\n',
        b"a" * (LONGEST_REQUEST + 1),
        b"a" * (4 * LONGEST_REQUEST) + b"\n",
    ],
)
def test_rubbish_is_refused(place: Path, line: bytes) -> None:
    """What is no request, and what is endless, is refused with a sentence, and the next one is answered."""
    with serve(place, say_it_back) as (_, notes):
        (refused,) = ask(place, line)
        assert isinstance(refused, Failed)
        assert refused.code == 2
        assert len(ask(place, RETRY)) == 2
    assert notes.find("Traceback") == []


def test_an_endless_request_is_not_read_to_its_end(place: Path) -> None:
    """A line that is too long is refused as soon as it is."""
    with serve(place, say_it_back):
        assert ask(place, b"a" * (LONGEST_REQUEST + 1)) == [Failed("the request is too long", 2)]


def test_more_than_one_request_is_not_heard(place: Path) -> None:
    """A connection is for one request; what comes after it is not read."""
    with serve(place, say_it_back):
        assert len(ask(place, RETRY + RETRY)) == 2


def test_a_request_that_drips(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends byte after byte has only so much time for all of them, not for each."""
    monkeypatch.setattr(listening, "_HEARING", 0.5)
    with serve(place, say_it_back):
        connection = knock(place)
        answers: list[object] = []
        listener = threading.Thread(target=lambda: answers.extend(listen(connection)))
        listener.start()
        sent = 0
        while listener.is_alive():
            try:
                connection.send(b" ")
            except OSError:
                break
            sent += 1
            listener.join(0.05)
        listener.join(30)
        assert answers == [Failed("the request takes too long to come", 2)]
        assert sent > 2
        assert len(ask(place, RETRY)) == 2


def test_the_seventeenth_is_refused(place: Path) -> None:
    """Sixteen are answered at once; one more is told to come later, and is welcome when another has left."""
    go_on = threading.Event()

    def answer(_request: Request, reply: Reply) -> None:
        go_on.wait(60)
        reply.finish({}, 0)

    with serve(place, answer) as (_, notes):
        crowd = [knock(place) for _ in range(16)]
        for one in crowd:
            one.sendall(RETRY)
        wait_until(lambda: len(notes.find("retry 7")) == 16)
        (refused,) = ask(place, RETRY)
        assert isinstance(refused, Failed)
        assert "too many requests at once" in refused.sentence
        assert refused.code == 7
        go_on.set()
        assert all(listen(one) == [Heard(), Done({}, 0)] for one in crowd)
        wait_until(lambda: ask(place, RETRY)[0] == Heard())


def test_a_client_that_does_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever never reads holds nobody up: progress is dropped, and the end is given up after a moment."""
    monkeypatch.setattr(replies, "_TELLING", 0.3)
    answered = threading.Event()
    gone: list[bool] = []

    def answer(_request: Request, reply: Reply) -> None:
        for number in range(2000):
            reply.progress({"number": number, "more": "x" * 1000})
        gone.append(reply.is_gone)
        reply.finish({"more": "x" * 5_000_000}, 0)
        answered.set()

    with serve(place, answer):
        connection = knock(place)
        connection.sendall(RETRY)
        assert answered.wait(60)
        assert gone == [False], "slow is not gone"
        connection.close()


def test_lines_stay_whole_for_a_slow_client(place: Path) -> None:
    """Whoever reads late gets whole lines, some of them left out, and the end."""
    told = threading.Event()

    def answer(_request: Request, reply: Reply) -> None:
        for number in range(2000):
            reply.progress({"number": number, "more": "x" * 1000})
        told.set()
        reply.finish({"more": "x" * 3_000_000}, 0)

    with serve(place, answer):
        connection = knock(place)
        connection.sendall(RETRY)
        assert told.wait(60)
        heard, *progress, end = listen(connection)
    assert heard == Heard()
    assert 0 < len(progress) < 2000
    assert end == Done({"more": "x" * 3_000_000}, 0)


def test_a_line_that_goes_out_in_parts(place: Path) -> None:
    """Progress that is larger than what the socket holds arrives whole, or not at all."""
    documents = [{"number": number, "more": str(number) * 400_000} for number in range(30)]

    def answer(_request: Request, reply: Reply) -> None:
        for document in documents:
            reply.progress(document)
        reply.finish({}, 0)

    with serve(place, answer):
        heard, *progress, end = ask(place, RETRY)
    assert (heard, end) == (Heard(), Done({}, 0))
    assert progress
    assert all(isinstance(one, Progress) and one.document in documents for one in progress)


def test_a_client_that_leaves(place: Path) -> None:
    """An answer learns that nobody listens any more, goes on, and what it tells goes nowhere."""
    ended = threading.Event()

    def answer(_request: Request, reply: Reply) -> None:
        wait_until(lambda: reply.is_gone)
        reply.progress({})
        reply.finish({}, 0)
        ended.set()

    with serve(place, answer) as (_, notes):
        connection = knock(place)
        connection.sendall(RETRY)
        assert connection.recv(100)
        connection.close()
        assert ended.wait(60)
    assert notes.find("Traceback") == []


def test_a_client_that_only_stops_to_talk_is_not_gone(place: Path) -> None:
    """A client that has closed its half of the connection still listens."""
    gone: list[bool] = []

    def answer(_request: Request, reply: Reply) -> None:
        gone.append(reply.is_gone)
        reply.finish({}, 0)

    with serve(place, answer):
        connection = knock(place)
        connection.sendall(RETRY)
        connection.shutdown(socket.SHUT_WR)
        assert listen(connection) == [Heard(), Done({}, 0)]
    assert gone == [False]


def test_a_stop_tells_whoever_listens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stops ends every answer under way with a sentence, and whoever still talks, too."""
    monkeypatch.setattr(listening, "_HEARING", 90)  # nobody waits for that

    def answer(_request: Request, reply: Reply) -> None:
        wait_until(lambda: reply.is_gone)

    with serve(place, answer) as (server, notes):
        listener, talker = knock(place), knock(place)
        listener.sendall(RETRY)
        talker.sendall(b"{")
        assert listener.recv(100)
        wait_until(lambda: sum(one.name.startswith("request-") for one in threading.enumerate()) == 2)
        assert server.stop(30)
        (end,) = listen(listener)
        assert isinstance(end, Failed)
        assert "the daemon stops" in end.sentence
        assert end.code == 7
        assert [type(one) for one in listen(talker)] == [Failed]
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            knock(place)
    assert notes.find("Traceback") == []


def test_an_answer_that_hangs_does_not_hold_up_a_stop(place: Path) -> None:
    """A stop waits as long as it was told, and says that somebody is still there."""
    go_on = threading.Event()

    def answer(_request: Request, reply: Reply) -> None:
        go_on.wait(60)
        reply.finish({}, 0)

    with serve(place, answer) as (server, _):
        connection = knock(place)
        connection.sendall(RETRY)
        assert connection.recv(100)
        assert server.stop(0.1) is False
        go_on.set()
        wait_until(lambda: server.stop(0.1))
        connection.close()


def test_nothing_stays_open(place: Path) -> None:
    """After many requests, good and bad, everything is closed, whatever was sent along."""
    with serve(place, say_it_back):
        ask(place, RETRY)
        wait_until(lambda: threading.active_count() == 2)
        before = list_descriptors()
        for number in range(60):
            connection = knock(place)
            folder = os.open("/", os.O_RDONLY)
            line = (RETRY, b"rubbish\n", b"half a line")[number % 5 % 3]
            socket.send_fds(connection, [line], [folder] * (number % 3))
            connection.shutdown(socket.SHUT_WR)
            os.close(folder)
            listen(connection)
        wait_until(lambda: list_descriptors() == before)


def test_close_and_others_are_named_in_the_log(place: Path) -> None:
    """Every request is logged by its name and job."""
    with serve(place, say_it_back) as (_, notes):
        ask(place, encode_request(Close(JobId(3))))
    assert notes.find("close 3")


def test_answers_are_cut_at_lines() -> None:
    """The tests' own reader sees half a line."""
    with pytest.raises(AssertionError):
        parse(b'{"done"')
