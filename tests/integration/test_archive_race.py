"""A gallery's archive and its last picture, which go up at the same time."""

from pathlib import Path

import pytest
from bucket_promises import check_bucket
from clouds import make_cloud_person
from promises import ask
from stores import Store

from ghostroll.cli.opening import open_station
from ghostroll.config import Library as LibrarySettings
from ghostroll.config import Publish, Settings
from ghostroll.config.settings import S3, Addressing, Originals, PublishTarget
from ghostroll.model import JobId, Stage
from ghostroll.state import objects, tasks
from ghostroll.station.upload import UploadWork
from ghostroll.station.witness import Witness

# As after a stop in the middle: the last picture and the archive are still to be sent.
UNSENT = (
    "UPDATE object SET state = 'wanted' WHERE id = (SELECT max(id) FROM object WHERE kind = 'picture')",
    "UPDATE gallery SET archive_bytes = NULL, state = 'live' WHERE place <> 'folder'",
    "UPDATE job SET publication = 'live'",
)


def test_a_picture_that_arrives_while_the_archive_is_sent(
    tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that was packed before the last picture arrived is not taken for whole: it is made anew."""
    person = make_cloud_person(tmp_path / "home", moto)
    person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
    person.ingest()
    for name, value in moto.environ.items():
        monkeypatch.setenv(name, value)
    s3 = S3(bucket=moto.bucket, region=moto.region, endpoint_url=moto.endpoint, addressing=Addressing.PATH)
    settings = Settings(
        library=LibrarySettings(path=person.library, keep_free_mib=1),
        publish=Publish(target=PublishTarget.S3, originals=Originals.ALL, s3=s3),
    )
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        wiring = station.wiring
        assert wiring.cloud is not None
        with wiring.database.write() as db:
            for statement in UNSENT:
                db.execute(statement)
            ((place, gallery),) = ask(person.library, "SELECT place, id FROM gallery WHERE place <> 'folder'")
            archive = objects.want_archive(db, place, JobId(1), gallery)
            tasks.want_anew(db, Stage.UPLOAD, JobId(1), [(archive, 0, 0)])
            (task,) = tasks.claim(db, Stage.UPLOAD, job=None, limit=1, now=wiring.clock.boot())
        (outcome,) = UploadWork(wiring, wiring.cloud).run([task])
        assert outcome.facts is not None
        with wiring.database.write() as db:
            db.execute("UPDATE object SET state = 'present' WHERE kind = 'picture'")
            outcome.facts(db)
    assert ask(person.library, "SELECT archive_bytes FROM gallery WHERE place <> 'folder'") == [(None,)]
    person.ingest()
    check_bucket(moto, person.library)
