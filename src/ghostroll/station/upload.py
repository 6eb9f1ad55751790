"""Upload: one object into the bucket, and what its arrival means for the ledger."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO, assert_never

from ghostroll import jobs
from ghostroll.engine.settle import Outcome, Settlement
from ghostroll.errors import SourceUnreadable, Stopped
from ghostroll.library.durable import has_size, library_errors
from ghostroll.model import AssetId, Cause, ObjectId, SourceId, Stage, Task, TaskState
from ghostroll.publish.s3.archive import Entry, zip_pictures
from ghostroll.publish.s3.body import Damaged
from ghostroll.publish.s3.keys import archive_headers, original_headers, rendition_headers
from ghostroll.state import assets, galleries, objects, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.galleries import PlacedGallery
from ghostroll.state.objects import Object, ObjectKind, ObjectState
from ghostroll.state.pictures import Picture
from ghostroll.station.cloud import Cloud
from ghostroll.station.copy import forget_picture, want_renders
from ghostroll.station.galleries import want_gallery
from ghostroll.station.render import SHARE, THUMBS
from ghostroll.station.wiring import Wiring

_DAMAGED = "its file in the library is damaged or gone: put its card in again"


class UploadWork:
    """Sends one object at a time."""

    def __init__(self, wiring: Wiring, cloud: Cloud) -> None:
        self._wiring, self._cloud = wiring, cloud
        self._stopping = threading.Event()
        # Whoever sends something meets it again, and says so; cards are copied all the same.
        with suppress(Exception):
            cloud.bucket.prepare()  # while the card is scanned: the link must not wait for it

    def run(self, tasks_: Sequence[Task]) -> Sequence[Outcome]:
        """Send one object."""
        (task,) = tasks_
        with self._wiring.database.read() as db:
            one = objects.find_object(db, ObjectId(task.subject))
        if one is None or one.place != self._cloud.place:
            return [Outcome(task)]  # dropped meanwhile: what it was made of is being made anew
        self._wiring.meter.begin(task.job_id, Stage.UPLOAD)
        match one.kind:
            case ObjectKind.PICTURE:
                outcome = self._send_picture(task, one)
            case ObjectKind.ORIGINAL:
                outcome = self._send_original(task, one)
            case ObjectKind.ARCHIVE:
                outcome = self._send_archive(task, one)
            case _:
                assert_never(one.kind)
        return [outcome]

    def expect(self) -> None:
        """There is nothing to make ready."""

    def settled(self) -> None:
        """Nothing is held between runs."""

    def rest(self) -> None:
        """Nothing is held."""

    def interrupt(self) -> None:
        """Make a run under way end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Nothing is held."""

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped("stopped in the middle of an upload")

    def _send_picture(self, task: Task, one: Object) -> Outcome:
        wiring, cloud = self._wiring, self._cloud
        gallery, session = self._find_gallery(one)
        source = SourceId(one.source_id or 0)
        with wiring.database.read() as db:
            picture = picture_rows.get_picture(db, source)
            is_shown = cloud.shows(assets.get_source(db, source))
        if not is_shown:
            return Outcome(task, facts=lambda db: self._hide_picture(db, one, gallery))
        if picture is None or picture.share is None:
            return Outcome(task)
        files = self._read_renditions(session, picture)
        if files is None:
            return Outcome(task, facts=lambda db: _render_again(db, source))
        for name, content in files.items():
            key, headers = cloud.name_key(gallery, name), rendition_headers(public=cloud.is_public)
            cloud.bucket.put(key, content, headers, check=self._check, progress=self._count(task))
        wiring.meter.count(task.job_id, Stage.UPLOAD, items=1)
        return Outcome(task, facts=lambda db: self._record_picture(db, one, gallery))

    def _hide_picture(self, db: sqlite3.Connection, one: Object, gallery: PlacedGallery) -> None:
        """It was to be seen when it was wanted, and is not by now."""
        if one.source_id is not None:
            objects.drop_hidden(db, gallery.id, [one.source_id])
        want_gallery(self._wiring, db, one.job_id, galleries.get_gallery(db, gallery.id))

    def _read_renditions(self, session: str, picture: Picture) -> dict[str, bytes] | None:
        """The small one first: it is what people see first. None where one of them is not what was recorded."""
        name = picture.share or ""
        wanted = {
            f"thumbs/{name}": (THUMBS, picture.thumb_bytes),
            f"share/{name}": (SHARE, picture.share_bytes),
        }
        read: dict[str, bytes] = {}
        with self._wiring.library.enter() as root:
            for address, (folder, size) in wanted.items():
                with _open_file(root, os.path.join(session.encode(), folder, os.fsencode(name))) as handle:
                    content = b"" if handle is None else _read_whole(handle, size)
                if len(content) != size:
                    return None
                read[address] = content
        return read

    def _record_picture(self, db: sqlite3.Connection, one: Object, gallery: PlacedGallery) -> None:
        if not objects.settle_object(db, one, ObjectState.PRESENT):
            self._want_anew(db, one)
        want_gallery(self._wiring, db, one.job_id, galleries.get_gallery(db, gallery.id))

    def _send_original(self, task: Task, one: Object) -> Outcome:
        wiring, cloud = self._wiring, self._cloud
        with wiring.database.read() as db:
            asset = assets.get_asset(db, AssetId(one.asset_id or 0))
            path = assets.name_asset(db, asset.id)
        if not asset.is_believed:
            raise SourceUnreadable(_DAMAGED)
        with wiring.library.enter() as root, _open_file(root, asset.path) as handle:
            if handle is None or os.fstat(handle).st_size != asset.size:
                raise SourceUnreadable(_DAMAGED)
            try:
                confirmation = cloud.bucket.put_original(
                    cloud.name_original(asset),
                    handle,
                    size=asset.size,
                    sha256=asset.sha256,
                    headers=original_headers(os.path.basename(path), public=cloud.is_public),
                    upload=_Upload(wiring, one),
                    check=self._check,
                    progress=self._count(task),
                )
            except Damaged as error:
                raise SourceUnreadable(_DAMAGED) from error
        wiring.meter.count(task.job_id, Stage.UPLOAD, items=1)
        state = ObjectState.CONFIRMED if confirmation.confirmed else ObjectState.PRESENT
        why = None if confirmation.confirmed else confirmation.why
        return Outcome(task, facts=lambda db: self._record_original(db, one, state, why))

    def _record_original(
        self, db: sqlite3.Connection, one: Object, state: ObjectState, why: str | None
    ) -> None:
        objects.settle_object(db, one, state, why)
        if not self._cloud.viewer_originals:
            return
        for job_id in objects.list_jobs_of_asset(db, AssetId(one.asset_id or 0)):
            job = job_rows.get_job(db, job_id)
            if job is not None and job.session_id is not None:
                gallery = galleries.find_gallery(db, job.session_id, self._cloud.place)
                if gallery is not None and gallery.released:
                    want_gallery(self._wiring, db, job_id, gallery)

    def _send_archive(self, task: Task, one: Object) -> Outcome:
        wiring, cloud = self._wiring, self._cloud
        gallery, session = self._find_gallery(one)
        folder = os.path.join(session.encode(), SHARE)
        with wiring.database.read() as db:
            there = objects.list_shown(db, gallery.id)
            shown = [
                (picture, os.path.join(folder, os.fsencode(picture.share)))
                for picture in picture_rows.list_pictures(db, gallery.session_id)
                if picture.source_id in there
                and picture.share is not None
                and cloud.shows(assets.get_source(db, picture.source_id))
            ]
        with wiring.library.enter() as root, library_errors("reading what is to be uploaded"):
            lost = [
                picture.source_id for picture, path in shown if not has_size(root, path, picture.share_bytes)
            ]
            if lost:
                return Outcome(task, facts=lambda db: self._give_up_archive(db, one, lost))
            size = cloud.bucket.put_stream(
                cloud.name_key(gallery, "share.zip"),
                zip_pictures((_pack(root, *entry) for entry in shown), self._check),
                archive_headers(f"{session}.zip", public=cloud.is_public),
                check=self._check,
                progress=self._count(task),
            )
        wiring.meter.count(task.job_id, Stage.UPLOAD, items=1)
        return Outcome(task, facts=lambda db: self._record_archive(db, one, gallery, there, size))

    def _record_archive(
        self, db: sqlite3.Connection, one: Object, gallery: PlacedGallery, packed: set[SourceId], size: int
    ) -> None:
        wanted = objects.has_wanted(db, gallery.id, ObjectKind.PICTURE)
        whole = not wanted and objects.list_shown(db, gallery.id) == packed  # one may have come meanwhile
        if not objects.settle_object(db, one, ObjectState.PRESENT):
            now = objects.find_object(db, one.id)
            if now is not None:  # pictures have come meanwhile: once they are all there it is made anew
                objects.settle_object(db, now, ObjectState.PRESENT)
        elif whole:
            galleries.set_archive(db, gallery.id, size)

    def _give_up_archive(self, db: sqlite3.Connection, one: Object, lost: Sequence[SourceId]) -> None:
        """It is made once there are pictures again."""
        _render_again(db, *lost)
        now = objects.find_object(db, one.id)
        if now is not None:
            objects.settle_object(db, now, ObjectState.PRESENT)

    def _want_anew(self, db: sqlite3.Connection, one: Object) -> None:
        """It was wanted again while older bytes of it were sent."""
        now = objects.find_object(db, one.id)
        if now is not None and now.state is ObjectState.WANTED:
            tasks.want_anew(
                db, Stage.UPLOAD, now.job_id, [(now.id, jobs.order_uploads(now.kind, now.job_id), 0)]
            )

    def _find_gallery(self, one: Object) -> tuple[PlacedGallery, str]:
        if one.gallery_id is None:
            raise AssertionError("an original is of no gallery")
        with self._wiring.database.read() as db:
            gallery = galleries.get_gallery(db, one.gallery_id)
            return gallery, job_rows.get_session(db, gallery.session_id).name

    def _count(self, task: Task) -> Callable[[int], None]:
        meter = self._wiring.meter
        return lambda size: meter.count(task.job_id, Stage.UPLOAD, size=size)


class _Upload:
    """A multipart upload under way, remembered over crashes."""

    def __init__(self, wiring: Wiring, one: Object) -> None:
        self._wiring, self._object = wiring, one.id
        self.id = one.upload

    def remember(self, upload: str | None) -> None:
        """Put down which one it is, or that there is none any more."""
        with self._wiring.database.write() as db:
            objects.set_upload(db, self._object, upload)
        self.id = upload


def record_failed_upload(db: sqlite3.Connection, settlement: Settlement) -> None:
    """An original whose file is damaged is not believed any more, so that its card heals it."""
    if settlement.state is not TaskState.PARKED or settlement.cause is not Cause.UNREADABLE:
        return
    one = objects.find_object(db, ObjectId(settlement.task.subject))
    if one is not None and one.asset_id is not None:
        assets.set_verified(db, one.asset_id, 0)


def _render_again(db: sqlite3.Connection, *sources: SourceId) -> None:
    """Renditions are not what was recorded: they are made anew, and wanted again then."""
    for source in sources:
        found = assets.get_source(db, source)
        forget_picture(db, found)
        want_renders(db, found)


def _pack(root: int, picture: Picture, path: bytes) -> Entry:
    def open_it() -> BinaryIO:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root), "rb")

    return Entry(picture.share or "", picture.share_bytes, open_it, picture.info.taken)


@contextmanager
def _open_file(root: int, path: bytes) -> Iterator[int | None]:
    """A file below the library, never through a link; None where it is not there."""
    with library_errors("reading what is to be uploaded"):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            yield None
            return
        try:
            yield handle
        finally:
            os.close(handle)


def _read_whole(handle: int, size: int) -> bytes:
    """As many bytes as were recorded, and one more where there are more."""
    pieces: list[bytes] = []
    left = size + 1
    while left and (piece := os.read(handle, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
