"""A machine that can open no more files for a moment: no card, no disk and no picture is to blame for it."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import count
from faulty import Fault, Faulty, count_met
from forking import fork_command
from promises import check_finished
from running import check_sentence, environment

from ghostroll.cards.mounts import Mount
from ghostroll.cards.roots import RootReader
from ghostroll.cards.sight import Insertion
from ghostroll.cards.volume import Medium
from ghostroll.errors import MachineShort

_CARD = "*/EOS_DIGITAL/*.JPG"


def test_a_shortage_that_passes_costs_nothing(faulty: Faulty, small_card: Path, tmp_path: Path) -> None:
    """A card's files that could not be opened for a moment are tried again, and the card is safe."""
    env = environment(tmp_path, tmp_path / "shelf")
    log = tmp_path / "calls"
    armed = faulty.arm(Fault("open", _CARD, "EMFILE", 1, 3), log=log)
    run = faulty.run(env | armed, "ingest", small_card, "--json")
    check_sentence(run)
    assert run.code == 0, run.err + run.out
    check_finished(tmp_path / "shelf", small_card)
    assert count_met(log) == 3
    count("disk: calls of the program that failed (EMFILE)", 3)


@pytest.mark.parametrize(
    ("kind", "glob"),
    [
        pytest.param("open", _CARD, id="a file of the card"),
        pytest.param("open", "*/EOS_DIGITAL/DCIM", id="a folder of the card"),
        pytest.param("open", "/proc/self/mountinfo", id="the mount table"),
        pytest.param("create", "*/incoming/[0-9]*", id="a file of the library"),
        pytest.param("open", "*/shelf", id="the library"),
    ],
)
def test_a_shortage_that_lasts_is_told(
    kind: str, glob: str, *, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """While no file can be opened, that is what is said: no contacts are to be cleaned, and no disk to be mounted."""
    env = environment(tmp_path, tmp_path / "shelf")
    run = faulty.run(env | faulty.arm(Fault(kind, glob, "EMFILE")), "ingest", small_card)
    check_sentence(run)
    assert run.code == 2, run.err + run.out
    assert "ulimit -n" in run.err + run.out
    assert not [
        word for word in ("contacts", "mount ", "that disk", "NOT stored") if word in run.err + run.out
    ]
    again = fork_command(env, "ingest", small_card, "--json")
    assert again.code == 0, again.err
    check_finished(tmp_path / "shelf", small_card)
    count("disk: calls of the program that failed (EMFILE)")


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Meanwhile this process can open no file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_card_is_not_gone_because_its_disk_cannot_be_asked(tmp_path: Path) -> None:
    """Where it can't be told which medium is in, nobody is told that the card was pulled."""
    found = os.stat(tmp_path)
    medium = Medium(os.fsencode(tmp_path), found.st_dev, found.st_ino, "/sys/block/sdz", "7")
    with no_more_files(), pytest.raises(MachineShort):
        medium.check_present()


def test_a_card_that_came_at_such_a_moment_is_looked_at_again(tmp_path: Path) -> None:
    """A card whose top folder could not be opened for want of files is listed at the next look, not refused for good."""
    (tmp_path / "DCIM").mkdir()
    mount = Mount(0, b"/", os.fsencode(tmp_path), "vfat", b"/dev/sdz1")
    key = (Insertion(7, "/block/sdz/sdz1"), mount.key)
    reader = RootReader(lambda: None)
    with no_more_files():
        reader.ask(key, mount)
        assert reader.close(60)
    assert reader.answers() == {}
    reader.ask(key, mount)
    assert reader.close(60)
    assert [listing.folders for listing in reader.answers().values()] == [(b"DCIM",)]
