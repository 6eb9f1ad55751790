"""What a gallery says, from the facts as they are: the same in a folder and in a bucket but for its addresses."""

import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ghostroll import jobs
from ghostroll.library.layout import show_path
from ghostroll.model import (
    Asset,
    Gallery,
    GalleryFailure,
    GalleryItem,
    Job,
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
    """Where the parts of a gallery are, for its viewers."""

    def share(self, name: str) -> str:
        """The address of a picture."""

    def thumb(self, name: str) -> str:
        """The address of a thumbnail."""

    def original(self, asset: Asset, path: bytes) -> str:
        """The address of an original."""


class FolderAddresses:
    """Below the page itself."""

    def share(self, name: str) -> str:
        """The address of a picture."""
        return relative_url(f"share/{name}")

    def thumb(self, name: str) -> str:
        """The address of a thumbnail."""
        return relative_url(f"thumbs/{name}")

    def original(self, asset: Asset, path: bytes) -> str:
        """The folder's page names none: who has the folder has the originals beside it."""
        raise AssertionError(f"a folder's page names no original: {asset} {path!r}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a session belongs in a gallery: each picture with its original, where viewers may have that."""

    session: str
    total: int
    pictures: list[tuple[Picture, Asset | None]]
    failed: tuple[GalleryFailure, ...]


def collect_shown(
    db: sqlite3.Connection,
    session: SessionId,
    *,
    shows: Callable[[Source], bool] = lambda _: True,
    there: Collection[SourceId] | None = None,
    find_original: Callable[[Source], Asset | None] = lambda _: None,
) -> Shown:
    """A session's facts for a gallery. `there`: the sources whose pictures have arrived; None for all."""
    of_session = job_rows.list_jobs_of_session(db, session)
    total = _count_pictures(db, session, of_session, shows)
    pictures = {picture.source_id: picture for picture in picture_rows.list_pictures(db, session)}
    shown: list[tuple[Picture, Asset | None]] = []
    failures: list[GalleryFailure] = []
    for job in of_session:
        for source in filter(shows, assets.read_sources(db, job.id)):
            picture = pictures.pop(source.id, None)
            if source.state is SourceState.FAILED:
                failures.append(_fail(source))
            if picture is None:
                continue
            if picture.error is not None:
                failures.append(GalleryFailure(_name(picture.path), picture.error))
            elif there is None or source.id in there:
                shown.append((picture, find_original(source)))
    name = job_rows.get_session(db, session).name
    return Shown(name, max(total, len(shown)), shown, tuple(failures))


def _count_pictures(
    db: sqlite3.Connection, session: SessionId, of_session: Sequence[Job], shows: Callable[[Source], bool]
) -> int:
    """How many pictures a session's gallery will have. Apart: the rows of a card are in memory while it counts."""
    broken = picture_rows.list_broken(db, session)
    total = 0
    for job in of_session:
        sources = (source for source in assets.read_sources(db, job.id) if source.id not in broken)
        waiting = job.safety in (Safety.SCANNING, Safety.COPYING)
        total += jobs.count_pictures(sources, waiting=waiting, shows=shows)
    return total


def build_gallery(shown: Shown, state: Publication, addresses: Addresses) -> Gallery:
    """What a gallery says. Addresses may take a while to sign, so this is done without the database.

    Takes the pictures out of `shown`: those of ten thousand photos would else be in memory twice.
    """
    return Gallery(
        session=shown.session,
        state=state,
        total=shown.total,
        items=order_items(_show(*shown.pictures.pop(), addresses) for _ in range(len(shown.pictures))),
        failed=shown.failed,
    )


def _name(path: bytes) -> str:
    return show_path(os.path.basename(path))


def _fail(source: Source) -> GalleryFailure:
    return GalleryFailure(_name(source.path), (source.error or "").partition(":")[0])


def _show(picture: Picture, original: Asset | None, addresses: Addresses) -> GalleryItem:
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
        original=None if original is None else addresses.original(original, picture.path),
    )
