"""What is decided about galleries in a bucket: their state, whose locks are believed, what goes first, when addresses are renewed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from ghostroll import jobs
from ghostroll.model import (
    Found,
    GalleryId,
    JobId,
    Kind,
    Publication,
    SessionId,
    Source,
    SourceId,
    SourceState,
)
from ghostroll.state.galleries import PlacedGallery, Signed
from ghostroll.station.cloud import Cloud
from ghostroll.station.posting import choose_addresses
from ghostroll.station.renewing import is_kept, needs_renewal

DAY = 86_400  # seconds
WEEK = 7 * DAY
NOW = 1_700_000_000
NONE, LIVE, COMPLETE = Publication.NONE, Publication.LIVE, Publication.COMPLETE


@pytest.mark.parametrize(
    ("rendered", "uploading", "expected"),
    [
        (COMPLETE, False, COMPLETE),
        (COMPLETE, True, LIVE),
        (LIVE, False, LIVE),
        (LIVE, True, LIVE),
        (NONE, False, NONE),
    ],
)
def test_gallery_is_complete_when_it_is_there(
    rendered: Publication, expected: Publication, *, uploading: bool
) -> None:
    """Everything made is not everything there: a bucket's gallery is live until its last upload."""
    assert jobs.decide_gallery(rendered, uploading=uploading) is expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([COMPLETE], COMPLETE),
        ([COMPLETE, COMPLETE], COMPLETE),
        ([COMPLETE, LIVE], LIVE),
        ([COMPLETE, NONE], LIVE),
        ([NONE, NONE], NONE),
    ],
)
def test_job_is_published_where_all_its_galleries_are(
    states: list[Publication], expected: Publication
) -> None:
    """A job is complete once its folder and its bucket are."""
    assert jobs.combine_publications(states) is expected


def make_found(name: str, *, protected: bool, state: SourceState = SourceState.PENDING) -> Found:
    """A file on a card."""
    error = None if state is SourceState.PENDING else "left out"
    return Found(name.encode(), 1, 0, Kind.JPEG, state, error, protected)


def test_locks_of_a_card() -> None:
    """Where some files are locked and some aren't, the locks are the camera's."""
    found = [make_found("a", protected=True), make_found("b", protected=False)]
    assert jobs.believe_locks(found) == (found, True)


def test_locks_of_a_mount() -> None:
    """Where every file looks locked none is believed to be, whatever a skipped entry looks like."""
    skipped = make_found("c", protected=False, state=SourceState.SKIPPED)
    found = [make_found("a", protected=True), make_found("b", protected=True), skipped]
    believed, told = jobs.believe_locks(found)
    assert not told
    assert not any(item.protected for item in believed)
    assert [replace(item, protected=False) for item in found] == believed


def test_card_without_files_has_no_lock_to_doubt() -> None:
    """Nothing on a card is nothing to warn of."""
    assert jobs.believe_locks([]) == ([], True)


def test_what_goes_up_first() -> None:
    """Pictures before archives before originals; among equals the newest card."""
    old, new = JobId(1), JobId(2)
    order = [("picture", new), ("picture", old), ("archive", new), ("archive", old), ("original", new)]
    urgencies = [jobs.order_uploads(kind, job) for kind, job in order]
    assert sorted(urgencies, reverse=True) == urgencies
    assert len(set(urgencies)) == len(order)


def make_source(name: str, kind: Kind, *, protected: bool) -> Source:
    """A file in the library."""
    number = SourceId(hash(name) & 0xFFFF)
    return Source(number, JobId(1), name.encode(), 1, 0, kind, SourceState.STORED, None, None, protected)


@pytest.mark.parametrize(("raw", "jpeg", "expected"), [(1, 1, 1), (0, 1, 1), (1, 0, 0), (0, 0, 0)])
def test_pictures_of_a_gallery_that_shows_some(raw: int, jpeg: int, expected: int) -> None:
    """A RAW counts by the JPEG that stands for it, whichever of the two is shown."""
    pair = [
        make_source("IMG_1.CR3", Kind.RAW, protected=bool(raw)),
        make_source("IMG_1.JPG", Kind.JPEG, protected=bool(jpeg)),
    ]
    count = jobs.count_pictures(pair, waiting=True, shows=lambda source: source.protected)
    assert count == expected
    assert jobs.count_pictures(pair, waiting=True) == 1


def make_gallery(link: Signed | None, addresses: Signed | None) -> PlacedGallery:
    """A gallery in a bucket."""
    return PlacedGallery(
        GalleryId(1),
        SessionId(1),
        "here",
        "folder",
        COMPLETE,
        released=True,
        relink=False,
        link=link,
        addresses=addresses,
        archive_bytes=1,
    )


@pytest.mark.parametrize(
    ("linked", "signed", "lives", "expected"),
    [
        (0, 0, WEEK, False),
        (WEEK // 2 - 1, WEEK // 2 - 1, WEEK, False),
        (WEEK // 2, WEEK // 2, WEEK, True),
        (WEEK - 1, WEEK - 1, WEEK, True),
        (WEEK, WEEK // 2, WEEK, False),  # nobody can open the page any more
        (0, 3600, 7200, True),  # signed with short keys, before a longer link
    ],
)
def test_when_addresses_are_renewed(linked: int, signed: int, lives: int, *, expected: bool) -> None:
    """From half of their life (ages in seconds) on, as long as there is a link that works."""
    gallery = make_gallery(Signed(NOW - linked, WEEK), Signed(NOW - signed, lives))
    assert needs_renewal(gallery, NOW) is expected


def test_gallery_that_nobody_can_open_is_not_renewed() -> None:
    """Without a link, or before its first writing, there is nothing to renew."""
    assert not needs_renewal(make_gallery(None, Signed(0, WEEK)), NOW)
    assert not needs_renewal(make_gallery(Signed(NOW, WEEK), None), NOW)


@pytest.mark.parametrize(
    ("made", "linked", "keep_days", "expected"),
    [
        (6 * DAY, None, 7, True),
        (7 * DAY, None, 7, False),
        (30 * DAY, 6 * DAY, 7, True),
        (30 * DAY, 7 * DAY, 7, False),
        (1000 * DAY, 900 * DAY, 0, True),
    ],
)
def test_how_long_a_gallery_is_kept(made: int, linked: int | None, keep_days: int, *, expected: bool) -> None:
    """For so many days after its card or its last link (ages in seconds), where 0 is for ever."""
    link = None if linked is None else Signed(NOW - linked, WEEK)
    created = datetime.fromtimestamp(NOW - made, UTC)
    assert is_kept(make_gallery(link, None), created, NOW, keep_days) is expected


class _Signing:
    """A cloud whose credentials allow a week."""

    def sign_at(self, now: int) -> Signed:
        """Signed now."""
        return Signed(now, WEEK)


@pytest.mark.parametrize(
    ("age", "new_link", "kept"),
    [
        (None, False, False),
        (0, False, True),
        (WEEK // 2 - 1, False, True),
        (WEEK // 2, False, False),
        (WEEK // 8 - 1, True, True),
        (WEEK // 8, True, False),
        (WEEK // 8, False, True),
    ],
)
def test_addresses_are_signed_once_and_kept(age: int | None, *, new_link: bool, kept: bool) -> None:
    """Pictures stay in a browser's cache: new addresses come half-way, or with a link that outlives them by much."""
    before = None if age is None else Signed(NOW - age, WEEK)
    chosen = choose_addresses(before, cast(Cloud, _Signing()), NOW, new_link=new_link)
    assert chosen == (before if kept else Signed(NOW, WEEK))
