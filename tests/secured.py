"""A station with a bucket that nobody asks, and jobs whose files are in its library already."""

import os
from dataclasses import replace
from pathlib import Path

from ledger import CREATED, add_files, add_job, add_session

from ghostroll.config import Library as LibrarySettings
from ghostroll.config import Publish, Settings
from ghostroll.config.settings import S3, PublishTarget
from ghostroll.model import (
    GalleryId,
    JobId,
    PhotoInfo,
    Safety,
    SessionId,
    Sha256,
    Source,
    SourceState,
)
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.pictures import Picture
from ghostroll.station.galleries import add_bucket_gallery
from ghostroll.station.wiring import Wiring


def make_settings(tmp_path: Path, publish: Publish | None = None) -> Settings:
    """A library whose galleries go to a bucket that nobody ever asks."""
    s3 = Publish(target=PublishTarget.S3, s3=S3(bucket="nobody-asks", endpoint_url="http://127.0.0.1:9"))
    return Settings(
        library=LibrarySettings(path=tmp_path / "library", keep_free_mib=1),
        publish=s3 if publish is None else replace(publish, target=s3.target, s3=s3.s3),
    )


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


def find_session(wiring: Wiring, job: JobId) -> SessionId:
    """A job's session."""
    with wiring.database.read() as db:
        one = job_rows.get_job(db, job)
    assert one is not None
    assert one.session_id is not None
    return one.session_id


def make_picture(source: Source) -> Picture:
    """What a render has made of a source."""
    info = PhotoInfo(None, None, None, None, None)
    return Picture(source.id, source.path, source.kind, f"{source.id}.jpg", 4, 3, 10, 5, info, None)


def tell_states(wiring: Wiring, job: JobId) -> list[str]:
    """How a job's tasks are."""
    with wiring.database.read() as db:
        return [row[0] for row in db.execute("SELECT state FROM task WHERE job_id = ? ORDER BY id", (job,))]
