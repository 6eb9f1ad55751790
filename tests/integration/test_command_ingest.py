"""`ghostroll ingest`: what it tells a machine, what it tells a person, and how it ends."""

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from commanding import Person, make_person, write_photo
from promises import check_always, check_finished
from running import check_sentence, command, finish_command, run_command, wait_until

FIELDS = {
    *("job", "session", "state", "publication", "secured", "files", "bytes", "new", "known", "duplicates"),
    *("renditions", "failed", "session_dir", "link", "seconds", "stages"),
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


def test_the_document(person: Person) -> None:
    """`--json` prints one object with the promised fields, and nothing on stderr."""
    run = person.ingest()
    assert run.err == ""
    document = run.document
    assert document.keys() >= FIELDS
    counts = {name: document[name] for name in ("files", "new", "known", "duplicates", "renditions")}
    assert counts == {"files": 5, "new": 4, "known": 0, "duplicates": 1, "renditions": 6}
    assert (document["state"], document["publication"], document["secured"]) == ("secured", "complete", True)
    assert document["bytes"] == sum(path.stat().st_size for path in person.card.rglob("*") if path.is_file())
    assert document["session_dir"] == str(person.find_session())
    assert document["session"] == person.find_session().name
    assert (document["failed"], document["waiting"], document["link"]) == ([], [], None)
    seconds = document["seconds"]
    assert seconds.keys() == {"secured", "first_picture", "published"}
    assert 0 < seconds["first_picture"] <= seconds["published"]
    assert 0 < seconds["secured"] <= seconds["published"]
    assert set(document["stages"]) == {"scan", "copy", "render", "publish"}
    for stage in document["stages"].values():
        assert stage.keys() == {"items", "bytes", "seconds", "per_second"}
    copied = document["stages"]["copy"]
    assert (copied["items"], copied["bytes"]) == (5, document["bytes"])
    check_finished(person.library, person.card)


def test_odd_names_in_the_document(person: Person) -> None:
    """A failed file whose name is not UTF-8 is given readably, and with all its bytes."""
    name = b"DCIM/100CANON/caf\xe9.JPG"
    Path(os.fsdecode(os.fsencode(person.card) + b"/" + name)).write_bytes(b"no picture")
    (failed,) = person.ingest(code=3).document["failed"]
    assert failed["path"] == "DCIM/100CANON/caf\ufffd.JPG"
    assert base64.b64decode(failed["path_b64"]) == name
    assert failed["stage"] == "render"
    assert failed["error"]


def test_nothing_new(person: Person) -> None:
    """A card that is known makes no gallery, and it is said where its pictures are."""
    session = person.find_session() if person.ingest().code == 0 else None
    document = person.ingest().document
    assert (document["known"], document["new"], document["session"]) == (5, 0, None)
    assert document["known_in"] == str(session)
    run = person.run("ingest", person.card)
    assert "nothing new on this card; its pictures are already in" in run.out
    assert f"{session}/index.html" in run.out


def test_the_newest_of_several_sessions(person: Person) -> None:
    """Where a card's pictures lie in two sessions, the newer one is named."""
    person.ingest()
    write_photo(person.card / "DCIM" / "100CANON" / "IMG_0010.JPG", 10)
    second = person.ingest().document["session_dir"]
    assert person.ingest().document["known_in"] == second


def test_a_session_by_name(person: Person) -> None:
    """Two cards fill the session that both name."""
    other = make_person(person.home / "other")
    write_photo(other.card / "DCIM" / "100CANON" / "IMG_0020.JPG", 20)
    for card in (person.card, other.card):
        run = person.run("ingest", card, "--json", "--session", "wedding")
        assert run.document["session"] == "wedding"
    gallery = json.loads((person.library / "wedding" / "gallery.json").read_bytes())
    assert len(gallery["items"]) == 4


def test_a_file_that_cannot_be_read(person: Person) -> None:
    """A file that can't be read is named, the card is not safe, everything else is shown."""
    locked = person.card / "DCIM" / "100CANON" / "IMG_0002.JPG"
    locked.chmod(0)
    document = person.ingest(code=3).document
    assert (document["state"], document["secured"], document["publication"]) == (
        "attention",
        False,
        "complete",
    )
    assert [(failed["path"], failed["stage"]) for failed in document["failed"]] == [
        ("DCIM/100CANON/IMG_0002.JPG", "copy")
    ]
    run = person.run("ingest", person.card, code=3)
    assert "NOT SAFE: some files can't be read" in run.out
    assert "IMG_0002.JPG (NOT stored): can't be read (Permission denied)" in run.out


def test_a_folder_that_cannot_be_listed(person: Person) -> None:
    """A folder that can't be listed is a failure of the scan under its own name."""
    folder = person.card / "LOST.DIR"
    folder.mkdir(mode=0)
    document = person.ingest(code=3).document
    folder.chmod(0o755)
    assert [(failed["path"], failed["stage"]) for failed in document["failed"]] == [("LOST.DIR", "scan")]


def test_another_process_holds_the_state(person: Person) -> None:
    """While somebody else is at work, his process and command are named, and reports still work."""
    holder = subprocess.Popen(
        command("ingest", person.card),
        env=person.env | {"GHOSTROLL_RENDER_FAULT": "hang:IMG_0002"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: any(person.library.glob("*/thumbs/*")))
    run = person.run("ingest", person.card, code=7)
    assert f"process {holder.pid} (ingest {person.card})" in run.err
    assert run.err.count("\n") == 1
    for name in ("retry 1", "close 1", "verify", "adopt"):
        assert f"process {holder.pid}" in person.run(*name.split(), code=7).err
    for name in ("status", "jobs", "show 1"):
        person.run(*name.split())
    holder.send_signal(signal.SIGINT)
    assert finish_command(holder).code == 130


def test_lines_for_a_pipe(person: Person) -> None:
    """In a pipe there are plain lines: progress, what was secured, and where the gallery is."""
    run = person.run("ingest", person.card)
    assert "\x1b" not in run.out + run.err
    assert " of 5 files, " in run.out
    assert "SECURED: 5 files safe and verified; the card may be removed\n" in run.out
    assert "files    4 new, 1 duplicate, 0 known; " in run.out
    assert f"gallery  {person.find_session()}/index.html\n" in run.out


@pytest.mark.parametrize("presses", [1, 2])
def test_stopped_while_rendering(person: Person, presses: int) -> None:
    """Ctrl-C for the whole process group ends an ingest, no worker stays, and the next run completes the gallery."""
    env = person.env | {"GHOSTROLL_RENDER_FAULT": "hang:IMG_0002"}
    process = subprocess.Popen(
        command("ingest", person.card),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_until(lambda: any(person.library.glob("*/thumbs/*")))
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
    stopped = finish_command(process)
    check_sentence(stopped)
    assert stopped.code == 130, stopped.err
    assert "stopping; once more to stop at once" in stopped.err
    if presses == 1:
        assert "run the same command again" in stopped.out
    wait_until(lambda: not is_group_alive(process.pid))
    check_always(person.library, person.card)
    again = run_command(person.env, "ingest", person.card, "--json")
    check_sentence(again)
    assert again.code == 0, again.err
    check_finished(person.library, person.card)


def is_group_alive(group: int) -> bool:
    """Whether any process of a group lives."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_library_is_no_card(person: Person) -> None:
    """Neither the library nor a folder around it can be the card."""
    person.ingest()
    for path in (person.library, person.find_session(), person.home):
        assert "library" in person.run("ingest", path, code=2).err
