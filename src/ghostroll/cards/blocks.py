"""The block devices of this machine as they are now: sysfs for what is there, udev's database for what is on it."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyudev

SYSFS = "/sys"
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SECTOR = 512  # bytes; the unit of `size` in sysfs, whatever the disk's own


@dataclass(frozen=True, slots=True)
class Described:
    """What udev's database says about a device. `diskseq` is the medium it was written for, 0 if it doesn't say.

    `marked` means that a rule of the administrator calls it a card.
    """

    filesystem: str = ""
    uuid: str | None = None
    label: str = ""
    table: bool = False  # a partition table is on it
    aliases: frozenset[str] = frozenset()  # as in fstab: UUID=…, LABEL=…, /dev/disk/…
    diskseq: int = 0
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
    names = _list(sysfs, "class/block")
    return [block for name in names for block in _read_block(os.path.join(folder, name), describe, sysfs)]


def read_diskseq(block: Block, sysfs: str = SYSFS) -> int:
    """The number of the medium that is in the disk now."""
    return _read_number(sysfs + block.disk, "diskseq")


def describe_by_udev(context: pyudev.Context) -> Describe:
    """Answers from udev's database; None for a device that udev has not been at, or that is not there."""

    def describe(path: str) -> Described | None:
        try:
            device = pyudev.Devices.from_sys_path(context, path)
        except pyudev.DeviceNotFoundError:
            return None
        return parse_properties(device.properties) if device.is_initialized else None

    return describe


def parse_properties(found: Mapping[str, str]) -> Described:
    """What the properties of a device in udev's database mean for us."""
    aliases = {f"{key}={found[name]}" for key, name in _FSTAB_NAMES if found.get(name)}
    links = found.get("DEVLINKS", "").split()
    sequences = [link.rpartition("/")[2] for link in links if link.startswith("/dev/disk/by-diskseq/")]
    sequences.append(found.get("GHOSTROLL_DISKSEQ", ""))  # on partitions, by our own rule
    return Described(
        filesystem=found.get("ID_FS_TYPE", ""),
        uuid=found.get("ID_FS_UUID") or None,
        label=found.get("ID_FS_LABEL", ""),
        table=bool(found.get("ID_PART_TABLE_TYPE")),
        aliases=frozenset({*aliases, *links}),
        diskseq=next((int(text) for text in sequences if text.isdigit()), 0),
        marked=found.get("GHOSTROLL_CARD") == "1",
    )


_FSTAB_NAMES = (
    ("UUID", "ID_FS_UUID"),
    ("LABEL", "ID_FS_LABEL"),
    ("PARTUUID", "ID_PART_ENTRY_UUID"),
    ("PARTLABEL", "ID_PART_ENTRY_NAME"),
)


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
        # The slots of SD hosts call themselves fixed.
        removable=_read(disk, "removable") == "1" or _read(disk, "device/type") == "SD",
        holders=_list(entry, "holders"),
        slaves=_list(entry, "slaves"),
        described=describe(entry),
    )


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError as error:
        if error.errno in _SHORT:  # says nothing about the device
            raise
        return ""


def _read_number(folder: str, name: str) -> int:
    text = _read(folder, name)
    return int(text) if text.isdigit() else 0


def _list(folder: str, name: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(os.path.join(folder, name))))
    except OSError as error:
        if error.errno in _SHORT:
            raise
        return ()
