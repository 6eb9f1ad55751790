"""Which volume a folder is on, and whether that volume is still there.

A pulled or swapped card does not make `read()` fail. What tells is the disk's `diskseq` in sysfs, which
rises at every change of the medium (kernel: Documentation/ABI/stable/sysfs-block), and its size.
"""

import errno
import os
from dataclasses import dataclass

import pyudev

from ghostroll.cards.blocks import parse_properties
from ghostroll.cards.mounts import MOUNTINFO, Mount, find_mount, read_mounts
from ghostroll.cards.sight import CARDS_FOLDER
from ghostroll.errors import CardFailing, CardGone, GhostrollError, MachineShort, TransientError, UsageError
from ghostroll.model import Volume

_UNNAMED = "CARD"  # what a card without a label is called
_SECTOR = 512  # bytes; the unit of `size` in sysfs, whatever the disk's own
# Filesystems whose statvfs id is made from their UUID (kernel: ext4/super.c, xfs_super.c, btrfs/super.c).
_ID_FROM_UUID = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})
# What a path is to blame for, and what a card or its reader is. The rest may be the machine's doing, or a mount's.
_OF_THE_PATH = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
)
_OF_THE_CARD = frozenset(
    {errno.EIO, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOMEDIUM, errno.EUCLEAN, errno.EBADMSG}
)


@dataclass(frozen=True, slots=True)
class Medium:
    """A volume in its slot: enough to tell later that it is still the same one.

    `disk` is the sysfs folder of the whole disk, None where the filesystem has none.
    """

    root: bytes
    device: int
    inode: int
    disk: str | None
    diskseq: str | None

    def check_present(self) -> None:
        """Raise CardGone unless the medium that was identified is the one in the slot now.

        Raises MachineShort where this can't be told just now.
        """
        try:
            found = os.stat(self.root)
        except OSError as error:
            raise CardGone(
                f"the card is gone ({error.strerror}): put it back in and the copy goes on"
            ) from error
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise CardGone(
                "the card is gone, another one is in its place: put it back in and the copy goes on"
            )
        if self.disk is not None and (
            _read(self.disk, "diskseq") != self.diskseq or _read(self.disk, "size") == "0"
        ):
            raise CardGone("the card was pulled or swapped: put it back in and the copy goes on")


def tell_filesystem(path: bytes) -> str:
    """The type of the filesystem that a path (or the nearest folder above it) is on; "" if unknown."""
    mount = _find_mount(os.path.realpath(path))
    return "" if mount is None else mount.filesystem


def identify_volume(path: bytes) -> tuple[Volume, Medium]:
    """Tell what volume a folder is. Raises UsageError where it is no folder, CardFailing where its card fails.

    Raises TransientError where this machine can't tell.

    A folder inside a filesystem is a volume of its own: its UUID is the filesystem's with the folder's
    path, its size is the filesystem's.
    """
    shown = os.fsdecode(path)
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
        os.listdir(real)
        space = os.statvfs(real)
    except OSError as error:
        raise explain_unreadable(shown, error) from error
    mount = _find_mount(real)
    disk = _find_disk(found.st_dev)
    filesystem = mount.filesystem if mount is not None else ""
    uuid, label = _ask_udev(found.st_dev)
    if filesystem in _ID_FROM_UUID and space.f_fsid:
        # Rather than udev's, which may not run today and run tomorrow: a card must be the same one both times.
        uuid = f"fsid-{space.f_fsid:016x}"
    # Below the filesystem's own root, not the mount point: two binds of it are two volumes.
    inner = real if mount is None else os.path.join(mount.root, os.path.relpath(real, mount.point))
    inner = os.path.normpath(inner).lstrip(b"/")
    if inner:
        uuid = None if uuid is None else f"{uuid}:{_as_text(inner)}"
        label = None
    size = _read(f"/sys/dev/block/{os.major(found.st_dev)}:{os.minor(found.st_dev)}", "size")
    # Our own helper's names are numbers; any other folder's name is what somebody calls the card.
    name = (
        _UNNAMED
        if os.path.dirname(real) == CARDS_FOLDER
        else os.path.basename(real).decode("utf-8", "replace")
    )
    volume = Volume(
        uuid=uuid,
        label=label or name,
        size=int(size) * _SECTOR if size.isdigit() else space.f_blocks * space.f_frsize,
        filesystem=filesystem,
    )
    diskseq = None if disk is None else _read(disk, "diskseq")
    return volume, Medium(real, found.st_dev, found.st_ino, disk, diskseq)


def explain_unreadable(shown: str, error: OSError) -> GhostrollError:
    """What to tell of a card's folder that can't be looked at: whether the path is wrong, or the card is."""
    if error.errno in MachineShort.numbers:
        return MachineShort.explain(error)
    if error.errno == errno.ENOTDIR:
        return UsageError(f"{shown} is not a folder: give the folder where the card is mounted")
    if error.errno in _OF_THE_PATH:
        return UsageError(
            f"{shown} can't be read ({error.strerror}): give the folder where the card is mounted"
        )
    remedy = (
        "clean its contacts, put it in again, or try another reader"
        if error.errno in _OF_THE_CARD
        else "mount it anew, and try again"
    )
    return CardFailing(f"the card at {shown} can't be read ({error.strerror}): {remedy}")


def _find_mount(real: bytes) -> Mount | None:
    """The mount that a real path is on. Raises TransientError where the kernel doesn't tell what is mounted."""
    try:
        return find_mount(real, read_mounts())
    except OSError as error:
        MachineShort.check(error)
        raise TransientError(
            f"what is mounted on this machine can't be told ({MOUNTINFO}: {error.strerror}): mount /proc, and try again"
        ) from error


def _find_disk(device: int) -> str | None:
    """The sysfs folder of the disk behind a device number: a partition's is the one above it."""
    entry = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not os.path.isdir(entry):
        return None
    return os.path.dirname(entry) if os.path.exists(os.path.join(entry, "partition")) else entry


def _ask_udev(device: int) -> tuple[str | None, str | None]:
    """UUID and label as udev knows them; nothing where udev doesn't run or doesn't know the device."""
    try:
        found = pyudev.Devices.from_device_number(pyudev.Context(), "block", device)
        described = parse_properties(found.properties)
    except (pyudev.DeviceNotFoundError, ImportError, UnicodeDecodeError):  # pyudev reads labels by the locale
        return None, None
    return described.uuid, described.label or None


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        MachineShort.check(error)  # says nothing about the device
        return ""


def _as_text(path: bytes) -> str:
    """A path as text that can be stored, a different one for each: it need not be UTF-8."""
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
