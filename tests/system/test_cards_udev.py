"""Cards in a real udev: loop devices that a rule presents as a card reader. Needs root."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from desktop import READER, RULE, Desktop, run_udev, settle
from disks import Disks, run
from running import wait_until

from ghostroll.cards import lookout
from ghostroll.cards.mounts import Mount, read_mounts
from ghostroll.cards.sight import CardRules, Changes, Seen, Why
from ghostroll.cards.watch import Watcher

LONG = 3600.0  # seconds; no test waits for a rescan
BOUND = 30.0  # seconds that something may take before it counts as lost


@pytest.fixture(scope="module")
def udev() -> Iterator[None]:
    """An udevd that takes loop devices for readers."""
    yield from run_udev()


class Reader(Desktop):
    """A desktop with readers, and the rules of a watcher that looks at it."""

    def __init__(self, disks: Disks, folder: Path) -> None:
        super().__init__(disks, folder)
        self.rules = CardRules(
            library=os.fsencode(folder / "library"),
            filesystems=frozenset({"ext4"}),
            mount_roots=(os.fsencode(self.media),),
        )

    def make_named(self, label: str, *, table: bool = False) -> Path:
        """An image of a card with its name in a file; with a partition table if wanted."""
        return self.make(label, mib=8, files={"DCIM/name": label.encode()}, table=table)


@pytest.fixture
def reader(udev: None, disks: Disks, tmp_path: Path) -> Iterator[Reader]:  # noqa: ARG001  # udev runs
    """An empty place for readers."""
    made = Reader(disks, tmp_path)
    yield made
    made.remove()
    settle()


def wait_for(watcher: Watcher, pick: Callable[[Changes], tuple[Seen, ...]], name: str) -> Seen:
    """The next volume of a kind with this name; AssertionError when it takes too long."""
    until = time.monotonic() + BOUND
    while (left := until - time.monotonic()) > 0:
        for seen in pick(watcher.wait(left)):
            if seen.name == name:
                return seen
    raise AssertionError(f"nothing was told of {name}")


def arrived(changes: Changes) -> tuple[Seen, ...]:
    """The cards that arrived."""
    return changes.arrived


def left(changes: Changes) -> tuple[Seen, ...]:
    """The cards that left."""
    return changes.left


def refused(changes: Changes) -> tuple[Seen, ...]:
    """The media that were refused."""
    return changes.refused


def test_a_card_with_two_partitions(reader: Reader) -> None:
    """Each partition arrives when it is mounted, with what udev knows of it, and leaves when it is unmounted or pulled."""
    with Watcher(reader.rules, rescan=LONG) as watcher:
        assert watcher.wait().notes == ()
        slot = reader.put_in(reader.make_named("EOS", table=True))
        run("partx", "--update", slot.node)  # also where an older card left some
        settle()
        uuid = run(
            "udevadm", "info", "--query=property", "--property=ID_FS_UUID", "--value", f"{slot.node}p1"
        )
        first = reader.mount(f"{slot.node}p1", "one")
        card = wait_for(watcher, arrived, f"{slot.name}p1")
        assert card.insertion.diskseq == slot.diskseq
        assert card.insertion.device == f"/devices/virtual/block/{slot.name}/{slot.name}p1"
        assert (card.volume.uuid, card.volume.label, card.volume.size) == (uuid, "EOS", 8 << 20)
        assert card.mount is not None
        assert card.mount.point == os.fsencode(first)
        reader.mount(f"{slot.node}p2", "two")
        other = wait_for(watcher, arrived, f"{slot.name}p2")
        run("umount", first)
        assert wait_for(watcher, left, f"{slot.name}p1") == card
        slot.swap(reader.make_named("NEXT", table=True))
        assert wait_for(watcher, left, f"{slot.name}p2") == other


def test_cards_without_a_table_in_a_standing_reader(reader: Reader) -> None:
    """One card after the other in one slot: each leaves when it is pulled though its mount stays, which is not believed for the next."""
    images = {name: reader.make_named(name) for name in "ABC"}
    with Watcher(replace(reader.rules, patience=0.5), rescan=LONG) as watcher:
        watcher.wait()
        slot = reader.put_in(images["A"])
        settle()
        seen = []
        for name, following in (("A", "B"), ("B", "C"), ("C", "A")):
            point = reader.mount(slot.node, name)
            card = wait_for(watcher, arrived, slot.name)
            # Not by its label: whoever still has the old card mounted, anywhere, makes udev read that one's.
            assert card.insertion.diskseq == slot.diskseq
            seen.append(card.insertion)
            slot.swap(images[following])
            assert wait_for(watcher, left, slot.name) == card
            stale = wait_for(watcher, refused, slot.name)
            assert stale.refusal is not None
            assert stale.refusal.why is Why.STALE
            run("umount", point)
        assert len(set(seen)) == 3


def test_a_card_that_was_in_before(reader: Reader) -> None:
    """A card that is in and mounted before the start is in the first answer."""
    slot = reader.put_in(reader.make_named("EOS"))
    settle()
    reader.mount(slot.node, "EOS")
    with Watcher(reader.rules, rescan=LONG) as watcher:
        assert [card.name for card in watcher.wait().arrived] == [slot.name]


def test_a_card_that_nobody_mounts(reader: Reader) -> None:
    """Udev's events alone are enough to see a card, and it is mentioned that nobody mounts it; pulled, it is forgotten."""
    with Watcher(replace(reader.rules, patience=0.1), rescan=LONG) as watcher:
        watcher.wait()
        slot = reader.put_in(reader.make_named("EOS"))
        waiting = wait_for(watcher, refused, slot.name)
        assert waiting.refusal is not None
        assert waiting.refusal.why is Why.NOT_MOUNTED
        slot.empty()

        def is_forgotten() -> bool:
            watcher.look_soon()
            watcher.wait(0)
            return all(seen.name != slot.name for seen in watcher.seen)

        wait_until(is_forgotten)


def test_udevs_word_counts_and_not_the_kernels(reader: Reader) -> None:
    """However long udev takes, a card is seen with what it found; what happens to other things than disks wakes nobody."""
    slow = f'{READER.strip()}, PROGRAM="/bin/sleep 1"\n'
    RULE.write_text(slow)
    run("udevadm", "control", "--reload", "--timeout=20")
    try:
        with Watcher(replace(reader.rules, patience=0), rescan=LONG, settle=0.05) as watcher:
            watcher.wait()
            slot = reader.put_in(reader.make_named("EOS"))
            found = wait_for(watcher, refused, slot.name)
            assert (found.volume.label, found.volume.filesystem) == ("EOS", "ext4")
            settle()
            watcher.wait(0.2)
            looks = watcher.looks
            run("udevadm", "trigger", "--subsystem-match=mem")
            settle()
            watcher.wait(0.2)
            assert watcher.looks == looks
    finally:
        RULE.write_text(READER)
        run("udevadm", "control", "--reload", "--timeout=20")


def test_a_swap_in_the_middle_of_a_look(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that was made between reading the disks and reading the mounts is not taken for one of the medium before."""
    slot = reader.put_in(reader.make_named("A"))
    other = reader.make_named("B")
    settle()
    swapped: list[int] = []

    def swap_first() -> list[Mount]:
        if not swapped:
            swapped.append(slot.diskseq)
            slot.swap(other)
            settle()
            reader.mount(slot.node, "B")
        return read_mounts()

    monkeypatch.setattr(lookout, "read_mounts", swap_first)
    with Watcher(reader.rules, rescan=LONG) as watcher:
        (card,) = (card for card in watcher.wait().arrived if card.name == slot.name)
    assert card.insertion.diskseq == slot.diskseq != swapped[0]


def test_a_burst_of_events_wakes_nobody_twice(reader: Reader) -> None:
    """Between the first event of a burst and the look that answers it, nothing runs."""
    asked = 0

    def clock() -> float:
        nonlocal asked
        asked += 1
        return time.monotonic()

    with Watcher(replace(reader.rules, patience=0), rescan=LONG, settle=1.0, clock=clock) as watcher:
        watcher.wait()
        asked = 0
        slot = reader.put_in(reader.make_named("EOS"))
        wait_for(watcher, refused, slot.name)
        assert asked < 100


def test_what_is_not_marked_is_fixed(reader: Reader) -> None:
    """Without the administrator's mark the same device is a fixed disk, and refused."""
    RULE.write_text("")
    run("udevadm", "control", "--reload", "--timeout=20")
    try:
        slot = reader.put_in(reader.make_named("EOS"))
        settle()
        reader.mount(slot.node, "EOS")
        with Watcher(reader.rules, rescan=LONG) as watcher:
            (found,) = (seen for seen in watcher.wait().refused if seen.name == slot.name)
        assert found.refusal is not None
        assert found.refusal.why is Why.FIXED
    finally:
        RULE.write_text(READER)
        run("udevadm", "control", "--reload", "--timeout=20")


def test_more_events_than_anybody_can_hold(reader: Reader) -> None:
    """When the kernel drops events for want of room, the monitor is made anew, and a card that came meanwhile arrives."""
    with Watcher(reader.rules, rescan=LONG) as watcher:
        watcher.wait()
        before = watcher._monitor
        assert before is not None
        before.set_receive_buffer_size(4096)
        slot = reader.put_in(reader.make_named("EOS"))
        for _ in range(10):
            run("udevadm", "trigger", "--subsystem-match=block")
            settle()
        reader.mount(slot.node, "EOS")
        assert wait_for(watcher, arrived, slot.name).volume.label == "EOS"
        assert watcher._monitor is not None
        assert watcher._monitor is not before
