"""`retry` beside a daemon: what failed is tried again there, with the right card in its place or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import PHOTO, Person, make_person, read_gallery, write_photo
from promises import check_finished
from serving import Served, served


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


@pytest.fixture
def daemon(person: Person) -> Iterator[Served]:
    """A daemon for that person."""
    with served(person) as daemon:
        yield daemon


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
