"""Publish: write one of a session's galleries as it stands now, in its folder or in the bucket."""

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence

from ghostroll import jobs
from ghostroll.engine.settle import Outcome
from ghostroll.errors import Stopped
from ghostroll.library.durable import is_folder, library_errors
from ghostroll.model import GalleryId, JobId, Publication, Stage, Task
from ghostroll.publish.folder import publish_to_folder
from ghostroll.state import galleries, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.galleries import FOLDER, PlacedGallery
from ghostroll.station.galleries import list_shown, tell_gallery, tell_rendered
from ghostroll.station.posting import Written, post_gallery
from ghostroll.station.render import SHARE, THUMBS
from ghostroll.station.review import write_records
from ghostroll.station.showing import FolderAddresses, build_gallery, collect_shown
from ghostroll.station.wiring import Wiring

_REST = 1.0  # seconds between two writings of a gallery that grows
_REST_FACTOR = 5  # and at least this many times what the last writing took

Record = Callable[[sqlite3.Connection], None]


class PublishWork:
    """Writes galleries, one at a time."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._stopping = threading.Event()

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Write one gallery."""
        (task,) = tasks_
        wiring = self._wiring
        started = wiring.clock.boot()
        wiring.meter.begin(task.job_id, Stage.PUBLISH)
        with wiring.database.read() as db:
            gallery = galleries.get_gallery(db, GalleryId(task.subject))
            of_session = [job.id for job in job_rows.list_jobs_of_session(db, gallery.session_id)]
        written, record = self._write(task.job_id, gallery)
        ended = wiring.clock.boot()
        if written is None:
            return [Outcome(task)]
        wiring.written[gallery.id] = ended
        if written.items and (gallery.place != FOLDER or wiring.cloud is None):
            for job in of_session:
                wiring.first_picture.setdefault(job, ended)
        if written.items or gallery.place == FOLDER:  # the first picture goes up at once
            wiring.published[gallery.id] = ended + max(_REST, _REST_FACTOR * (ended - started))
        wiring.meter.count(task.job_id, Stage.PUBLISH, items=1)
        at = wiring.now_text()

        def record_all(db: sqlite3.Connection) -> None:
            record(db)
            _record_state(wiring, db, gallery, written=written.state, of_session=of_session, at=at)

        return [Outcome(task, facts=record_all)]

    def expect(self) -> None:
        """There is nothing to make ready."""

    def settled(self) -> None:
        """Nothing is held between runs."""

    def rest(self) -> None:
        """Nothing is held."""

    def interrupt(self) -> None:
        """A folder's gallery is written in a moment and let finish; a bucket may let one wait."""
        self._stopping.set()

    def close(self) -> None:
        """Nothing is held."""

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped("stopped in the middle of publishing")

    def _write(self, job: JobId, gallery: PlacedGallery) -> tuple[Written | None, Record]:
        """Write it where it belongs. None where that is a bucket which is not this station's any more."""
        wiring, cloud = self._wiring, self._wiring.cloud
        if gallery.place == FOLDER:
            return _write_to_folder(wiring, gallery), lambda _db: None
        if cloud is None or cloud.place != gallery.place or not gallery.released:
            return None, lambda _db: None
        return post_gallery(wiring, cloud, job, gallery, self._check)


def _write_to_folder(wiring: Wiring, gallery: PlacedGallery) -> Written:
    written, session = _write_pages(wiring, gallery)
    if written.state is Publication.COMPLETE:
        sync_renditions(wiring, session)
        write_records(wiring, gallery.session_id)
    return written


def _write_pages(wiring: Wiring, gallery: PlacedGallery) -> tuple[Written, bytes]:
    with wiring.database.read() as db:
        state = tell_rendered(db, gallery.session_id)
        found = collect_shown(db, gallery.session_id)
    shown = build_gallery(found, state, FolderAddresses())
    name = shown.session.encode()
    del found
    with wiring.library.enter() as root, library_errors("writing the gallery"):
        if is_folder(root, name):  # else deleted by hand: nothing to show, and nobody to show it to
            publish_to_folder(os.path.join(wiring.library.path, name), shown)
    return Written(state, len(shown.items)), name


def sync_renditions(wiring: Wiring, session: bytes) -> None:
    """On return the names of a session's renditions are on the medium, as their bytes are already."""
    with wiring.library.enter() as root, library_errors("syncing the renditions"):
        folders = [session + b"/" + folder for folder in (SHARE, THUMBS)]
        if is_folder(root, session):  # else deleted by hand, or moved
            wiring.folders.sync(root, [folder for folder in folders if is_folder(root, folder)])


def _record_state(
    wiring: Wiring,
    db: sqlite3.Connection,
    gallery: PlacedGallery,
    *,
    written: Publication,
    of_session: Sequence[JobId],
    at: str,
) -> None:
    """What people see there, and what that means for the session's jobs."""
    now = galleries.get_gallery(db, gallery.id)
    if tell_gallery(db, now, tell_rendered(db, gallery.session_id)) is not Publication.COMPLETE:
        written = Publication.LIVE  # its card came back while the gallery was written: more will come
    galleries.set_state(db, gallery.id, written)
    state = jobs.combine_publications(one.state for one in list_shown(wiring, db, gallery.session_id))
    for job in of_session:
        job_rows.set_publication(db, job, state, at=at)
        if state is Publication.COMPLETE:
            tasks.prune_done(db, job)
