"""Sources, assets, pictures and jobs: the facts that everything is decided by."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger import CREATED, add_files, add_job, add_session, found, open_ledger, volume

from ghostroll.jobs import group_key
from ghostroll.model import (
    AssetId,
    Cause,
    Found,
    JobId,
    Kind,
    PhotoInfo,
    Publication,
    Safety,
    SessionId,
    Sha256,
    Source,
    SourceId,
    SourceState,
    Stage,
    TaskState,
)
from ghostroll.state import assets, jobs, tasks
from ghostroll.state import pictures as picture_rows
from ghostroll.state.database import Database
from ghostroll.state.pictures import Picture


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A fresh state."""
    with open_ledger(tmp_path) as opened:
        yield opened


def put(database: Database, number: int, session: SessionId, *, path: bytes | None = None) -> AssetId:
    """An asset with a content of its own."""
    with database.write() as db:
        return assets.put_asset(
            db,
            Sha256(number.to_bytes(32, "big")),
            size=100,
            head=Sha256(bytes(32)),
            path=path or b"session/%d.jpg" % number,
            session=session,
            verified_at=1,
        )


def picture(source: Source, *, error: str | None = None) -> Picture:
    """A rendered picture of a source, or a failed one."""
    share = None if error else f"{source.id}.jpg"
    return Picture(source.id, source.path, source.kind, share, 3, 2, 10, 5, PhotoInfo(camera="EOS"), error)


def test_an_inventory_put_down_again(database: Database) -> None:
    """What is settled and unchanged keeps its asset; what changed or had failed is as found now."""
    job = add_job(database)
    session = add_session(database, job)
    same, changed, failed, older = add_files(database, job, 4)
    with database.write() as db:
        for number, source in enumerate((same, changed, older)):
            asset = assets.put_asset(
                db,
                Sha256(number.to_bytes(32, "big")),
                size=100,
                head=Sha256(bytes(32)),
                path=source.path,
                session=session,
                verified_at=1,
            )
            assets.settle_source(db, source.id, SourceState.STORED, asset)
        assets.fail_source(db, failed.id, "can't be read")
        assets.add_sources(
            db,
            job,
            [
                found(same.path),
                found(changed.path, size=101),
                found(failed.path),
                found(older.path, mtime_ns=1),
                found(b"new"),
            ],
        )
        states = {source.path: source.state for source in assets.list_sources(db, job)}
        assert states == {
            same.path: SourceState.STORED,
            changed.path: SourceState.PENDING,
            failed.path: SourceState.PENDING,
            older.path: SourceState.PENDING,
            b"new": SourceState.PENDING,
        }
        assert assets.list_open_states(db, job) == {SourceState.PENDING}
        assert len(assets.list_open_sources(db, job)) == 4
        assert len(assets.list_open_sources(db, job, limit=2)) == 2


def test_names_and_times_of_a_hostile_card(database: Database) -> None:
    """Names in any bytes come back as they were; times beyond 64 bits are no crash."""
    job = add_job(database)
    names = [b"\xff\xfe", b"a\nb", "ü".encode(), b"'; DROP TABLE source; --"]
    times = [-(2**70), -1, 2**63 - 1, 13_569_465_600 * 10**9]  # the last: the year 2400, in nanoseconds
    with database.write() as db:
        assets.add_sources(
            db, job, [found(name, mtime_ns=time) for name, time in zip(names, times, strict=True)]
        )
        sources = assets.list_sources(db, job)
    assert [source.path for source in sources] == names
    assert [source.mtime_ns for source in sources] == [-(2**63), -1, 2**63 - 1, 2**63 - 1]


def test_folders_that_could_not_be_listed_are_forgotten(database: Database) -> None:
    """Before a new inventory what couldn't be listed goes, whatever numbers other tasks are about."""
    job = add_job(database)
    with database.write() as db:
        folder = Found(b"DCIM", 0, 0, Kind.OTHER, SourceState.FAILED, "can't be listed")
        assets.add_sources(db, job, [folder])
        (source,) = assets.list_sources(db, job)
        assert int(source.id) == int(job), "the first source and the first job have the same number"
        tasks.want(db, Stage.SCAN, job, job)
        tasks.want(db, Stage.PUBLISH, job, source.id)
        tasks.want(db, Stage.RENDER, job, source.id + 1)
        assets.drop_listing_failures(db, job)
        assert assets.list_sources(db, job) == []


def test_files_that_could_not_be_read_are_opened_again(database: Database) -> None:
    """A failed file keeps its row and its copy; it alone is pending again."""
    job = add_job(database)
    (source, _) = add_files(database, job, 2)
    with database.write() as db:
        assets.add_sources(db, job, [Found(b"X", 0, 0, Kind.OTHER, SourceState.FAILED, "can't be listed")])
        assets.fail_source(db, source.id, "can't be read")
        assert assets.list_open_states(db, job) == {SourceState.PENDING, SourceState.FAILED}
        assets.drop_listing_failures(db, job)
        assert len(assets.list_sources(db, job)) == 2
        assert assets.reopen_failed(db, job) == 1
        assert assets.reopen_failed(db, job) == 0
        assert assets.get_source(db, source.id).error is None


def test_a_content_is_recorded_once(database: Database) -> None:
    """A content that is stored again keeps its number and moves to its new place."""
    job = add_job(database)
    session = add_session(database, job)
    first = put(database, 1, session)
    assert put(database, 1, session, path=b"elsewhere") == first
    with database.read() as db:
        asset = assets.find_asset(db, Sha256((1).to_bytes(32, "big")))
        assert asset is not None
        assert asset.path == b"elsewhere"
        assert assets.find_asset_at(db, b"elsewhere") == asset
        assert assets.find_asset_at(db, b"session/1.jpg") is None
        assert assets.find_asset(db, Sha256(bytes(32))) is None
        assert list(assets.list_assets(db)) == [asset]


def test_files_that_vanished_are_wanted_again(database: Database) -> None:
    """The sources of an asset that is not there are pending again, in this job alone."""
    job, other = add_job(database), add_job(database)
    session = add_session(database, job)
    asset = put(database, 1, session)
    mine, theirs = add_files(database, job, 1), add_files(database, other, 1)
    with database.write() as db:
        for source in (*mine, *theirs):
            assets.settle_source(db, source.id, SourceState.DUPLICATE, asset)
        assert [found.id for found in assets.list_assets_of_job(db, job)] == [asset]
        assert [source.id for source in assets.reopen_assets(db, [asset], job)] == [mine[0].id]
        assert assets.get_source(db, theirs[0].id).state is SourceState.DUPLICATE


def test_tallies(database: Database) -> None:
    """Counts and bytes are of what is kept; pictures are wanted, shown or failed."""
    job = add_job(database)
    session = add_session(database, job)
    first, second, third, _ = add_files(database, job, 4)
    asset = put(database, 1, session)
    with database.write() as db:
        link = Found(b"link", 7, 0, Kind.OTHER, SourceState.SKIPPED, "a link")
        assets.add_sources(db, job, [link])
        assets.settle_source(db, first.id, SourceState.STORED, asset)
        assets.settle_source(db, second.id, SourceState.KNOWN, asset)
        assets.fail_source(db, third.id, "x")
        picture_rows.put_picture(db, first.id, session, picture(first))
        picture_rows.put_picture(db, second.id, session, picture(second, error="broken"))
        tasks.want(db, Stage.RENDER, job, third.id)
        tally, pictures = assets.tally(db, job), picture_rows.tally_pictures(db, job)
        assert (tally.files, tally.bytes, tally.bytes_done) == (4, 400, 200)
        assert tally.states[SourceState.SKIPPED] == 1
        assert (pictures.wanted, pictures.shown, pictures.failed) == (3, 1, 1)
        assert picture_rows.has_failed_picture(db, second.id)
        assert not picture_rows.has_failed_picture(db, first.id)
        assert picture_rows.list_pictures(db, session) == picture_rows.list_pictures_of_job(db, job)
        assert [item.share for item in picture_rows.list_pictures(db, session)] == [f"{first.id}.jpg", None]
        picture_rows.drop_picture(db, first.id)
        assert len(picture_rows.list_pictures(db, session)) == 1


def test_rows_a_few_at_a_time(database: Database) -> None:
    """Runs of a job's sources, with their assets and pictures, are its own, whole and in order, and so is what lies in a folder."""
    job, other = add_job(database), add_job(database)
    session, theirs = add_session(database, job), add_session(database, other, "other")
    add_files(database, job, 3)
    with database.write() as db:
        for number in range(5):  # the rows of two cards, one by one
            assets.add_sources(db, job, [found(b"%d.jpg" % number)])
            assets.add_sources(db, other, [found(b"%d.jpg" % number)])
    for number in range(5):
        put(database, number, session)
    put(database, 9, theirs, path=b"session0/9.jpg")
    with database.write() as db:
        sources = assets.list_sources(db, job)
        for source, asset in zip(sources, assets.list_assets_below(db, b"session"), strict=False):
            assets.settle_source(db, source.id, SourceState.STORED, asset.id)
            picture_rows.put_picture(db, source.id, session, picture(source))
        runs = assets.cut_sources(db, job, 2)
        assert [len(assets.list_run(db, job, run)) for run in runs] == [2, 2, 2, 2]
        assert [source for run in runs for source in assets.list_run(db, job, run)] == (
            assets.list_sources(db, job)
        )
        stored = [asset.id for run in runs for asset in assets.list_assets_of_run(db, job, run)]
        assert stored == [asset.id for asset in assets.list_assets_of_job(db, job)]
        shown = [one for run in runs for one in picture_rows.list_pictures_of_run(db, job, run)]
        assert shown == picture_rows.list_pictures_of_job(db, job)
        assert len(shown) == 5
        below = [asset.path for asset in assets.list_assets_below(db, b"session")]
        assert below == [b"session/%d.jpg" % number for number in range(5)]
        assert assets.cut_sources(db, JobId(77), 2) == []


def test_a_snapshot_stays_as_it_was(database: Database) -> None:
    """What others commit while somebody reads on is seen by the next who looks, and nobody waits."""
    job = add_job(database)
    (source,) = add_files(database, job, 1)
    with database.snapshot() as db:
        with database.write() as writer:
            assets.fail_source(writer, source.id, "x")
        assert assets.list_open_states(db, job) == {SourceState.PENDING}
        with database.snapshot() as later:
            assert assets.list_open_states(later, job) == {SourceState.FAILED}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM task")


GROUPS = [
    (b"DCIM/IMG_1.JPG", b"DCIM/IMG_1.CR2", True),
    (b"DCIM/IMG_1.JPG", b"DCIM/IMG_1.jpeg", True),
    (b"DCIM/IMG_1.JPG", b"DCIM/IMG_10.JPG", False),
    (b"DCIM/IMG_1.JPG", b"DCIM/IMG_1.JPG.XMP", False),
    (b"DCIM/IMG_1.JPG", b"DCIM/IMG_1", False),
    (b"A/IMG_1.JPG", b"B/IMG_1.CR2", False),
    (b"..JPG", b"..CR2", True),
    (b"a.b/c", b"a.b/d", False),
    (b"\xff.JPG", b"\xff.CR2", True),
    (b"%.JPG", b"x.JPG", False),
]


@pytest.mark.parametrize(("one", "two", "together"), GROUPS)
def test_files_of_one_number(one: bytes, two: bytes, together: bool, database: Database) -> None:
    """The ledger finds the files of one name just as the decisions group them."""
    job = add_job(database)
    with database.write() as db:
        assets.add_sources(db, job, [found(one), found(two)])
        first, second = assets.list_sources(db, job)
        assert assets.list_siblings(db, first) == ([second] if together else [])
    if b"." in one.rpartition(b"/")[2] and b"." in two.rpartition(b"/")[2]:
        assert (group_key(one) == group_key(two)) == together


def test_safety_and_publication_of_a_job(database: Database) -> None:
    """Secured has its time and loses it with the word; published keeps the first time; both tell a change."""
    job = add_job(database, uuid="A")
    add_session(database, job)
    with database.write() as db:
        assert not jobs.set_safety(db, job, Safety.SCANNING)
        assert jobs.set_safety(db, job, Safety.SECURED, at="one")
        assert not jobs.set_safety(db, job, Safety.SECURED, at="two")
        assert jobs.set_publication(db, job, Publication.LIVE, at="one")
        assert jobs.set_publication(db, job, Publication.COMPLETE, at="two")
        secured = jobs.get_job(db, job)
        assert secured is not None
        assert (secured.secured_at, secured.published_at) == ("one", "one")
        jobs.set_safety(db, job, Safety.ATTENTION)
        reopened = jobs.get_job(db, job)
        assert reopened is not None
        assert reopened.secured_at is None


def test_jobs_are_found_by_volume_and_state(database: Database) -> None:
    """Jobs come newest first, of one volume by UUID and size; a volume without a UUID is never found."""
    with database.write() as db:
        ids = []
        for one in (volume("A"), volume("A", size=5), volume("B"), volume(None)):
            ids.append(jobs.add_job(db, one, b"/card", wanted="w", created_at=CREATED))
            jobs.set_safety(db, ids[-1], Safety.INTERRUPTED)
        assert [job.id for job in jobs.list_jobs(db)] == ids[::-1]
        assert [job.id for job in jobs.list_jobs(db, volume=volume("A"))] == ids[:1]
        assert jobs.list_jobs(db, volume=volume(None)) == []
        assert jobs.list_jobs(db, safety=(Safety.SECURED,)) == []
        assert [job.id for job in jobs.list_jobs(db, limit=1)] == ids[-1:]
        assert jobs.get_wanted(db, ids[0]) == "w"
        assert jobs.list_unfinished(db) == []


def fill(database: Database, number: int) -> None:
    """A large card, half copied, many renders waiting, and a library of as many assets."""
    job = add_job(database, uuid="A")
    add_session(database, job)
    add_files(database, job, number)
    with database.write() as db:
        db.executemany(
            "INSERT INTO asset (sha256, size, head, path, session_id, verified_at) VALUES (?, 5, ?, ?, 1, 1)",
            ((n.to_bytes(32, "big"), bytes(32), b"session/%d" % n) for n in range(number)),
        )
        db.execute("UPDATE source SET state = 'stored', asset_id = id WHERE id <= ?", (number // 2,))
        db.execute("UPDATE task SET state = 'done' WHERE subject <= ?", (number // 2,))
        db.executemany(
            "INSERT INTO task (stage, job_id, subject) VALUES ('render', 1, ?)",
            ((n,) for n in range(number // 3)),
        )


HOT: dict[str, Callable[[Database, Source], object]] = {
    "claim": lambda db, _: call(db, tasks.claim, Stage.RENDER, job=None, limit=8, now=1),
    "claim of a job": lambda db, _: call(db, tasks.claim, Stage.COPY, job=1, limit=8, weight=9999, now=1),
    "claim of galleries": lambda db, _: call(db, tasks.claim, Stage.PUBLISH, job=None, limit=1, now=1),
    "settle": lambda db, _: settle_one(db),
    "next_due": lambda db, _: call(db, tasks.next_due, Stage.RENDER, None),
    "next_due of a job": lambda db, _: call(db, tasks.next_due, Stage.COPY, 1),
    "want": lambda db, source: call(db, tasks.want, Stage.RENDER, 1, source.id),
    "want_again": lambda db, source: call(db, tasks.want_again, Stage.RENDER, source.job_id, source.id),
    "hurry": lambda db, _: call(db, tasks.hurry, Stage.PUBLISH, 1),
    "has_open": lambda db, _: call(db, tasks.has_open, 1, (Stage.SCAN, Stage.COPY)),
    "has_any_open": lambda db, _: call(db, tasks.has_any_open),
    "list_parked": lambda db, _: call(db, tasks.list_parked, 1),
    "unpark": lambda db, _: call(db, tasks.unpark, [Cause.NO_SPACE]),
    "park": lambda db, _: call(db, tasks.park, 1, (Stage.UPLOAD,), Cause.NETWORK_DOWN),
    "list_open_states": lambda db, _: call(db, assets.list_open_states, 1),
    "list_siblings": lambda db, source: call(db, assets.list_siblings, source),
    "find_asset": lambda db, _: call(db, assets.find_asset, bytes(32)),
    "find_asset_at": lambda db, _: call(db, assets.find_asset_at, b"session/7"),
    "put_asset": lambda db, _: put(db, 7, SessionId(1)),
    "settle_source": lambda db, source: call(db, assets.settle_source, source.id, SourceState.STORED, 9),
    "fail_source": lambda db, source: call(db, assets.fail_source, source.id, "x"),
    "put_picture": lambda db, source: call(db, picture_rows.put_picture, source.id, 1, picture(source)),
    "has_failed_picture": lambda db, source: call(db, picture_rows.has_failed_picture, source.id),
    "drop_listing_failures": lambda db, _: call(db, assets.drop_listing_failures, 1),
    "reopen_failed": lambda db, _: call(db, assets.reopen_failed, 1),
    "list_assets_below": lambda db, _: call(db, assets.list_assets_below, b"session"),
    "list_run": lambda db, source: call(db, assets.list_run, 1, (source.id, source.id + 9)),
    "list_assets_of_run": lambda db, source: call(
        db, assets.list_assets_of_run, 1, (source.id, source.id + 9)
    ),
    "list_pictures_of_run": lambda db, source: call(
        db, picture_rows.list_pictures_of_run, 1, (source.id, source.id + 9)
    ),
    "settle_known": lambda db, source: call(db, assets.settle_known, [(source.id, 9)]),
    "drop_wishes": lambda db, source: call(db, tasks.drop_wishes, Stage.COPY, [source.id]),
}


def call(database: Database, function: Callable[..., object], *arguments: object, **more: object) -> object:
    """Call a function of the ledger in a transaction."""
    with database.write() as db:
        return function(db, *arguments, **more)


def settle_one(database: Database) -> None:
    """Claim and settle a task."""
    with database.write() as db:
        (task,) = tasks.claim(db, Stage.COPY, job=None, limit=1, now=1)
        tasks.settle(db, task, TaskState.DONE, charged=False)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A state with a few thousand of everything: scans show in its plans as they would in millions."""
    with open_ledger(tmp_path_factory.mktemp("large")) as opened:
        fill(opened, 3000)
        yield opened


@pytest.mark.parametrize("name", HOT)
def test_hot_statements_never_scan(name: str, large: Database) -> None:
    """What is asked after every file looks rows up by an index, never through a whole table."""
    said: list[str] = []
    with large.read() as db:
        source = assets.get_source(db, SourceId(1))
        db.set_trace_callback(said.append)
    try:
        HOT[name](large, source)
    finally:
        with large.read() as db:
            db.set_trace_callback(None)
    statements = [text for text in said if text.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")]
    assert statements
    with large.read() as db:
        plans = {
            row["detail"] for text in set(statements) for row in db.execute("EXPLAIN QUERY PLAN " + text)
        }
    assert {plan for plan in plans if plan.startswith("SCAN")} == set()
