"""Cards come and go by turns that no capture has: swapped, held, mounted twice, refused, or never mounted at all."""

from dataclasses import replace

import pytest
from replaying import RULES, Model, Watch, describe

from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import Listing


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
