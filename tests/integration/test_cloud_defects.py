"""What a review of the bucket's part proved wrong once: a sentence each, and never again."""

import contextlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clouds import fetch, find_page, make_cloud_person, read_gallery
from commanding import Person, write_photo
from ledger import CREATED, add_files, add_job, add_session, found
from promises import ask
from running import KILLED
from stores import Store

from ghostroll import jobs
from ghostroll.cli.opening import open_station
from ghostroll.config import Library as LibrarySettings
from ghostroll.config import Publish, Settings
from ghostroll.config.settings import S3, Originals, PublishTarget
from ghostroll.engine.settle import Outcome, Policy, Settlement, settle_outcome
from ghostroll.errors import TargetRefused, TransientError
from ghostroll.model import (
    Cause,
    GalleryId,
    JobId,
    ObjectId,
    PhotoInfo,
    Safety,
    SessionId,
    Sha256,
    Source,
    SourceState,
    Stage,
    Task,
    TaskId,
    TaskState,
)
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.galleries import FOLDER, Signed
from ghostroll.state.objects import ObjectKind, ObjectState
from ghostroll.state.pictures import Picture
from ghostroll.station.galleries import add_bucket_gallery, finish_galleries, record_picture, want_original
from ghostroll.station.probing import note_bucket, try_bucket
from ghostroll.station.renewing import renew_addresses
from ghostroll.station.review import review_job
from ghostroll.station.station import Station
from ghostroll.station.summary import Moments, summarize
from ghostroll.station.telling import tell_settlement
from ghostroll.station.upkeep import is_link_settled, publish_job, revive_job, want_link
from ghostroll.station.upload import UploadWork
from ghostroll.station.wiring import Wiring
from ghostroll.station.witness import Witness

OFFLINE = "There is no network to the store"


def make_settings(tmp_path: Path, publish: Publish | None = None) -> Settings:
    """A library whose galleries go to a bucket that nobody ever asks."""
    s3 = Publish(target=PublishTarget.S3, s3=S3(bucket="nobody-asks", endpoint_url="http://127.0.0.1:9"))
    return Settings(
        library=LibrarySettings(path=tmp_path / "library", keep_free_mib=1),
        publish=s3 if publish is None else replace(publish, target=s3.target, s3=s3.s3),
    )


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station with a bucket; nobody works."""
    with open_station(make_settings(tmp_path), "test", quiet=True, witness=Witness(None)) as made:
        yield made


def add_secured_job(wiring: Wiring, name: str, files: int = 1) -> tuple[JobId, list[Source]]:
    """A job in a session of its own, whose files are in the library, and a gallery for it in the bucket."""
    job = add_job(wiring.database)
    session = add_session(wiring.database, job, name)
    sources = add_files(wiring.database, job, files)
    (Path(os.fsdecode(wiring.library.path)) / name / "share").mkdir(parents=True)
    with wiring.database.write() as db:
        tasks.forget_job(db, job)
        for source in sources:
            asset = assets.put_asset(
                db,
                Sha256(name.encode().ljust(24, b"-") + source.id.to_bytes(8, "big")),
                size=source.size,
                head=Sha256(bytes(32)),
                path=f"{name}/originals/{source.id}.JPG".encode(),
                session=session,
                verified_at=1,
            )
            assets.settle_source(db, source.id, SourceState.STORED, asset)
        job_rows.set_safety(db, job, Safety.SECURED, at=CREATED)
        add_bucket_gallery(wiring, db, job, session)
        tasks.forget_job(db, job)
        return job, assets.list_sources(db, job)


def find_gallery(wiring: Wiring, job: JobId) -> GalleryId:
    """A job's gallery in the bucket."""
    with wiring.database.read() as db:
        row = db.execute(
            "SELECT gallery.id FROM gallery JOIN job USING (session_id) WHERE job.id = ? AND place <> 'folder'",
            (job,),
        ).fetchone()
    return GalleryId(row[0])


def make_picture(source: Source) -> Picture:
    """What a render has made of a source."""
    info = PhotoInfo(None, None, None, None, None)
    return Picture(source.id, source.path, source.kind, f"{source.id}.jpg", 4, 3, 10, 5, info, None)


def tell_states(wiring: Wiring, job: JobId) -> list[str]:
    """How a job's tasks are."""
    with wiring.database.read() as db:
        return [row[0] for row in db.execute("SELECT state FROM task WHERE job_id = ? ORDER BY id", (job,))]


@pytest.mark.parametrize("ask_for", [publish_job, want_link])
def test_request_for_one_job_forgets_no_other(station: Station, ask_for: object) -> None:
    """While uploads wait for the network, a person asks for one job's link: the others' uploads still go on by themselves."""
    wiring = station.wiring
    (first, _), (second, sources) = add_secured_job(wiring, "first"), add_secured_job(wiring, "second")
    with wiring.database.write() as db:
        record_picture(db, wiring, sources[0], find_session(wiring, second), make_picture(sources[0]))
        tasks.park_bucket(db, Cause.NETWORK_DOWN, OFFLINE)
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    assert callable(ask_for)
    ask_for(wiring, first)
    wiring.outage.try_at = 0.0
    try_bucket(wiring, lambda: None)
    assert wiring.outage.cause is not None or "parked" not in tell_states(wiring, second)


def find_session(wiring: Wiring, job: JobId) -> SessionId:
    """A job's session."""
    with wiring.database.read() as db:
        one = job_rows.get_job(db, job)
    assert one is not None
    assert one.session_id is not None
    return one.session_id


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


def test_outage_that_a_last_page_ended_is_over(station: Station) -> None:
    """The bucket took a gallery's last page, whose task is gone with its job's: that ends an outage like any other."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    gallery = find_gallery(wiring, job)
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    wiring.waiting.add(Cause.NETWORK_DOWN)
    with wiring.database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, gallery)
        (task,) = tasks.claim(db, Stage.PUBLISH, job=None, limit=1, now=wiring.clock.boot())
        tasks.settle(db, task, TaskState.DONE, charged=False)
        tasks.prune_done(db, job)
    note_bucket(wiring, Settlement(task, TaskState.DONE))
    assert wiring.outage.cause is None


def test_what_was_under_way_when_an_outage_began_waits_with_the_rest(station: Station) -> None:
    """What fails in another way while the bucket can't be used does not try again by itself: nobody waits for it alone."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    with wiring.database.write() as db:
        tasks.want(db, Stage.PUBLISH, job, find_gallery(wiring, job))
        (task,) = tasks.claim(db, Stage.PUBLISH, job=None, limit=1, now=wiring.clock.boot())
    wiring.outage.meet(Cause.TARGET, "refused", wiring.clock.boot())
    with wiring.database.write() as db:
        tasks.settle(db, task, TaskState.READY, charged=True, error="a bug")
    note_bucket(wiring, Settlement(task, TaskState.READY, charged=True, error="a bug"))
    with wiring.database.read() as db:
        assert [*tasks.list_parked(db)] == [Cause.TARGET]


def test_one_object_that_is_refused_keeps_no_other(tmp_path: Path) -> None:
    """A bucket that takes pictures and no originals gets the pictures, however small the original that it refuses."""
    settings = make_settings(tmp_path, Publish(originals=Originals.ALL))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        job, sources = add_secured_job(wiring, "session", files=2)
        with wiring.database.write() as db:
            want_original(wiring, db, sources[0])
            (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
            refused = settle_outcome(Outcome(task, error=TargetRefused("no")), Policy(), now=1.0, jitter=0.0)
            tasks.settle(
                db, task, refused.state, charged=refused.charged, due=refused.due, cause=refused.cause
            )
            record_picture(db, wiring, sources[1], find_session(wiring, job), make_picture(sources[1]))
            db.execute("UPDATE task SET weight = 1 WHERE id = ?", (task.id,))
            db.execute("DELETE FROM task WHERE stage = 'publish'")
        note_bucket(wiring, refused)
        wiring.outage.try_at = 0.0
        try_bucket(wiring, lambda: None)
        with wiring.database.read() as db:
            ready = db.execute("SELECT id FROM task WHERE state = 'ready'").fetchall()
        assert len(ready) == 1
        assert ready[0][0] != task.id


def test_what_was_given_up_alone_is_no_outage(station: Station) -> None:
    """An object that failed again and again in a way of its own waits by itself; whatever else there is goes on."""
    wiring = station.wiring
    job, sources = add_secured_job(wiring, "session", files=2)
    with wiring.database.write() as db:
        for source in sources:
            record_picture(db, wiring, source, find_session(wiring, job), make_picture(source))
        db.execute("DELETE FROM task WHERE stage = 'publish'")
        (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
        given_up = settle_outcome(
            Outcome(task, error=TransientError("other bytes")),
            Policy(attempts=1, waits_for=Cause.TARGET),
            now=1.0,
            jitter=0.0,
        )
        tasks.settle(db, task, given_up.state, charged=True, due=given_up.due, cause=given_up.cause)
    note_bucket(wiring, given_up)
    assert sorted(tell_states(wiring, job)) == ["parked", "ready"]


@pytest.mark.parametrize("ask_for", [publish_job, want_link, None])
def test_next_outage_is_told_too(station: Station, ask_for: object) -> None:
    """However an outage ended, the next one of the same cause is told of."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    wiring.outage.meet(Cause.NETWORK_DOWN, OFFLINE, wiring.clock.boot())
    wiring.waiting.add(Cause.NETWORK_DOWN)
    wiring.outage.try_at = 0.0
    if callable(ask_for):
        ask_for(wiring, job)
    else:
        try_bucket(wiring, lambda: None)
    assert wiring.outage.cause is None
    assert Cause.NETWORK_DOWN not in wiring.waiting


def test_what_many_meet_at_once_is_told_once(station: Station) -> None:
    """Of all threads whose requests fail in the same moment one tells it."""
    wiring = station.wiring
    job, _ = add_secured_job(wiring, "session")
    both, told = threading.Barrier(2), []

    class Slow(set[Cause]):
        """Known causes, at which two threads look before one adds its own, if they can."""

        def __contains__(self, cause: object) -> bool:
            known = super().__contains__(cause)
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.5)
            return known

    class Log:
        """Counts warnings."""

        def warning(self, sentence: str, **_: object) -> None:
            told.append(sentence)

        def debug(self, *_: object, **__: object) -> None:
            """Nobody reads it."""

    wiring.waiting, wiring.log = Slow(), Log()  # type: ignore[assignment]
    task = Task(TaskId(1), Stage.UPLOAD, job, 1, 0, 1)
    parked = Settlement(task, TaskState.PARKED, cause=Cause.TARGET, error="refused")
    threads = [threading.Thread(target=tell_settlement, args=(wiring, parked)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["waiting: refused"]


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
