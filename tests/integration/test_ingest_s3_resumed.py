"""What was cut short goes on, and what was complete grows again: cards, killed programs, and one session of many."""

import contextlib
import io
import os
import random
import shutil
import signal
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import (
    check_gallery,
    count_stored,
    fetch,
    find_original_key,
    find_page,
    open_cloud_person,
    read_part,
    tell_writes,
)
from commanding import Person, write_photo
from mischief import Mischief
from promises import ask
from running import KILLED, finish_command, start_command
from stores import Store
from waiting import wait_for

PART = 32 * 2**20  # bytes


@pytest.fixture
def walk(moto: Store, tmp_path: Path) -> Iterator[tuple[Person, Mischief]]:
    """Somebody whose galleries go to a bucket, and what is asked of it."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        yield person, proxy


def list_archive(store: Store) -> set[str]:
    """The names in the archive of the one gallery."""
    with zipfile.ZipFile(io.BytesIO(store.read(f"{find_page(store)}/share.zip"))) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def check_whole(store: Store, session: Path, *, pictures: int) -> None:
    """The one gallery shows so many pictures, its archive has the same ones, and nothing else lies there."""
    gallery = check_gallery(store, session)
    assert gallery["total"] == pictures
    names = set(os.listdir(session / "share"))
    assert len(names) == pictures
    assert list_archive(store) == names
    page = find_page(store)
    parts = {f"{page}/{part}" for part in ("index.html", "gallery.json", "share.zip")}
    shown = {f"{page}/{folder}/{name}" for folder in ("share", "thumbs") for name in names}
    assert set(store.list_keys("sessions/")) == parts | shown


def make_second_card(person: Person) -> Path:
    """Another card: two new photos and one that the first card has as well."""
    folder = person.home / "NIKON" / "DCIM"
    folder.mkdir(parents=True)
    write_photo(folder / "DSC_0001.JPG", 11)
    write_photo(folder / "DSC_0002.JPG", 12)
    shutil.copy(person.card / "DCIM" / "100CANON" / "IMG_0001.JPG", folder / "DSC_0003.JPG")
    return folder.parent


@pytest.mark.parametrize(("point", "sent"), [("upload.part_put:2", 2), ("upload.created", 0)])
def test_killed_large_original_goes_on(
    point: str, sent: int, walk: tuple[Person, Mischief], moto: Store
) -> None:
    """Killed in the middle of a film, the next start sends only the parts that are missing, and the store confirms it."""
    person, proxy = walk
    film = person.card / "film.bin"
    film.write_bytes(random.Random(7).randbytes(2 * PART + 1000))
    person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
    person.run("ingest", person.card, code=KILLED, GHOSTROLL_CRASH_AT=point)
    key = find_original_key(film)
    assert [each.asked.query["partNumber"] for each in proxy.tell("UploadPart")] == ["1", "2", "3"][:sent]
    person.ingest()
    parts = [each.asked.query["partNumber"] for each in proxy.tell("UploadPart", key)]
    # Killed right after the store had named the upload, nobody can know that name: it starts anew.
    assert parts == ["1", "2", "3"]
    assert len(proxy.tell("CreateMultipartUpload", key)) == (1 if sent else 2)
    assert count_stored(proxy, key) == 1
    assert moto.read(key) == film.read_bytes()
    assert ask(person.library, "SELECT count(*) FROM job WHERE confirmed_at IS NULL") == [(0,)]
    assert ask(person.library, "SELECT count(*) FROM object WHERE upload IS NOT NULL") == [(0,)]


@pytest.mark.parametrize(
    "point",
    ["upload.putting:1", "upload.put:2", "link.writing", "upload.put:5", "upload.put:9"],
)
def test_killed_gallery_is_as_a_clean_one(point: str, walk: tuple[Person, Mischief], moto: Store) -> None:
    """Killed before its page, between a page and its list, among pictures or at the archive: the next start makes it whole."""
    person, _ = walk
    person.run("ingest", person.card, code=KILLED, GHOSTROLL_CRASH_AT=point)
    person.ingest()
    check_whole(moto, person.find_session(), pictures=3)
    assert ask(
        person.library, "SELECT DISTINCT safety, publication FROM job WHERE session_id IS NOT NULL"
    ) == [("secured", "complete")]
    link = (person.find_session() / "link.txt").read_text().splitlines()[0]
    assert fetch(link).content == read_part(moto, "index.html")


def test_second_card_joins_a_session(walk: tuple[Person, Mischief], moto: Store) -> None:
    """A complete gallery grows by the new pictures of another card; its link stays, its archive is made anew."""
    person, proxy = walk
    person.run("ingest", person.card, "--session", "wedding", "--json")
    check_whole(moto, person.library / "wedding", pictures=3)
    link = (person.library / "wedding" / "link.txt").read_text()
    person.run("ingest", make_second_card(person), "--session", "wedding", "--json")
    check_whole(moto, person.library / "wedding", pictures=5)
    assert count_stored(proxy, "*/index.html") == 1
    assert count_stored(proxy, "*/share.zip") == 2
    assert (person.library / "wedding" / "link.txt").read_text() == link


def test_card_that_brings_nothing_new(walk: tuple[Person, Mischief]) -> None:
    """The same card again, and its copy in another folder: no session, no link, and the bucket hears nothing."""
    person, proxy = walk
    person.ingest()
    before = len(proxy.tell())
    again = person.ingest().document
    assert (again["session"], again["link"], again["known"]) == (None, None, 5)
    copied = person.home / "COPY"
    shutil.copytree(person.card, copied)
    other = person.run("ingest", copied, "--json").document
    assert (other["session"], other["link"], other["duplicates"]) == (None, None, 5)
    assert len(proxy.tell()) == before


def test_resumed_job_grows_its_gallery(walk: tuple[Person, Mischief], moto: Store) -> None:
    """A card that was pulled leaves a complete gallery of what there was; when it comes back the gallery grows on."""
    person, proxy = walk
    person.env |= {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}
    person.run("ingest", person.card, code=KILLED, GHOSTROLL_CRASH_AT="copy.read:3")
    person.run("publish", "1")
    assert ask(person.library, "SELECT safety, publication FROM job") == [("interrupted", "complete")]
    check_whole(moto, person.find_session(), pictures=2)
    assert person.ingest().document["job"] == 1
    check_whole(moto, person.find_session(), pictures=3)
    assert count_stored(proxy, "*/share.zip") == 2


def test_archive_overtaken_by_pictures(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Pictures that come while an archive without them is on its way are in the next one: no old archive is shown as whole."""
    person, proxy = walk
    held = proxy.hold(key="*/share.zip", times=1)
    first = start_command(person.env, "ingest", person.card, "--session", "wedding")
    held.wait()
    first.send_signal(signal.SIGKILL)
    finish_command(first)
    held.release()  # the store has it, and nobody heard of that
    wait_for(lambda: count_stored(proxy, "*/share.zip") == 1, "it never came")
    held = proxy.hold(key="*/share.zip", times=1)
    second = start_command(person.env, "ingest", make_second_card(person), "--session", "wedding")
    held.wait()
    there = "SELECT count(*) FROM object WHERE kind = 'picture' AND state = 'present'"
    wait_for(lambda: ask(person.library, there) == [(5,)], "the pictures never came")
    held.release()
    run = finish_command(second)
    assert run.code == 0, run.err
    check_whole(moto, person.library / "wedding", pictures=5)


def test_pictures_before_originals(walk: tuple[Person, Mischief]) -> None:
    """While pictures are made and sent, one original at a time goes beside them; the rest waits."""
    person, proxy = walk
    for number in range(6):
        (person.card / f"{number}.bin").write_bytes(random.Random(number).randbytes(1000))
    held = proxy.hold(operation="PutObject", key="*/thumbs/*")
    env = person.env | {"GHOSTROLL_PUBLISH__ORIGINALS": "all"}
    slow = proxy.hold(operation="PutObject", key="originals/*")
    process = start_command(env, "ingest", person.card)
    for _ in range(3):
        held.wait()
    slow.wait()
    assert ask(person.library, "SELECT safety FROM job") == [("secured",)]
    of_originals = (
        "SELECT count(*) FROM task WHERE stage = 'upload' AND state = 'running' AND priority < 1 << 40"
    )
    assert ask(person.library, of_originals) == [(1,)]
    held.release()
    for _ in range(3):
        slow.wait()
    slow.release()
    run = finish_command(process)
    assert run.code == 0, run.err
    assert len(tell_writes(proxy, "originals/*")) == 10


def test_killed_before_it_was_said(walk: tuple[Person, Mischief]) -> None:
    """Killed when all originals were there but nobody had been told, the next start says that the card may be formatted."""
    person, proxy = walk
    person.env |= {"GHOSTROLL_PUBLISH__ORIGINALS": "all", "GHOSTROLL_LOG__FORMAT": "json"}
    held = proxy.hold(key=find_original_key(person.card / "notes.txt"))
    env = person.env | {"GHOSTROLL_CRASH_AT": "confirmed.promising"}
    process = start_command(env, "ingest", person.card)
    wait_for_gallery(person)
    held.release()
    assert finish_command(process).code == KILLED
    assert (
        ask(person.library, "SELECT state FROM object WHERE state <> 'confirmed' AND kind = 'original'") == []
    )
    assert ask(person.library, "SELECT confirmed_at FROM job") == [(None,)]
    log = person.run("ingest", make_second_card(person)).err
    assert "EOS_DIGITAL: safe to format, 5 files" in log
    assert ask(person.library, "SELECT count(*) FROM job WHERE confirmed_at IS NULL") == [(0,)]


def wait_for_gallery(person: Person) -> None:
    """Until the first job's galleries are complete."""

    def is_complete() -> bool:
        try:
            return ask(person.library, "SELECT publication FROM job") == [("complete",)]
        except sqlite3.OperationalError:
            return False

    wait_for(is_complete, "no gallery")


def test_bucket_that_comes_back(walk: tuple[Person, Mischief], moto: Store) -> None:
    """What was on its way when the configuration named no bucket for a while goes on once it names the same one again."""
    person, proxy = walk
    person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
    person.run("ingest", person.card, code=KILLED, GHOSTROLL_CRASH_AT="upload.put:4")
    wait_for(lambda: not proxy._under_way, "what the killed one had asked never ended")
    before = len(proxy.tell())
    bucket = dict(person.env)
    person.env |= {"GHOSTROLL_PUBLISH__TARGET": "folder", "GHOSTROLL_PUBLISH__ORIGINALS": "none"}
    assert person.ingest().document["formattable"] is None
    assert len(proxy.tell()) == before
    person.env = bucket
    assert person.ingest().document["formattable"] is True
    check_whole(moto, person.find_session(), pictures=3)
    assert len(moto.list_keys("originals/")) == 4


def test_killed_before_its_last_writing(walk: tuple[Person, Mischief], moto: Store) -> None:
    """Killed when the archive was recorded and the gallery not yet wanted again, the next start completes it."""
    person, proxy = walk
    person.ingest()
    with contextlib.closing(sqlite3.connect(person.state)) as db, db:
        db.execute("DELETE FROM task")
        db.execute("UPDATE gallery SET state = 'live' WHERE place <> 'folder'")
        db.execute("UPDATE job SET publication = 'live'")
    written = count_stored(proxy, "*/gallery.json")
    person.ingest()
    assert count_stored(proxy, "*/gallery.json") > written
    assert ask(person.library, "SELECT DISTINCT state FROM gallery") == [("complete",)]
    assert ask(person.library, "SELECT publication FROM job WHERE id = 1") == [("complete",)]
    check_whole(moto, person.find_session(), pictures=3)
    assert count_stored(proxy, "*/share.zip") == 1
