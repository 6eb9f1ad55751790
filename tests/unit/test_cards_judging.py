"""What can be a card, what can't, and the sentence that says so."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ghostroll.cards.blocks import Block, Described, parse_properties
from ghostroll.cards.camera import judge_listing
from ghostroll.cards.fstab import parse_fstab, parse_unit
from ghostroll.cards.judging import judge
from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import ORDINARY, CardRules, Listing, Seen, Why
from ghostroll.cards.truth import Truth

RULES = CardRules(library=b"/srv/photos", state=b"/var/lib/ghostroll/state.db")
CAMERA = Listing((b"DCIM",))


def block(name: str, *, partition: int = 0, **more: object) -> Block:
    """A removable disk or partition with a FAT filesystem on it."""
    disk = name.rstrip("0123456789") if partition else name
    made = Block(
        path=f"/devices/{disk}" if not partition else f"/devices/{disk}/{name}",
        name=name,
        number=os.makedev(8, sum(name.encode())),
        disk=f"/devices/{disk}",
        partition=partition,
        size=1 << 30,
        diskseq=9,
        removable=True,
        described=Described("vfat", "1234-ABCD", "EOS_DIGITAL"),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # a test names the field


def mount(of: Block, point: bytes, **more: object) -> Mount:
    """A block device mounted whole."""
    return replace(
        Mount(of.number, b"/", point, "vfat", f"/dev/{of.name}".encode(), id=30),
        **more,  # type: ignore[arg-type]  # a test names the field
    )


ROOT = block("vda", removable=False, described=Described("ext4"))


def see(
    *blocks: Block,
    mounts: tuple[Mount, ...] = (),
    rules: CardRules = RULES,
    listing: Listing | None = CAMERA,
    swaps: tuple[bytes, ...] | None = (),
    fixed: Mapping[str, str] | None = None,
    library: bytes = b"/srv/photos",
) -> dict[str, Seen]:
    """What is seen on a machine with these disks beside its own, by name."""
    truth = Truth(
        [ROOT, *blocks],
        [mount(ROOT, b"/", filesystem="ext4"), *mounts],
        {},
        swaps,
        fixed or {},
        library,
        b"/var/lib/ghostroll/state.db",
    )
    asked = judge(truth, rules, {})
    listings = {(seen.insertion, one.key): listing for seen in asked for one in seen.mounts if listing}
    return {seen.name: seen for seen in judge(truth, rules, listings)}


CARD = block("sdb1", partition=1)
DISK = block("sdb", described=Described(table=True))
DESKTOP = mount(CARD, b"/media/me/EOS", id=50)
MOUNTED = mount(CARD, b"/run/ghostroll/cards/9-1")


def refuse(seen: Seen) -> tuple[Why, str]:
    """Why a volume is refused."""
    assert seen.mount is None
    assert seen.refusal is not None
    assert "\n" not in seen.refusal.words
    return seen.refusal.why, seen.refusal.words


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


def test_a_named_reader_opens_no_way_to_the_system() -> None:
    """A disk that the system stands on, or that has a fixed place, is no reader, whatever is named."""
    card = replace(CARD, removable=False, described=Described("vfat", aliases=frozenset({"UUID=1"})))
    rules = replace(RULES, readers=("sdb",))
    other = block("sdb2", partition=2, removable=False)
    found = see(card, other, mounts=(DESKTOP, mount(other, b"/boot/firmware")), rules=rules)
    assert refuse(found["sdb1"])[0] is Why.SYSTEM
    found = see(card, mounts=(DESKTOP,), fixed={"UUID=1": "/etc/fstab"}, rules=rules)
    assert refuse(found["sdb1"])[0] is Why.FSTAB


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


CAMERAS = [
    (b"DCIM",),
    (b"dcim", b"MISC", b"System Volume Information", b".Trashes", b"FOUND.000"),
    (b"DCIM", b"AVF_INFO", b"MP_ROOT", b"PRIVATE"),
    (b"DCIM", b"Wedding Anna", b"Wedding Berta", b"old"),
    (
        b"Alarms",
        b"Android",
        b"DCIM",
        b"Documents",
        b"Download",
        b"Movies",
        b"Music",
        b"Pictures",
        b"Ringtones",
    ),
    (b"DCIM", b"Music"),
    (b"DCIM", b"lost+found"),
]
COMPUTERS = [
    (b"DCIM", b"lost+found", b"backup 2019"),
    (b"DCIM", b"Documents", b"Downloads"),
    (b"DCIM", b"bin", b"etc", b"usr"),
    (b"DCIM", b"Backups.backupdb"),
    (b"DCIM", b"Backup"),
    (b"DCIM", b"backup-2024-11"),
    (b"DCIM", b"2018", b"2019", b"2020", b"Taxes", b"Letters"),
    (b"DCIM", b"Windows", b"Users"),
]


@pytest.mark.parametrize("folders", CAMERAS)
def test_cameras_and_phones_make_cards(folders: tuple[bytes, ...]) -> None:
    """A marker in any case of letters makes a card, with what cameras, phones and a few people put beside it."""
    assert judge_listing(Listing(folders), ("DCIM", "PRIVATE"), allowed=False) is None


@pytest.mark.parametrize("folders", COMPUTERS)
def test_a_backup_disk_is_not_a_card(folders: tuple[bytes, ...]) -> None:
    """A disk with DCIM among what a computer or a backup leaves is refused with what gave it away, unless it is allowed."""
    refusal = judge_listing(Listing(folders), ("DCIM",), allowed=False)
    assert refusal is not None
    assert refusal.why is Why.COMPUTER
    assert os.fsdecode(folders[-1]) in refusal.words or os.fsdecode(folders[1]) in refusal.words
    assert "cards.allow" in refusal.words
    assert judge_listing(Listing(folders), ("DCIM",), allowed=True) is None


def test_a_library_is_never_a_card() -> None:
    """A volume that is a library of ours is refused even where it is allowed."""
    refusal = judge_listing(Listing((b"DCIM",), library=True), ("DCIM",), allowed=True)
    assert refusal is not None
    assert refusal.why is Why.COMPUTER


def test_no_camera_folder() -> None:
    """Without a marker a volume is refused, by the first marker's name, unless it is allowed."""
    refusal = judge_listing(Listing((b"Music",)), ("DCIM", "PRIVATE"), allowed=False)
    assert refusal is not None
    assert (refusal.why, refusal.words) == (Why.NOT_CAMERA, "no camera folder such as DCIM on it")
    assert judge_listing(Listing((b"Music",)), ("DCIM",), allowed=True) is None


def test_hostile_names_stay_in_their_sentence() -> None:
    """Folder names can't start a new line, steer a terminal or fill the journal."""
    folders = (
        b"DCIM",
        b"Backup",
        *(b"\x1b[31m\n" + bytes([letter]) * 300 for letter in b"abcde"),
        b"\xff\xfe",
    )
    refusal = judge_listing(Listing((*folders, b"lost+found")), ("DCIM",), allowed=False)
    assert refusal is not None
    assert refusal.words.isprintable()
    refusal = judge_listing(Listing((*folders[2:], b"DCIM")), ("DCIM",), allowed=False)
    assert refusal is not None
    assert refusal.words.isprintable()
    assert len(refusal.words) < 300


def test_an_fstab_is_read() -> None:
    """Comments are left out, quotes and escapes undone; of a mount unit the device counts."""
    text = '# /dev/sdz1 x\nUUID=12-34 / ext4\n\nLABEL="my\\040disk" /x vfat\n  /dev/sda1 none swap sw 0 0\n'
    assert parse_fstab(text) == ["UUID=12-34", "LABEL=my disk", "/dev/sda1"]
    assert parse_unit("[Mount]\nWhat=/dev/disk/by-uuid/1 \nWhere=/x\n#What=no\n") == ["/dev/disk/by-uuid/1"]


def test_udevs_properties_are_understood() -> None:
    """Filesystem, names and the medium that the database was written for are taken from udev's properties."""
    found = parse_properties(
        {
            "ID_FS_TYPE": "exfat",
            "ID_FS_UUID": "EBAF-E836",
            "ID_FS_LABEL": "CARD",
            "ID_PART_ENTRY_UUID": "70b4ba51-01",
            "ID_PART_TABLE_TYPE": "dos",
            "DEVLINKS": "/dev/disk/by-label/CARD /dev/disk/by-diskseq/11",
        }
    )
    assert (found.filesystem, found.uuid, found.label, found.table) == ("exfat", "EBAF-E836", "CARD", True)
    assert found.diskseq == 11
    assert parse_properties(
        {"GHOSTROLL_DISKSEQ": "12", "GHOSTROLL_CARD": "1", "ID_SERIAL": "SD_Reader_1-0:0"}
    ) == Described(diskseq=12, serial="SD_Reader_1-0:0", marked=True)
    assert {
        "UUID=EBAF-E836",
        "LABEL=CARD",
        "PARTUUID=70b4ba51-01",
        "/dev/disk/by-label/CARD",
    } <= found.aliases
    assert parse_properties({}) == Described()


def test_names_are_read_as_they_were_given() -> None:
    """Spaces and other letters of a label are those on the card, and what steers a terminal is not shown."""
    found = parse_properties(
        {
            "ID_FS_LABEL": "EOS_DIGITÄL_x",
            "ID_FS_LABEL_ENC": "EOS\\x20DIGIT\\xc3\\x84L\\x0ax",
            "ID_PART_ENTRY_NAME": "my\\x20card",
        }
    )
    assert found.label == "EOS DIGITÄL\ufffdx"
    assert found.aliases == {"LABEL=EOS DIGITÄL\nx", "PARTLABEL=my card"}
