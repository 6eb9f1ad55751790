"""The galleries of a session: which there are, when they are written, and when each is complete."""

import secrets
import sqlite3

from ghostroll import jobs
from ghostroll.model import Job, JobId, Publication, SessionId, Source, Stage
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.galleries import FOLDER, PlacedGallery
from ghostroll.state.objects import Object, ObjectKind
from ghostroll.state.pictures import Picture
from ghostroll.station.wiring import Wiring


def list_places(wiring: Wiring) -> list[str]:
    """Where sessions are shown."""
    return [FOLDER] if wiring.cloud is None else [FOLDER, wiring.cloud.place]


def list_shown(wiring: Wiring, db: sqlite3.Connection, session: SessionId) -> list[PlacedGallery]:
    """A session's galleries that may be shown."""
    return galleries.list_galleries(db, session, list_places(wiring))


def add_bucket_gallery(wiring: Wiring, db: sqlite3.Connection, job: JobId, session: SessionId) -> None:
    """Give a session its place in the bucket; its page goes up first, before any picture, where that is automatic."""
    cloud = wiring.cloud
    if cloud is None:
        return
    name = job_rows.get_session(db, session).name
    # What can't be guessed is not of the station's randomness, which tests replay.
    folder = cloud.name_folder(name, secrets.token_urlsafe(16))
    galleries.add_gallery(db, session, cloud.place, folder=folder, released=cloud.is_automatic)
    gallery = galleries.find_gallery(db, session, cloud.place)
    if gallery is not None and gallery.released and gallery.link is None:
        want_gallery(wiring, db, job, gallery)
        _want_pictures(wiring, db, gallery)  # of a session from before there was this bucket


def want_shown_pictures(wiring: Wiring, db: sqlite3.Connection, session: SessionId) -> None:
    """Have all of a session's pictures in the bucket that are to be seen there by what is known now."""
    for gallery in list_shown(wiring, db, session):
        if gallery.place != FOLDER:
            _want_pictures(wiring, db, gallery)


def want_gallery(wiring: Wiring, db: sqlite3.Connection, job: JobId, gallery: PlacedGallery) -> None:
    """Have a gallery written soon, though not more often than is good for a disk or a line."""
    priority = jobs.order_pages(in_folder=gallery.place == FOLDER)
    due = wiring.published.get(gallery.id, 0)
    tasks.want(db, Stage.PUBLISH, job, gallery.id, priority=priority, due=due)
    if gallery.place != FOLDER:
        wait_with_bucket(wiring, db)


def record_picture(
    db: sqlite3.Connection, wiring: Wiring, source: Source, session: SessionId, picture: Picture
) -> None:
    """Put a picture down, and want it where it is to be seen."""
    picture_rows.put_picture(db, source.id, session, picture)
    wiring.growing.add(source.job_id)
    if picture.share is None:
        objects.drop_pictures(db, source.id)
    for gallery in list_shown(wiring, db, session):
        if gallery.place == FOLDER or picture.share is None:
            want_gallery(wiring, db, source.job_id, gallery)
        if gallery.place != FOLDER:
            _want_picture(wiring, db, gallery, source, picture)


def want_original(wiring: Wiring, db: sqlite3.Connection, source: Source) -> None:
    """Have the asset of a settled source in the bucket, where originals of its kind belong there."""
    cloud = wiring.cloud
    if cloud is None or source.kind not in cloud.original_kinds or source.asset_id is None:
        return
    job = job_rows.get_job(db, source.job_id)
    if job is None or not _may_leave(wiring, db, job):
        return
    size = assets.get_asset(db, source.asset_id).size
    wanted = objects.want_original(db, cloud.place, source.job_id, source.asset_id, size)
    if wanted is not None:
        priority = jobs.order_uploads(ObjectKind.ORIGINAL, source.job_id)
        tasks.want_anew(db, Stage.UPLOAD, source.job_id, [(wanted, priority, size)])
        wait_with_bucket(wiring, db)


def want_confirmation(wiring: Wiring, db: sqlite3.Connection, job: JobId) -> int:
    """A job's originals that are in the bucket but not confirmed are looked at again; returns how many."""
    cloud = wiring.cloud
    if cloud is None:
        return 0
    wiring.unconfirmed.discard(job)
    reopened = objects.reopen_unconfirmed(db, cloud.place, job)
    priority = jobs.order_uploads(ObjectKind.ORIGINAL, job)
    tasks.want_anew(db, Stage.UPLOAD, job, [(one, priority, size) for one, size in reopened])
    return len(reopened)


def release_galleries(wiring: Wiring, db: sqlite3.Connection, job: JobId, session: SessionId) -> None:
    """A person wants a session shown: whatever is made of it goes up."""
    add_bucket_gallery(wiring, db, job, session)
    for gallery in galleries.list_galleries(db, session, list_places(wiring), released=False):
        if gallery.place != FOLDER and not gallery.released:
            galleries.release(db, gallery.id)
    for other in job_rows.list_jobs_of_session(db, session):
        job_rows.reopen_publication(db, other.id)
        for source in assets.list_sources(db, other.id):
            want_original(wiring, db, source)
    for gallery in list_shown(wiring, db, session):
        if gallery.place != FOLDER:
            _want_pictures(wiring, db, gallery)
        want_gallery(wiring, db, job, gallery)
        tasks.hurry(db, Stage.PUBLISH, gallery.id)


def tell_gallery(db: sqlite3.Connection, gallery: PlacedGallery, rendered: Publication) -> Publication:
    """What a gallery will be once it is written as the facts are now. `rendered`: if everything made were there."""
    if gallery.place == FOLDER:
        return rendered
    uploading = objects.has_wanted(db, gallery.id, ObjectKind.PICTURE) or not _is_archived(db, gallery)
    return jobs.decide_gallery(rendered, uploading=uploading)


def finish_galleries(wiring: Wiring, job_id: JobId) -> None:
    """See to it that galleries which will not grow any more get their archive and their last writing, now."""
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
        if job is None or job.session_id is None or job.publication is Publication.COMPLETE:
            return
        rendered = tell_rendered(db, job.session_id)
        if rendered is not Publication.COMPLETE:
            return
        shown = list_shown(wiring, db, job.session_id)
    with wiring.database.write() as db:
        for gallery in shown:  # its archive may have come since it was read
            _finish_gallery(wiring, db, job, galleries.get_gallery(db, gallery.id))


def tell_rendered(db: sqlite3.Connection, session: SessionId) -> Publication:
    """What a session's galleries would be if everything that was made were there."""
    of_session = job_rows.list_jobs_of_session(db, session)
    return jobs.decide_publication(
        safeties=[job.safety for job in of_session],
        rendering=any(tasks.is_rendering(db, job.id) for job in of_session),
        session=True,
    )


def wait_with_bucket(wiring: Wiring, db: sqlite3.Connection) -> None:
    """While the bucket can't be reached, what is new waits with the rest."""
    outage = wiring.outage
    if outage.cause is not None:
        tasks.park_bucket(db, outage.cause, outage.error)


def _finish_gallery(wiring: Wiring, db: sqlite3.Connection, job: Job, gallery: PlacedGallery) -> None:
    uploaded = not objects.has_wanted(db, gallery.id, ObjectKind.PICTURE)
    if gallery.place != FOLDER and uploaded and not _is_archived(db, gallery):
        if not objects.has_wanted(db, gallery.id, ObjectKind.ARCHIVE):
            archive = objects.want_archive(db, gallery.place, job.id, gallery.id)
            priority = jobs.order_uploads(ObjectKind.ARCHIVE, job.id)
            tasks.want_anew(db, Stage.UPLOAD, job.id, [(archive, priority, 0)])
            wait_with_bucket(wiring, db)
        return
    if tell_gallery(db, gallery, Publication.COMPLETE) is not Publication.COMPLETE:
        return
    if gallery.state is not Publication.COMPLETE:
        if not tasks.is_wanted(db, Stage.PUBLISH, gallery.id):
            priority = jobs.order_pages(in_folder=gallery.place == FOLDER)
            tasks.want(db, Stage.PUBLISH, job.id, gallery.id, priority=priority)
        tasks.hurry(db, Stage.PUBLISH, gallery.id)


def _is_archived(db: sqlite3.Connection, gallery: PlacedGallery) -> bool:
    """Whether all its pictures are in one file, or there is none."""
    return gallery.archive_bytes is not None or not objects.has_any(db, gallery.id, ObjectKind.PICTURE)


def _want_pictures(wiring: Wiring, db: sqlite3.Connection, gallery: PlacedGallery) -> None:
    """Whatever pictures were made before a gallery was released."""
    there = objects.list_asked(db, gallery.id)
    for picture in picture_rows.list_pictures(db, gallery.session_id):
        if picture.source_id not in there:
            source = assets.get_source(db, picture.source_id)
            _want_picture(wiring, db, gallery, source, picture)


def _want_picture(
    wiring: Wiring, db: sqlite3.Connection, gallery: PlacedGallery, source: Source, picture: Picture
) -> None:
    cloud = wiring.cloud
    if cloud is None or picture.share is None or not cloud.shows(source):
        return
    size = picture.share_bytes + picture.thumb_bytes
    wanted = objects.want_picture(
        db, gallery.place, job=source.job_id, gallery=gallery.id, source=source.id, size=size
    )
    galleries.set_archive(db, gallery.id, None)
    objects.overtake_archive(db, gallery.id)
    priority = jobs.order_uploads(ObjectKind.PICTURE, source.job_id)
    tasks.want_anew(db, Stage.UPLOAD, source.job_id, [(wanted, priority, size)])
    wait_with_bucket(wiring, db)


def _may_leave(wiring: Wiring, db: sqlite3.Connection, job: Job) -> bool:
    """Whether anything of a job may go to the bucket before a person asks for it."""
    cloud = wiring.cloud
    if cloud is None or cloud.is_automatic:
        return cloud is not None
    if job.session_id is None:
        return False
    gallery = galleries.find_gallery(db, job.session_id, cloud.place)
    return gallery is not None and gallery.released


def requeue_uploads(wiring: Wiring, db: sqlite3.Connection) -> None:
    """After a start: everything that belongs in the bucket of now and is not there is queued, and nothing else."""
    place, kinds = (
        ("", frozenset()) if wiring.cloud is None else (wiring.cloud.place, wiring.cloud.original_kinds)
    )
    objects.drop_unwanted_originals(db, place, kinds)
    tasks.forget_elsewhere(db, place)
    for one, size in objects.list_wanted(db, place):
        tasks.want_anew(db, Stage.UPLOAD, one.job_id, [(one.id, _order(one), size)])


def move_gallery(wiring: Wiring, db: sqlite3.Connection, job: JobId, session: SessionId) -> None:
    """A gallery that never came into the bucket which was configured goes to the one of now: a name was corrected."""
    cloud = wiring.cloud
    if cloud is None or galleries.find_gallery(db, session, cloud.place) is not None:
        return
    if not galleries.is_begun_elsewhere(db, session, cloud.place):
        return
    add_bucket_gallery(wiring, db, job, session)
    for other in job_rows.list_jobs_of_session(db, session):
        for source in assets.list_sources(db, other.id):
            want_original(wiring, db, source)


def _order(one: Object) -> int:
    return jobs.order_uploads(one.kind, one.job_id)
