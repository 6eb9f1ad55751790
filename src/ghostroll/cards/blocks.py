"""The block devices of this machine as they are now: sysfs for what is there, udev's database for what is on it."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyudev

from ghostroll.errors import MachineShort

SYSFS = "/sys"
_SECTOR = 512  # bytes; the unit of `size` in sysfs, whatever the disk's own
# Disks that can be removable and are never a camera's card: discs, floppies, files, memory, stacks of other disks.
_NO_CARD = ("dm-", "fd", "loop", "md", "nbd", "ram", "sr", "zram")
_ENCODED = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Described:
    """What udev's database says about a device. `diskseq` is the medium it was written for, 0 if it doesn't say.

    `serial` is the reader's. `marked` means that a rule of the administrator calls it a card.
    """

    filesystem: str = ""
    uuid: str | None = None
    label: str = ""
    table: bool = False  # a partition table is on it
    aliases: frozenset[str] = frozenset()  # as in fstab: UUID=…, LABEL=…, /dev/disk/…
    diskseq: int = 0
    serial: str = ""
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One disk or partition. `path` and `disk` are places in sysfs, the second of the whole disk.

    `size` is in bytes, 0 for an empty slot. `holders` are what is stacked on it, `slaves` what it stands on.
    `described` is None until udev has been there.
    """

    path: str
    name: str
    number: int
    disk: str
    partition: int
    size: int
    diskseq: int
    removable: bool
    holders: tuple[str, ...] = ()
    slaves: tuple[str, ...] = ()
    described: Described | None = None


Describe = Callable[[str], Described | None]


def read_blocks(describe: Describe, sysfs: str = SYSFS) -> list[Block]:
    """Every block device; one that goes away meanwhile is left out. Raises OSError where files run out."""
    folder = os.path.join(sysfs, "class/block")
    return [
        block
        for name in list_names(sysfs)
        for block in _read_block(os.path.join(folder, name), describe, sysfs)
    ]


def list_names(sysfs: str = SYSFS) -> tuple[str, ...]:
    """The names of all block devices. Raises OSError where files run out."""
    return _list(sysfs, "class/block")


def read_diskseq(block: Block, sysfs: str = SYSFS) -> int:
    """The number of the medium that is in the disk now."""
    return _read_number(sysfs + block.disk, "diskseq")


def describe_by_udev(context: pyudev.Context) -> Describe:
    """Answers from udev's database; None for a device that udev has not been at, or that is not there."""

    def describe(path: str) -> Described | None:
        try:
            device = pyudev.Devices.from_sys_path(context, path)
            return parse_properties(device.properties) if device.is_initialized else None
        except (pyudev.DeviceNotFoundError, UnicodeDecodeError):  # pyudev reads labels by the locale
            return None

    return describe


def parse_properties(found: Mapping[str, str]) -> Described:
    """What the properties of a device in udev's database mean for us."""
    encoded = ((key, found.get(f"{name}_ENC") or found.get(name, "")) for key, name in _FSTAB_NAMES)
    aliases = {f"{key}={_decode(text)}" for key, text in encoded if text}
    links = found.get("DEVLINKS", "").split()
    sequences = [link.rpartition("/")[2] for link in links if link.startswith("/dev/disk/by-diskseq/")]
    sequences.append(found.get("GHOSTROLL_DISKSEQ", ""))  # on partitions, by our own rule
    return Described(
        filesystem=found.get("ID_FS_TYPE", ""),
        uuid=found.get("ID_FS_UUID") or None,
        label=_show(_decode(found.get("ID_FS_LABEL_ENC", "")) or found.get("ID_FS_LABEL", "")),
        table=bool(found.get("ID_PART_TABLE_TYPE")),
        aliases=frozenset({*aliases, *links}),
        diskseq=next((int(text) for text in sequences if text.isdigit()), 0),
        serial=found.get("ID_SERIAL", ""),
        marked=found.get("GHOSTROLL_CARD") == "1",
    )


# Read as udev encodes them: the plain ones have an underscore for every space.
_FSTAB_NAMES = (
    ("UUID", "ID_FS_UUID"),
    ("LABEL", "ID_FS_LABEL"),
    ("PARTUUID", "ID_PART_ENTRY_UUID"),
    ("PARTLABEL", "ID_PART_ENTRY_NAME"),
)


def _decode(text: str) -> str:
    r"""Text as it was before udev wrote \xNN for what is not plain in it."""
    raw = _ENCODED.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "replace")


def _show(label: str) -> str:
    """A label for a sentence: whoever formatted the card chose it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in label)


def _read_block(link: str, describe: Describe, sysfs: str) -> Iterator[Block]:
    entry = os.path.realpath(link)
    major, _, minor = _read(entry, "dev").partition(":")
    if not (major.isdigit() and minor.isdigit()):
        return
    partition = _read_number(entry, "partition")
    disk = os.path.dirname(entry) if partition else entry
    yield Block(
        path=entry.removeprefix(sysfs),
        name=os.path.basename(entry),
        number=os.makedev(int(major), int(minor)),
        disk=disk.removeprefix(sysfs),
        partition=partition,
        # An empty slot may keep its last card's partitions for as long as somebody holds them.
        size=min(_read_number(disk, "size"), _read_number(entry, "size")) * _SECTOR,
        diskseq=_read_number(disk, "diskseq"),
        removable=_is_removable(disk),
        holders=_list(entry, "holders"),
        slaves=_list(entry, "slaves"),
        described=describe(entry),
    )


def _is_removable(disk: str) -> bool:
    if os.path.basename(disk).startswith(_NO_CARD):
        return False
    # The slots of SD hosts call themselves fixed.
    return _read(disk, "removable") == "1" or _read(disk, "device/type") == "SD"


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError as error:
        if error.errno in MachineShort.numbers:  # says nothing about the device
            raise
        return ""


def _read_number(folder: str, name: str) -> int:
    text = _read(folder, name)
    return int(text) if text.isdigit() else 0


def _list(folder: str, name: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(os.path.join(folder, name))))
    except OSError as error:
        if error.errno in MachineShort.numbers:
            raise
        return ()
