"""Nobody at the daemon's socket can harm it: who sends rubbish, is slow, comes in a crowd, leaves or stays too long."""

import os
import socket
import threading
from pathlib import Path

import pytest
from knocking import RETRY, ask, knock, list_descriptors, listen, say_it_back, serve
from running import wait_until

from ghostroll.daemon import listening
from ghostroll.daemon import reply as replies
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import LONGEST_REQUEST, Done, Failed, Heard, Progress, Request

HALVES = [b"", b"{", RETRY[:-1], RETRY[: len(RETRY) // 2]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the socket goes."""
    return tmp_path / "run" / "socket"


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
