"""The commands beside a daemon: it does the work, and they say the same as without it."""

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commanding import PHOTO, POWERLESS, Person, make_person, read_gallery, write_photo
from promises import ask, check_finished
from running import command
from serving import Served, served

from ghostroll.state.owner import Ownership


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


@pytest.fixture
def daemon(person: Person) -> Iterator[Served]:
    """A daemon for that person."""
    with served(person) as daemon:
        yield daemon


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


def test_folders_that_were_asked_for_are_let_go(person: Person, daemon: Served) -> None:
    """A folder that came in by request leaves nothing behind in the daemon, however often."""
    counts = []
    for number in range(4):
        write_photo(person.card / "DCIM" / "100CANON" / f"IMG_1{number:03}.JPG", 10 + number)
        assert person.ingest().document["secured"] is True
        person.run("link", "1")
        counts.append(daemon.count_threads())
    assert counts[-1] <= counts[0], counts
