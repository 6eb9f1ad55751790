"""Publish: write a session's gallery as it stands now."""

import os
import sqlite3
from collections.abc import Sequence

from ghostroll import jobs
from ghostroll.engine.settle import Outcome
from ghostroll.library.durable import exists, library_errors
from ghostroll.library.layout import show_path
from ghostroll.model import (
    Gallery,
    GalleryFailure,
    GalleryItem,
    JobId,
    Publication,
    Safety,
    SessionId,
    Source,
    SourceState,
    Stage,
    Task,
)
from ghostroll.publish.folder import publish_to_folder
from ghostroll.publish.gallery import order_items, relative_url
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.pictures import Picture
from ghostroll.station.render import SHARE, THUMBS
from ghostroll.station.review import tell_publication, write_records
from ghostroll.station.wiring import Wiring

_REST = 1.0  # seconds between two writings of a gallery that grows
_REST_FACTOR = 5  # and at least this many times what the last writing took


class PublishWork:
    """Writes galleries into their session's folder."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Write one gallery."""
        (task,) = tasks_
        wiring = self._wiring
        started = wiring.clock.boot()
        wiring.meter.begin(task.job_id, Stage.PUBLISH)
        session = SessionId(task.subject)
        with wiring.database.read() as db:
            gallery, state = _collect(db, session)
            name = job_rows.get_session(db, session).name
            of_session = [job.id for job in job_rows.list_jobs_of_session(db, session)]
        with wiring.library.enter(), library_errors("writing the gallery"):
            folder = os.path.join(wiring.library.path, name.encode())
            if os.path.isdir(folder):
                publish_to_folder(folder, gallery)
            else:  # deleted by hand: there is nothing to show, and nobody to show it to
                state = Publication.COMPLETE
        if state is Publication.COMPLETE:
            sync_renditions(wiring, name.encode())
            write_records(wiring, session)
        ended = wiring.clock.boot()
        if gallery.items:
            for job in of_session:
                wiring.first_picture.setdefault(job, ended)
        wiring.published[session] = ended + max(_REST, _REST_FACTOR * (ended - started))
        wiring.meter.count(task.job_id, Stage.PUBLISH, items=1)
        at = wiring.now_text()
        return [Outcome(task, facts=lambda db: _record(db, session, of_session, state, at))]

    def settled(self) -> None:
        """Nothing is held between runs."""

    def rest(self) -> None:
        """Nothing is held."""

    def interrupt(self) -> None:
        """A gallery is written in a moment; it is let finish."""

    def close(self) -> None:
        """Nothing is held."""


def sync_renditions(wiring: Wiring, session: bytes) -> None:
    """On return the names of a session's renditions are on the medium, as their bytes are already."""
    with wiring.library.enter() as root, library_errors("syncing the renditions"):
        folders = [session + b"/" + folder for folder in (SHARE, THUMBS)]
        wiring.folders.sync(root, [folder for folder in folders if exists(root, folder)])


def _record(
    db: sqlite3.Connection, session: SessionId, of_session: Sequence[JobId], state: Publication, at: str
) -> None:
    if tell_publication(db, session) is not Publication.COMPLETE:
        state = Publication.LIVE  # its card came back while the gallery was written: more will come
    for job in of_session:
        job_rows.set_publication(db, job, state, at=at)
        if state is Publication.COMPLETE:
            tasks.prune_done(db, job)


def _collect(db: sqlite3.Connection, session: SessionId) -> tuple[Gallery, Publication]:
    """Everything that a session's gallery says, from the facts as they are."""
    of_session = job_rows.list_jobs_of_session(db, session)
    pictures = picture_rows.list_pictures(db, session)
    state = tell_publication(db, session)
    broken = {picture.source_id for picture in pictures if picture.error is not None}
    total = 0
    failures: list[GalleryFailure] = []
    for job in of_session:
        sources = assets.list_sources(db, job.id)
        waiting = job.safety in (Safety.SCANNING, Safety.COPYING)
        total += jobs.count_pictures(
            (source for source in sources if source.id not in broken), waiting=waiting
        )
        failures += [_fail(source) for source in sources if source.state is SourceState.FAILED]
    failures += [
        GalleryFailure(_name(picture), picture.error) for picture in pictures if picture.error is not None
    ]
    items = order_items(_show(picture) for picture in pictures if picture.error is None)
    gallery = Gallery(
        session=job_rows.get_session(db, session).name,
        state=state,
        total=max(total, len(items)),
        items=items,
        failed=tuple(failures),
    )
    return gallery, state


def _name(picture: Picture) -> str:
    return show_path(os.path.basename(picture.path))


def _fail(source: Source) -> GalleryFailure:
    return GalleryFailure(show_path(os.path.basename(source.path)), (source.error or "").partition(":")[0])


def _show(picture: Picture) -> GalleryItem:
    info = picture.info
    length = None if info.duration is None else f"{round(info.duration)} s"
    return GalleryItem(
        name=_name(picture),
        taken=info.taken,
        camera=info.camera,
        caption=" · ".join(part for part in (info.lens, info.exposure, length) if part),
        kind=picture.kind,
        share=relative_url(f"share/{picture.share}"),
        thumb=relative_url(f"thumbs/{picture.share}"),
        width=picture.width,
        height=picture.height,
    )
