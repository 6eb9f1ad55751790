"""SIGKILL at every crash point of `verify --heal`, then once more: the library is as it was secured."""

import os
from pathlib import Path

import pytest
from campaign import count, pick
from clouds import make_cloud_person
from commanding import Person
from crash_points import OF_HEALING, find_points
from promises import list_originals
from running import KILLED
from stores import Store

POINTS = [point for point in find_points() if point.startswith(OF_HEALING)]
# In a run in which one damaged file is healed: set aside, then put in its place.
BESIDE = [
    "library.renaming",
    "library.renamed:1",
    "library.renaming:2",
    "library.renamed:2",
    "library.data_synced",
]


@pytest.fixture
def person(tmp_path: Path, moto: Store) -> Person:
    """Somebody whose originals lie in a bucket, and one of them is damaged here."""
    person = make_cloud_person(tmp_path / "home", moto)
    person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
    person.ingest()
    return person


def spoil(person: Person) -> bytes:
    """One bit of one file is another one; the file as it should be."""
    path = person.find_original("IMG_0002.JPG")
    good = path.read_bytes()
    path.write_bytes(good[:50] + bytes((good[50] ^ 1,)) + good[51:])
    return good


def test_every_point_is_reached(person: Person, tmp_path: Path) -> None:
    """Each crash point of healing is passed where one file is healed."""
    spoil(person)
    log = tmp_path / "points.log"
    person.run("verify", "--heal", GHOSTROLL_CRASH_LOG=str(log))
    assert len(POINTS) >= 6
    assert set(POINTS) - set(log.read_text().split()) == set()


def test_killed_at_a_point(person: Person) -> None:
    """Killed anywhere, the next run heals what is left; nothing damaged is lost, and no half file stays."""
    whole = list_originals(person.library)
    points = [*POINTS, *BESIDE[: pick(1, len(BESIDE))]]
    for point in points:
        spoil(person)
        person.run("verify", "--heal", code=KILLED, GHOSTROLL_CRASH_AT=point)
        person.run("verify", "--heal")
        assert list_originals(person.library) == whole, point
        assert os.listdir(person.library / ".ghostroll" / "incoming") == [], point
        count("kills, each followed by another run that healed", 1)
    assert len(os.listdir(person.library / ".ghostroll" / "aside")) == len(points)
    assert person.run("verify", "--json").document["findings"] == []
