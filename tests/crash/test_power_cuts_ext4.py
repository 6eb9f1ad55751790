"""The power fails anywhere in an ingest onto a real ext4: mounted again, what had been said is true.

The medium is a loop device whose backing file lies on a recording disk. A copy of a backing file taken while it is
written is no state that a medium ever had, fsfreeze flushes first, and SIGSTOP shows what the kernel holds, not what
the medium does; here every request and every flush stands in the log, so any state of the medium can be made, also
those in which requests that were not flushed yet are missing or torn.
"""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import count, pick
from crash_card import make_crash_card
from cutting import IMAGE, Recording, Step, blame_cut, check_cut, check_restart, record_steps_on_ext4
from disks import Disks
from power_cut import ALL_ODDS, Odds
from running import need_tools

RUNS = pick(1, 8)
SNAPSHOTS = pick(20, 150)  # of one run
RESTARTS = pick(2, 12)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """A maker of loop disks, all taken away at the end."""
    need_tools(losetup="mount", mkfs_ext4="e2fsprogs")
    made = Disks(tmp_path)
    yield made
    made.remove()


@contextlib.contextmanager
def recover(recording: Recording, disks: Disks, position: int, odds: Odds, seed: str) -> Iterator[None]:
    """Mount what is left on the medium, which replays its journal, where it was."""
    image = recording.cut(position, odds, random.Random(seed))[IMAGE]
    assert image is not None
    copy = recording.place / IMAGE
    copy.write_bytes(image)
    disk = disks.mount(copy, read_only=False)
    try:
        yield
    finally:
        disk.unmount()


@pytest.mark.timeout(pick(120, 7200))
@pytest.mark.parametrize("seed", range(RUNS))
def test_the_power_fails_under_ext4(seed: int, tmp_path: Path, disks: Disks) -> None:
    """Whatever of the unflushed reached the medium, ext4 recovers to what was said and a restart completes the ingest."""
    chance = random.Random(seed)
    card = make_crash_card(tmp_path / "cards")
    settings = {"GHOSTROLL_COPY__BATCH_FILES": chance.choice(["1", "2", "32"])}
    recording = record_steps_on_ext4(tmp_path, [Step(card)], disks, settings)
    (saying,) = recording.sayings
    for number in range(SNAPSHOTS):
        anywhere = chance.randint(recording.began, len(recording.log))
        position = saying.position + chance.randint(-3, 3) if number % 2 else anywhere
        odds, said = chance.choice(ALL_ODDS), recording.list_said(position)
        with recover(recording, disks, position, odds, f"{seed}/{number}"):
            blame_cut(lambda: check_cut(recording.library, recording.cards, said), position, odds, seed)  # noqa: B023
    count("ext4 media recovered after a power cut", SNAPSHOTS)
    for number in range(RESTARTS):
        position = chance.randint(recording.began, len(recording.log))
        odds = chance.choice(ALL_ODDS)
        with recover(recording, disks, position, odds, f"{seed}/again {number}"):
            blame_cut(lambda: check_restart(recording, [card]), position, odds, seed)
    count("restarts on a recovered ext4", RESTARTS)
