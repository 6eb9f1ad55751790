"""Quotas of a filesystem, as `quotactl(2)` sets them. Needs root."""

import ctypes
import os
import struct

_SET_USER_QUOTA = 0x800008 << 8  # linux/quota.h: QCMD(Q_SETQUOTA, USRQUOTA)
_LIMITS = struct.Struct("=8QI4x")  # struct if_dqblk
_VALID_BLOCK_LIMITS = 1
_UNIT = 1024  # bytes of a quota block
_libc = ctypes.CDLL(None, use_errno=True)


def limit_user(device: str, user: int, size: int) -> None:
    """Let a user have this many bytes on a filesystem with quotas, 0 for any number."""
    limits = _LIMITS.pack(size // _UNIT, size // _UNIT, 0, 0, 0, 0, 0, 0, _VALID_BLOCK_LIMITS)
    if _libc.quotactl(_SET_USER_QUOTA, device.encode(), user, limits) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), device)
