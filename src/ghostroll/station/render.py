"""Render: the share picture and the thumbnail of one source, into its session's folder."""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from ghostroll.engine.settle import Outcome, Settlement
from ghostroll.errors import InnocentError, NoWorker, PermanentError, TransientError
from ghostroll.faults import crash_point
from ghostroll.library.durable import has_size, library_errors, write_whole
from ghostroll.library.identity import INCOMING
from ghostroll.library.layout import name_rendition
from ghostroll.model import (
    JobId,
    Kind,
    PhotoInfo,
    Rendered,
    SessionId,
    Source,
    SourceId,
    Stage,
    Task,
    TaskState,
)
from ghostroll.render.lane import Lane, RenderLimits
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.pictures import Picture
from ghostroll.station.copy import want_renders
from ghostroll.station.galleries import record_picture
from ghostroll.station.wiring import Wiring

SHARE, THUMBS = b"share", b"thumbs"
_MOST_VAIN_STARTS = 5


class RenderWork:
    """One lane and the thread that owns it, and one more that stores beside it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        render = wiring.settings.render
        self._lane = Lane(
            RenderLimits(
                share_edge=render.share_edge,
                thumb_edge=render.thumb_edge,
                share_quality=render.share_quality,
                thumb_quality=render.thumb_quality,
                seconds=render.seconds,
                memory_bytes=render.memory_mib << 20,
                niceness=render.niceness,
            )
        )
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="render-store")
        self._vain = 0  # starts of a worker in a row that came to nothing

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Render one source."""
        (task,) = tasks_
        wiring = self._wiring
        wiring.meter.begin(task.job_id, Stage.RENDER)
        with wiring.database.read() as db:
            source = assets.get_source(db, SourceId(task.subject))
            if source.asset_id is None:
                # Its bytes are being copied anew. If that ended while this was settled, nobody else would ask.
                return [Outcome(task, facts=lambda db: _want_if_copied(db, source))]
            asset = assets.get_asset(db, source.asset_id)
            job = job_rows.get_job(db, source.job_id)
            if job is None or job.session_id is None:
                raise AssertionError("a picture is wanted of a job without a session")
            session = job_rows.get_session(db, job.session_id)
        with wiring.library.enter() as root:
            if not asset.is_believed or not has_size(root, asset.path, asset.size):
                raise PermanentError("its file in the library is damaged or gone: put the card in again")
            try:
                rendered = self._render(os.path.join(wiring.library.path, asset.path), source.kind)
            except (PermanentError, TransientError):
                if self._is_replaced(source):
                    raise InnocentError("its file was copied anew meanwhile") from None
                raise
            name = name_rendition(source.path, asset.sha256)
            self._store(root, session.name.encode(), name.encode(), rendered, source)
        size = len(rendered.share) + len(rendered.thumb)
        wiring.meter.count(task.job_id, Stage.RENDER, items=1, size=size)
        picture = _describe(source, name, rendered)
        return [Outcome(task, facts=lambda db: _record(db, wiring, source, session.id, picture))]

    def _render(self, path: bytes, kind: Kind) -> Rendered:
        """Render in the lane; where no worker starts, time after time, pictures wait and copies go on."""
        if self._vain >= _MOST_VAIN_STARTS:
            raise NoWorker("no render worker can be started: see the log, then run the same command again")
        try:
            rendered = self._lane.render(path, kind)
        except InnocentError:
            self._vain += 1
            raise
        self._vain = 0
        return rendered

    def _is_replaced(self, source: Source) -> bool:
        with self._wiring.database.read() as db:
            return assets.get_source(db, source.id).asset_id != source.asset_id

    def expect(self) -> None:
        """Start the worker: the first picture need not wait for it."""
        with contextlib.suppress(InnocentError):  # the first picture meets it too, and says so
            self._lane.start()

    def settled(self) -> None:
        """Nothing is held between runs."""

    def rest(self) -> None:
        """End the worker: it is started again within a tenth of a second, and holds memory."""
        self._lane.rest()
        self._vain = 0

    def interrupt(self) -> None:
        """Make a run under way end soon."""
        self._lane.interrupt()

    def close(self) -> None:
        """Give everything back."""
        self._lane.close()
        self._beside.shutdown()

    def _store(self, root: int, session: bytes, name: bytes, rendered: Rendered, source: Source) -> None:
        """Both files under their final names, their bytes on the medium. A slow one syncs both at once."""

        def write(folder: bytes, data: bytes) -> None:
            place = session + b"/" + folder
            self._wiring.folders.make(root, place)
            write_whole(root, place + b"/" + name, [data], INCOMING + b"/%s-%d" % (folder, source.id))

        with library_errors("writing a rendition"):
            thumb = self._beside.submit(write, THUMBS, rendered.thumb)
            try:
                write(SHARE, rendered.share)
            finally:
                wait([thumb])  # it writes below `root`, which is closed after this
            thumb.result()
        crash_point("render.stored")


def _describe(source: Source, name: str, rendered: Rendered) -> Picture:
    width, height = rendered.share_size
    return Picture(
        source_id=source.id,
        path=source.path,
        kind=source.kind,
        share=name,
        width=width,
        height=height,
        share_bytes=len(rendered.share),
        thumb_bytes=len(rendered.thumb),
        info=rendered.info,
        error=None,
    )


def _want_if_copied(db: sqlite3.Connection, source: Source) -> None:
    if assets.get_source(db, source.id).asset_id is not None:
        tasks.want_again(db, Stage.RENDER, source.job_id, source.id, priority=source.job_id)


def _record(
    db: sqlite3.Connection, wiring: Wiring, source: Source, session: SessionId, picture: Picture
) -> None:
    """Put a picture down, unless its file was changed on the card and copied anew meanwhile: then render again."""
    now = assets.get_source(db, source.id)
    if now.asset_id == source.asset_id:
        record_picture(db, wiring, source, session, picture)
    elif now.asset_id is not None:
        tasks.want_again(db, Stage.RENDER, source.job_id, source.id, priority=source.job_id)


def record_failed_render(wiring: Wiring, db: sqlite3.Connection, settlement: Settlement) -> None:
    """A dead render is a file without a picture, by name; the RAW beside it may stand in."""
    if settlement.state is not TaskState.DEAD:
        return
    source = assets.get_source(db, SourceId(settlement.task.subject))
    job = job_rows.get_job(db, JobId(settlement.task.job_id))
    if job is None or job.session_id is None:
        raise AssertionError("a picture is wanted of a job without a session")
    error = settlement.error or "can't be rendered"
    picture = Picture(source.id, source.path, source.kind, None, 0, 0, 0, 0, PhotoInfo(), error)
    record_picture(db, wiring, source, job.session_id, picture)
    want_renders(db, source)
