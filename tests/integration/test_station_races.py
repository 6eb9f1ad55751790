"""What may happen in between: cards that come and go in bad moments leave nothing hanging, and no false word."""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from crash_card import make_crash_card
from promises import check_finished, hash_tree

from ghostroll.cli.opening import open_station
from ghostroll.config import Copy, Log, LogLevel, Settings
from ghostroll.config import Library as LibrarySettings
from ghostroll.engine.settle import Settlement
from ghostroll.model import Cause, JobId, Safety, Sha256, Stage
from ghostroll.station.station import Station
from ghostroll.station.wiring import Slot
from ghostroll.station.witness import Witness

PATIENCE = 30.0  # seconds until a test that waits is a failed one


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card's folder."""
    return make_crash_card(tmp_path)


def make_settings(tmp_path: Path, *, keep_free_mib: int = 1) -> Settings:
    """A station that copies one file after the other."""
    return Settings(
        library=LibrarySettings(path=tmp_path / "library", keep_free_mib=keep_free_mib),
        copy=Copy(batch_files=1, threads_per_card=1),
        log=Log(level=LogLevel.DEBUG),
    )


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station at work."""
    with open_station(make_settings(tmp_path), "test", quiet=False, witness=Witness(None)) as made:
        made.start()
        yield made


def wait(station: Station, so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    assert station.wait(so, PATIENCE), "it never came to be"


def safety(station: Station, job: JobId) -> Safety | None:
    """What is said of a job now."""
    found = station.get_job(job)
    return None if found is None else found.safety


def contents(card: Path) -> set[Sha256]:
    """The checksums of what is on a card."""
    return {Sha256(bytes.fromhex(checksum)) for checksum in hash_tree(card).values()}


class Stall:
    """The first thread that settles a stage's task so stands still between the commit and what follows from it."""

    def __init__(self, station: Station, stage: Stage, cause: Cause | None = None) -> None:
        self._go_on = threading.Event()
        self._reached = threading.Event()
        self._stage, self._cause = stage, cause
        self._then = station.engine._on_settled  # where a slow disk or journal would hold it up
        station.engine._on_settled = self._hear

    def _hear(self, settlements: Sequence[Settlement]) -> None:
        meant = any(one.task.stage is self._stage and one.cause is self._cause for one in settlements)
        if meant and not self._reached.is_set():
            self._reached.set()
            assert self._go_on.wait(PATIENCE)
        self._then(settlements)

    def wait(self) -> None:
        """Until it stands still."""
        assert self._reached.wait(PATIENCE)

    def end(self, threads: Sequence[threading.Thread]) -> None:
        """It goes on; wait for these to end."""
        self._go_on.set()
        for thread in threads:
            thread.join(PATIENCE)


def interrupt_in_the_middle(station: Station, card: Path) -> JobId:
    """Read a card until two files are left to be stored, then let it leave; returns the job."""
    last = {Sha256(bytes.fromhex(hash_tree(card)[b"notes.bin"]))}
    station.wiring.claims.take(last)
    slot = station.admit(os.fsencode(card))
    wait(station, lambda: station.wiring.meter.read(slot.job)[Stage.COPY].items == 5)
    station.dismiss(slot)
    station.wiring.claims.give_back(last, set())
    for thread in slot.threads:
        thread.join(PATIENCE)
    assert safety(station, slot.job) is Safety.INTERRUPTED
    return slot.job


def test_an_insertion_that_was_not_read_takes_no_jobs_place(
    card: Path, station: Station, tmp_path: Path
) -> None:
    """A card that is pulled in the middle, then during its scan, goes on with the job that has its files."""
    job = interrupt_in_the_middle(station, card)
    with station.wiring.database.read():  # the scan of the second insertion can't get on
        wobble = station.admit(os.fsencode(card))
        station.engine.dismiss(wobble.threads, 0.0)
    station.dismiss(wobble)
    again = station.admit(os.fsencode(card))
    wait(station, station.is_quiet)
    assert again.job == job
    check_finished(tmp_path / "library", card)
    with station.wiring.database.read() as db:
        assert [tuple(row) for row in db.execute("SELECT id, safety FROM job")] == [(job, "secured")]


def test_a_scan_that_is_heard_of_late_promises_nothing(
    card: Path, station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where a card is let go between its scan's commit and what follows, nobody calls it safe."""
    interrupt_in_the_middle(station, card)
    stall = Stall(station, Stage.SCAN)
    slot = station.admit(os.fsencode(card))
    threads = list(slot.threads)
    stall.wait()
    assert not station.dismiss(slot)
    capfd.readouterr()
    stall.end(threads)
    wait(station, station.is_quiet)  # pictures of what was copied may still be made
    assert "safe to remove" not in capfd.readouterr().err
    assert safety(station, slot.job) is Safety.INTERRUPTED


def test_what_was_found_of_a_card_that_left_holds_up_nobody_when_it_is_back(
    card: Path, station: Station
) -> None:
    """A thread that speaks late of a pulled card does not park the copies of its next insertion."""
    held = contents(card)
    stall = Stall(station, Stage.COPY, Cause.CARD_GONE)
    station.wiring.claims.take(held)
    slot = station.admit(os.fsencode(card))
    scan = slot.threads
    wait(station, lambda: slot.threads is not scan and station.wiring.slots.get(slot.job) is slot)
    card.rename(card.with_name("away"))
    station.wiring.claims.give_back(held, set())
    stall.wait()
    late = list(slot.threads)
    assert not station.dismiss(slot)
    card.with_name("away").rename(card)
    station.wiring.claims.take(held)
    again = station.admit(os.fsencode(card))
    wait(station, lambda: again.job == slot.job and safety(station, again.job) is Safety.COPYING)
    stall.end(late)
    station.wiring.claims.give_back(held, set())
    wait(station, station.is_quiet)
    assert safety(station, again.job) is Safety.SECURED


def test_a_job_that_goes_on_is_measured_anew(
    card: Path, station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is said to be copied, and how fast, leaves out the time in which the card was away."""
    interrupt_in_the_middle(station, card)
    capfd.readouterr()
    slot = station.admit(os.fsencode(card))
    wait(station, station.is_quiet)
    assert safety(station, slot.job) is Safety.SECURED
    assert "copied and verified 2 files," in capfd.readouterr().err


def test_waiting_for_room_is_said_of_each_card(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A card that left while it waited for room does not keep the next one's wait secret; nobody is kept awake."""
    settings = make_settings(tmp_path, keep_free_mib=1 << 30)
    with open_station(settings, "test", quiet=False, witness=Witness(None)) as station:
        station.start()
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            slot = station.admit(os.fsencode(make_crash_card(tmp_path / name)))
            wait(station, functools.partial(_is_full, station, slot))
            assert len(station.list_at_work()) == 1
            assert station.list_being_read() == []
            station.dismiss(slot)
            assert capfd.readouterr().err.count("waiting: there is no room") == 1, name


def _is_full(station: Station, slot: Slot) -> bool:
    return station.list_parked(slot.job).get(Cause.NO_SPACE) == 7
