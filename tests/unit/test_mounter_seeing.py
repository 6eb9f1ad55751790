"""What the mounter reads: mountinfo, fstab, units, the configuration, the identity of a filesystem."""

import errno
import os
import struct
from pathlib import Path

import pytest

from ghostroll.config import Cards
from ghostroll.config.values import FILESYSTEMS
from ghostroll.mounter import acting, looking, protections
from ghostroll.mounter.access import Reader, list_unreadable, may_read
from ghostroll.mounter.acting import Result
from ghostroll.mounter.filesystems import CAMERA_FILESYSTEMS, RECIPES, list_options
from ghostroll.mounter.looking import (
    ask_to_probe,
    is_disk_name,
    list_extents,
    read_disk,
    read_diskseq,
    read_media,
)
from ghostroll.mounter.mounts import Mounted, find_number, parse_mountinfo
from ghostroll.mounter.plan import Disk, Partition
from ghostroll.mounter.probing import is_misread, parse_identity
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
    """Filesystems, readers, denied volumes and the library's places are read, and nothing else is minded."""
    path = tmp_path / "config.toml"
    assert read_wishes(str(path)) == Wishes()
    path.write_text(
        '[library]\npath = "/srv/photos"\n[state]\npath = "~/state.db"\n[copy]\nnonsense = 1\n'
        '[cards]\nfilesystems = ["ext4"]\nreaders = ["loop7"]\nallow = "x"\ndeny = ["MUSIC"]\n'
    )
    wishes = read_wishes(str(path))
    assert wishes.filesystems == {"ext4"}
    assert (wishes.readers, wishes.deny) == (("loop7",), ("MUSIC",))
    assert wishes.library == (b"/srv/photos",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[cards", "can't be read"),
        ('[cards]\nreaders = "sda"', "cards.readers must be a list of texts"),
        ('[cards]\nreaders = ["*"]', r"cards.readers must say more of a disk than \*"),
        ("[cards]\ndeny = [1]", "cards.deny must be a list of texts"),
        ("[cards]\nfilesystems = [1]", "cards.filesystems must be a list of texts"),
        ('[cards]\nfilesystems = ["ntfs"]', "cards.filesystems can only be of vfat, exfat, ext2"),
        ("cards = 1", "must be a list of texts"),
    ],
)
def test_a_broken_configuration_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    """What can't be understood is refused with the file's name: the library might be on the disk at hand."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=rf"config\.toml.* {words}"):
        read_wishes(str(path))


def test_the_configuration_offers_what_can_be_mounted() -> None:
    """The filesystems that the configuration takes are those that there is a recipe for."""
    assert tuple(RECIPES) == FILESYSTEMS
    assert set(Cards().filesystems) == CAMERA_FILESYSTEMS


def test_every_recipe_keeps_the_card_as_it_is() -> None:
    """FAT belongs to the reading user alone, and no journal is ever replayed, not even with the bare minimum."""
    assert list_options("vfat", 990, 991)[0] == (
        "utf8=1,shortname=mixed,tz=UTC,uid=990,gid=991,fmask=0177,dmask=0277"
    )
    assert list_options("exfat", 990, 991)[0] == "iocharset=utf8,uid=990,gid=991,fmask=0177,dmask=0277"
    assert {list_options(name, 1, 1) for name in RECIPES if name.startswith("ext")} == {("noload", "noload")}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel and udev write of a machine's disks, in a folder: `write` puts something there."""
    monkeypatch.setattr(looking, "BLOCK", str(tmp_path / "block"))
    monkeypatch.setattr(looking, "UDEV_DATA", str(tmp_path / "data"))
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    """Files of a folder; two underscores are a slash."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_a_disk_is_read(machine: Path) -> None:
    """A slot of an SD host, a reader that rules and the configuration know by its name, and what stands on any partition are told."""
    card = machine / "block/mmcblk0"
    write(card, dev="179:0", size="64", diskseq="11", removable="0", device__type="SD")
    write(card / "mmcblk0p2", dev="179:2", size="30", start="32", partition="2")
    write(card / "mmcblk0p1", dev="179:1", size="30", start="1", partition="1")
    (card / "mmcblk0p2/holders/dm-0").mkdir(parents=True)
    write(machine / "block/sdb", dev="8:16", size="64", diskseq="12", removable="1")
    write(machine / "data", **{"b8:16": "N:sdb\nE:ID_SERIAL=Reader_1\nE:GHOSTROLL_CARD=1\nI:7"})
    write(machine / "block/sdc", dev="8:32", size="0", diskseq="13", removable="1")
    numbers = [os.makedev(179, minor) for minor in range(3)]
    assert read_disk("mmcblk0") == Disk(
        "mmcblk0", numbers[0], 11, 64, sd=True, holders=("dm-0",), devices=frozenset(numbers)
    )
    assert [extent.name for extent in list_extents("mmcblk0")] == ["mmcblk0p1", "mmcblk0p2"]
    reader = os.makedev(8, 16)
    assert read_disk("sdb") == Disk(
        "sdb", reader, 12, 64, removable=True, marked=True, serial="Reader_1", devices=frozenset({reader})
    )
    assert read_disk("mmcblk0p1") is None
    empty = read_disk("sdc")
    assert empty is not None
    assert empty.sectors == 0
    # A medium that is out is none, though its disk is there.
    assert read_media() == {11: dict(enumerate(numbers)), 12: {0: reader}}
    assert (read_diskseq("sdc"), read_diskseq("sdb"), read_diskseq("sdz")) == (None, 12, None)


def test_udev_is_asked_by_an_event(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event names the medium that it is for; nothing is written where nobody hears it or nothing can be."""
    monkeypatch.setattr(looking, "EVENTS", str(machine / "class"))
    monkeypatch.setattr(looking, "UDEV_SOCKET", str(machine / "control"))
    write(machine / "class/sdb", uevent="")
    assert not ask_to_probe("sdb", 6103)
    assert (machine / "class/sdb/uevent").read_text() == "\n"
    (machine / "control").touch()
    assert ask_to_probe("sdb", 6103)
    event = "change 00000000-0000-0000-0000-0000000017d7 GHOSTROLL=6103"
    assert (machine / "class/sdb/uevent").read_text() == event
    assert not ask_to_probe("sdc", 6103)


@pytest.mark.parametrize(
    ("number", "result", "words"),
    [
        (errno.EBUSY, Result.RETRY, "can't be mounted yet"),
        (errno.ENXIO, Result.RETRY, "can't be mounted yet"),
        (errno.ENOENT, Result.RETRY, "can't be mounted yet"),
        (errno.ENOMEDIUM, Result.DONE, "the card is gone"),
        (errno.ENODEV, Result.REFUSED, "has exfat, which this kernel doesn't know"),
        (errno.EIO, Result.REFUSED, "clean the contacts"),
        (errno.EPERM, Result.REFUSED, "run this as root"),
        (errno.EUCLEAN, Result.REFUSED, "ghostroll never repairs a card"),
    ],
)
def test_why_a_card_was_not_mounted(number: int, result: Result, words: str) -> None:
    """What the kernel answers becomes one line with a remedy, and whether it is worth to try again."""
    said = acting._explain_mount(Partition("sdb1", 1, 1, "exfat"), OSError(number, os.strerror(number)))
    assert said.result is result
    assert said.line.startswith("sdb1: ")
    assert words in said.line


def test_what_an_administrator_names_is_protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mount and swap units, and the root on the kernel's command line, protect what they name, by tag where that is how."""
    write(tmp_path, **{"data.mount": "[Mount]\nWhat=/dev/disk/by-label/DATA", "x.service": "What=UUID=no"})
    read = protections._read
    texts = {"/proc/cmdline": "console=tty1 root=PARTUUID=6c62f9a1-02", "/etc/fstab": "LABEL=SCRATCH /x vfat"}
    monkeypatch.setattr(protections, "_UNITS", (str(tmp_path), str(tmp_path / "none")))
    monkeypatch.setattr(
        protections,
        "_read",
        lambda path: read(path) if path.startswith(str(tmp_path)) else texts.get(path, ""),
    )
    assert {one.what: one.why for one in find_protections([], []) if isinstance(one.what, str)} == {
        "LABEL=DATA": "is used by the unit data.mount",
        "PARTUUID=6c62f9a1-02": "holds the system",
        "LABEL=SCRATCH": "stands in /etc/fstab",
    }


def test_a_library_behind_a_link_is_protected(tmp_path: Path) -> None:
    """The disk that the library's path leads to is protected, however it leads there."""
    (tmp_path / "disk/photos").mkdir(parents=True)
    (tmp_path / "library").symlink_to(tmp_path / "disk/photos")
    disk = os.makedev(8, 33)
    mounts = [Mounted(disk, b"/", os.fsencode(tmp_path / "disk"), frozenset(), "ext4", b"/dev/none")]
    found = {one.what: one.why for one in find_protections(mounts, [os.fsencode(tmp_path / "library")])}
    assert found[disk] == "holds the library"


def test_swap_files_protect_their_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk on which a swap file lies is none of our business, whatever the folder is called."""
    monkeypatch.setattr(protections, "_read", lambda path: SWAPS if path == "/proc/swaps" else "")
    disk = os.makedev(8, 33)
    mounts = [Mounted(disk, b"/", b"/media/my card", frozenset(), "ext4", b"/dev/none")]
    assert {one.what: one.why for one in find_protections(mounts, [])}[disk] == "holds swap space"


SWAPS = "Filename Type\n/media/my\\040card/swapfile file\n"


@pytest.mark.parametrize("name", ["sda", "mmcblk0", "nvme0n1", "loop12"])
def test_names_of_disks(name: str) -> None:
    """The kernel's names of disks are taken."""
    assert is_disk_name(name)


def test_udev_may_describe_another_card() -> None:
    """Another kind, UUID or label than a probe finds is another card's, if our rule can note that udev was asked to look again."""
    found = {
        "ID_FS_TYPE": "vfat",
        "ID_FS_UUID_ENC": "8355-7F0A",
        "ID_FS_LABEL_ENC": "EOS",
        "ID_FS_VERSION": "FAT32",
    }
    known = {**found, "ID_FS_VERSION": "FAT16", "GHOSTROLL_DISK": "sdc"}
    assert not is_misread(known, found, 16)
    for key, value in (("ID_FS_TYPE", "exfat"), ("ID_FS_UUID_ENC", "1-2"), ("ID_FS_LABEL_ENC", "")):
        assert is_misread({**known, key: value}, found, 16)
    assert is_misread({"GHOSTROLL_DISK": "sdc"}, found, 16)
    assert is_misread(known, {}, 16)
    other = {**known, "ID_FS_UUID_ENC": "1-2"}
    assert is_misread({**other, "GHOSTROLL_PROBED": "14"}, found, 16)
    assert not is_misread({**other, "GHOSTROLL_PROBED": "16"}, found, 16)
    assert not is_misread({key: other[key] for key in other if key != "GHOSTROLL_DISK"}, found, 16)


def entry(uid: int, gid: int, mode: int) -> os.stat_result:
    """What stat(2) says of a file."""
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (entry(990, 0, 0o040500), True),
        (entry(990, 7, 0o040077), False),
        (entry(0, 7, 0o040750), True),
        (entry(0, 990, 0o040740), False),
        (entry(0, 0, 0o040705), True),
        (entry(0, 0, 0o040770), False),
        (entry(0, 0, 0o040704), False),
        (entry(0, 0, 0o100604), True),
        (entry(0, 7, 0o100604), False),
    ],
)
def test_who_may_read(found: os.stat_result, may: bool) -> None:
    """The owner's bits count for the owner, the group's for each of the reader's groups, the last for others; folders must be entered too."""
    assert may_read(found, Reader("ghostroll", 990, 990, frozenset({990, 7}))) is may


def test_what_may_not_be_read_is_found(tmp_path: Path) -> None:
    """Folders and files near the top that others may not read are named, the whole where its top can't be entered."""
    reader = Reader("nobody", 65534, 65534, frozenset({65534}))
    (tmp_path / "DCIM/100CANON/deeper/still").mkdir(parents=True)
    for name in ("DCIM/100CANON/IMG_1.JPG", "DCIM/100CANON/IMG_2.JPG", "DCIM/100CANON/deeper/x"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("/root")
    for folder in ("lost+found", "DCIM/101CANON"):
        (tmp_path / folder).mkdir(mode=0o700)
    (tmp_path / "lost+found/inner").mkdir(mode=0o700)
    for name in ("DCIM/100CANON/IMG_2.JPG", "DCIM/100CANON/deeper/x"):
        (tmp_path / name).chmod(0o600)
    tmp_path.chmod(0o755)
    point = os.fsencode(tmp_path)
    assert list_unreadable(point, reader) == [b"DCIM/100CANON/IMG_2.JPG", b"DCIM/101CANON", b"lost+found"]
    tmp_path.chmod(0o750)
    assert list_unreadable(point, reader) == [b"."]
    assert list_unreadable(point + b"/none", reader) == []


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
