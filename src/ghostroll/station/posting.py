"""A session's page in the bucket: the link first, then what is in it, each time a little more."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from ghostroll.errors import InnocentError
from ghostroll.library.durable import is_folder, library_errors
from ghostroll.model import Asset, JobId, Publication, Source
from ghostroll.publish.gallery import build_gallery_json, render_index
from ghostroll.publish.link import write_link
from ghostroll.publish.s3.keys import gallery_headers, pack_text, page_headers
from ghostroll.state import assets, galleries, objects
from ghostroll.state.galleries import PlacedGallery, Signed
from ghostroll.station.cloud import Cloud, Link
from ghostroll.station.galleries import tell_gallery, tell_rendered
from ghostroll.station.showing import build_gallery, collect_shown
from ghostroll.station.telling import say_link_end
from ghostroll.station.wiring import Wiring

_ROUNDING = 60  # seconds by which two tellings of one end may differ, or the clock be set


class BucketAddresses:
    """Presigned for one time and life; in public mode below the page."""

    def __init__(self, cloud: Cloud, gallery: PlacedGallery, signed: Signed) -> None:
        self._cloud, self._gallery, self._signed = cloud, gallery, signed

    def share(self, name: str) -> str:
        """The address of a picture."""
        return self._cloud.tell_address(self._gallery, self._signed, f"share/{name}")

    def thumb(self, name: str) -> str:
        """The address of a thumbnail."""
        return self._cloud.tell_address(self._gallery, self._signed, f"thumbs/{name}")

    def original(self, asset: Asset, path: bytes) -> str:
        """The address of an original."""
        return self._cloud.tell_original(asset, path, self._signed)


@dataclass(frozen=True, slots=True)
class Written:
    """What a gallery said when it was written last: its state, and how many pictures it has."""

    state: Publication
    items: int


def post_gallery(
    wiring: Wiring, cloud: Cloud, job: JobId, gallery: PlacedGallery, check: Callable[[], None]
) -> tuple[Written, Callable[[sqlite3.Connection], None]]:
    """Write a gallery's page where there is none or a new link is wanted, then its gallery.json as it is now.

    Returns what was written, and the facts to record. On return people can see it. Raises what the bucket
    raises; whatever was there before still is. Raises InnocentError where the clock was set meanwhile.
    """
    now, boot = wiring.now_seconds(), wiring.clock.boot()
    new_link = gallery.link is None or gallery.relink
    link = gallery.link if gallery.link is not None and not new_link else cloud.sign_at(now)
    addresses = choose_addresses(gallery.addresses, cloud, now, new_link=new_link)
    with wiring.database.read() as db:
        there = objects.list_shown(db, gallery.id)
        found = collect_shown(
            db,
            gallery.session_id,
            shows=cloud.shows,
            there=there,
            find_original=lambda source: _find_original(db, cloud, source),
        )
        # What was shown before the configuration or a lock said otherwise; an archive may hold it too.
        hidden = there - {picture.source_id for picture, _ in found.pictures}
        if hidden:
            gallery = replace(gallery, archive_bytes=None)
        state = tell_gallery(db, gallery, tell_rendered(db, gallery.session_id))
    if state is Publication.COMPLETE:  # nothing will come, whatever the inventory would have
        found = replace(found, total=len(found.pictures))
    shown = build_gallery(found, state, BucketAddresses(cloud, gallery, addresses))
    if gallery.archive_bytes is not None:
        archive = cloud.tell_address(gallery, addresses, "share.zip")
        shown = replace(shown, archive=archive, archive_bytes=gallery.archive_bytes)
    public = cloud.is_public
    if new_link:
        page = pack_text(render_index(shown, cloud.tell_json_address(gallery, link)))
        cloud.bucket.put(
            cloud.name_key(gallery, "index.html"), page, page_headers(public=public), check=check
        )
    packed = pack_text(build_gallery_json(shown))
    cloud.bucket.put(
        cloud.name_key(gallery, "gallery.json"), packed, gallery_headers(public=public), check=check
    )
    # A request that is tried again has the time of then: what it brings may be signed by the clock of before.
    if abs(wiring.now_seconds() - now - (wiring.clock.boot() - boot)) > _ROUNDING:
        raise InnocentError("the clock was set while the gallery was written: it is written again")
    if new_link:
        _write_link(wiring, job, cloud.tell_link(gallery, link), shown.session)

    def record(db: sqlite3.Connection) -> None:
        if hidden:
            objects.drop_hidden(db, gallery.id, hidden)
            galleries.set_archive(db, gallery.id, None)
            objects.overtake_archive(db, gallery.id)
        if new_link:
            galleries.set_link(db, gallery.id, link)
            wiring.renew_at = 0.0  # it may live shorter than the others
            wiring.linked.add(gallery.id)
        galleries.set_addresses(db, gallery.id, addresses)

    return Written(state, len(shown.items)), record


def choose_addresses(signed: Signed | None, cloud: Cloud, now: int, *, new_link: bool) -> Signed:
    """When the addresses in gallery.json count as signed: kept, so that pictures stay in a browser's cache.

    They are signed anew once half their life is over, and with a link that outlives them by much.
    """
    if signed is None:
        return cloud.sign_at(now)
    fresh = cloud.sign_at(now)
    if signed.end > fresh.end + _ROUNDING:  # other credentials by now, which end sooner
        return fresh
    half_over = now - signed.at >= signed.seconds / 2
    return fresh if half_over or (new_link and now - signed.at >= signed.seconds / 8) else signed


def _find_original(db: sqlite3.Connection, cloud: Cloud, source: Source) -> Asset | None:
    """An original that viewers may have and that is in the bucket."""
    if not cloud.viewer_originals or source.asset_id is None:
        return None
    if not objects.has_original(db, cloud.place, source.asset_id):
        return None
    return assets.get_asset(db, source.asset_id)


def _write_link(wiring: Wiring, job: JobId, link: Link, session: str) -> None:
    local = None if link.expires is None else link.expires.astimezone(wiring.clock.wall().tzinfo)
    with wiring.library.enter() as root, library_errors("writing the link"):
        if is_folder(root, session.encode()):
            folder = os.path.join(wiring.library.path, session.encode())
            write_link(folder, link.address, say_link_end(local, job, is_assumed=link.is_assumed))
