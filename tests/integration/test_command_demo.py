"""`ghostroll demo`: the whole way, with a made card or one's own, and nothing of anybody's is lost."""

import json
import subprocess
from pathlib import Path

import pytest
from commanding import POWERLESS, Person, make_person
from promises import check_session, hash_tree
from running import command


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card, who has no library yet."""
    return make_person(tmp_path)


def test_the_demo(person: Person) -> None:
    """The demo makes a card, ingests it and names the one broken file; twice is as good as once."""
    for _ in range(2):
        run = person.run("demo", "--into", person.home / "demo", code=3)
        assert "made a card with " in run.out
        assert "SECURED: " in run.out
        assert run.out.count("failed ") == 1
        assert not person.library.exists()
    (session,) = (
        entry for entry in (person.home / "demo" / "library").iterdir() if entry.name != ".ghostroll"
    )
    check_session(session)


def test_the_default_folder(person: Person) -> None:
    """Without --into it is the folder `demo` where one stands; JSON is all that is printed."""
    done = subprocess.run(
        command("demo", "--json"), cwd=person.home, env=person.env, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert json.loads(done.stdout)["session_dir"].startswith(f"{person.home}/demo/library/")


def test_with_ones_own_card(person: Person) -> None:
    """With --card nothing is made and the card is only read."""
    before = hash_tree(person.card)
    run = person.run("demo", "--card", person.card, "--into", person.home / "demo")
    assert "made a card" not in run.out
    assert "SECURED: 5 files" in run.out
    assert hash_tree(person.card) == before


def test_a_foreign_folder(person: Person) -> None:
    """A folder with anything in it that is not the demo's is left alone."""
    before = hash_tree(person.card)
    run = person.run("demo", "--into", person.card, code=2)
    assert "is not a demo's folder: choose another one with --into" in run.err
    assert hash_tree(person.card) == before


@pytest.mark.parametrize("inside", ["demo/EOS_DIGITAL", "demo", "."])
def test_a_card_in_the_way(person: Person, inside: str) -> None:
    """Pictures inside the demo's folder, or around it, are never cleared away with it."""
    person.run("demo", "--into", person.home / "demo", code=3)
    before = hash_tree(person.home / "demo")
    run = person.run("demo", "--card", person.home / inside, "--into", person.home / "demo", code=2)
    assert "choose another --into" in run.err
    assert hash_tree(person.home / "demo") == before


def test_a_card_that_is_not_there(person: Person) -> None:
    """A card that is not there leaves nothing behind."""
    run = person.run("demo", "--card", "/nowhere", "--into", person.home / "demo", code=2)
    assert "/nowhere can't be read" in run.err
    assert not (person.home / "demo").exists()


def test_a_link(person: Person) -> None:
    """A link to a demo's folder is not followed to be cleared."""
    person.run("demo", "--into", person.home / "demo", code=3)
    (person.home / "link").symlink_to("demo")
    assert (
        "choose another folder with --into" in person.run("demo", "--into", person.home / "link", code=2).err
    )


def test_nowhere_to_write(person: Person) -> None:
    """In a folder that can't be written the demo says how to go on."""
    closed = person.home / "closed"
    closed.mkdir(mode=0o555)
    done = subprocess.run(
        [*POWERLESS, *command("demo")], cwd=closed, env=person.env, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.endswith(b"can't be used (Permission denied): choose another folder with --into\n")
