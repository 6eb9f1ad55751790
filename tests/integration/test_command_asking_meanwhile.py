"""The commands beside a daemon that has its hands full, and beside one that ends, begins or makes no sense meanwhile."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import PHOTO, Person, make_person
from holding import hold_reads
from knocking import say_it_back, serve
from promises import ask, check_always, check_finished
from running import check_sentence, do_without, finish_command, start_command, wait_until
from serving import Served, served

from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import Request
from ghostroll.state.owner import Ownership

COMMANDS = ["ingest", "retry", "close", "publish", "link"]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


@pytest.fixture
def daemon(person: Person) -> Iterator[Served]:
    """A daemon for that person."""
    with served(person) as daemon:
        yield daemon


@pytest.fixture
def root() -> None:
    """Reads are held by the kernel for root alone."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")


@pytest.mark.usefixtures("root")
def test_ctrl_c_only_ends_the_watching(person: Person, daemon: Served) -> None:
    """A client that is stopped says that the daemon goes on, and it does, to the end."""
    with hold_reads(person.card / PHOTO) as held:
        client = start_command(person.env, "ingest", person.card)
        held.catch()
        client.send_signal(signal.SIGINT)
        stopped = finish_command(client)
        assert stopped.code == 130
        assert "not watching any more; what the daemon began goes on" in stopped.err
        check_sentence(stopped)
        assert "copying" in person.run("status").out
    wait_until(lambda: "secured" in person.run("jobs").out)
    assert len(json.loads(person.run("jobs", "--json").out)) == 1
    wait_until(lambda: json.loads(person.run("jobs", "--json").out)[0]["publication"] == "complete")
    daemon.stop()
    check_finished(person.library, person.card)


@pytest.mark.usefixtures("root")
def test_the_same_card_asked_for_twice(person: Person, daemon: Served) -> None:
    """A card that is being read already is watched by both who asked; it can't go into another session meanwhile."""
    with hold_reads(person.card / PHOTO) as held:
        first = start_command(person.env, "ingest", person.card, "--json")
        held.catch()
        second = start_command(person.env, "ingest", person.card, "--json")
        wait_until(lambda: daemon.log.count("asked for: ingest") == 2)
        refused = person.run("ingest", person.card, "--session", "other", code=2)
        assert "is being read" in refused.err
        assert "is being read" in person.run("close", "1", code=2).err
        run = person.run("link", "1", code=None)
        assert run.code == 0 or "its card is being read" in run.err
    documents = [finish_command(client).document for client in (first, second)]
    assert [document["job"] for document in documents] == [1, 1]
    assert all(document["secured"] for document in documents)


@pytest.mark.usefixtures("root")
def test_retry_while_the_card_is_read(person: Person) -> None:
    """What could not be read is tried again in the same go, beside the rest of the card."""
    (person.card / PHOTO).chmod(0)
    with served(person, GHOSTROLL_COPY__BATCH_FILES="1"):
        with hold_reads(person.card / "notes.txt") as held:
            first = start_command(person.env, "ingest", person.card, "--json")
            held.catch()
            wait_until(lambda: ask(person.library, "SELECT 1 FROM source WHERE state = 'failed'") == [(1,)])
            (person.card / PHOTO).chmod(0o644)
            second = start_command(person.env, "retry", "1", "--json")
            wait_until(lambda: ask(person.library, "SELECT 1 FROM source WHERE state = 'failed'") == [])
        for client in (first, second):
            document = finish_command(client).document
            assert (document["job"], document["secured"], document["new"]) == (1, True, 4)
    check_finished(person.library, person.card)


@pytest.mark.usefixtures("root")
def test_a_daemon_that_is_killed(person: Person) -> None:
    """Whoever watches a daemon that dies is told; the card goes on with the next one."""
    with served(person) as daemon:
        with hold_reads(person.card / PHOTO) as held:
            client = start_command(person.env, "ingest", person.card)
            held.catch()
            daemon.process.kill()
        lost = finish_command(client)
        check_sentence(lost)
        assert lost.code == 7
        assert "the daemon went away before this was done" in lost.err
        daemon.process.wait()
        check_always(person.library, person.card)
    with served(person):
        assert person.ingest().document["job"] == 1
    check_finished(person.library, person.card)


@pytest.mark.usefixtures("root")
def test_a_daemon_that_is_stopped(person: Person) -> None:
    """Whoever watches a daemon that is being stopped is told so at once."""
    with served(person) as daemon, hold_reads(person.card / PHOTO) as held:
        client = start_command(person.env, "ingest", person.card)
        held.catch()
        daemon.process.terminate()
        told = finish_command(client)
        check_sentence(told)
        assert told.code == 7
        assert "the daemon stops: start it again and the work goes on" in told.err
        held.end()
        assert daemon.process.wait(30) == 0
    assert person.ingest().document["job"] == 1


def test_a_daemon_that_does_not_answer(person: Person, daemon: Served) -> None:
    """A daemon that holds the state and says nothing ends every command with 7 and what helps."""
    person.ingest()
    daemon.process.send_signal(signal.SIGSTOP)
    clients = [start_command(person.env, name, person.card if name == "ingest" else "1") for name in COMMANDS]
    for client in clients:
        run = finish_command(client)
        check_sentence(run)
        assert run.code == 7
        assert "does not answer" in run.err
        assert "systemctl restart ghostroll" in run.err
    daemon.process.send_signal(signal.SIGCONT)
    assert person.run("link", "1").out.startswith("gallery")


def test_a_daemon_that_just_starts(person: Person) -> None:
    """A command that comes between a daemon's first step and its last waits until it listens."""
    person.ingest()
    place = person.home / "starting"
    owner = Ownership.take(str(person.state), command="daemon", socket=str(place))
    client = start_command(person.env, "link", "1", "--json")
    answered = threading.Event()

    def answer(request: Request, reply: Reply) -> None:
        say_it_back(request, reply)
        answered.set()

    with serve(place, answer):
        assert answered.wait(30)
    assert finish_command(client).document == {"asked": "Link(job=1)"}
    owner.release()


def test_a_daemon_that_just_ended(person: Person) -> None:
    """Where the daemon ends before it answered, the command takes the state itself."""
    person.ingest()
    place = str(person.home / "ending")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        listener.settimeout(30)
        owner = Ownership.take(str(person.state), command="daemon", socket=place)
        client = start_command(person.env, "publish", "1", "--json")
        connection, _ = listener.accept()
        connection.close()
    owner.release()
    assert finish_command(client).document["publication"] == "complete"


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        (b"", 7, "does not answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 2, "not JSON"),
        (b'{"version":2,"heard":true}\n', 2, "of another version"),
        (b'{"done":{},"code":0}\n', 2, "of another version"),
        (b'{"error":"\\u001b[2Jno","code":5}\n', 5, "\ufffd[2Jno"),
        (b'{"version":1,"heard":true}\n', 7, "went away"),
        (b'{"version":1,"heard":true}\n{"progress":{"tally":1}}\n{"error":"no","code":4}\n', 4, "no"),
    ],
)
def test_whatever_a_daemon_says(person: Person, said: bytes, code: int, part: str) -> None:
    """Another daemon, another version, or nothing at all at the socket is a sentence."""
    person.ingest()
    place = str(person.home / "odd")
    owner = Ownership.take(str(person.state), command="daemon", socket=place)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen(64)

        def speak() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(65536)
                    connection.sendall(said)
                    connection.close()

        thread = threading.Thread(target=speak)
        thread.start()
        run = person.run("retry", "1", code=code)
        assert part in run.err
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    owner.release()
