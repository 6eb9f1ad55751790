"""Rows of what belongs in a bucket, which uploads may go before which, and a state that an older version wrote."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import check_gallery, open_cloud_person
from commanding import Person, make_person
from ledger import add_files, add_job, add_session, open_ledger
from promises import ask, check_finished
from running import KILLED
from stores import Store

from ghostroll import jobs
from ghostroll.model import (
    AssetId,
    Cause,
    GalleryId,
    JobId,
    Kind,
    ObjectId,
    SessionId,
    Sha256,
    Source,
    SourceState,
    Stage,
    Task,
    TaskState,
)
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state.database import Database, load_migrations
from ghostroll.state.galleries import FOLDER, Signed
from ghostroll.state.objects import ObjectKind, ObjectState

HERE = "s3://bucket/ at https://store.example.org"
THERE = "s3://other/ at https://store.example.org"

GALLERY = "INSERT INTO gallery (session_id, place, folder) VALUES "
OBJECT = "INSERT INTO object (place, kind, job_id, gallery_id, source_id, asset_id, state) VALUES "
REFUSED = {
    "two galleries of a session in one place": (GALLERY + "(1, 'here', 'b')", "gallery.session_id"),
    "two sessions in one folder of a bucket": (
        "UPDATE gallery SET place = 'x', folder = 'a' WHERE id = 1",
        "folder",
    ),
    "a bucket without a folder": (GALLERY + "(1, 'x', NULL)", "place = 'folder'"),
    "a folder with a key": ("UPDATE gallery SET folder = 'x' WHERE place = 'folder'", "place = 'folder'"),
    "a link without a life": ("UPDATE gallery SET linked_at = 1 WHERE id = 2", "linked_at IS NULL"),
    "a life without a signature": ("UPDATE gallery SET signed_seconds = 1 WHERE id = 2", "linked_at IS NULL"),
    "a link to a folder": (
        "UPDATE gallery SET linked_at = 1, link_seconds = 1 WHERE id = 1",
        "archive_bytes IS NULL",
    ),
    "an empty archive": ("UPDATE gallery SET archive_bytes = 0 WHERE id = 2", "archive_bytes > 0"),
    "an unknown state": ("UPDATE gallery SET state = 'fine'", "state IN"),
    "a picture of no source": (
        OBJECT + "('here', 'picture', 1, 2, NULL, NULL, 'wanted')",
        "source_id IS NOT NULL",
    ),
    "an original of no asset": (
        OBJECT + "('here', 'original', 1, NULL, NULL, NULL, 'wanted')",
        "asset_id IS NOT NULL",
    ),
    "an original of a gallery": (
        OBJECT + "('here', 'original', 1, 2, NULL, 1, 'wanted')",
        "gallery_id IS NULL",
    ),
    "an archive of no gallery": (
        OBJECT + "('here', 'archive', 1, NULL, NULL, NULL, 'wanted')",
        "gallery_id IS NULL",
    ),
    "a confirmed picture": (OBJECT + "('here', 'picture', 1, 2, 1, NULL, 'confirmed')", "kind = 'original'"),
    "an unknown kind": (OBJECT + "('here', 'film', 1, 2, NULL, NULL, 'wanted')", "kind IN"),
    "a picture twice": (
        OBJECT
        + "('here', 'picture', 1, 2, 1, NULL, 'wanted'), ('here', 'picture', 1, 2, 1, NULL, 'present')",
        "object.gallery_id, object.source_id",
    ),
    "two archives": (
        OBJECT
        + "('here', 'archive', 1, 2, NULL, NULL, 'wanted'), ('here', 'archive', 1, 2, NULL, NULL, 'wanted')",
        "object.gallery_id",
    ),
    "an original twice in one place": (
        OBJECT
        + "('here', 'original', 1, NULL, NULL, 1, 'wanted'), ('here', 'original', 1, NULL, NULL, 1, 'wanted')",
        "object.asset_id, object.place",
    ),
}


class Rows:
    """A session with two files on its card, its gallery in a bucket, and an asset for the first file."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.job = add_job(database)
        self.session = add_session(database, self.job)
        self.first, self.second = add_files(database, self.job, 2)
        with database.write() as db:
            db.execute("DELETE FROM task")
            self.asset = put_asset(db, self.session, 1)
            assets.settle_source(db, self.first.id, SourceState.STORED, self.asset)
            galleries.add_gallery(db, self.session, "here", folder="a", released=True)
            found = galleries.find_gallery(db, self.session, "here")
        assert found is not None
        self.gallery = found.id

    def want_picture(self, source: Source) -> objects.Object:
        """Its renditions belong in the gallery."""
        with self.database.write() as db:
            made = objects.want_picture(
                db, "here", job=self.job, gallery=self.gallery, source=source.id, size=10
            )
            priority = jobs.order_uploads(ObjectKind.PICTURE, self.job)
            tasks.want_anew(db, Stage.UPLOAD, self.job, [(made, priority, 10)])
        return self.find(made)

    def want_originals(self, number: int) -> None:
        """So many other assets belong in the bucket."""
        with self.database.write() as db:
            for seed in range(10, 10 + number):
                asset = put_asset(db, self.session, seed)
                wanted = objects.want_original(db, "here", self.job, asset, 5)
                assert wanted is not None
                tasks.want_anew(
                    db, Stage.UPLOAD, self.job, [(wanted, jobs.order_uploads("original", self.job), 5)]
                )

    def find(self, one: ObjectId) -> objects.Object:
        """An object as it is now."""
        with self.database.read() as db:
            found = objects.find_object(db, one)
        assert found is not None
        return found

    def claim(self, rank: int | None, stage: Stage = Stage.UPLOAD, *, limit: int = 9) -> list[Task]:
        """What a crew gets."""
        with self.database.write() as db:
            return tasks.claim(db, stage, job=None, limit=limit, rank=rank, now=0)

    def settle(self, task: Task) -> None:
        """It is done."""
        with self.database.write() as db:
            tasks.settle(db, task, TaskState.DONE, charged=False)


def put_asset(db: sqlite3.Connection, session: SessionId, seed: int) -> AssetId:
    """Another content for another number."""
    return assets.put_asset(
        db,
        Sha256(bytes([seed]) * 32),
        size=5,
        head=Sha256(bytes(32)),
        path=b"file%d" % seed,
        session=session,
        verified_at=7,
    )


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A ledger with a bucket's rows."""
    with open_ledger(tmp_path) as database:
        yield Rows(database)


@pytest.mark.parametrize("name", REFUSED)
def test_schema_refuses(name: str, rows: Rows) -> None:
    """What must never be in a bucket's rows is refused by SQLite itself, naming the invariant."""
    statement, reason = REFUSED[name]
    with pytest.raises(sqlite3.IntegrityError) as refused, rows.database.write() as db:
        db.execute(statement)
    assert reason in str(refused.value)


def test_page_goes_before_everything(rows: Rows) -> None:
    """No upload is claimed while a new gallery's page is wanted or written; with its link there, or after it failed, all are."""
    rows.want_picture(rows.first)
    rows.want_originals(1)
    with rows.database.write() as db:
        tasks.want(db, Stage.PUBLISH, rows.job, rows.gallery)
    assert rows.claim(jobs.PICTURES) == rows.claim(jobs.OTHERS) == []
    (page,) = rows.claim(None, Stage.PUBLISH)
    assert rows.claim(jobs.PICTURES) == rows.claim(jobs.OTHERS) == []
    with rows.database.read() as db:
        assert tasks.next_due(db, Stage.UPLOAD, None, jobs.PICTURES) is None
    with rows.database.write() as db:
        tasks.settle(db, page, TaskState.READY, charged=True, due=100, error="failed")
    assert len(rows.claim(jobs.PICTURES)) == 1


def test_page_that_is_there_holds_nothing_up(rows: Rows) -> None:
    """A gallery that grows, or gets a new link, is written beside its pictures."""
    rows.want_picture(rows.first)
    with rows.database.write() as db:
        galleries.set_link(db, rows.gallery, Signed(1, 2))
        tasks.want(db, Stage.PUBLISH, rows.job, rows.gallery)
    assert len(rows.claim(jobs.PICTURES)) == 1


def test_originals_let_pictures_pass(rows: Rows) -> None:
    """While pictures are made or sent one original at a time is claimed; without them all are."""
    rows.want_originals(3)
    picture = rows.want_picture(rows.first)
    (first,) = rows.claim(jobs.OTHERS, limit=1)
    assert rows.claim(jobs.OTHERS, limit=1) == []
    with rows.database.read() as db:
        assert tasks.next_due(db, Stage.UPLOAD, None, jobs.OTHERS) is None
    rows.settle(first)
    (second,) = rows.claim(jobs.OTHERS, limit=1)
    (sending,) = rows.claim(jobs.PICTURES)
    assert sending.subject == picture.id
    assert rows.claim(jobs.OTHERS, limit=1) == []
    rows.settle(sending)
    assert len(rows.claim(jobs.OTHERS, limit=1)) == 1
    rows.settle(second)
    with rows.database.write() as db:
        tasks.want(db, Stage.RENDER, rows.job, rows.second.id)
    rows.want_originals(5)
    assert rows.claim(jobs.OTHERS, limit=1) == []


def test_bytes_that_were_wanted_anew(rows: Rows) -> None:
    """An upload of older bytes settles nothing, and the newer ones are still wanted."""
    old = rows.want_picture(rows.first)
    new = rows.want_picture(rows.first)
    assert (new.id, new.wish) == (old.id, old.wish + 1)
    with rows.database.write() as db:
        assert not objects.settle_object(db, old, ObjectState.PRESENT)
        assert objects.list_shown(db, rows.gallery) == set()
        assert objects.settle_object(db, new, ObjectState.PRESENT)
        assert objects.list_shown(db, rows.gallery) == {rows.first.id}


def test_archive_that_was_overtaken(rows: Rows) -> None:
    """An archive under way settles nothing once another picture belongs in it; one that is there is left alone."""
    with rows.database.write() as db:
        one = objects.want_archive(db, "here", rows.job, rows.gallery)
    under_way = rows.find(one)
    with rows.database.write() as db:
        objects.overtake_archive(db, rows.gallery)
        assert not objects.settle_object(db, under_way, ObjectState.PRESENT)
    assert rows.find(one).state is ObjectState.WANTED
    with rows.database.write() as db:
        assert objects.settle_object(db, rows.find(one), ObjectState.PRESENT)
        objects.overtake_archive(db, rows.gallery)
        assert not objects.has_wanted(db, rows.gallery, ObjectKind.ARCHIVE)


def test_original_is_wanted_once(rows: Rows) -> None:
    """An original that is wanted, there or confirmed is not wanted again; another place is another matter."""
    with rows.database.write() as db:
        one = objects.want_original(db, HERE, rows.job, rows.asset, 5)
        assert one is not None
        assert objects.want_original(db, HERE, rows.job, rows.asset, 5) == one
        assert rows.find(one).wish == 1
        for state in (ObjectState.PRESENT, ObjectState.CONFIRMED):
            objects.settle_object(db, rows.find(one), state)
            assert objects.want_original(db, HERE, rows.job, rows.asset, 5) is None
        assert objects.want_original(db, THERE, rows.job, rows.asset, 5) not in (None, one)


def test_what_is_not_confirmed(rows: Rows) -> None:
    """A job's originals count as confirmed here and not elsewhere; what is pending or was never asked for does not count."""
    kinds = frozenset({Kind.JPEG})

    def tell() -> set[tuple[ObjectState | None, str | None, int]]:
        with rows.database.read() as db:
            found = objects.list_unconfirmed(db, HERE, rows.job, kinds)
        return {(one.state, one.why, one.number) for one in found}

    assert tell() == {(None, None, 2)}
    with rows.database.write() as db:
        assets.settle_source(db, rows.second.id, SourceState.DUPLICATE, rows.asset)
        elsewhere = objects.want_original(db, THERE, rows.job, rows.asset, 5)
        assert elsewhere is not None
        objects.settle_object(db, rows.find(elsewhere), ObjectState.CONFIRMED)
    assert tell() == {(None, None, 1)}
    with rows.database.write() as db:
        here = objects.want_original(db, HERE, rows.job, rows.asset, 5)
        assert here is not None
    assert tell() == {(ObjectState.WANTED, None, 1)}
    with rows.database.write() as db:
        objects.settle_object(db, rows.find(here), ObjectState.PRESENT, "because")
    assert tell() == {(ObjectState.PRESENT, "because", 1)}
    with rows.database.write() as db:
        objects.settle_object(db, rows.find(here), ObjectState.CONFIRMED)
    assert tell() == set()


def test_upload_under_way_is_forgotten_at_its_end(rows: Rows) -> None:
    """A multipart upload is remembered until its object is there."""
    one = rows.want_picture(rows.first)
    with rows.database.write() as db:
        objects.set_upload(db, one.id, "upload-7")
    assert rows.find(one.id).upload == "upload-7"
    with rows.database.write() as db:
        objects.settle_object(db, rows.find(one.id), ObjectState.PRESENT)
    assert rows.find(one.id).upload is None


def test_work_for_another_bucket_is_dropped(rows: Rows) -> None:
    """When the configuration names another bucket, or none, what waits for the old one goes; folders stay."""
    rows.want_picture(rows.first)
    with rows.database.write() as db:
        folder = galleries.find_gallery(db, rows.session, FOLDER)
        assert folder is not None
        for gallery in (rows.gallery, folder.id):
            tasks.want(db, Stage.PUBLISH, rows.job, gallery)
        tasks.forget_elsewhere(db, "here")
        assert tasks.count_open(db, rows.job) == 3
        tasks.forget_elsewhere(db, "")
        assert tasks.count_open(db, rows.job, (Stage.PUBLISH,)) == 1
        assert tasks.is_wanted(db, Stage.PUBLISH, folder.id)
        assert tasks.count_open(db, rows.job, (Stage.UPLOAD,)) == 0


def test_outage_stops_the_bucket_alone(rows: Rows) -> None:
    """While the bucket is away its uploads and pages wait, folders are written; one task alone is tried, pages first."""
    rows.want_picture(rows.first)
    rows.want_originals(2)
    with rows.database.write() as db:
        tasks.want(db, Stage.PUBLISH, rows.job, rows.gallery)
        tasks.want(db, Stage.PUBLISH, rows.job, GalleryId(1))
        assert tasks.park_bucket(db, Cause.NETWORK_DOWN, "away") == 4
        assert tasks.list_parked(db) == {Cause.NETWORK_DOWN: 4}
        assert tasks.unpark_bucket(db, (Cause.NETWORK_DOWN,), limit=1) == 1
        assert not tasks.is_parked(db, Stage.PUBLISH, rows.gallery)
        assert tasks.unpark_bucket(db, (Cause.NETWORK_DOWN,)) == 3


def downgrade(state: Path) -> None:
    """Rewrite a state as version 1 had it: its tables, its columns, its number, the same rows."""
    older = state.with_name("older.db")
    with contextlib.closing(sqlite3.connect(older)) as db:
        db.executescript(load_migrations()[0])
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        db.execute("ATTACH ? AS newer", (str(state),))
        for table in tables:
            if table == "sqlite_sequence":
                continue
            columns = ", ".join(
                name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))
            )
            db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")  # noqa: S608  # names from the schema
        db.execute("PRAGMA user_version = 1")
        db.commit()
    for suffix in ("-wal", "-shm"):
        state.with_name(state.name + suffix).unlink(missing_ok=True)
    os.rename(older, state)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


def test_older_state_goes_on(person: Person) -> None:
    """A state of version 1 with a gallery to write and a picture to make opens, and the ingest ends as if nothing were."""
    person.run("ingest", person.card, code=KILLED, GHOSTROLL_CRASH_AT="secured.promised")
    wanted = (
        "SELECT count(*) FROM task WHERE state IN ('ready', 'running') AND stage IN ('render', 'publish')"
    )
    assert ask(person.library, wanted) != [(0,)]
    downgrade(person.state)
    assert ask(person.library, "SELECT 1 FROM sqlite_schema WHERE name = 'gallery'") == []
    assert ask(person.library, wanted) != [(0,)]
    person.ingest()
    assert ask(person.library, "PRAGMA user_version") == [(len(load_migrations()),)]
    check_finished(person.library, person.card)
    assert ask(person.library, "SELECT id, session_id, place, state FROM gallery") == [
        (1, 1, "folder", "complete")
    ]


def test_older_session_goes_to_a_bucket_when_asked(moto: Store, tmp_path: Path) -> None:
    """A session of version 1 stays where it is until `publish`, which brings all of it into the bucket of now."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        bucket = {
            name: person.env.pop(name) for name in list(person.env) if name.startswith("GHOSTROLL_PUBLISH")
        }
        person.ingest()
        downgrade(person.state)
        person.env |= bucket | {"GHOSTROLL_PUBLISH__ORIGINALS": "all"}
        assert "not published yet" in person.run("link", "1", code=2).err
        assert proxy.tell() == []
        person.run("publish", "1")
        check_gallery(moto, person.find_session())
        assert len(moto.list_keys("originals/")) == 4
        assert ask(person.library, "SELECT confirmed_at IS NOT NULL FROM job") == [(1,)]


def test_older_numbers_stay(tmp_path: Path) -> None:
    """Galleries of folders keep their sessions' numbers, so that a wish of version 1 means the same; later ones are new."""
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.executescript(load_migrations()[0])
        db.executescript("""
            PRAGMA user_version = 1;
            INSERT INTO session (id, name, created_at) VALUES (3, 'three', 'now'), (8, 'eight', 'now');
            INSERT INTO job (id, session_id, folder, label, size, filesystem, root, publication, created_at) VALUES
              (1, 3, 'A', 'A', 9, 'vfat', x'2f', 'complete', 'now'), (2, 8, 'A', 'A', 9, 'vfat', x'2f', 'live', 'now'),
              (4, 8, 'B', 'B', 9, 'vfat', x'2f', 'complete', 'now');
            INSERT INTO task (stage, job_id, subject) VALUES ('publish', 2, 8);
        """)
    with open_ledger(tmp_path) as database:
        with database.read() as db:
            found = {one: galleries.get_gallery(db, GalleryId(one)) for one in (3, 8)}
            assert {number: (one.session_id, one.state) for number, one in found.items()} == {
                3: (3, "complete"),
                8: (8, "live"),
            }
            (page,) = tasks.claim(db, Stage.PUBLISH, job=None, limit=9, now=0)
            assert page.subject == 8
        session = add_session(database, JobId(1), "new")
        with database.read() as db:
            gallery = galleries.find_gallery(db, session, FOLDER)
        assert gallery is not None
        assert gallery.id == 9
