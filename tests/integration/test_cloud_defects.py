"""What a review of the bucket's part proved wrong once: a sentence each, and never again."""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clouds import fetch, find_page, make_cloud_person, read_gallery
from commanding import Person, write_photo
from ledger import add_job, found
from promises import ask
from running import KILLED
from secured import add_secured_job, find_gallery, find_session, make_picture, make_settings
from stores import Store

from ghostroll import jobs
from ghostroll.cli.opening import open_station
from ghostroll.config import Publish
from ghostroll.config.settings import S3, Originals
from ghostroll.model import (
    GalleryId,
    JobId,
    ObjectId,
    Safety,
    Stage,
    TaskState,
)
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.galleries import FOLDER, Signed
from ghostroll.state.objects import ObjectKind, ObjectState
from ghostroll.station.galleries import add_bucket_gallery, finish_galleries, record_picture, want_original
from ghostroll.station.renewing import renew_addresses
from ghostroll.station.review import review_job
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments, summarize
from ghostroll.station.upkeep import is_link_settled, revive_job, want_link
from ghostroll.station.upload import UploadWork
from ghostroll.station.wiring import Wiring
from ghostroll.station.witness import Witness


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station with a bucket; nobody works."""
    with open_station(make_settings(tmp_path), "test", quiet=True, witness=Witness(None)) as made:
        yield made


def test_archive_is_made_after_a_lost_rendition(station: Station) -> None:
    """A rendition that vanished before the archive was made is made again, and so is the archive, without a restart."""
    wiring = station.wiring
    assert wiring.cloud is not None
    job, (source,) = add_secured_job(wiring, "session")
    gallery, session = find_gallery(wiring, job), find_session(wiring, job)
    with wiring.database.write() as db:
        record_picture(db, wiring, source, session, make_picture(source))
        db.execute("UPDATE object SET state = 'present'")
        db.execute("UPDATE task SET state = 'done'")
    finish_galleries(wiring, job)
    run_upload(wiring)  # the file is not there
    with wiring.database.write() as db:
        assert tasks.is_rendering(db, job)
        db.execute("UPDATE task SET state = 'done'")
        record_picture(db, wiring, source, session, make_picture(source))
        db.execute("UPDATE object SET state = 'present' WHERE kind = 'picture'")
        db.execute("UPDATE task SET state = 'done'")
    finish_galleries(wiring, job)
    with wiring.database.read() as db:
        assert objects.has_wanted(db, gallery, ObjectKind.ARCHIVE)
        assert tasks.has_open(db, job, (Stage.UPLOAD,))


def run_upload(wiring: Wiring) -> None:
    """One upload, as a thread of the crew does it."""
    assert wiring.cloud is not None
    with wiring.database.write() as db:
        (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
    (outcome,) = UploadWork(wiring, wiring.cloud).run([task])
    assert outcome.error is None
    with wiring.database.write() as db:
        tasks.settle(db, task, TaskState.DONE, charged=False)
        if outcome.facts is not None:
            outcome.facts(db)


def test_safe_to_format_is_of_the_configuration_of_now(tmp_path: Path) -> None:
    """A card whose RAW files alone were wanted is not called safe to format once all originals are wanted."""
    job = JobId(1)
    for originals, formattable in ((Originals.RAW, True), (Originals.ALL, False)):
        settings = make_settings(tmp_path, Publish(originals=originals))
        with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
            wiring = station.wiring
            if originals is Originals.RAW:
                assert add_secured_job(wiring, "session")[0] == job
                review_job(wiring, job)
            document = summarize(wiring, job, Moments(None, None, None)).document
            assert document["formattable"] is formattable


def test_locks_are_those_of_the_last_look(station: Station) -> None:
    """A picture that was locked or unlocked between two insertions of its card counts as it is now."""
    job = add_job(station.wiring.database)
    locked = replace(found(b"DCIM/A.JPG"), protected=True)
    for inventory in (
        [locked, found(b"DCIM/B.JPG")],
        [found(b"DCIM/A.JPG"), replace(locked, path=b"DCIM/B.JPG")],
    ):
        with station.wiring.database.write() as db:
            assets.add_sources(db, job, inventory)
            job_rows.set_safety(db, job, Safety.COPYING)
            seen = {source.path: source.protected for source in assets.list_sources(db, job)}
        assert seen == {item.path: item.protected for item in inventory}


def test_gallery_that_got_in_the_meantime_no_bucket_is_completed(tmp_path: Path) -> None:
    """Without a bucket for one run a job is complete; with it again its gallery there is finished, not left growing."""
    with open_station(make_settings(tmp_path), "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        job, (source,) = add_secured_job(wiring, "session")
        gallery = find_gallery(wiring, job)
        with wiring.database.write() as db:
            record_picture(db, wiring, source, find_session(wiring, job), make_picture(source))
            db.execute("UPDATE object SET state = 'present'")
            galleries.set_link(db, gallery, Signed(1, 1))
            db.execute("UPDATE gallery SET state = CASE place WHEN 'folder' THEN 'complete' ELSE 'live' END")
            db.execute("UPDATE job SET publication = 'complete'")  # as the run without a bucket left it
            tasks.forget_job(db, job)
        folder = Path(os.fsdecode(wiring.library.path)) / "session"
        for name, size in (("share", 10), ("thumbs", 5)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{source.id}.jpg").write_bytes(bytes(size))
    with open_station(make_settings(tmp_path), "test", quiet=True, witness=Witness(None)) as station:
        with station.wiring.database.read() as db:
            assert tasks.is_wanted(db, Stage.PUBLISH, gallery)
        found_job = station.get_job(job)
        assert found_job is not None
        assert found_job.publication == "live"


def test_retry_looks_again_at_what_was_not_confirmed(tmp_path: Path) -> None:
    """Originals that lie in the bucket without a confirmation are looked at again when a person retries their job."""
    settings = make_settings(tmp_path, Publish(originals=Originals.ALL))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        job, (source,) = add_secured_job(wiring, "session")
        with wiring.database.write() as db:
            want_original(wiring, db, source)
            one = objects.find_object(db, ObjectId(1))
            assert one is not None
            assert objects.settle_object(db, one, ObjectState.PRESENT, "may not look at it")
            db.execute("UPDATE task SET state = 'done'")
        _, number = revive_job(wiring, job)
        assert number
        with wiring.database.read() as db:
            assert tasks.has_open(db, job, (Stage.UPLOAD,))


@pytest.fixture
def person(moto: Store, tmp_path: Path) -> Person:
    """Somebody whose galleries go to a bucket."""
    return make_cloud_person(tmp_path, moto)


def list_archive(store: Store) -> set[str]:
    """The names in the archive of the one gallery."""
    with zipfile.ZipFile(io.BytesIO(store.read(f"{find_page(store)}/share.zip"))) as archive:
        return set(archive.namelist())


def make_second_card(person: Person) -> Path:
    """Another card of two photos, the second one locked in the camera."""
    folder = person.home / "NIKON" / "DCIM"
    folder.mkdir(parents=True)
    write_photo(folder / "DSC_0001.JPG", 11)
    write_photo(folder / "DSC_0002.JPG", 12)
    (folder / "DSC_0002.JPG").chmod(0o444)
    return folder.parent


def test_session_of_a_folder_goes_to_the_bucket_whole(person: Person, moto: Store) -> None:
    """A card that joins a session from before there was a bucket brings the pictures of that session along."""
    person.run("ingest", person.card, "--session", "wedding", GHOSTROLL_PUBLISH__TARGET="folder")
    person.run("ingest", make_second_card(person), "--session", "wedding")
    gallery = read_gallery(moto)
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"]) == len(list_archive(moto)) == 5


def test_job_that_goes_on_with_a_bucket_has_a_link(person: Person, moto: Store) -> None:
    """A card that was cut short before there was a bucket goes on into it."""
    person.ingest(
        code=KILLED,
        GHOSTROLL_PUBLISH__TARGET="folder",
        GHOSTROLL_CRASH_AT="engine.settled:3",
        GHOSTROLL_COPY__BATCH_FILES="1",
    )
    assert ask(person.library, "SELECT count(*) FROM source WHERE state = 'pending'") != [(0,)]
    assert ask(person.library, "SELECT count(*) FROM session") == [(1,)]
    document = person.ingest().document
    assert document["link"] is not None
    gallery = read_gallery(moto)
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"]) == 3


def test_archive_holds_what_the_gallery_shows(person: Person, moto: Store) -> None:
    """Once only what was locked is shared, the archive too holds nothing else."""
    person.run("ingest", person.card, "--session", "wedding")
    person.run(
        "ingest", make_second_card(person), "--session", "wedding", GHOSTROLL_PUBLISH__ONLY="protected"
    )
    gallery = read_gallery(moto)
    assert [item["name"] for item in gallery["items"]] == ["DSC_0002.JPG"]
    assert len(list_archive(moto)) == 1


def test_what_is_not_shared_any_more_is_not_sent(person: Person, moto: Store) -> None:
    """Pictures that still had to go up when only locked ones began to be shared stay here."""
    (person.card / "DCIM" / "100CANON" / "IMG_0002.JPG").chmod(0o444)
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="upload.putting:3", GHOSTROLL_RENDER__WORKERS="1")
    person.ingest(GHOSTROLL_PUBLISH__ONLY="protected")
    gallery = read_gallery(moto)
    assert gallery["state"] == "complete"
    assert [item["name"] for item in gallery["items"]] == ["IMG_0002.JPG"]
    assert len([key for key in moto.list_keys() if "/share/" in key]) == 1


def test_what_is_shared_by_now_is_sent(person: Person, moto: Store) -> None:
    """A gallery that was begun for locked pictures alone gets the others too, once all are shared."""
    (person.card / "DCIM" / "100CANON" / "IMG_0002.JPG").chmod(0o444)
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="upload.putting:3", GHOSTROLL_PUBLISH__ONLY="protected")
    person.ingest()
    gallery = read_gallery(moto)
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"]) == 3


def test_original_has_one_name_whatever_else_has_its_bytes(person: Person, moto: Store) -> None:
    """Viewers get an original also where the same bytes lie on the card under another kind of name, too."""
    folder = person.card / "DCIM" / "100CANON"
    (folder / "AAA.DAT").write_bytes((folder / "IMG_0002.JPG").read_bytes())
    person.ingest(GHOSTROLL_PUBLISH__ORIGINALS="all", GHOSTROLL_PUBLISH__VIEWER_ORIGINALS="true")
    assert {fetch(item["original"]).status for item in read_gallery(moto)["items"]} == {200}


def test_originals_that_are_not_wanted_any_more_stay_here(person: Person, moto: Store) -> None:
    """Originals that still had to go up when the configuration stopped asking for them are not sent."""
    person.ingest(code=KILLED, GHOSTROLL_CRASH_AT="upload.putting:3", GHOSTROLL_PUBLISH__ORIGINALS="all")
    person.ingest()
    assert moto.list_keys("originals/") == []
    assert read_gallery(moto)["state"] == "complete"


def test_new_link_waits_for_no_renewal(station: Station) -> None:
    """A card's page goes up before addresses of older galleries are renewed, and its folder's page waits for no bucket."""
    wiring = station.wiring
    assert wiring.cloud is not None
    for number in range(5):
        job, _ = add_secured_job(wiring, f"old-{number}")
        with wiring.database.write() as db:
            old = find_gallery(wiring, job)
            now = wiring.now_seconds()
            galleries.set_link(db, old, Signed(now - 50, 100))
            galleries.set_addresses(db, old, Signed(now - 50, 100))
    assert renew_addresses(wiring) == 5
    job, (source,) = add_secured_job(wiring, "new")
    session, new = find_session(wiring, job), find_gallery(wiring, job)
    with wiring.database.write() as db:
        add_bucket_gallery(wiring, db, job, session)
        record_picture(db, wiring, source, session, make_picture(source))
        (first,) = tasks.claim(
            db, Stage.PUBLISH, job=None, limit=1, rank=jobs.BUCKETS, now=wiring.clock.boot()
        )
        (folder,) = tasks.claim(
            db, Stage.PUBLISH, job=None, limit=9, rank=jobs.FOLDERS, now=wiring.clock.boot()
        )
        assert first.subject == new
        assert galleries.get_gallery(db, GalleryId(folder.subject)).place == FOLDER


def test_a_surprise_while_the_bucket_is_made_ready(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no thread, and so no copy of a card: whoever sends something meets it again."""
    cloud = station.wiring.cloud
    assert cloud is not None

    def surprise() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(cloud.bucket, "prepare", surprise)
    station.start()
    station.engine.stop()
    assert station.engine.join(30)
    assert station.engine.failure is None


def test_a_clock_that_is_set_while_a_page_goes_up(
    moto: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that was signed by the clock of before is written again: else its link were dead, and nobody were told."""
    for name, value in moto.environ.items():
        monkeypatch.setenv(name, value)
    s3 = S3(bucket=moto.bucket, endpoint_url=moto.endpoint, region=moto.region)
    settings = make_settings(tmp_path)
    settings = replace(settings, publish=replace(settings.publish, s3=s3))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        cloud = wiring.cloud
        assert cloud is not None
        job, _ = add_secured_job(wiring, "first")
        true, late = wiring.clock.wall, timedelta(days=400)
        wiring.clock = replace(wiring.clock, wall=lambda: true() - late)
        put = cloud.bucket.put

        def put_while_it_is_set(*arguments: Any, **more: Any) -> Any:
            wiring.clock = replace(wiring.clock, wall=true)
            return put(*arguments, **more)

        monkeypatch.setattr(cloud.bucket, "put", put_while_it_is_set)
        want_link(wiring, job)
        station.start()
        assert station.wait(lambda: is_link_settled(wiring, job), 30)
        with wiring.database.read() as db:
            link = galleries.get_gallery(db, find_gallery(wiring, job)).link
        assert link is not None
        assert abs(link.at - wiring.now_seconds()) < 60
