"""What is on a partition, read from the medium that is in now and from no cache of an earlier one."""

import contextlib
import errno
import mmap
import os
import stat
import struct
import subprocess
from collections.abc import Iterator, Mapping

from ghostroll.mounter import syscalls
from ghostroll.mounter.looking import BIRTH, DISK, PROBED, SECTOR, Extent, read_udev
from ghostroll.mounter.mounts import Mounted
from ghostroll.mounter.plan import Disk, Partition
from ghostroll.mounter.protections import decode_udev

_TAGS = {
    "ID_FS_UUID_ENC": "UUID",
    "ID_FS_LABEL_ENC": "LABEL",
    "ID_PART_ENTRY_UUID": "PARTUUID",
    "ID_PART_ENTRY_NAME": "PARTLABEL",
}
# What makes out a filesystem, in the words that blkid(8) and udev have in common.
_IDENTITY = ("ID_FS_TYPE", "ID_FS_UUID_ENC", "ID_FS_LABEL_ENC")
# Containers of further partitions, not filesystems: types of an MBR entry.
_EXTENDED = frozenset({"0x5", "0xf", "0x85"})
_PAGE = 4096


@contextlib.contextmanager
def open_disk(disk: Disk) -> Iterator[None]:
    """Keep a whole disk open, which makes the kernel read its table anew if the medium changed.

    Raises OSError: ENOMEDIUM where the slot is empty, ENODEV where the name in /dev is another device.
    """
    descriptor = os.open(f"/dev/{disk.name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISBLK(found.st_mode) or found.st_rdev != disk.device:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        yield
    finally:
        os.close(descriptor)


def probe_partition(disk: Disk, extent: Extent, mounts: list[Mounted]) -> Partition:
    """Look at one partition, or at the whole disk as number 0. Raises OSError where the medium can't be read."""
    held = _is_held(extent.name)
    found = _ask_blkid(extent.name)
    udev = read_udev(extent.device)
    birth = udev.get(BIRTH, "") if extent.number else ""
    filesystem = found.get("ID_FS_TYPE", "")
    if extent.number and not _is_in_table(extent, found):
        return Partition(extent.name, extent.number, extent.device, None, held=held)
    return Partition(
        name=extent.name,
        number=extent.number,
        device=extent.device,
        filesystem=filesystem,
        held=held,
        born=int(birth) if birth.isdigit() else None,
        agrees=held and _agrees(disk, extent, filesystem, mounts),
        extended=found.get("ID_PART_ENTRY_TYPE") in _EXTENDED,
        tags=frozenset(f"{tag}={decode_udev(found[key])}" for key, tag in _TAGS.items() if found.get(key)),
        misread=is_misread(udev, found, disk.diskseq),
    )


def is_misread(udev: Mapping[str, str], found: Mapping[str, str], diskseq: int) -> bool:
    """Whether udev's database describes another filesystem than a probe finds now, and may be asked to look again.

    While a mount of the card before is alive, udev reads that card's pages from the kernel's cache. It is asked only
    where our rule is at work, which notes for which medium that was done: once, whatever comes of it.
    """
    if DISK not in udev or udev.get(PROBED) == str(diskseq):
        return False
    return any(udev.get(key, "") != found.get(key, "") for key in _IDENTITY)


def _is_held(name: str) -> bool:
    """Whether the kernel gives a device to nobody, since a superblock of it lives; else drop what is cached of it."""
    try:
        descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    try:
        syscalls.drop_cache(descriptor)
    finally:
        os.close(descriptor)
    return False


def _ask_blkid(name: str) -> dict[str, str]:
    """What blkid(8) recognizes, past its cache: nothing where it recognizes nothing, or several things at once."""
    done = subprocess.run(
        ["blkid", "-p", "-o", "udev", f"/dev/{name}"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    pairs = (line.partition("=") for line in done.stdout.decode("utf-8", "replace").splitlines())
    return {key: value for key, _, value in pairs}


def _is_in_table(extent: Extent, found: dict[str, str]) -> bool:
    """Whether the table on the medium has this very partition: one that was in use outlives its card."""
    entry = (found.get("ID_PART_ENTRY_OFFSET"), found.get("ID_PART_ENTRY_SIZE"))
    in_table = entry == (str(extent.start), str(extent.sectors))
    # The kernel shows an extended partition as two sectors, whatever its size.
    return in_table or found.get("ID_PART_ENTRY_TYPE") in _EXTENDED


def _agrees(disk: Disk, extent: Extent, filesystem: str, mounts: list[Mounted]) -> bool:
    """Whether the filesystem that is mounted has in memory the identity that stands on the medium."""
    with contextlib.suppress(OSError):
        on_medium = _read_identity(disk, extent, filesystem)
        for mount in mounts:
            if mount.device == extent.device and mount.root == b"/":
                return on_medium != 0 and on_medium == _ask_identity(mount, filesystem)
    return False


def _read_identity(disk: Disk, extent: Extent, filesystem: str) -> int:
    descriptor = os.open(f"/dev/{disk.name}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, _PAGE) as page:
            os.preadv(descriptor, [page], extent.start * SECTOR)
            return parse_identity(page[:], filesystem)
    finally:
        os.close(descriptor)


def parse_identity(head: bytes, filesystem: str) -> int:
    """The number that tells filesystems of one kind apart, from their first 4096 bytes; 0 where there is none to compare.

    FAT: the volume's serial number (Microsoft, "FAT: General Overview of On-Disk Format"). ext2 to ext4: the halves of the
    UUID, one upon the other, as statfs(2) gives them (kernel: fs/ext4/super.c, `uuid_to_fsid`).
    """
    match filesystem:
        case "vfat":
            (short_fat_size,) = struct.unpack_from("<H", head, 22)
            (serial,) = struct.unpack_from("<I", head, 39 if short_fat_size else 67)
            return int(serial)
        case "ext2" | "ext3" | "ext4":
            low, high = struct.unpack_from("<QQ", head, 1024 + 0x68)
            return int(low ^ high)
        case _:
            return 0


def _ask_identity(mount: Mounted, filesystem: str) -> int:
    folder = os.open(mount.point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_dev != mount.device:
            return 0
        return syscalls.ask_volume_id(folder) if filesystem == "vfat" else os.fstatvfs(folder).f_fsid
    finally:
        os.close(folder)
