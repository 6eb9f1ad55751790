"""What is no card, however it looks: disks of the system, the library, swap space, and what has a fixed place."""

import os
from dataclasses import replace

import pytest
from sights import CARD, DESKTOP, DISK, MOUNTED, RULES, block, mount, refuse, see

from ghostroll.cards.blocks import Described
from ghostroll.cards.fstab import parse_fstab, parse_unit
from ghostroll.cards.sight import ORDINARY, Why


def test_the_disk_of_the_machine_is_never_a_card() -> None:
    """The disk behind / is refused, and so is every other volume of it, whatever is allowed, mounted and on it."""
    boot = block("mmcblk0p1", partition=1, disk="/devices/mmcblk0", path="/devices/mmcblk0/mmcblk0p1")
    data = block("mmcblk0p3", partition=3, disk="/devices/mmcblk0", path="/devices/mmcblk0/mmcblk0p3")
    rules = replace(RULES, allow=frozenset({"EOS_DIGITAL"}))
    mounts = (mount(boot, b"/boot/firmware"), mount(data, b"/media/pi/EOS_DIGITAL"))
    found = see(boot, data, mounts=mounts, rules=rules)
    assert refuse(found["vda"]) == (Why.SYSTEM, "its disk backs /")
    assert refuse(found["mmcblk0p1"]) == (Why.SYSTEM, "its disk backs /boot/firmware")
    assert refuse(found["mmcblk0p3"]) == (Why.SYSTEM, "its disk backs /boot/firmware")
    assert {Why.SYSTEM, Why.FIXED} <= ORDINARY


def test_a_disk_below_the_root_is_never_a_card() -> None:
    """The disks that an encrypted or joined root stands on are refused, through every layer."""
    below = block("sdb1", partition=1, holders=("dm-0",))
    middle = block(
        "dm-0", slaves=("sdb1",), holders=("dm-1",), removable=False, described=Described("LVM2_member")
    )
    top = block("dm-1", slaves=("dm-0",), removable=False, described=Described("ext4"))
    other = block("sdb2", partition=2)
    found = see(DISK, below, other, middle, top, mounts=(mount(top, b"/usr"), mount(other, b"/media/x/y")))
    assert refuse(found["sdb2"]) == (Why.SYSTEM, "its disk backs /usr")
    assert refuse(found["dm-1"]) == (Why.SYSTEM, "its disk backs /usr")


def test_a_root_is_found_by_its_source() -> None:
    """A root filesystem with a number of its own, as btrfs has, is found by the name of its device."""
    root = mount(CARD, b"/", device=os.makedev(0, 33), filesystem="btrfs")
    assert refuse(see(DISK, CARD, mounts=(root,))["sdb1"])[0] is Why.SYSTEM


def test_something_stands_on_it() -> None:
    """What LVM, RAID or encryption use is refused, and so are the other volumes of its disk."""
    crypt = block("sdb2", partition=2, holders=("dm-0", "dm-1"), described=Described("crypto_LUKS"))
    found = see(DISK, CARD, crypt, mounts=(MOUNTED,))
    assert refuse(found["sdb1"]) == (Why.IN_USE, "its disk is in use by dm-0, dm-1")
    assert refuse(see(block("sdb1", partition=1, holders=("md0",)))["sdb1"]) == (
        Why.IN_USE,
        "its disk is in use by md0",
    )


@pytest.mark.parametrize("place", [b"/media/me/DISK", b"/media/me/DISK/deep/photos"])
def test_the_library_is_never_a_card(place: bytes) -> None:
    """The disk that holds the library is refused, though it is removable, allowed and has a camera's folder."""
    rules = replace(RULES, allow=frozenset({"1234-abcd"}))
    found = see(CARD, mounts=(mount(CARD, b"/media/me/DISK"),), library=place, rules=rules)
    assert refuse(found["sdb1"]) == (Why.LIBRARY, "its disk holds the library")


@pytest.mark.parametrize("swaps", [(b"/dev/sdb2",), None])
def test_swap_space_is_never_a_card(swaps: tuple[bytes, ...] | None) -> None:
    """A disk with swap space in use is refused, and where that can't be read, one with the signature of swap."""
    space = block("sdb2", partition=2, described=Described("swap"))
    found = see(DISK, CARD, space, mounts=(MOUNTED,), swaps=swaps)
    assert refuse(found["sdb1"]) == (Why.SWAP, "its disk holds swap space")
    assert "sdb2" not in found


def test_a_swap_file_keeps_its_disk() -> None:
    """A disk on which a swap file lies is refused."""
    found = see(CARD, mounts=(mount(CARD, b"/media/me/x"),), swaps=(b"/media/me/x/swapfile",))
    assert refuse(found["sdb1"])[0] is Why.SWAP


@pytest.mark.parametrize(
    "name",
    ["UUID=1234-abcd", "LABEL=EOS_DIGITAL", "/dev/sdb1", "PARTUUID=6c62f9a1-01", "/dev/disk/by-label/EOS"],
)
def test_a_disk_with_a_fixed_place(name: str) -> None:
    """What fstab or a mount unit names is refused, unless it is allowed by name."""
    aliases = frozenset(
        {"UUID=1234-ABCD", "LABEL=EOS_DIGITAL", "PARTUUID=6c62f9a1-01", "/dev/disk/by-label/EOS"}
    )
    card = replace(CARD, described=Described("vfat", "1234-ABCD", "EOS_DIGITAL", aliases=aliases))
    fixed = {name: "/etc/fstab"}
    why, words = refuse(see(card, mounts=(DESKTOP,), fixed=fixed)["sdb1"])
    assert why is Why.FSTAB
    assert words.startswith("its disk is in /etc/fstab")
    rules = replace(RULES, allow=frozenset({"eos_digital"}))
    assert see(card, mounts=(DESKTOP,), fixed=fixed, rules=rules)["sdb1"].mount == DESKTOP


def test_a_named_reader_opens_no_way_to_the_system() -> None:
    """A disk that the system stands on, or that has a fixed place, is no reader, whatever is named."""
    card = replace(CARD, removable=False, described=Described("vfat", aliases=frozenset({"UUID=1"})))
    rules = replace(RULES, readers=("sdb",))
    other = block("sdb2", partition=2, removable=False)
    found = see(card, other, mounts=(DESKTOP, mount(other, b"/boot/firmware")), rules=rules)
    assert refuse(found["sdb1"])[0] is Why.SYSTEM
    found = see(card, mounts=(DESKTOP,), fixed={"UUID=1": "/etc/fstab"}, rules=rules)
    assert refuse(found["sdb1"])[0] is Why.FSTAB


def test_an_fstab_is_read() -> None:
    """Comments are left out, quotes and escapes undone; of a mount unit the device counts."""
    text = '# /dev/sdz1 x\nUUID=12-34 / ext4\n\nLABEL="my\\040disk" /x vfat\n  /dev/sda1 none swap sw 0 0\n'
    assert parse_fstab(text) == ["UUID=12-34", "LABEL=my disk", "/dev/sda1"]
    assert parse_unit("[Mount]\nWhat=/dev/disk/by-uuid/1 \nWhere=/x\n#What=no\n") == ["/dev/disk/by-uuid/1"]
