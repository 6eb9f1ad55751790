"""Where an ingest could say too much, wait for ever, or forget: each seen once to go wrong."""

import json
from pathlib import Path

import pytest
from commanding import Person, make_person, write_photo
from promises import ask, check_records, hash_tree
from running import KILLED

from ghostroll.demo.card import draw_card

ONE_BY_ONE = {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


def flip_bit(file: Path) -> None:
    """Rot: one bit, size and time as before."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_what_verify_found_damaged_is_not_called_secured(person: Person) -> None:
    """A file that was copied before the interruption and rots is copied anew when the job goes on."""
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="engine.settled:5", **ONE_BY_ONE)
    stored = next(path for path in person.library.glob("*/originals/**/*") if path.is_file())
    flip_bit(stored)
    assert person.run("verify", code=3).out.count("damaged") == 1 + 1
    assert person.ingest().document["secured"] is True
    assert "as it was secured" in person.run("verify").out
    check_records(person.library)


def test_two_files_never_get_one_name(person: Person) -> None:
    """A photo that changed on the card and a photo that has the name it would be given both stay."""
    folder = person.card / "DCIM" / "100CANON"
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="engine.settled:5", **ONE_BY_ONE)
    stored = {path.name for path in person.library.glob("*/originals/**/*.JPG")}
    assert stored
    for seed, name in enumerate(sorted(stored), start=20):
        write_photo(folder / name, seed)
        write_photo(folder / name.replace(".JPG", "~2.JPG"), seed + 20)
    assert person.ingest().document["secured"] is True
    originals = hash_tree(person.find_session() / "originals")
    assert set(hash_tree(person.card).values()) <= set(originals.values())
    check_records(person.library)
    assert list((person.library / ".ghostroll" / "aside").iterdir()) == []


def test_a_session_without_a_record_is_not_filled(person: Person) -> None:
    """After the state was lost, filling an old session by its name would overwrite all that is known of it."""
    person.run("ingest", person.card, "--session", "wedding", "--json")
    manifest = (person.library / "wedding" / "manifest.json").read_bytes()
    for file in person.state.parent.glob("state.db*"):
        file.unlink()
    refused = person.run("ingest", person.card, "--session", "wedding", code=2)
    assert "adopt" in refused.err
    assert (person.library / "wedding" / "manifest.json").read_bytes() == manifest
    person.run("adopt")
    assert person.run("ingest", person.card, "--session", "wedding", "--json").document["known"] == 5


def test_a_session_that_is_a_file_is_refused(person: Person) -> None:
    """A session's name that somebody gave to a file of the library is told before the card gets a job."""
    person.run("ingest", person.card)
    (person.library / "wedding").write_text("a list of guests")
    refused = person.run("ingest", person.card, "--session", "wedding", code=2)
    assert "choose another name" in refused.err
    assert len(json.loads(person.run("jobs", "--json").out)) == 1
    assert (person.library / "wedding").read_text() == "a list of guests"


def test_an_empty_folder_is_no_card(person: Person) -> None:
    """The mount point of a card that is not mounted is told, and not called safe."""
    empty = person.home / "nothing"
    empty.mkdir()
    refused = person.run("ingest", empty, code=2)
    assert "is the card mounted" in refused.err
    assert "SECURED" not in refused.out
    assert person.run("jobs").out.startswith("no jobs yet")


def test_the_state_is_never_on_the_card(person: Person) -> None:
    """A state.path on the card is refused before anything is written there."""
    before = hash_tree(person.card)
    refused = person.ingest(code=2, GHOSTROLL_STATE__PATH=str(person.card / "state.db"))
    assert "state.path" in refused.err
    assert hash_tree(person.card) == before


def test_a_gallery_that_can_not_be_written_ends(person: Person) -> None:
    """Something in the gallery's way is said, and the ingest ends; the next one writes it."""
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="publish.file_written:1")
    obstacle = person.find_session() / "index.html"
    (obstacle / "in the way").mkdir(parents=True)
    stuck = person.ingest(code=0)
    assert stuck.document["secured"] is True
    unwritten = json.loads(person.run("status", "--json").out)["unfinished"]
    assert [job["publication"] for job in unwritten] == ["none"]
    (obstacle / "in the way").rmdir()
    obstacle.rmdir()
    person.ingest()
    assert obstacle.is_file()
    assert json.loads(person.run("status", "--json").out)["unfinished"] == []


@pytest.mark.parametrize("instead", ["a file", "a link", "a link to nowhere"])
def test_a_session_that_was_replaced_keeps_no_other_card_waiting(person: Person, instead: str) -> None:
    """Where something else stands in an unfinished session's place, the next card is copied and shown as ever."""
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="publish.file_written:1")
    session = person.find_session()
    session.rename(person.home / "moved")
    if instead == "a file":
        session.touch()
    else:
        session.symlink_to(person.home / ("moved" if instead == "a link" else "nowhere"))
    (person.card / "DCIM" / "100CANON" / "IMG_0001.JPG").unlink()
    write_photo(person.card / "DCIM" / "100CANON" / "IMG_0044.JPG", 44)
    other = person.card.rename(person.home / "OTHER")
    document = person.run("ingest", other, "--json").document
    assert document["secured"] is True
    assert document["publication"] == "complete"


def test_a_folder_among_what_is_unfinished_keeps_nobody_waiting(person: Person) -> None:
    """A folder that somebody put where copies begin is left alone, and the card is copied."""
    person.ingest()
    folder = person.library / ".ghostroll" / "incoming" / "mine"
    folder.mkdir()
    assert person.ingest().document["known"] == 5
    assert folder.is_dir()


def test_pictures_wait_where_no_worker_lives(person: Person) -> None:
    """Where every worker dies before its first picture, copies are safe, the exit code tells, and the next run goes on."""
    document = person.ingest(code=3, GHOSTROLL_RENDER_FAULT="early:JPG").document
    assert document["secured"] is True
    assert document["publication"] != "complete"
    assert {waiting["cause"] for waiting in document["waiting"]} == {"no-worker"}
    person.ingest()
    gallery = json.loads((person.find_session() / "gallery.json").read_bytes())
    assert len(gallery["items"]) == 3
    assert gallery["state"] == "complete"


def test_a_healed_file_leaves_the_list_of_failures(person: Person) -> None:
    """What could not be read first, and then could, is no failure in the gallery any more."""
    note = person.card / "notes.txt"
    note.chmod(0)
    person.ingest(code=3)
    gallery = person.find_session() / "gallery.json"
    assert [failure["name"] for failure in json.loads(gallery.read_bytes())["failed"]] == ["notes.txt"]
    note.chmod(0o644)
    assert person.ingest().document["secured"] is True
    assert json.loads(gallery.read_bytes())["failed"] == []


def test_a_raw_is_shown_when_its_jpeg_is_given_up(person: Person) -> None:
    """Closing a job whose JPEG never came shows the RAW beside it."""
    raw = next(file.data for file in draw_card(1) if file.path.endswith(".DNG"))
    folder = person.card / "DCIM" / "100CANON"
    (folder / "IMG_0002.DNG").write_bytes(raw)
    (folder / "IMG_0002.JPG").chmod(0)
    person.ingest(code=3)
    person.run("close", "1")
    gallery = json.loads((person.find_session() / "gallery.json").read_bytes())
    assert "IMG_0002.DNG" in {item["name"] for item in gallery["items"]}
    assert not ask(person.library, "SELECT 1 FROM job WHERE safety = 'secured'")


@pytest.mark.parametrize("key", ["AUTO=false", "ONLY=protected", "ORIGINALS=all", "VIEWER_ORIGINALS=true"])
def test_what_a_folder_can_not_keep_is_refused(person: Person, key: str) -> None:
    """A key that would be ignored is an error: above all one that promises privacy."""
    name, value = key.split("=")
    refused = person.ingest(code=2, **{f"GHOSTROLL_PUBLISH__{name}": value})
    assert "needs publish.target" in refused.err


def test_verify_names_a_folder_that_it_can_not_read(person: Person) -> None:
    """A folder of the library that can't be listed is a finding."""
    person.ingest()
    folder = person.find_session() / "originals" / "EOS_DIGITAL" / "DCIM"
    folder.chmod(0)
    try:
        run = person.run("verify", code=3)
    finally:
        folder.chmod(0o755)
    assert "unreadable" in run.out
