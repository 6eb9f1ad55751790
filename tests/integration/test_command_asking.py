"""The commands beside a daemon: it does the work, and they say the same as without it."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commanding import POWERLESS, Person, make_person, write_photo
from holding import hold_reads
from knocking import say_it_back, serve
from promises import ask, check_always, check_finished
from running import check_sentence, command, do_without, finish_command, start_command, wait_until
from serving import Served, served

from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import Request
from ghostroll.state.owner import Ownership

PHOTO = "DCIM/100CANON/IMG_0002.JPG"
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


def read_gallery(person: Person) -> list[str]:
    """The names in the one session's gallery, which is complete."""
    gallery = json.loads((person.find_session() / "gallery.json").read_bytes())
    assert gallery["state"] == "complete"
    return sorted(item["name"] for item in gallery["items"])


def strip(document: dict[str, Any]) -> dict[str, Any]:
    """What does not differ from one run to the next; of the rest, the keys."""
    own = ("session", "session_dir", "known_in", "seconds", "stages")
    return document | {
        key: sorted(document[key]) if isinstance(document[key], dict) else document[key] is None
        for key in own
    }


def test_an_ingest_says_the_same(tmp_path: Path) -> None:
    """With a daemon and without one, `ingest --json` ends with the same object, and the library is the same."""
    alone, beside = make_person(tmp_path / "alone"), make_person(tmp_path / "beside")
    expected = [strip(alone.ingest().document) for _ in range(2)]
    with served(beside) as daemon:
        found = [beside.ingest() for _ in range(2)]
        assert [strip(run.document) for run in found] == expected
        assert found[0].document["seconds"]["secured"] is not None
        assert found[0].err == ""
        assert read_gallery(beside) == read_gallery(alone)
        assert f"asked for: ingest {beside.card}" in daemon.log
    check_finished(beside.library, beside.card)


@pytest.mark.parametrize("name", ["link", "publish", "daemon"])
def test_help_has_an_example(person: Person, name: str) -> None:
    """The help of each command shows a line to type."""
    assert f"Example: ghostroll {name}" in person.run(name, "--help").out


def test_an_ingest_for_people(person: Person, daemon: Served) -> None:
    """For a person the end is told as without a daemon."""
    out = person.run("ingest", person.card).out
    assert "SECURED: 5 files safe and verified; the card may be removed" in out
    assert "gallery  " in out
    assert daemon.process.poll() is None


def test_bars_on_a_terminal(person: Person, daemon: Served) -> None:
    """On a terminal the daemon's progress is two bars."""
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [*POWERLESS, *command("ingest", person.card)],
        env=person.env | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    os.close(screen)
    shown = b""
    with os.fdopen(keyboard, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(65536):
            shown += part
    assert process.wait(60) == 0, shown
    assert b"copy" in shown
    assert b"5 of 5 files" in shown
    assert b"pictures" in shown
    assert b"SECURED" in shown
    assert daemon.process.poll() is None


def test_retry_heals(person: Person, daemon: Served) -> None:
    """Once the file can be read, `retry` has the daemon copy it and show it, and the job is secured."""
    (person.card / PHOTO).chmod(0)
    assert person.ingest(code=3).document["state"] == "attention"
    run = person.run("retry", "1", code=3)
    assert "IMG_0002.JPG (NOT stored): can't be read (Permission denied)" in run.out
    assert "IMG_0002.JPG" not in read_gallery(person)
    (person.card / PHOTO).chmod(0o644)
    run = person.run("retry", "1", "--json")
    assert (run.document["job"], run.document["state"], run.document["new"]) == (1, "secured", 4)
    assert "IMG_0002.JPG" in read_gallery(person)
    daemon.stop()
    check_finished(person.library, person.card)


def test_retry_looks_into_folders_again(person: Person, daemon: Served) -> None:
    """A folder that could not be listed is listed by `retry`, and what is in it is copied."""
    hidden = person.card / "DCIM" / "101CANON"
    hidden.mkdir()
    write_photo(hidden / "IMG_0101.JPG", 30)
    hidden.chmod(0)
    assert person.ingest(code=3).document["state"] == "attention"
    assert person.run("retry", "1", "--json", code=3).document["state"] == "attention"
    hidden.chmod(0o755)
    document = person.run("retry", "1", "--json").document
    assert (document["job"], document["state"], document["files"]) == (1, "secured", 6)
    assert "IMG_0101.JPG" in read_gallery(person)
    daemon.stop()
    check_finished(person.library, person.card)


def test_retry_without_the_card(person: Person, daemon: Served) -> None:
    """Without its card a job's missing files can't be tried, and it is said what to do."""
    (person.card / PHOTO).chmod(0)
    person.ingest(code=3)
    away = person.card.rename(person.home / "AWAY")
    run = person.run("retry", "1", code=2)
    assert "the card of job 1 is not in: put it in" in run.err
    assert "attention" in person.run("status").out
    away.rename(person.card)
    (person.card / PHOTO).chmod(0o644)
    assert person.run("retry", "1", "--json").document["secured"] is True
    assert daemon.process.poll() is None


def test_retry_with_another_card(person: Person, daemon: Served) -> None:
    """Another card in the place of a job's own is not taken for it."""
    (person.card / PHOTO).chmod(0)
    person.ingest(code=3)
    other = make_person(person.home / "other")
    person.card.rename(person.home / "AWAY")
    person.card.symlink_to(other.card)
    run = person.run("retry", "1", code=2)
    assert "the card at hand is not that of job 1" in run.err
    assert daemon.process.poll() is None


def test_retry_revives_a_dead_render(person: Person) -> None:
    """A picture whose decoder crashed is made by `retry`; nothing is to be retried after that."""
    person.ingest(code=3, GHOSTROLL_RENDER_FAULT="crash:IMG_0002")
    with served(person):
        run = person.run("retry", "1", "--json")
        assert (run.document["failed"], run.document["renditions"]) == ([], 6)
        assert run.document["seconds"] == {"secured": None, "first_picture": None, "published": None}
        out = person.run("retry", "1").out
        assert out.startswith("nothing of job 1 waits for a retry\n")
        assert "SECURED: 5 files" in out
    assert len(read_gallery(person)) == 3


def test_close(person: Person, daemon: Served) -> None:
    """A job is closed by the daemon, and stays so."""
    (person.card / PHOTO).chmod(0)
    person.ingest(code=3)
    assert person.run("close", "1", "--json").document == {"job": 1, "state": "closed", "missing": 1}
    assert "closed already" in person.run("close", "1", code=2).err
    assert "was closed: ingest the card again" in person.run("retry", "1", code=2).err
    (job,) = json.loads((person.find_session() / "manifest.json").read_bytes())["jobs"]
    assert (job["safety"], job["secured"]) == ("closed", None)
    (person.card / PHOTO).chmod(0o644)
    document = person.ingest().document
    assert (document["job"], document["state"], document["new"]) == (2, "secured", 1)
    daemon.stop()
    assert ask(person.library, "SELECT safety FROM job ORDER BY id") == [("closed",), ("secured",)]


@pytest.mark.parametrize("beside", [False, True])
def test_link_and_publish(person: Person, beside: bool) -> None:
    """`link` says where the gallery is, `publish` writes it anew; with a daemon and without one."""
    person.ingest()
    session = person.find_session()
    index = session / "index.html"
    with served(person) if beside else contextlib.nullcontext():
        for name in ("link", "publish"):
            assert person.run(name, "1").out == (
                f"gallery  {index}\nfolder   {session}\naddress  file://{index}\n"
            )
            assert person.run(name, "1", "--json").document == {
                "job": 1,
                "session": session.name,
                "publication": "complete",
                "index": str(index),
                "session_dir": str(session),
                "link": f"file://{index}",
                "target": "folder",
                "expires": None,
                "expires_assumed": False,
                "public": False,
            }
        index.write_text("broken")
        person.run("publish", "1")
        assert session.name in index.read_text()
        index.unlink()
        assert "'ghostroll publish 1' writes it" in person.run("link", "1", code=2).err
        person.run("publish", "1")
        assert session.name in index.read_text()
        assert json.loads((session / "gallery.json").read_bytes())["state"] == "complete"
        person.ingest()
        for name in ("link", "publish"):
            assert "brought nothing new: see 'ghostroll link 1'" in person.run(name, "2", code=2).err
            assert "there is no job 9" in person.run(name, "9", code=2).err
        session.rename(person.home / "moved")
        assert "is not there" in person.run("link", "1", code=2).err
        assert "is not there" in person.run("publish", "1", code=2).err


@pytest.mark.parametrize("beside", [False, True])
def test_publish_where_it_cant_be_written(person: Person, beside: bool) -> None:
    """A gallery whose folder takes nothing ends with 6 and says why; once it does, `publish` writes it."""
    person.ingest()
    session = person.find_session()
    session.chmod(0o555)
    with served(person) if beside else contextlib.nullcontext():
        run = person.run("publish", "1", code=6)
        assert "the gallery of job 1 can't be written" in run.err
        session.chmod(0o755)
        (session / "index.html").unlink()
        person.run("publish", "1")
        assert (session / "index.html").exists()


def test_link_reads_beside_any_other_command(person: Person) -> None:
    """`link` needs nobody's leave: it works while another command holds the state."""
    person.ingest()
    owner = Ownership.take(str(person.state), command="ingest elsewhere")
    assert person.run("link", "1").out.startswith("gallery  ")
    assert "ingest elsewhere" in person.run("publish", "1", code=7).err
    owner.release()


def test_a_link_of_odd_letters(tmp_path: Path) -> None:
    """An address is one that programs take, whatever the library's path; all its bytes are in it."""
    person = make_person(tmp_path)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/my lib#1?\xe9")
    person.ingest(GHOSTROLL_LIBRARY__PATH=odd)
    document = person.run("link", "1", "--json", GHOSTROLL_LIBRARY__PATH=odd).document
    assert document["link"].startswith(f"file://{tmp_path}/my%20lib%231%3F%E9/")
    assert "index_b64" in document


def test_a_path_that_is_not_utf8(person: Person, daemon: Served) -> None:
    """A card's folder may have any name, and a wrong one is a sentence."""
    odd = os.fsencode(person.home) + b"/caf\xe9"
    assert "can't be read (No such file or directory)" in person.run("ingest", odd, code=2).err
    os.rename(person.card, odd)
    assert person.run("ingest", odd, "--json").document["secured"] is True
    assert daemon.process.poll() is None


def test_paths_are_the_askers(person: Person, daemon: Served) -> None:
    """A relative path, and one through a link, mean what they mean where they are typed."""
    (person.home / "link").symlink_to(person.card)
    done = subprocess.run(
        [*POWERLESS, *command("ingest", "link", "--json")],
        cwd=person.home,
        env=person.env,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["secured"] is True
    assert f"ingest {person.card}" in daemon.log


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["ingest", "/nowhere"], "can't be read (No such file or directory)"),
        (["ingest", "/etc/passwd"], "is not a folder"),
        (["ingest", ".", "--session", "../x"], "can't be a session's name"),
        (["retry", "99"], "there is no job 99"),
        (["close", "99"], "there is no job 99"),
        (["publish", "99"], "there is no job 99"),
        (["link", "99"], "there is no job 99"),
        (["verify"], "stop it first with 'sudo systemctl stop ghostroll'"),
        (["adopt"], "stop it first with 'sudo systemctl stop ghostroll'"),
    ],
)
def test_wrong_requests(person: Person, daemon: Served, arguments: list[str], part: str) -> None:
    """What can't be done is one sentence, and the daemon goes on."""
    run = person.run(*arguments, code=7 if arguments[0] in ("verify", "adopt") else 2)
    assert part in run.err
    assert run.err.count("\n") == 1
    assert run.out == ""
    assert daemon.process.poll() is None


def test_a_card_without_a_file(person: Person, daemon: Served) -> None:
    """An empty folder is no card, and no job is left of it."""
    empty = person.home / "empty"
    empty.mkdir()
    assert "there is no file in" in person.run("ingest", empty, code=2).err
    assert json.loads(person.run("jobs", "--json").out) == []
    assert daemon.process.poll() is None


def test_a_session_by_name(person: Person, daemon: Served) -> None:
    """`--session` reaches the daemon."""
    document = person.run("ingest", person.card, "--session", "wedding", "--json").document
    assert document["session"] == "wedding"
    assert daemon.process.poll() is None


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


def test_folders_that_were_asked_for_are_let_go(person: Person, daemon: Served) -> None:
    """A folder that came in by request leaves nothing behind in the daemon, however often."""
    counts = []
    for number in range(4):
        write_photo(person.card / "DCIM" / "100CANON" / f"IMG_1{number:03}.JPG", 10 + number)
        assert person.ingest().document["secured"] is True
        person.run("link", "1")
        counts.append(daemon.count_threads())
    assert counts[-1] <= counts[0], counts


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
