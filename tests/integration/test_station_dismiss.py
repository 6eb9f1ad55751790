"""A card that leaves while others stay: its work is let go within a moment, whoever still hangs in it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_card import make_crash_card
from promises import check_always, check_finished, hash_tree
from running import wait_until

from ghostroll.cli.opening import open_station
from ghostroll.config import Library as LibrarySettings
from ghostroll.config import Log, LogLevel, Settings
from ghostroll.model import Cause, Safety, Sha256, Stage
from ghostroll.station.station import Station
from ghostroll.station.witness import Witness

PATIENCE = 30.0  # seconds until a test that waits is a failed one


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card's folder."""
    return make_crash_card(tmp_path)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station at work."""
    settings = Settings(
        library=LibrarySettings(path=tmp_path / "library", keep_free_mib=1), log=Log(level=LogLevel.DEBUG)
    )
    with open_station(settings, "test", quiet=False, witness=Witness(None)) as made:
        made.start()
        yield made


def wait(station: Station, so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    assert station.wait(so, PATIENCE), "it never came to be"


def contents(card: Path) -> set[Sha256]:
    """The checksums of what is on a card."""
    return {Sha256(bytes.fromhex(checksum)) for checksum in hash_tree(card).values()}


def test_a_card_that_left_parks_its_work(card: Path, station: Station, tmp_path: Path) -> None:
    """Threads that can't be stopped are left behind, what they still do counts for nothing, and the card can come back."""
    claims = station.wiring.claims
    taken = contents(card)
    claims.take(taken)  # as if another card had these photos under way: nobody gets further than reading
    slot = station.admit(os.fsencode(card))
    size = sum(path.stat().st_size for path in card.rglob("*.*"))
    wait_until(lambda: station.wiring.meter.read(slot.job)[Stage.COPY].bytes == size)
    assert not station.dismiss(slot), "somebody is left behind"
    job = station.get_job(slot.job)
    assert job is not None
    assert job.safety is Safety.INTERRUPTED
    assert station.list_parked(slot.job) == {Cause.CARD_GONE: 7}
    assert station.wiring.slots == {}

    claims.give_back(taken, set())
    for thread in slot.threads:
        thread.join(PATIENCE)
    assert station.engine.failure is None
    assert station.list_parked(slot.job) == {Cause.CARD_GONE: 7}, "a thread without a claim settled something"
    check_always(tmp_path / "library", card)

    again = station.admit(os.fsencode(card))
    wait(station, station.is_quiet)
    back = station.get_job(again.job)
    assert back is not None
    assert back.safety is Safety.SECURED
    if slot.volume.uuid is not None:
        assert again.job == slot.job, "the interrupted job goes on"
        check_finished(tmp_path / "library", card)


def test_a_card_may_leave_once_it_is_secured(card: Path, station: Station, tmp_path: Path) -> None:
    """Nothing changes for a job whose card was safe; its threads end, and it may be dismissed twice."""
    slot = station.admit(os.fsencode(card))
    wait(station, station.is_quiet)
    threads = list(slot.threads)
    assert threads
    assert station.dismiss(slot)
    assert station.dismiss(slot)
    assert not any(thread.is_alive() for thread in threads)
    job = station.get_job(slot.job)
    assert job is not None
    assert job.safety is Safety.SECURED
    check_finished(tmp_path / "library", card)


def test_two_admissions_of_one_card_are_one(card: Path, station: Station) -> None:
    """A request for a card that is being read already gets the reading that is under way."""
    taken = contents(card)
    station.wiring.claims.take(taken)
    first = station.admit(os.fsencode(card))
    second = station.admit(os.fsencode(card))
    assert second is first
    station.wiring.claims.give_back(taken, set())
    wait(station, station.is_quiet)
    third = station.admit(os.fsencode(card))
    assert third is not first, "a card that was secured is looked at anew"
    wait(station, station.is_quiet)
