"""`ghostroll doctor` of a library, its records and who owns them: broken for real, and mended by what is said."""

import fcntl
import json
import os
from pathlib import Path

import pytest
from commanding import POWERLESS, Person, make_person
from doctoring import examine, find, levels, mend, pick, read_checks
from promises import hash_tree
from running import run_command

from ghostroll.state.owner import Ownership


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody who has put nothing in yet, and whose runtime folder says nothing of this machine's user."""
    return make_person(tmp_path)


@pytest.fixture
def keeper(person: Person) -> Person:
    """Somebody who has ingested a card."""
    person.ingest()
    return person


def test_a_person_who_begins(person: Person) -> None:
    """Where nothing is there yet nothing has to be mended, and nothing is made."""
    before = hash_tree(person.home)
    run = person.run("doctor")
    assert f"the library {person.library} is new: the first card begins it" in run.out
    assert "there is no state yet" in run.out
    assert run.out.splitlines()[-1].startswith("nothing has to be mended")
    assert hash_tree(person.home) == before
    assert not person.library.exists()


def test_a_person_who_has_ingested(keeper: Person) -> None:
    """A library at rest is sound in every respect, and is as it was afterwards."""
    before = hash_tree(keeper.library)
    found = examine(keeper)
    for check in ("library", "filesystem", "writable", "sync", "state", "target", "formats", "colours"):
        assert pick(found, check)["level"] == "ok", check
    assert hash_tree(keeper.library) == before
    assert os.listdir(keeper.library / ".ghostroll" / "incoming") == []


def test_root_finds_no_more(keeper: Person) -> None:
    """With all its powers root comes to the same."""
    mine = levels(examine(keeper))
    assert levels(read_checks(run_command(keeper.env, "doctor", "--json"))) == mine
    assert "finding" not in mine.values()


def test_a_finding_on_a_terminal(keeper: Person) -> None:
    """A finding has its reason and its command below it, and the last line counts."""
    (keeper.library / ".ghostroll" / "library.json").write_text('{"id": "another"}')
    run = keeper.run("doctor", code=3)
    lines = run.out.splitlines()
    at = lines.index(f"✗ {keeper.library} is another library than the state knows")
    assert lines[at + 1].startswith("    why  ")
    assert lines[at + 2].startswith("    do   lsblk ")
    assert lines[-1].startswith("1 thing to mend")
    plain = run_command(keeper.env | {"PYTHONIOENCODING": "ascii"}, "doctor", before=POWERLESS)
    assert plain.code == 3
    assert f"x {keeper.library} is another library than the state knows" in plain.out
    assert plain.out.isascii()


def test_a_configuration_that_can_not_be_used(person: Person) -> None:
    """Without a configuration there is nothing to look at: exit code 2, and a sentence."""
    file = person.home / "bad.toml"
    file.write_text("[library]\npath = 3\n")
    run = person.run("doctor", "--config", file, code=2)
    assert "bad.toml:2" in run.err
    assert run.out == ""


def test_a_library_that_is_gone(keeper: Person) -> None:
    """Neither a missing folder nor an empty one is taken for a new library."""
    keeper.library.rename(keeper.home / "away")
    one = find(examine(keeper), "library")
    assert one["what"] == f"the library {keeper.library} is gone: there is no such folder"
    assert "libraries.json" in one["remedy"]  # its state is gone with it, and only the witness knows
    keeper.library.mkdir()
    found = examine(keeper)
    assert "its folder holds no library" in find(found, "library")["what"]
    assert {"state", "space", "sync"}.isdisjoint(levels(found))


def test_a_folder_of_somebody_else(person: Person) -> None:
    """A library doesn't begin where other things are; their names steer no terminal."""
    person.library.mkdir()
    (person.library / "evil\x1b[2J\nname").touch()
    assert "not empty and no library: evil\ufffd[2J\ufffdname" in find(examine(person), "library")["what"]


def test_a_marker_that_is_damaged(keeper: Person) -> None:
    """A damaged marker is written anew by what is said, from the records."""
    marker = keeper.library / ".ghostroll" / "library.json"
    before = json.loads(marker.read_text())
    marker.write_text("{")
    mend(keeper, find(examine(keeper), "library")["remedy"])
    assert json.loads(marker.read_text()) == before
    assert pick(examine(keeper), "library")["level"] == "ok"


@pytest.mark.parametrize("closed", [".ghostroll/incoming", "."])
def test_a_library_that_takes_no_files(keeper: Person, closed: str) -> None:
    """A library that this user may not write to is found, and nothing is tried in it."""
    (keeper.library / closed).chmod(0o500)
    found = examine(keeper)
    (keeper.library / closed).chmod(0o700)
    assert "may not write to" in find(found, "writable")["what"]
    assert "sync" not in levels(found)


def test_a_session_that_is_closed(keeper: Person) -> None:
    """A session's folder that can't be written is named."""
    session = keeper.find_session()
    session.chmod(0o500)
    found = examine(keeper)
    session.chmod(0o700)
    assert f"1 of 1 session folders: {session.name}" in find(found, "target")["what"]


def test_records_that_are_damaged(keeper: Person) -> None:
    """Damaged records are put aside and made anew by what is said."""
    with keeper.state.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    one = find(examine(keeper), "state")
    assert "damaged" in one["what"]
    mend(keeper, one["remedy"])
    found = examine(keeper)
    assert pick(found, "state")["level"] == "ok"
    assert pick(found, "library")["level"] == "ok"
    assert keeper.run("show", "1", "--json").document["state"] == "secured"
    assert Path(f"{keeper.state}.damaged").exists()


def test_records_that_are_something_else(keeper: Person) -> None:
    """A file that is no database is said to be none."""
    keeper.state.write_bytes(b"a letter to the bank")
    assert "is not a database of ghostroll" in find(examine(keeper), "state")["what"]


def test_records_that_are_lost(keeper: Person) -> None:
    """A library with sessions and without records is a hint, with the way to make them anew."""
    keeper.state.unlink()
    one = pick(examine(keeper), "state")
    assert (one["level"], one["remedy"]) == ("hint", "ghostroll adopt")


@pytest.mark.parametrize(
    ("socket", "level", "words"),
    [
        (None, "ok", "(ingest /card) is at work"),
        ("silent", "finding", "(daemon) holds the state and does not"),
    ],
)
def test_an_owner_at_work(keeper: Person, socket: str | None, level: str, words: str) -> None:
    """Whoever holds the records is named; one that takes requests has to answer."""
    place = None if socket is None else str(keeper.home / socket)
    owner = Ownership.take(str(keeper.state), command="daemon" if socket else "ingest /card", socket=place)
    found = examine(keeper)
    owner.release()
    assert pick(found, "state")["level"] == "ok"
    one = pick(found, "owner")
    assert one["level"] == level
    assert f"process {os.getpid()} {words}" in one["what"].replace(",", "")
    assert "owner" not in levels(examine(keeper))


def test_looking_hinders_nobody(keeper: Person) -> None:
    """Nobody who wants the state finds it held because somebody looked."""
    examine(keeper)
    with open(f"{keeper.state}.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
