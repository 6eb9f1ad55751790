"""`status`, `jobs` and `show`: what a person sees of what is known."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from commanding import Person, make_person
from running import command, wait_until


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody with a secured card, ingested twice, and one with a file that can't be read."""
    person = make_person(tmp_path_factory.mktemp("reports"))
    person.ingest()
    person.ingest()
    other = make_person(person.home / "other")
    (other.card / "evil\x1b[2J.bin").write_bytes(b"x")
    (other.card / "locked.bin").write_bytes(b"y")
    (other.card / "locked.bin").chmod(0)
    person.run("ingest", other.card, "--json", code=3)
    return person


def test_status(person: Person) -> None:
    """`status` sums the library up and lists what needs attention."""
    out = person.run("status").out
    assert f"library  {person.library}: 5 files, " in out
    assert "attention" in out
    assert "secured" not in out


def test_status_for_a_machine(person: Person) -> None:
    """`status --json` has the same for scripts."""
    document = person.run("status", "--json").document
    assert document["library"] == str(person.library)
    assert document["assets"] == 5
    assert [(job["job"], job["state"], job["failed"]) for job in document["unfinished"]] == [
        (3, "attention", 1)
    ]
    assert document["last"]["job"] == 3


def test_status_when_all_is_done(tmp_path: Path) -> None:
    """Where nothing is open, `status` names the last job."""
    person = make_person(tmp_path)
    person.ingest()
    assert "nothing under way; the last job was 1 (secured)" in person.run("status").out


def test_jobs(person: Person) -> None:
    """`jobs` lists the newest first, on lines of 80 columns."""
    lines = person.run("jobs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["job", "3", "2", "1"]
    assert all(len(line) <= 80 for line in lines)
    assert "6 of 7" in lines[1]
    assert "3 of 3" in lines[3]
    assert [job["job"] for job in json.loads(person.run("jobs", "--json", "--limit", "2").out)] == [3, 2]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_narrow_terminals(person: Person, width: int) -> None:
    """A narrow terminal is told less of each job, but always its number, safety and files."""
    person.env["COLUMNS"] = str(width)
    lines = person.run("jobs").out.splitlines()
    del person.env["COLUMNS"]
    assert len(lines) == 4
    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith("3 ")
    assert "attention" in lines[1]
    assert "6 of 7" in lines[1]


def test_show(person: Person) -> None:
    """`show` tells a job's counts, folder and failures, with names tamed."""
    out = person.run("show", "1").out
    assert out.startswith("job 1: EOS_DIGITAL, secured\nfiles    5 of 5: 4 new, 1 duplicate, 0 known; ")
    assert "pictures 3 of 3, the gallery is complete\n" in out
    assert f"folder   {person.library}/" in out
    out = person.run("show", "3").out
    assert "failed   locked.bin (failed): can't be read (Permission denied)" in out
    assert "waiting  1 file to copy, for 'ghostroll retry' with the card in" in out


def test_show_files(person: Person) -> None:
    """`show --files` lists every file with where it is stored; a duplicate's is in the first session."""
    out = person.run("show", "3", "--files").out
    assert "stored    evil\ufffd[2J.bin -> " in out
    assert "\x1b" not in out
    duplicates = [line for line in out.splitlines() if line.startswith("duplicate")]
    assert len(duplicates) == 5
    assert all("/originals/EOS_DIGITAL/" in line for line in duplicates)
    sources = person.run("show", "3", "--files", "--json").document["sources"]
    assert sum("stored" in source for source in sources) == 6


def test_show_of_no_job(person: Person) -> None:
    """A number that no job has is a sentence with the way on."""
    assert (
        person.run("show", "999", code=2).err
        == "ghostroll: there is no job 999: 'ghostroll jobs' lists them\n"
    )


def test_watching(person: Person) -> None:
    """`status --watch` draws until Ctrl-C, then gives the terminal back with its cursor."""
    keyboard, screen = pty.openpty()
    with os.fdopen(keyboard, "rb", buffering=0) as shown:
        process = subprocess.Popen(
            command("status", "--watch"),
            env=person.env | {"TERM": "xterm-256color", "COLUMNS": "80"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        os.close(screen)
        seen = b""
        while b"attention" not in seen:
            seen += shown.read(65536)
        os.killpg(process.pid, signal.SIGINT)
        try:
            while part := shown.read(65536):
                seen += part
        except OSError:  # the terminal's other end is closed
            pass
        assert process.wait(30) == 0
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h") == 1
    assert b"Traceback" not in seen


def test_reports_beside_an_ingest(tmp_path: Path) -> None:
    """While another process ingests, every report works and tells what is there so far."""
    person = make_person(tmp_path)
    process = subprocess.Popen(
        command("ingest", person.card),
        env=person.env | {"GHOSTROLL_RENDER_FAULT": "hang:IMG_0002"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: any(person.library.glob("*/thumbs/*")))
        assert person.run("status", "--json").document["last"]["job"] == 1
        assert "EOS_DIGITAL" in person.run("status").out
        assert "EOS_DIGITAL" in person.run("jobs").out
        assert person.run("show", "1", "--json").document["job"] == 1
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
