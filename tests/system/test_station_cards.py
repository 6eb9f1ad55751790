"""Cards on real disks in one station: media that are swapped, twins, reads that hang."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disks, run
from holding import hold_reads
from promises import list_originals

from ghostroll.cli.opening import open_station
from ghostroll.config import Copy, Settings
from ghostroll.config import Library as LibrarySettings
from ghostroll.errors import CardGone
from ghostroll.model import Safety
from ghostroll.station.station import Station
from ghostroll.station.witness import Witness

PATIENCE = 30.0  # seconds until a test that waits is a failed one


@pytest.fixture
def station(library: Path) -> Iterator[Station]:
    """A station at work, that reads cards file by file."""
    settings = Settings(
        library=LibrarySettings(path=library, keep_free_mib=1), copy=Copy(batch_files=1, threads_per_card=1)
    )
    with open_station(settings, "test", quiet=False, witness=Witness(None)) as made:
        made.start()
        yield made


def safety(station: Station, job: int) -> Safety:
    """What is said of a job now."""
    found = station.get_job(job)  # type: ignore[arg-type]  # a number is a number
    assert found is not None
    return found.safety


def test_a_medium_that_was_not_meant_is_not_read(disks: Disks, station: Station) -> None:
    """Where the kernel's number of the medium is another one, nothing is recorded: somebody swapped the card."""
    card = disks.make("CARD", mib=16, files={"DCIM/1.bin": b"one"})
    with pytest.raises(CardGone):
        station.admit(os.fsencode(card.point), diskseq=card.diskseq + 1)
    assert station.wiring.slots == {}
    assert station.list_at_work() == []
    slot = station.admit(os.fsencode(card.point), diskseq=card.diskseq)
    assert station.wait(station.is_quiet, PATIENCE)
    assert safety(station, slot.job) is Safety.SECURED


def test_cards_that_look_the_same_are_both_read(disks: Disks, station: Station, library: Path) -> None:
    """Of two cards with one identity the second is read whole under none: nothing is taken for the other's."""
    first = disks.make("TWIN", mib=16, files={"DCIM/1.bin": os.urandom(300_000)})
    image = first.image.with_name("twin")
    first.unmount()
    shutil.copy(first.image, image)
    points = []
    for number, one in enumerate((first.image, image)):
        point = first.point.with_name(f"twin-{number}")
        point.mkdir()
        device = run("losetup", "--find", "--show", one)
        run("mount", *(["-o", "noload,ro"] if number else []), device, point)
        points.append((point, device))
        if not number:
            (point / "DCIM" / "new.bin").write_bytes(b"only here")
    try:
        with hold_reads(points[0][0] / "DCIM" / "1.bin") as held:
            slot = station.admit(os.fsencode(points[0][0]))
            held.catch()
            twin = station.admit(os.fsencode(points[1][0]))
            assert slot.volume.uuid is not None
            assert twin.volume.uuid is None
            assert slot.volume.size == twin.volume.size
        assert station.wait(station.is_quiet, PATIENCE)
        assert safety(station, slot.job) is safety(station, twin.job) is Safety.SECURED
        assert len(list_originals(library)) == 2
    finally:
        for point, device in points:
            subprocess.run(["umount", point], check=False)
            run("losetup", "--detach", device)


def test_a_hanging_read_stops_no_other_card(disks: Disks, station: Station, library: Path) -> None:
    """A card that never answers is left behind; other cards are secured meanwhile, and its own return completes it."""
    dying = disks.make("DYING", mib=16, files={f"DCIM/{n}.bin": os.urandom(200_000) for n in range(3)})
    other = disks.make("OTHER", mib=16, files={f"DCIM/o{n}.bin": os.urandom(200_000) for n in range(3)})
    with hold_reads(dying.point / "DCIM" / "1.bin") as held:
        slot = station.admit(os.fsencode(dying.point))
        held.catch()
        second = station.admit(os.fsencode(other.point))
        assert station.wait(lambda: safety(station, second.job) is Safety.SECURED, PATIENCE)
        assert not station.dismiss(slot), "its thread hangs"
        assert safety(station, slot.job) is Safety.INTERRUPTED
        again = station.admit(os.fsencode(dying.point))
        assert station.wait(lambda: again.job == slot.job, PATIENCE), "the interrupted job goes on"
    assert station.wait(station.is_quiet, PATIENCE)
    assert safety(station, again.job) is Safety.SECURED
    assert station.engine.failure is None
    assert len(list_originals(library)) == 6
