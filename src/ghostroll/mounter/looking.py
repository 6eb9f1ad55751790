"""What the kernel and udev say about a disk: sysfs and udev's database, read anew each time."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ghostroll.mounter.plan import Disk

# Where the kernel and udev write what is read here.
BLOCK = "/sys/block"
EVENTS = "/sys/class/block"
UDEV_DATA = "/run/udev/data"
UDEV_SOCKET = "/run/udev/control"  # is there while udevd runs
SECTOR = 512  # bytes; the unit of every size in sysfs, whatever the disk's own
# udev's own properties of ours, set by 90-ghostroll.rules.
MARK = "GHOSTROLL_CARD"
BIRTH = "GHOSTROLL_DISKSEQ"
DISK = "GHOSTROLL_DISK"
PROBED = "GHOSTROLL_PROBED"

_DISK_NAME = re.compile(r"[A-Za-z0-9_-]{1,31}")


@dataclass(frozen=True, slots=True)
class Extent:
    """A partition as sysfs has it; `start` and `sectors` in units of 512 bytes. Number 0 is the disk itself."""

    name: str
    number: int
    device: int
    start: int
    sectors: int


def is_disk_name(name: str) -> bool:
    """Whether this can be the name of a disk, and nothing that leads anywhere else."""
    return _DISK_NAME.fullmatch(name) is not None


def read_disk(name: str) -> Disk | None:
    """A whole disk as it is now; None where there is none of that name, or it is a partition's."""
    folder = os.path.join(BLOCK, name)
    device, diskseq = _read_device(folder), _read(folder, "diskseq")
    if device is None or not diskseq.isdigit():
        return None
    udev = read_udev(device)
    extents = list_extents(name)
    return Disk(
        name=name,
        device=device,
        diskseq=int(diskseq),
        sectors=int(_read(folder, "size") or 0),
        removable=_read(folder, "removable") == "1",
        sd=_read(folder, "device/type") == "SD",
        marked=udev.get(MARK) == "1",
        serial=udev.get("ID_SERIAL", ""),
        holders=tuple(
            sorted({held for one in ("", *(e.name for e in extents)) for held in _list_holders(folder, one)})
        ),
        devices=frozenset({device, *(extent.device for extent in extents)}),
    )


def list_extents(name: str) -> list[Extent]:
    """The partitions that the kernel knows of a disk, by number."""
    folder = os.path.join(BLOCK, name)
    found = []
    for entry in _list(folder):
        inner = os.path.join(folder, entry)
        number, device = _read(inner, "partition"), _read_device(inner)
        if number.isdigit() and device is not None:
            start, size = _read(inner, "start"), _read(inner, "size")
            found.append(Extent(entry, int(number), device, int(start or 0), int(size or 0)))
    return sorted(found, key=lambda extent: extent.number)


def read_media() -> dict[int, dict[int, int]]:
    """The device numbers of each medium that is in a slot now: by its diskseq, then by partition, 0 for the disk itself."""
    media = {}
    for name in _list(BLOCK):
        device, diskseq = _read_device(os.path.join(BLOCK, name)), read_diskseq(name)
        if device is not None and diskseq is not None:
            media[diskseq] = {0: device} | {extent.number: extent.device for extent in list_extents(name)}
    return media


def read_diskseq(name: str) -> int | None:
    """The number of the medium that is in now; None where disk or medium are gone."""
    folder = os.path.join(BLOCK, name)
    diskseq = _read(folder, "diskseq")
    return int(diskseq) if diskseq.isdigit() and _read(folder, "size") not in ("", "0") else None


def read_udev(device: int) -> dict[str, str]:
    """What udev knows of a block device (lines `E:KEY=value` of its database); nothing where it doesn't run."""
    path = os.path.join(UDEV_DATA, f"b{os.major(device)}:{os.minor(device)}")
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        pairs = (line[2:].rstrip("\n").partition("=") for line in file if line.startswith("E:"))
        return {key: value for key, _, value in pairs}
    return {}


def ask_to_probe(name: str, diskseq: int) -> bool:
    """Make an event for which udev looks at a device again; False where none can be made, or nobody would hear it.

    Our rule then notes `diskseq` as PROBED: of each medium it is asked once. Format of the event's arguments:
    Documentation/ABI/testing/sysfs-uevent of the kernel.
    """
    if not os.path.exists(UDEV_SOCKET):
        return False
    event = f"change 00000000-0000-0000-0000-{diskseq:012x} GHOSTROLL={diskseq}"
    with contextlib.suppress(OSError), open(os.path.join(EVENTS, name, "uevent"), "w") as file:
        file.write(event)
        return True
    return False


def _list_holders(folder: str, inner: str) -> Iterator[str]:
    yield from _list(os.path.join(folder, inner, "holders"))


def _read_device(folder: str) -> int | None:
    major, _, minor = _read(folder, "dev").partition(":")
    return os.makedev(int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
