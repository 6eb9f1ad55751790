"""Cards come and go: every way that a real kernel showed, with events late, lost and out of order."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replaying import (
    RULES,
    Event,
    Model,
    Watch,
    describe,
    find_capture,
    parse_events,
    parse_listing,
)

from ghostroll.cards.mounts import Mount
from ghostroll.cards.reconcile import reconcile
from ghostroll.cards.sight import Active, CardRules, Insertion, Listing, Refusal, Seen, Why
from ghostroll.model import Volume

# What happens in each capture, as a station hears it.
STORIES = {
    "usb-vfat.txt": ["arrived sdc1 13", "left sdc1 13"],
    "usb-exfat.txt": ["arrived sdc1 14", "left sdc1 14"],
    "usb-superfloppy.txt": ["arrived sdc 15", "left sdc 15"],
    "reader-media-change.txt": [
        "arrived sda1 16",
        "left sda1 16",
        "arrived sda1 18",
        "left sda1 18",
        "arrived sda 20",
        "left sda 20",
    ],
    "sd-host.txt": ["arrived mmcblk0p1 14", "left mmcblk0p1 14", "arrived mmcblk0p1 15", "left mmcblk0p1 15"],
}


def start(name: str) -> tuple[Model, list[Event]]:
    """A machine as it was when a capture began, and what happened then."""
    events = list(parse_events(find_capture(name)))
    model = Model()
    if name == "reader-media-change.txt":  # the reader stands there, empty
        first = events[0].properties
        standing = {key: first[key] for key in ("DEVPATH", "DEVNAME", "DEVTYPE", "MAJOR", "MINOR")}
        model.add({**standing, "DISKSEQ": "15"})
        model.empty.add(first["DEVPATH"])
    return model, events


def steps_of(events: list[Event]) -> Iterator[list[Event]]:
    """The events of each thing that a person did."""
    for step in dict.fromkeys(event.step for event in events):
        yield [event for event in events if event.step == step]


@pytest.mark.parametrize("name", STORIES)
def test_every_way_in_and_out(name: str) -> None:
    """Looking after every single event, each card arrives once and leaves once, whatever the way."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    for event in events:
        model.apply(event)
        watch.look()
        if event.source == "UDEV":
            model.mount_all()
            watch.look()
    assert watch.told == STORIES[name]


@pytest.mark.parametrize("name", STORIES)
def test_events_that_are_missed_cost_only_time(name: str) -> None:
    """One look at the end of each step tells the same story as a look after each event."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    for step in steps_of(events):
        for event in step:
            model.apply(event)
        model.mount_all()
        watch.look(after=0)
        watch.look()
    assert watch.told == STORIES[name]


@pytest.mark.parametrize("name", STORIES)
def test_nothing_is_told_before_udev_is_done(name: str) -> None:
    """While only the kernel knows of a medium, nobody says a word about it."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    inserted = list(steps_of(events))[1 if name == "sd-host.txt" else 0]
    for event in inserted:
        if event.source == "KERNEL":
            model.apply(event)
            watch.look()
    assert model.kernel
    assert watch.told == []


def test_a_card_that_was_there_before() -> None:
    """Cards that are in before the first look arrive with it, without a debounce, in a reader and in a slot."""
    model = Model()
    for properties in parse_listing(find_capture("present-at-boot.txt"))[:4]:
        model.add(properties)
    model.mount_all()
    watch = Watch(model)
    assert describe(watch.look()) == ["arrived sdc1 14", "arrived mmcblk0p1 11"]


def disk(name: str, diskseq: int, **more: str) -> dict[str, str]:
    """A disk as the kernel and udev have it."""
    number = str(ord(name[2]) - ord("a"))
    return {
        "DEVPATH": f"/devices/usb{number}/block/{name}",
        "DEVNAME": f"/dev/{name}",
        "DEVTYPE": "disk",
        "DISKSEQ": str(diskseq),
        "MAJOR": "8",
        "MINOR": str(int(number) * 16),
        **more,
    }


def part(name: str, diskseq: int, *, number: int = 1, **more: str) -> dict[str, str]:
    """A partition with a filesystem as the kernel and udev have it."""
    whole = disk(name, diskseq)
    return {
        "DEVPATH": f"{whole['DEVPATH']}/{name}{number}",
        "DEVNAME": f"/dev/{name}{number}",
        "DEVTYPE": "partition",
        "DISKSEQ": str(diskseq),
        "PARTN": str(number),
        "MAJOR": "8",
        "MINOR": str(int(whole["MINOR"]) + number),
        "ID_FS_TYPE": "vfat",
        "ID_FS_LABEL": "EOS_DIGITAL",
        "ID_FS_UUID": f"0000-{diskseq:04}",
        **more,
    }


def put_in(model: Model, name: str, diskseq: int, **more: str) -> None:
    """A card with one partition is in a reader, and udev is done with it."""
    model.add(disk(name, diskseq, ID_PART_TABLE_TYPE="dos"))
    model.add({**part(name, diskseq), **more})


@pytest.fixture
def watch() -> Watch:
    """Somebody who has looked at a machine without cards."""
    watch = Watch(Model())
    assert not watch.look()
    return watch


def test_two_partitions_are_two_volumes(watch: Watch) -> None:
    """Each partition of a card arrives for itself, and both leave together."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.add(part("sdb", 5, number=2, ID_FS_TYPE="exfat", ID_FS_LABEL="SECOND"))
    model.mount_all()
    watch.look()
    watch.look()
    model.kernel.clear()
    watch.look()
    assert watch.told == ["arrived sdb1 5", "arrived sdb2 5", "left sdb1 5", "left sdb2 5"]


def test_several_readers_are_apart(watch: Watch) -> None:
    """What one reader does is nothing to the card in another."""
    model = watch.model
    put_in(model, "sdb", 5)
    put_in(model, "sdc", 6)
    model.mount_all()
    watch.look()
    watch.look()
    put_in(model, "sdc", 8)
    model.mount_all()
    watch.look()
    watch.look()
    assert watch.told == ["arrived sdb1 5", "arrived sdc1 6", "left sdc1 6", "arrived sdc1 8"]


def test_a_swap_within_the_debounce(watch: Watch) -> None:
    """The card that was swapped for another before its debounce is over is never told of; the other one is."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.mount_all()
    watch.look()
    put_in(model, "sdb", 7)
    model.mount_all()
    watch.look(after=RULES.debounce * 0.9)
    watch.look(after=RULES.debounce * 0.9)
    assert watch.told == []
    changes = watch.look(after=RULES.debounce * 0.2)
    assert describe(changes) == ["arrived sdb1 7"]


def test_a_swap_within_the_debounce_of_a_card_that_is_read(watch: Watch) -> None:
    """A card that is swapped for another between two looks has left at once, and the other arrives after its debounce."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.mount_all()
    watch.look()
    watch.look()
    put_in(model, "sdb", 7)
    model.mount_all()
    changes = watch.look(after=0)
    assert describe(changes) == ["left sdb1 5"]
    assert changes.due == pytest.approx(watch.now + RULES.debounce)
    assert describe(watch.look(after=RULES.debounce)) == ["arrived sdb1 7"]


def test_a_pulled_card_whose_mount_stays(watch: Watch) -> None:
    """Pulled while it was read, partition and mount stay: it left, and the next card does not arrive through the old mount."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.mount(model.blocks()[1], b"/media/me/EOS_DIGITAL")
    watch.look()
    watch.look()
    model.kernel[disk("sdb", 0)["DEVPATH"]]["DISKSEQ"] = "6"
    model.empty.add(disk("sdb", 0)["DEVPATH"])
    watch.look()
    model.kernel[disk("sdb", 0)["DEVPATH"]]["DISKSEQ"] = "7"
    model.empty.clear()
    watch.look()
    watch.look(after=RULES.patience)
    assert watch.told == ["arrived sdb1 5", "left sdb1 5", "refused sdb1 7 stale"]
    model.mounts.pop()
    watch.look()
    model.mount(model.blocks()[1], b"/media/me/OTHER")
    model.mounts[-1] = Mount(model.mounts[-1].device, b"/", b"/media/me/OTHER", "vfat", b"/dev/sdb1", id=77)
    watch.look()
    assert watch.told[3:] == ["arrived sdb1 7"]


def test_a_mount_of_the_helper_names_its_medium() -> None:
    """A mount below the cards' folder with another medium's number is stale, even at the first look."""
    model = Model()
    put_in(model, "sdb", 5)
    model.mount_all()
    put_in(model, "sdb", 7)
    watch = Watch(model)
    watch.look()
    watch.look(after=RULES.patience)
    assert watch.told == ["refused sdb1 7 stale"]
    model.mount_all()
    watch.look()
    assert watch.told[1:] == ["arrived sdb1 7"]


def test_udev_describes_the_card_before(watch: Watch) -> None:
    """As long as udev's database speaks of the medium before, the new one is not taken for it."""
    model = watch.model
    floppy = {"ID_FS_TYPE": "vfat", "ID_FS_UUID": "0000-0005"}
    model.add(disk("sdb", 5, DEVLINKS="/dev/disk/by-diskseq/5", **floppy))
    model.mount_all()
    watch.look()
    watch.look()
    model.kernel[disk("sdb", 0)["DEVPATH"]]["DISKSEQ"] = "7"
    watch.look()
    assert model.look() == ()
    floppy["ID_FS_UUID"] = "0000-0007"
    model.add(disk("sdb", 7, DEVLINKS="/dev/disk/by-diskseq/7", **floppy))
    model.mount_all()
    watch.look()
    (arrived,) = watch.look().arrived
    assert arrived.volume.uuid == "0000-0007"
    assert watch.told == ["arrived sdb 5", "left sdb 5", "arrived sdb 7"]


def test_a_partition_of_the_card_before(watch: Watch) -> None:
    """A partition that somebody holds outlives its card, and is not taken for one of the next card."""
    model = watch.model
    put_in(model, "sdb", 5, GHOSTROLL_DISKSEQ="5")
    model.mount_all()
    watch.look()
    watch.look()
    model.add(disk("sdb", 7, ID_PART_TABLE_TYPE="dos", DEVLINKS="/dev/disk/by-diskseq/7"))
    model.mounts.pop()
    watch.look()
    watch.look(after=RULES.patience)
    assert watch.told == ["arrived sdb1 5", "left sdb1 5"]


def test_a_partition_of_the_card_before_without_our_rule(watch: Watch) -> None:
    """Where no rule of ours notes a partition's medium, it is not believed before udev has been at its disk."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.add(disk("sdb", 5, ID_PART_TABLE_TYPE="dos", DEVLINKS="/dev/disk/by-diskseq/5"))
    model.mount(model.blocks()[1], b"/media/me/EOS_DIGITAL")
    watch.look()
    watch.look()
    model.mounts.pop()
    model.kernel[disk("sdb", 0)["DEVPATH"]]["DISKSEQ"] = "7"
    watch.look()
    watch.look(after=RULES.patience)
    assert watch.told == ["arrived sdb1 5", "left sdb1 5"]
    put_in(model, "sdb", 7)
    model.mount(model.blocks()[1], b"/media/me/EOS_DIGITAL")
    model.mounts[-1] = replace(model.mounts[-1], id=78)
    watch.look()
    watch.look()
    assert watch.told[2:] == ["arrived sdb1 7"]


def test_a_mounts_number_is_given_again(watch: Watch) -> None:
    """The next card may be mounted under the number, the device and the place of the one before, and is believed."""
    model = watch.model
    for diskseq in (5, 7):
        put_in(model, "sdb", diskseq)
        model.mount(model.blocks()[1], b"/media/me/EOS_DIGITAL")
        assert model.mounts[-1].id == 2
        watch.look()
        watch.look()
        model.mounts.pop()
        watch.look()
    assert watch.told == ["arrived sdb1 5", "left sdb1 5", "arrived sdb1 7", "left sdb1 7"]


def test_an_unmounted_card_has_left(watch: Watch) -> None:
    """A card that is unmounted but stays in has left, and arrives again once it is mounted again."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.mount_all()
    watch.look()
    watch.look()
    model.mounts.pop()
    watch.look()
    model.mount_all()
    watch.look()
    model.mounts.pop()
    watch.look(after=RULES.patience)
    watch.look(after=RULES.patience)
    assert watch.told == ["arrived sdb1 5", "left sdb1 5", "arrived sdb1 5", "left sdb1 5"]


def test_a_second_mount_changes_nothing(watch: Watch) -> None:
    """A card goes on to be read where it was, though it is mounted at a better place too; when the first goes, it moves."""
    model = watch.model
    put_in(model, "sdb", 5)
    model.mount(model.blocks()[1], b"/media/me/EOS_DIGITAL")
    watch.look()
    watch.look()
    model.mount(model.blocks()[1], b"/run/ghostroll/cards/5-1")
    watch.look()
    assert watch.told == ["arrived sdb1 5"]
    del model.mounts[1]
    changes = watch.look()
    assert describe(changes) == ["left sdb1 5", "arrived sdb1 5"]
    (arrived,) = changes.arrived
    assert arrived.mount is not None
    assert arrived.mount.point == b"/run/ghostroll/cards/5-1"


def test_a_refusal_is_said_once(watch: Watch) -> None:
    """A medium without a camera's folder is refused once, however often it is looked at, and again when it comes back."""
    model = watch.model
    model.listings["sdb1"] = Listing((b"Papers",))
    put_in(model, "sdb", 5)
    model.mount_all()
    for _ in range(5):
        watch.look()
    assert watch.told == ["refused sdb1 5 not-camera"]
    put_in(model, "sdb", 7)
    model.mount_all()
    for _ in range(5):
        watch.look()
    assert watch.told[1:] == ["refused sdb1 7 not-camera"]


def test_nobody_mounts_it(watch: Watch) -> None:
    """A card that nobody mounts is mentioned when patience is at its end, and arrives all the same once it is mounted."""
    model = watch.model
    put_in(model, "sdb", 5)
    changes = watch.look()
    assert changes.due == watch.now + RULES.patience
    watch.look(after=RULES.patience / 2)
    assert watch.told == []
    watch.look(after=RULES.patience / 2)
    assert watch.told == ["refused sdb1 5 not-mounted"]
    model.mount_all()
    watch.look(after=0)
    assert watch.told[1:] == ["arrived sdb1 5"]


def test_an_empty_slot_is_nothing(watch: Watch) -> None:
    """A reader without a card is not worth a word."""
    watch.model.add(disk("sdb", 5))
    watch.model.empty.add(disk("sdb", 5)["DEVPATH"])
    watch.look()
    watch.look(after=1000)
    assert watch.told == []


def test_a_blank_medium_is_mentioned(watch: Watch) -> None:
    """A medium without any filesystem is mentioned when patience is at its end."""
    watch.model.add(disk("sdb", 5))
    watch.look()
    watch.look(after=RULES.debounce)
    assert watch.told == []
    watch.look(after=RULES.patience)
    assert watch.told == ["refused sdb 5 empty"]


# Any life of a few slots, looked at now and then.
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "pull", "mount", "unmount", "refuse", "look"]),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.05, 0.2, 3.0, 60.0]),
    ),
    max_size=60,
)


class Slots:
    """Three slots; what a look would see in each of them."""

    def __init__(self) -> None:
        self._diskseq = 1
        self._mounts = 0
        self.slots: dict[int, Seen] = {}

    def move(self, what: str, slot: int) -> None:
        """Do one thing to one slot, if it makes sense."""
        match what:
            case "insert":
                self._diskseq += 1
                self.slots[slot] = self._make(slot, self._diskseq, mounted=False, why=Why.NOT_MOUNTED)
            case "pull":
                self.slots.pop(slot, None)
            case "mount" if slot in self.slots:
                self._mounts += 1
                self.slots[slot] = self._make(
                    slot, self.slots[slot].insertion.diskseq, mounted=True, why=None
                )
            case "unmount" | "refuse" if slot in self.slots:
                why = Why.NOT_MOUNTED if what == "unmount" else Why.NOT_CAMERA
                self.slots[slot] = self._make(
                    slot, self.slots[slot].insertion.diskseq, mounted=False, why=why
                )

    def _make(self, slot: int, diskseq: int, *, mounted: bool, why: Why | None) -> Seen:
        mount = Mount(slot, b"/", b"/media/card", "vfat", b"", id=self._mounts) if mounted else None
        return Seen(
            Insertion(diskseq, f"/devices/{slot}"),
            f"sd{slot}",
            Volume(None, "", 1, "vfat"),
            (mount,) if mount else (),
            mount,
            Refusal(why, "for a test") if why else None,
        )

    def cards(self) -> set[Insertion]:
        """The cards that are in."""
        return {seen.insertion for seen in self.slots.values() if seen.mount}


@given(MOVES)
def test_whatever_happens_it_converges(moves: list[tuple[str, int, float]]) -> None:
    """However looks and moves fall, no card arrives twice or leaves unknown, and in the end all that is in has arrived."""
    slots, now = Slots(), 0.0
    active: Active | None = None
    inside: dict[Insertion, Mount | None] = {}
    said: set[tuple[Insertion, Why]] = set()
    read: set[Insertion] = set()

    def look() -> None:
        nonlocal active
        there = set(slots.cards())
        changes, active = reconcile(tuple(slots.slots.values()), active, now, RULES)
        for card in changes.left:
            assert inside.pop(card.insertion) == card.mount
        for card in changes.arrived:
            assert card.insertion not in inside
            assert card.insertion in there
            inside[card.insertion] = card.mount
        assert inside.keys() <= there
        for card in changes.refused:
            assert card.refusal is not None
            assert (card.insertion, card.refusal.why) not in said
            said.add((card.insertion, card.refusal.why))
        read.update(card.insertion for card in changes.arrived)
        assert changes.due is None or changes.due > now

    for what, slot, seconds in moves:
        now += seconds
        if what == "look":
            look()
        else:
            slots.move(what, slot)
    look()
    now += RULES.patience + RULES.debounce
    look()
    assert inside.keys() == slots.cards()
    for seen in slots.slots.values():
        if seen.refusal is not None and (seen.insertion, seen.refusal.why) not in said:
            assert seen.refusal.why is Why.NOT_MOUNTED
            assert seen.insertion in read, "only who was read and ejected is not mentioned"
    told = len(said)
    look()
    assert len(said) == told
    slots.slots.clear()
    look()
    assert inside == {}
    assert active == Active(), "a daemon lives for months"


@given(st.lists(st.floats(0, 0.19), max_size=20))
def test_a_medium_that_does_not_stay_was_never_in(gaps: list[float]) -> None:
    """Contacts that bounce while a card is pushed in bring nothing forth until one stays for the debounce."""
    slots, now = Slots(), 0.0
    rules = CardRules(library=b"/", debounce=0.2)
    _, active = reconcile((), None, now, rules)
    for gap in gaps:
        slots.move("insert", 0)
        slots.move("mount", 0)
        changes, active = reconcile(tuple(slots.slots.values()), active, now, rules)
        assert not changes
        now += gap
    slots.move("insert", 0)
    slots.move("mount", 0)
    _, active = reconcile(tuple(slots.slots.values()), active, now, rules)
    changes, active = reconcile(tuple(slots.slots.values()), active, now + 0.3, rules)
    assert [card.insertion for card in changes.arrived] == [slots.slots[0].insertion]
