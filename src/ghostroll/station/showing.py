"""What a gallery says, from the facts as they are: the same in a folder and in a bucket but for its addresses."""

import os
import sqlite3
from collections.abc import Collection
from typing import Protocol

from ghostroll import jobs
from ghostroll.library.layout import show_path
from ghostroll.model import (
    Gallery,
    GalleryFailure,
    GalleryItem,
    Publication,
    Safety,
    SessionId,
    Source,
    SourceId,
    SourceState,
)
from ghostroll.publish.gallery import order_items, relative_url
from ghostroll.state import assets
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.pictures import Picture


class Addresses(Protocol):
    """Where the parts of a gallery are, for its viewers, and what of it they may see."""

    def shows(self, source: Source) -> bool:
        """Whether a source's picture belongs here."""

    def share(self, name: str) -> str:
        """The address of a picture."""

    def thumb(self, name: str) -> str:
        """The address of a thumbnail."""

    def original(self, source: Source) -> str | None:
        """The address of an original, where viewers may have it and it is there."""


class FolderAddresses:
    """Everything, below the page itself."""

    def shows(self, _source: Source) -> bool:
        """Whether a source's picture belongs here."""
        return True

    def share(self, name: str) -> str:
        """The address of a picture."""
        return relative_url(f"share/{name}")

    def thumb(self, name: str) -> str:
        """The address of a thumbnail."""
        return relative_url(f"thumbs/{name}")

    def original(self, _source: Source) -> str | None:
        """Who has the folder has the originals beside it."""
        return None


def collect_gallery(
    db: sqlite3.Connection,
    session: SessionId,
    state: Publication,
    addresses: Addresses,
    there: Collection[SourceId] | None = None,
) -> Gallery:
    """Everything that a session's gallery says. `there`: the sources whose pictures have arrived; None for all."""
    pictures = {picture.source_id: picture for picture in picture_rows.list_pictures(db, session)}
    broken = {source for source, picture in pictures.items() if picture.error is not None}
    total = 0
    items: list[GalleryItem] = []
    failures: list[GalleryFailure] = []
    for job in job_rows.list_jobs_of_session(db, session):
        sources = [source for source in assets.list_sources(db, job.id) if addresses.shows(source)]
        waiting = job.safety in (Safety.SCANNING, Safety.COPYING)
        total += jobs.count_pictures(
            (source for source in sources if source.id not in broken), waiting=waiting
        )
        failures += [_fail(source) for source in sources if source.state is SourceState.FAILED]
        for source in sources:
            picture = pictures.get(source.id)
            if picture is None:
                continue
            if picture.error is not None:
                failures.append(GalleryFailure(_name(picture.path), picture.error))
            elif there is None or source.id in there:
                items.append(_show(picture, source, addresses))
    return Gallery(
        session=job_rows.get_session(db, session).name,
        state=state,
        total=max(total, len(items)),
        items=order_items(items),
        failed=tuple(failures),
    )


def _name(path: bytes) -> str:
    return show_path(os.path.basename(path))


def _fail(source: Source) -> GalleryFailure:
    return GalleryFailure(_name(source.path), (source.error or "").partition(":")[0])


def _show(picture: Picture, source: Source, addresses: Addresses) -> GalleryItem:
    info = picture.info
    length = None if info.duration is None else f"{round(info.duration)} s"
    name = picture.share or ""
    return GalleryItem(
        name=_name(picture.path),
        taken=info.taken,
        camera=info.camera,
        caption=" · ".join(part for part in (info.lens, info.exposure, length) if part),
        kind=picture.kind,
        share=addresses.share(name),
        thumb=addresses.thumb(name),
        width=picture.width,
        height=picture.height,
        original=addresses.original(source),
    )
