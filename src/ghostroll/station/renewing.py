"""Keeping galleries reachable: addresses of pictures are signed anew before they die."""

from datetime import datetime

from ghostroll import jobs
from ghostroll.model import Stage
from ghostroll.state import galleries, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state.galleries import PlacedGallery
from ghostroll.station.galleries import wait_with_bucket
from ghostroll.station.wiring import Wiring

_DAY = 86_400  # seconds
_LOOK = 60.0  # seconds between two looks at most
_LEAST = 1.0  # and at least, however soon credentials end


def renew_addresses(wiring: Wiring) -> int:
    """Have galleries written again whose addresses are half-way to their end; returns how many.

    For `publish.keep_days` after a session was made or its last link was asked for; 0 is for ever. A gallery
    whose link is dead has no viewers, and is left until somebody asks for a new link.
    """
    cloud, boot = wiring.cloud, wiring.clock.boot()
    if cloud is None or cloud.is_public or boot < wiring.renew_at:
        return 0
    now = wiring.now_seconds()
    with wiring.database.read() as db:
        linked = galleries.list_linked(db, cloud.place)
        due = [
            gallery
            for gallery in linked
            if needs_renewal(gallery, now)
            and is_kept(
                gallery,
                datetime.fromisoformat(job_rows.get_session(db, gallery.session_id).created_at),
                now,
                cloud.keep_days,
            )
            and not tasks.is_wanted(db, Stage.PUBLISH, gallery.id)
        ]
    pauses = [_tell_pause(gallery, now) for gallery in linked]
    wiring.renew_at = boot + max(_LEAST, min([_LOOK, *pauses]))
    for gallery in due:
        with wiring.database.write() as db:
            of_session = job_rows.list_jobs_of_session(db, gallery.session_id)
            priority = jobs.order_pages(in_folder=False, renewed=True)
            tasks.want(db, Stage.PUBLISH, of_session[-1].id, gallery.id, priority=priority)
            wait_with_bucket(wiring, db)
    return len(due)


def needs_renewal(gallery: PlacedGallery, now: int) -> bool:
    """Whether the addresses in a gallery are half-way to their end while its link still lives."""
    link, addresses = gallery.link, gallery.addresses
    if link is None or addresses is None or now >= link.end:
        return False
    return now - addresses.at >= addresses.seconds / 2


def _tell_pause(gallery: PlacedGallery, now: int) -> float:
    """Seconds until a gallery should be looked at again: short lives, of short credentials, are looked at more often."""
    link, addresses = gallery.link, gallery.addresses
    if link is None or addresses is None or now >= link.end:
        return _LOOK
    half = addresses.seconds / 2
    return addresses.at + half - now if now < addresses.at + half else half


def is_kept(gallery: PlacedGallery, created: datetime, now: int, keep_days: int) -> bool:
    """Whether a gallery is to be kept reachable. Times in unix seconds."""
    if not keep_days:
        return True
    since = max(int(created.timestamp()), 0 if gallery.link is None else gallery.link.at)
    return now < since + keep_days * _DAY
