"""What the mounter reads: mountinfo, fstab, units, the configuration, the identity of a filesystem."""

import os
import struct
from pathlib import Path

import pytest

from ghostroll.mounter.filesystems import RECIPES, list_options
from ghostroll.mounter.looking import is_disk_name
from ghostroll.mounter.mounts import Mounted, find_number, parse_mountinfo
from ghostroll.mounter.probing import parse_identity
from ghostroll.mounter.protections import (
    decode_udev,
    find_protections,
    list_tags,
    parse_command_line,
    parse_fstab,
    parse_swaps,
    parse_unit,
)
from ghostroll.mounter.rules import BadConfiguration, Wishes, read_wishes


def test_mountinfo_is_read_as_it_is_escaped() -> None:
    """A mount's place, root, options and source are read, and lines that are no mounts are left out."""
    text = (
        rb"36 35 8:33 / /media/a\040b ro,nosuid shared:1 master:2 - vfat /dev/sdc1 rw,utf8" + b"\n"
        b"no mount at all\n"
        rb"37 35 0:41 /x / rw - overlay over\134lay rw" + b"\n"
    )
    first, second = parse_mountinfo(text)
    assert first == Mounted(
        os.makedev(8, 33), b"/", b"/media/a b", frozenset({"ro", "nosuid"}), "vfat", b"/dev/sdc1"
    )
    assert (second.root, second.source, second.is_harmless) == (b"/x", rb"over\lay", False)


@pytest.mark.parametrize(
    ("point", "number"),
    [
        (b"/cards/16-1", (16, 1)),
        (b"/cards/16-1/16-2", None),
        (b"/cards/16-1x", None),
        (b"/cards/16-1\n", None),
        (b"/elsewhere/16-1", None),
        (b"/cards", None),
    ],
)
def test_the_names_of_our_mounts(point: bytes, number: tuple[int, int] | None) -> None:
    """Only a name of two numbers right below the cards' folder is one of ours."""
    assert find_number(point, b"/cards") == number


def test_fstab_swaps_units_and_command_line_name_their_sources() -> None:
    """Every place where an administrator names a disk gives that disk."""
    fstab = '# UUID=1 /old\n\nUUID="a-b" / ext4 x 0 1\n  /dev/my\\040disk /mnt auto noauto 0 0\n'
    assert parse_fstab(fstab) == ['UUID="a-b"', "/dev/my disk"]
    assert parse_swaps("Filename Type Size\n/dev/zram0 partition 1\n/swap\\040file file 2\n") == [
        "/dev/zram0",
        "/swap file",
    ]
    assert parse_unit("[Mount]\nWhat = /dev/disk/by-label/DATA \nWhere=/data\n[X]\nWhat=\n") == [
        "/dev/disk/by-label/DATA"
    ]
    assert parse_command_line("console=tty1 root=PARTUUID=1-02 rootfstype=ext4 xroot=no\n") == [
        "PARTUUID=1-02"
    ]


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        ('uuid="8355-7F0A"', ["UUID=8355-7F0A"]),
        ("/dev/disk/by-label/EOS\\x20DIGITAL", ["LABEL=EOS DIGITAL"]),
        ("/dev/disk/by-partuuid/1-02", ["PARTUUID=1-02"]),
        ("/dev/sda1", []),
        ("server:/export", []),
    ],
)
def test_sources_as_tags(source: str, tags: list[str]) -> None:
    """A source that names no device by path gives the tag that a probe of the device finds."""
    assert list_tags(source) == tags


def test_what_udev_escapes_is_undone() -> None:
    """Names come back from udev's escapes, also those that are not ASCII."""
    assert decode_udev("a\\x20b\\xc3\\xa4ü") == "a bäü"


def test_this_machines_own_disk_is_protected() -> None:
    """The device that a mount of the system stands on is found, and a card's is not."""
    mounts = [
        Mounted(os.makedev(8, 2), b"/", b"/", frozenset(), "ext4", b"/dev/none"),
        Mounted(os.makedev(8, 1), b"/", b"/boot/firmware", frozenset(), "vfat", b"/dev/none"),
        Mounted(os.makedev(8, 17), b"/", b"/mnt/photos", frozenset(), "ext4", b"/dev/none"),
        Mounted(os.makedev(8, 33), b"/", b"/media/alex/CARD", frozenset(), "vfat", b"/dev/none"),
    ]
    found = {one.what: one.why for one in find_protections(mounts, [b"/mnt/photos/library/2026"])}
    assert found[os.makedev(8, 2)] == "holds /"
    assert found[os.makedev(8, 1)] == "holds /boot/firmware"
    assert found[os.makedev(8, 17)] == "holds the library"
    assert os.makedev(8, 33) not in found


def test_the_configuration_is_asked_for_its_few_keys(tmp_path: Path) -> None:
    """Filesystems, allowed disks and the library's places are read, and nothing else is minded."""
    path = tmp_path / "config.toml"
    assert read_wishes(str(path)) == Wishes()
    path.write_text(
        '[library]\npath = "/srv/photos"\n[state]\npath = "~/state.db"\n[copy]\nnonsense = 1\n'
        '[cards]\nfilesystems = ["ext4"]\nallow = ["loop7"]\n'
    )
    wishes = read_wishes(str(path))
    assert wishes.filesystems == {"vfat", "exfat", "ext4"}
    assert (wishes.allow, wishes.library) == (("loop7",), (b"/srv/photos",))


@pytest.mark.parametrize(
    "text", ["[cards", '[cards]\nallow = "sda"', "[cards]\nfilesystems = [1]", "cards = 1"]
)
def test_a_broken_configuration_is_a_sentence(tmp_path: Path, text: str) -> None:
    """What can't be understood is refused with the file's name: the library might be on the disk at hand."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=r"config\.toml"):
        read_wishes(str(path))


def test_every_recipe_keeps_the_card_as_it_is() -> None:
    """FAT belongs to the reading user alone, and no journal is ever replayed, not even with the bare minimum."""
    assert list_options("vfat", 990, 991)[0] == (
        "utf8=1,shortname=mixed,tz=UTC,uid=990,gid=991,fmask=0377,dmask=0277"
    )
    assert list_options("exfat", 990, 991)[0] == "iocharset=utf8,uid=990,gid=991,fmask=0377,dmask=0277"
    assert {list_options(name, 1, 1) for name in RECIPES if name.startswith("ext")} == {("noload", "noload")}


@pytest.mark.parametrize("name", ["sda", "mmcblk0", "nvme0n1", "loop12"])
def test_names_of_disks(name: str) -> None:
    """The kernel's names of disks are taken."""
    assert is_disk_name(name)


def test_the_identity_of_a_filesystem() -> None:
    """FAT's serial number and ext4's UUID are found where they stand; others have none to compare."""
    head = bytearray(4096)
    struct.pack_into("<I", head, 67, 0x8355_7F0A)
    assert parse_identity(bytes(head), "vfat") == 0x8355_7F0A
    struct.pack_into("<H", head, 22, 64)
    struct.pack_into("<I", head, 39, 0xEBAF_E836)
    assert parse_identity(bytes(head), "vfat") == 0xEBAF_E836
    struct.pack_into("<QQ", head, 1024 + 0x68, 0b1100, 0b1010)
    assert parse_identity(bytes(head), "ext4") == 0b0110
    assert parse_identity(bytes(head), "exfat") == 0
