"""What the daemon does with a request, in a station that runs: cards that others look after, and folders that nobody does."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import write_photo
from knocking import listen
from promises import hash_tree
from running import wait_until

from ghostroll.cli.opening import open_station
from ghostroll.config import Copy, Settings
from ghostroll.config import Library as LibrarySettings
from ghostroll.daemon.desk import Desk
from ghostroll.daemon.reply import Reply
from ghostroll.daemon.wire import Answer, Close, Done, Ingest, Link, Progress, Request, Retry
from ghostroll.errors import StateUnusable, UsageError
from ghostroll.model import JobId, Safety, Sha256
from ghostroll.station.station import Station
from ghostroll.station.wiring import Slot
from ghostroll.station.witness import Witness

JOB = JobId(1)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with a photo, which is copied first, and a note."""
    card = tmp_path / "CARD"
    card.mkdir()
    write_photo(card / "IMG_0001.JPG", 1)
    (card / "note.txt").write_text("a long note")
    return card


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station at work, which copies one file after the other."""
    settings = Settings(
        library=LibrarySettings(path=tmp_path / "library", keep_free_mib=1),
        copy=Copy(batch_files=1, threads_per_card=1),
    )
    with open_station(settings, "test", quiet=False, witness=Witness(None)) as made:
        made.start()
        yield made


@pytest.fixture
def desk(station: Station) -> Desk:
    """A desk in that station."""
    return Desk(station, lambda path, session, resume: station.admit(path, session=session, resume=resume))


def answer(desk: Desk, request: Request) -> list[Answer]:
    """What somebody is told who stays to the end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    told: list[Answer] = []
    listener = threading.Thread(target=lambda: told.extend(listen(theirs)))
    listener.start()
    try:
        desk.answer(request, Reply(ours, threading.Event(), to_owner=True))
    finally:
        ours.close()
        listener.join(30)
    return told


def end(desk: Desk, request: Request) -> Done:
    """How it ended."""
    *progress, done = answer(desk, request)
    assert all(isinstance(one, Progress) for one in progress)
    assert isinstance(done, Done)
    return done


class Stumbling:
    """A card whose note shrinks between the scan and the copy, so that it can't be read as it was found."""

    def __init__(self, station: Station, card: Path, library: Path) -> None:
        self._claims, self._card, self._library = station.wiring.claims, card, library
        photo = (hash_tree(card)[b"IMG_0001.JPG"],)
        self._held = {Sha256(bytes.fromhex(checksum)) for checksum in photo}
        self._claims.take(self._held)  # as if another card had the photo under way: nobody gets further

    def stumble(self) -> None:
        """Once the photo is being copied: shrink the note, and let everything go on."""
        wait_until(lambda: any(self._library.glob(".ghostroll/incoming/*")))
        (self._card / "note.txt").write_text("short")
        self._claims.give_back(self._held, set())


def get_safety(station: Station) -> Safety:
    """The one job's."""
    job = station.get_job(JOB)
    assert job is not None
    return job.safety


def test_a_card_that_others_look_after_stays_in(
    station: Station, desk: Desk, card: Path, tmp_path: Path
) -> None:
    """A retry reads a card again that detection brought in; afterwards it is still in, once, for detection to let go."""
    stumbling = Stumbling(station, card, tmp_path / "library")
    first = station.admit(os.fsencode(card))
    stumbling.stumble()
    assert station.wait(station.is_quiet, 30)
    assert get_safety(station) is Safety.ATTENTION
    threads = list(first.threads)
    done = end(desk, Retry(JOB))
    assert (done.document["job"], done.document["secured"], done.code) == (1, True, 0)
    assert not any(thread.is_alive() for thread in threads), "it is read twice at once"
    end(desk, Link(JOB))
    (slot,) = station.wiring.slots.values()
    assert slot.job == JOB
    assert not slot.gone
    assert slot.medium == first.medium


def test_a_folder_that_nobody_looks_after_is_let_go(
    station: Station, desk: Desk, card: Path, tmp_path: Path
) -> None:
    """A folder that came in by request is let go once it is done with, after an ingest and after a retry."""
    stumbling = Stumbling(station, card, tmp_path / "library")
    shrink = threading.Thread(target=stumbling.stumble)
    shrink.start()
    done = end(desk, Ingest(os.fsencode(card)))
    shrink.join(30)
    assert (done.document["state"], done.code) == ("attention", 3)
    assert station.wiring.slots == {}
    done = end(desk, Retry(JOB))
    assert (done.document["state"], done.code) == ("secured", 0)
    assert station.wiring.slots == {}
    assert done.document["seconds"]["first_picture"] is None, "it was there before"


def test_a_job_whose_card_is_being_looked_at_is_not_closed(
    station: Station, desk: Desk, card: Path, tmp_path: Path
) -> None:
    """While a card is scanned to go on with a job, nobody gives that job up."""
    stumbling = Stumbling(station, card, tmp_path / "library")
    slot = station.admit(os.fsencode(card))
    stumbling.stumble()
    assert station.wait(station.is_quiet, 30)
    looking = Slot(slot.volume, slot.medium, JobId(99), None, JOB)
    station.wiring.slots[JobId(99)] = looking
    with pytest.raises(UsageError, match="is being read"):
        answer(desk, Close(JOB))
    assert get_safety(station) is Safety.ATTENTION
    del station.wiring.slots[JobId(99)]
    assert end(desk, Close(JOB)).document == {"job": 1, "state": "closed", "missing": 1}


def test_a_station_that_fails_is_a_sentence(station: Station, card: Path) -> None:
    """Where the disk of the state or the library fails, whoever asked is told that; it is no bug."""

    def fail(_path: bytes, _session: str | None, _resume: JobId | None) -> Slot:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(StateUnusable, match="can't use the state or the library any more"):
        answer(Desk(station, fail), Ingest(os.fsencode(card)))
