"""What can be a card, what isn't one yet, and the sentence that says why."""

import os
from dataclasses import replace

import pytest
from sights import CAMERA, CARD, DESKTOP, DISK, MOUNTED, RULES, block, mount, refuse, see

from ghostroll.cards.blocks import Described
from ghostroll.cards.judging import judge
from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import Listing, Why
from ghostroll.cards.truth import Truth


def test_a_card() -> None:
    """A mounted volume with a camera's folder on a removable disk is a card; the disk around it is not a volume."""
    found = see(DISK, CARD, mounts=(MOUNTED,))
    assert found.keys() == {"vda", "sdb1"}
    card = found["sdb1"]
    assert card.mount == MOUNTED
    assert card.refusal is None
    assert card.title == "EOS_DIGITAL (sdb1)"
    assert (card.volume.uuid, card.volume.size, card.volume.filesystem) == ("1234-ABCD", 1 << 30, "vfat")


def test_a_disk_around_a_card_is_nothing() -> None:
    """What is found on a disk beside its partitions, and what RAID or LVM keep on one, are no volumes."""
    hybrid = replace(DISK, described=Described("iso9660", label="IMAGE", table=True))
    member = block("sdb2", partition=2, described=Described("linux_raid_member"))
    assert see(hybrid, CARD, member, mounts=(MOUNTED,)).keys() == {"vda", "sdb1"}


def test_a_fixed_disk_needs_to_be_allowed() -> None:
    """A disk that is not removable is refused with the remedy, and is a card once its UUID is allowed or a rule marks it."""
    card = replace(CARD, removable=False)
    why, words = refuse(see(card, mounts=(DESKTOP,))["sdb1"])
    assert why is Why.FIXED
    assert "cards.readers" in words
    rules = replace(RULES, allow=frozenset({"1234-abcd"}))
    assert see(card, mounts=(DESKTOP,), rules=rules)["sdb1"].mount == DESKTOP
    marked = replace(card, described=replace(card.described or Described(), marked=True))
    assert see(marked, mounts=(DESKTOP,))["sdb1"].mount == DESKTOP


@pytest.mark.parametrize("pattern", ["sdb", "sd?", "ProGrade_*", "ProGrade_CFexpress_00-0:0"])
def test_a_reader_that_calls_its_cards_fixed(pattern: str) -> None:
    """What the configuration calls a reader, by its kernel's or its own name, is one, with a partition table or without."""
    known = Described(table=True, serial="ProGrade_CFexpress_00-0:0")
    disk = replace(DISK, removable=False, described=known)
    card = replace(CARD, removable=False)
    rules = replace(RULES, readers=(pattern,))
    assert see(disk, card, mounts=(DESKTOP,), rules=rules)["sdb1"].mount == DESKTOP
    whole = replace(disk, described=replace(known, table=False, filesystem="vfat"))
    bare = mount(whole, b"/media/me/EOS")
    assert see(whole, mounts=(bare,), rules=rules)["sdb"].mount == bare
    blank = replace(disk, described=replace(known, table=False))
    assert refuse(see(blank, rules=rules)["sdb"])[0] is Why.EMPTY
    for others in ((), ("sda",), ("prograde*",)):
        found = see(disk, card, mounts=(DESKTOP,), rules=replace(RULES, readers=others))
        assert refuse(found["sdb1"])[0] is Why.FIXED
        assert "sdb" not in see(blank, rules=replace(RULES, readers=others))


def test_a_rule_may_mark_the_disk_alone() -> None:
    """A partition of a disk that a rule of the machine marks is in a reader, though the rule left the partition out."""
    disk = replace(DISK, removable=False, described=Described(table=True, marked=True))
    assert see(disk, replace(CARD, removable=False), mounts=(DESKTOP,))["sdb1"].mount == DESKTOP


def test_the_root_helper_has_looked_at_the_place() -> None:
    """What is mounted below the cards' folder under its own number need not be removable; another's number counts nothing."""
    card = replace(CARD, removable=False)
    assert see(card, mounts=(MOUNTED,))["sdb1"].mount == MOUNTED
    stale = mount(CARD, b"/run/ghostroll/cards/8-1")
    assert refuse(see(card, mounts=(stale,))["sdb1"])[0] is Why.FIXED
    other = mount(CARD, b"/run/ghostroll/cards/9-2")
    assert refuse(see(card, mounts=(other,))["sdb1"])[0] is Why.FIXED
    assert refuse(see(CARD, mounts=(other,))["sdb1"])[0] is Why.STALE


@pytest.mark.parametrize("name", ["eos_digital", "1234-abcd"])
def test_deny_wins(name: str) -> None:
    """What is denied by label or UUID is refused, though it is allowed too."""
    rules = replace(RULES, deny=frozenset({name}), allow=frozenset({"EOS_DIGITAL"}))
    assert refuse(see(CARD, mounts=(MOUNTED,), rules=rules)["sdb1"]) == (
        Why.DENIED,
        "its label or UUID is on cards.deny",
    )


def test_an_empty_name_allows_nothing() -> None:
    """A volume without label and UUID is neither allowed nor denied by an empty name."""
    card = replace(CARD, removable=False, described=Described("vfat"))
    rules = replace(RULES, allow=frozenset({""}), deny=frozenset({""}))
    assert refuse(see(card, mounts=(DESKTOP,), rules=rules)["sdb1"])[0] is Why.FIXED


def test_filesystems_are_chosen() -> None:
    """A filesystem that is not configured is refused with the remedy."""
    card = replace(CARD, described=Described("ntfs"))
    why, words = refuse(see(card, mounts=(MOUNTED,))["sdb1"])
    assert why is Why.FILESYSTEM
    assert words == "filesystem ntfs isn't allowed: format it in the camera"
    card = replace(CARD, described=Described("ext4"))
    assert "add it to cards.filesystems" in refuse(see(card, mounts=(MOUNTED,))["sdb1"])[1]
    card = replace(CARD, described=Described("ntfs"))
    rules = replace(RULES, filesystems=frozenset({"ntfs"}))
    assert see(card, mounts=(MOUNTED,), rules=rules)["sdb1"].mount == MOUNTED


def test_an_unmounted_volume_waits() -> None:
    """Without a mount in a place for cards a volume is not looked into, and the reason tells what to do."""
    why, words = refuse(see(CARD)["sdb1"])
    assert why is Why.NOT_MOUNTED
    assert "ghostroll doctor" in words
    why, words = refuse(see(CARD, mounts=(mount(CARD, b"/backup"),))["sdb1"])
    assert why is Why.NOT_MOUNTED
    assert "mounted at /backup" in words
    assert "mount it below /mnt" in words
    rules = replace(RULES, mount_roots=(b"/srv/cards", b"/run/ghostroll/cards"))
    assert "mount it below /srv/cards" in refuse(see(CARD, rules=rules)["sdb1"])[1]
    assert (
        "mount it below /run/ghostroll/cards"
        in refuse(see(CARD, rules=replace(RULES, mount_roots=(b"/run/ghostroll/cards",)))["sdb1"])[1]
    )
    assert refuse(see(CARD, mounts=(mount(CARD, b"/media/a", root=b"/DCIM"),))["sdb1"])[0] is Why.NOT_MOUNTED


def test_the_helpers_mount_is_preferred() -> None:
    """Of several mounts the first root's is taken, and another where this user can't list that one."""
    desktop = DESKTOP
    seen = see(CARD, mounts=(desktop, MOUNTED))["sdb1"]
    assert seen.mounts == (MOUNTED, desktop)
    assert seen.mount == MOUNTED
    truth = Truth([CARD], [desktop, MOUNTED], {}, (), {}, b"/srv/photos")
    listings = {
        (seen.insertion, MOUNTED.key): Listing(error="Permission denied"),
        (seen.insertion, desktop.key): CAMERA,
    }
    (again,) = judge(truth, RULES, listings)
    assert again.mount == desktop
    listings[seen.insertion, desktop.key] = Listing(error="Input/output error")
    (again,) = judge(truth, RULES, listings)
    assert refuse(again) == (
        Why.UNREADABLE,
        "/run/ghostroll/cards/9-1 can't be listed (Permission denied)",
    )


def test_a_card_that_does_not_answer() -> None:
    """While its top folder is being listed a volume is no card yet."""
    assert refuse(see(CARD, mounts=(MOUNTED,), listing=None)["sdb1"])[0] is Why.NO_ANSWER


def test_without_udev_the_mounts_tell() -> None:
    """Where udev doesn't run, a mounted volume is a card with its mount's name and type, an unmounted one is not seen."""
    card = replace(CARD, described=None)
    assert "sdb1" not in see(card)
    seen = see(card, mounts=(mount(card, b"/media/me/EOS"),))["sdb1"]
    assert seen.mount is not None
    assert (seen.volume.label, seen.volume.filesystem, seen.volume.uuid) == ("EOS", "vfat", None)


def test_a_mount_without_a_device() -> None:
    """In a container or over FUSE a mount of an allowed type is a card by itself; other such mounts are nothing."""
    fuse = Mount(os.makedev(0, 50), b"/", b"/media/me/EOS", "fuse.exfat", b"x", id=60)
    share = replace(fuse, point=b"/mnt/nas", filesystem="cifs", device=os.makedev(0, 51))
    rules = replace(RULES, filesystems=frozenset({"fuse.exfat"}))
    found = see(mounts=(fuse, share), rules=rules)
    assert found.keys() == {"vda", "EOS"}
    assert found["EOS"].mount == fuse
    assert found["EOS"].insertion.diskseq == 0
    assert "EOS" not in see(mounts=(fuse,), rules=rules, library=b"/media/me/EOS/photos")
    denied = replace(rules, deny=frozenset({"eos"}))
    assert refuse(see(mounts=(fuse,), rules=denied)["EOS"])[0] is Why.DENIED
