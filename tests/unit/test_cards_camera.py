"""What the names on a volume tell: its top folder of a camera or a computer, and udev of its label."""

import os

import pytest

from ghostroll.cards.blocks import Described, parse_properties
from ghostroll.cards.camera import judge_listing
from ghostroll.cards.sight import Listing, Why

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
