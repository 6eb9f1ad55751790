"""`retry`, `close` and `verify`: what a person does afterwards."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from commanding import PHOTO, Person, make_person, read_gallery
from promises import ask, check_always, check_finished, check_sums, list_originals
from running import check_sentence, finish_command, start_command, wait_until


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


@pytest.fixture
def unhappy(person: Person) -> Person:
    """Somebody with one photo on the card that can't be read."""
    (person.card / PHOTO).chmod(0)
    assert person.ingest(code=3).document["state"] == "attention"
    return person


def test_retry_heals(unhappy: Person) -> None:
    """Once the file can be read, `retry` copies it alone, shows it, and the job is secured."""
    assert "IMG_0002.JPG" not in read_gallery(unhappy)
    (unhappy.card / PHOTO).chmod(0o644)
    run = unhappy.run("retry", "1", "--json")
    assert (run.document["job"], run.document["state"], run.document["new"]) == (1, "secured", 4)
    assert run.document["stages"]["copy"]["items"] == 1
    assert "IMG_0002.JPG" in read_gallery(unhappy)
    check_finished(unhappy.library, unhappy.card)


def test_retry_in_vain(unhappy: Person) -> None:
    """Where the file still can't be read, `retry` names it again."""
    for _ in range(2):
        run = unhappy.run("retry", "1", code=3)
        assert "IMG_0002.JPG (NOT stored): can't be read (Permission denied)" in run.out
    assert "attention" in unhappy.run("status").out


def test_retry_without_the_card(unhappy: Person) -> None:
    """Without its card a job's missing files can't be tried; nothing changes, and it is said what to do."""
    away = unhappy.card.rename(unhappy.home / "AWAY")
    run = unhappy.run("retry", "1", code=2)
    assert "the card of job 1 is not at" in run.err
    assert "put it in" in run.err
    assert "attention" in unhappy.run("status").out
    away.rename(unhappy.card)


def test_retry_revives_a_dead_render(person: Person) -> None:
    """A picture whose decoder crashed is made by `retry` and stands in the gallery."""
    document = person.ingest(code=3, GHOSTROLL_RENDER_FAULT="crash:IMG_0002").document
    assert [(failed["path"], failed["stage"]) for failed in document["failed"]] == [(PHOTO, "render")]
    assert document["secured"] is True
    assert "IMG_0002.JPG" not in read_gallery(person)
    run = person.run("retry", "1", "--json")
    assert (run.document["failed"], run.document["renditions"]) == ([], 6)
    assert sorted(read_gallery(person)) == ["IMG_0001.JPG", "IMG_0002.JPG", "IMG_0003.JPG"]
    check_finished(person.library, person.card)


def test_retry_of_a_secured_job(person: Person) -> None:
    """Where there is nothing to retry, that is said, and all is well."""
    person.ingest()
    out = person.run("retry", "1").out
    assert out.startswith("nothing of job 1 waits for a retry\n")
    assert "SECURED: 5 files" in out


def test_close(unhappy: Person) -> None:
    """A closed job names what is missing, is never secured, and what is there is whole."""
    session = unhappy.find_session()
    run = unhappy.run("close", "1")
    assert run.out == "job 1 is closed; 1 file of the card is not in the library\n"
    (job,) = json.loads((session / "manifest.json").read_bytes())["jobs"]
    assert (job["safety"], job["secured"]) == ("closed", None)
    missing = [source for source in job["sources"] if "sha256" not in source]
    assert [(source["path"], source["state"]) for source in missing] == [(PHOTO, "failed")]
    assert missing[0]["error"]
    check_sums(session)
    assert len(read_gallery(unhappy)) == 2
    assert ask(unhappy.library, "SELECT safety, secured_at FROM job") == [("closed", None)]
    assert not ask(unhappy.library, "SELECT 1 FROM task WHERE state IN ('ready', 'running', 'parked')")


def test_a_closed_job_stays_closed(unhappy: Person) -> None:
    """A closed job can't be closed or retried; the card again is a new job that takes what was missing."""
    unhappy.run("close", "1")
    assert "closed already" in unhappy.run("close", "1", code=2).err
    assert "was closed: ingest the card again" in unhappy.run("retry", "1", code=2).err
    (unhappy.card / PHOTO).chmod(0o644)
    document = unhappy.ingest().document
    assert (document["job"], document["state"], document["new"]) == (2, "secured", 1)
    assert unhappy.run("show", "1", "--json").document["state"] == "closed"


def test_close_for_a_machine(unhappy: Person) -> None:
    """`close --json` counts what is missing."""
    assert unhappy.run("close", "1", "--json").document == {"job": 1, "state": "closed", "missing": 1}


def test_a_secured_job_is_not_closed(person: Person) -> None:
    """There is nothing to give up of a secured job."""
    person.ingest()
    assert "secured already" in person.run("close", "1", code=2).err


def test_close_an_interrupted_job(person: Person) -> None:
    """A job that was cut short can be closed; all that is not there is named as not copied."""
    more = {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}
    person.run("ingest", person.card, code=-9, GHOSTROLL_CRASH_AT="copy.read:3", **more)
    missing = person.run("close", "1", "--json").document["missing"]
    assert missing == 3
    (job,) = json.loads((person.find_session() / "manifest.json").read_bytes())["jobs"]
    assert sum(source.get("error") == "not copied" for source in job["sources"]) == missing
    check_sums(person.find_session())


def test_verify_a_sound_library(person: Person) -> None:
    """A library as it was secured is verified with exit code 0."""
    person.ingest()
    run = person.run("verify")
    assert run.out.startswith("4 files, ")
    assert run.out.endswith("looked at: every one as it was secured\n")
    document = person.run("verify", "--all", "--json").document
    assert (document["files"], document["findings"], document["complete"]) == (4, [], True)


def damage(person: Person) -> dict[str, str]:
    """A flipped bit, a truncated file, a missing one, a strange one, an unknown folder; what each is called."""
    flipped, short = person.find_original("IMG_0001.JPG"), person.find_original("IMG_0002.JPG")
    missing = person.find_original("notes.txt")
    data = bytearray(flipped.read_bytes())
    data[100] ^= 1
    flipped.write_bytes(data)
    os.truncate(short, 100)
    missing.unlink()
    strange = missing.parent / "strange\x1b[2J.txt"
    strange.write_text("not from the card")
    unknown = person.library / "holiday"
    unknown.mkdir()
    found = dict.fromkeys((flipped, short), "damaged") | {
        missing: "missing",
        strange: "foreign",
        unknown: "foreign",
    }
    return {os.fspath(path.relative_to(person.library)): finding for path, finding in found.items()}


def test_verify_finds_and_the_card_heals(person: Person) -> None:
    """Every kind of damage is named; the card's next visit heals what it holds, and verify agrees."""
    person.ingest()
    expected = damage(person)
    run = person.run("verify", "--json", code=3)
    assert {finding["path"]: finding["finding"] for finding in run.document["findings"]} == expected
    run = person.run("verify", code=3)
    assert "\x1b" not in run.out
    assert "put the card in again" in run.out
    healed = person.ingest().document
    assert (healed["secured"], healed["failed"]) == (True, [])
    left = person.run("verify", "--json", code=3).document["findings"]
    assert {finding["finding"] for finding in left} == {"foreign"}
    (person.library / "holiday").rmdir()
    for path in expected:
        if "strange" in path:
            (person.library / path).unlink()
    assert person.run("verify", "--json").document["findings"] == []
    check_always(person.library, person.card)
    check_sums(Path(healed["session_dir"]))
    assert len(os.listdir(person.library / ".ghostroll" / "aside")) == 2


def test_verify_one_job(person: Person) -> None:
    """`verify JOB` reads what that job needs, also where it lies in another session."""
    person.ingest()
    other = make_person(person.home / "other")
    (other.card / "more.bin").write_bytes(b"more")
    person.run("ingest", other.card)
    assert person.run("verify", "2", "--json").document["files"] == 5
    person.find_original("IMG_0001.JPG").unlink()
    assert [
        finding["finding"] for finding in person.run("verify", "2", "--json", code=3).document["findings"]
    ] == ["missing"]
    assert person.run("verify", "99", code=2).err.startswith("ghostroll: there is no job 99")


def test_verify_after_a_session_was_deleted(person: Person) -> None:
    """All files of a session folder that is gone are missing, and the card brings them back."""
    person.ingest()
    subprocess.run(["rm", "-r", person.find_session()], check=True)
    findings = person.run("verify", "--json", code=3).document["findings"]
    assert [finding["finding"] for finding in findings] == ["missing"] * 4
    assert person.ingest().document["secured"] is True
    assert person.run("verify", "--json").document["findings"] == []
    assert len(list_originals(person.library)) == 4


def test_verify_is_stopped(person: Person) -> None:
    """Ctrl-C ends a verify with 130; what was read until then is told."""
    for number in range(4):
        with (person.card / f"large{number}.bin").open("wb") as file:
            file.write(b"%d" % number)
            file.truncate(200 << 20)
    person.ingest()
    process = start_command(person.env, "verify")
    lock = person.library / ".ghostroll" / "state.db.lock"
    wait_until(lambda: "verify" in lock.read_text())
    process.send_signal(signal.SIGINT)
    stopped = finish_command(process)
    check_sentence(stopped)
    assert stopped.code == 130
    assert "every one as it was secured\n" not in stopped.out
    assert person.run("verify").out.startswith("8 files, ")
