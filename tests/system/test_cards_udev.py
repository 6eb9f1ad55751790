"""Cards in a real udev: loop devices that a rule presents as a card reader. Needs root."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disks, run
from running import do_without, need_tools, wait_until
from slots import Slot, write_table

from ghostroll.cards.sight import CardRules, Changes, Seen, Why
from ghostroll.cards.watch import Watcher

UDEVD = Path("/lib/systemd/systemd-udevd")
RUN = Path("/run/udev")
RULE = RUN / "rules.d" / "91-ghostroll-test.rules"
LONG = 3600.0  # seconds; no test waits for a rescan
BOUND = 30.0  # seconds that something may take before it counts as lost

# A loop device says that it is fixed; the mark is what an administrator gives such readers.
READER = 'SUBSYSTEM=="block", KERNEL=="loop*", ENV{ID_BUS}="usb", ENV{GHOSTROLL_CARD}="1"\n'


@pytest.fixture(scope="module")
def udev() -> Iterator[None]:
    """An udevd that takes loop devices for readers: the machine's own, or one that lives as long as these tests."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    if not UDEVD.exists():
        do_without(f"no {UDEVD} here: apt install udev")
    need_tools(udevadm="udev", losetup="mount", partx="util-linux")
    was_there = RUN.exists()
    own = None if (RUN / "control").exists() else subprocess.Popen([UDEVD], stderr=subprocess.DEVNULL)
    try:
        wait_until((RUN / "control").exists)
        RULE.parent.mkdir(parents=True, exist_ok=True)
        RULE.write_text(READER)
        run("udevadm", "control", "--reload", "--timeout=20")
        run("udevadm", "trigger", "--subsystem-match=block")
        settle()
        yield
    finally:
        RULE.unlink(missing_ok=True)
        if own is not None:
            own.terminate()
            own.wait()
            if not was_there:  # nobody may believe what it knew
                shutil.rmtree(RUN)
        else:
            run("udevadm", "control", "--reload", "--timeout=20")
            run("udevadm", "trigger", "--subsystem-match=block")
            settle()


def settle() -> None:
    """Wait until udev has nothing to do."""
    run("udevadm", "settle", "--timeout=20")


class Reader:
    """A reader for cards with ext4, and a desktop that mounts them."""

    def __init__(self, disks: Disks, folder: Path) -> None:
        self._disks = disks
        self._folder = folder
        self.media = folder / "media"
        self.media.mkdir()
        self._slots: list[Slot] = []
        self.rules = CardRules(
            library=os.fsencode(folder / "library"),
            filesystems=frozenset({"ext4"}),
            mount_roots=(os.fsencode(self.media),),
        )

    def make(self, label: str, *, table: bool = False) -> Path:
        """An image of a card; with a partition table if wanted."""
        image = self._disks.format(label, mib=8, files={"DCIM/name": label.encode()})
        if table:
            write_table(self._folder / f"{label}.card", [image, image])
            return self._folder / f"{label}.card"
        return image

    def put_in(self, image: Path) -> Slot:
        """A card in a new reader."""
        slot = Slot(image)
        self._slots.append(slot)
        return slot

    def mount(self, node: str, name: str) -> Path:
        """Mount a card where cards are looked for."""
        point = self.media / name
        point.mkdir(exist_ok=True)
        run("mount", "-o", "ro,noload", node, point)
        return point

    def remove(self) -> None:
        """Take out everything."""
        for point in self.media.iterdir():
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        for slot in self._slots:
            # An emptied slot may hold somebody else's disk by now.
            backing = Path(f"/sys/block/{slot.name}/loop/backing_file")
            if backing.exists() and backing.read_text().startswith(str(self._folder)):
                slot.empty()


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
        slot = reader.put_in(reader.make("EOS", table=True))
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
        slot.swap(reader.make("NEXT", table=True))
        assert wait_for(watcher, left, f"{slot.name}p2") == other


def test_cards_without_a_table_in_a_standing_reader(reader: Reader) -> None:
    """One card after the other in one slot: each leaves when it is pulled though its mount stays, which is not believed for the next."""
    images = {name: reader.make(name) for name in "ABC"}
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
    slot = reader.put_in(reader.make("EOS"))
    settle()
    reader.mount(slot.node, "EOS")
    with Watcher(reader.rules, rescan=LONG) as watcher:
        assert [card.name for card in watcher.wait().arrived] == [slot.name]


def test_a_card_that_nobody_mounts(reader: Reader) -> None:
    """Udev's events alone are enough to see a card, and it is mentioned that nobody mounts it; pulled, it is forgotten."""
    with Watcher(replace(reader.rules, patience=0.1), rescan=LONG) as watcher:
        watcher.wait()
        slot = reader.put_in(reader.make("EOS"))
        waiting = wait_for(watcher, refused, slot.name)
        assert waiting.refusal is not None
        assert waiting.refusal.why is Why.NOT_MOUNTED
        slot.empty()

        def is_forgotten() -> bool:
            watcher.look_soon()
            watcher.wait(0)
            return all(seen.name != slot.name for seen in watcher._seen)

        wait_until(is_forgotten)


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
        slot = reader.put_in(reader.make("EOS"))
        wait_for(watcher, refused, slot.name)
        assert asked < 100


def test_what_is_not_marked_is_fixed(reader: Reader) -> None:
    """Without the administrator's mark the same device is a fixed disk, and refused."""
    RULE.write_text("")
    run("udevadm", "control", "--reload", "--timeout=20")
    try:
        slot = reader.put_in(reader.make("EOS"))
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
        slot = reader.put_in(reader.make("EOS"))
        for _ in range(10):
            run("udevadm", "trigger", "--subsystem-match=block")
            settle()
        reader.mount(slot.node, "EOS")
        assert wait_for(watcher, arrived, slot.name).volume.label == "EOS"
        assert watcher._monitor is not None
        assert watcher._monitor is not before
