"""The system calls that Python's os module has not: mounting. Every one raises OSError with its errno."""

import ctypes
import fcntl
import os
import struct

# linux/mount.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 0x1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MS_PRIVATE = 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 0x2, 0x8
_AT_FDCWD, _AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
# asm-generic/unistd.h: numbers from 424 on are the same on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
# linux/fs.h, linux/msdos_fs.h
_BLKFLSBUF = 0x1261
_FAT_IOCTL_GET_VOLUME_ID = 0x80047213

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.syscall.restype = ctypes.c_long


def mount_device(node: str, point: bytes, filesystem: str, options: str) -> None:
    """Mount a block device read-only, with nothing on it to be run. mount(2)."""
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    if _libc.mount(node.encode(), point, filesystem.encode(), flags, options.encode() or None) != 0:
        _raise()


def bind_mount(source: bytes, point: bytes) -> None:
    """Show a mount at a second place, read-only from the first moment on. open_tree(2), Linux 5.12."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_SYMLINK_NOFOLLOW
    tree = _call(_OPEN_TREE, _AT_FDCWD, source, flags)
    try:
        attributes = _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV | _ATTR_NOEXEC
        # Private: what is mounted and unmounted at the other place is no concern of ours.
        wanted = struct.pack("=QQQQ", attributes, 0, _MS_PRIVATE, 0)
        _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, len(wanted))
        _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, point, _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def let_go(point: bytes) -> None:
    """Unmount now for everybody who comes, and for those who are in it when they leave. umount2(2)."""
    if _libc.umount2(point, _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        _raise()


def drop_cache(descriptor: int) -> None:
    """Forget what was read from a block device: it may be of an earlier medium."""
    fcntl.ioctl(descriptor, _BLKFLSBUF)


def ask_volume_id(folder: int) -> int:
    """The serial number that a mounted FAT filesystem has in memory, from an open folder of it."""
    answer = fcntl.ioctl(folder, _FAT_IOCTL_GET_VOLUME_ID, bytes(4))
    return int(struct.unpack("=I", answer)[0])


def _call(number: int, *arguments: int | bytes) -> int:
    # A variadic function widens nothing by itself: every whole number goes in as a long.
    wide = [one if isinstance(one, bytes) else ctypes.c_long(one) for one in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        _raise()
    return result


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
