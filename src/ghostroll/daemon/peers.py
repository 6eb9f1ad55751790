"""Who is at the other end of a socket, as the kernel tells it, and whether they may ask for anything."""

import ctypes
import os
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: struct ucred, unix(7)
_SO_PEERGROUPS = 59  # asm-generic/socket.h; the supplementary groups, since Linux 4.13
_MOST_GROUPS = 65536  # NGROUPS_MAX, limits.h
# Whoever has no number in this process's user namespace is shown as this one: user_namespaces(7). Under
# PrivateUsers= that is everybody but root and the unit's own user and group, so it tells nobody from anybody.
_UNMAPPED = 65534
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that made a connection, as it was then: numbers as this process's user namespace sees them."""

    pid: int
    uid: int
    groups: frozenset[int]


def read_peer(connection: socket.socket) -> Peer:
    """Who is at the other end. Raises OSError where the kernel doesn't tell."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(credentials)
    return Peer(pid, uid, frozenset({gid, *_read_groups(connection)}))


def is_owner(peer: Peer, uid: int) -> bool:
    """Whether a peer is root, or the user `uid` itself."""
    return peer.uid == 0 or (peer.uid == uid and uid != _UNMAPPED)


def may_ask(peer: Peer, *, uid: int, groups: Collection[int]) -> bool:
    """Whether a peer is an owner, or a member of one of the groups."""
    return is_owner(peer, uid) or not peer.groups.isdisjoint(set(groups) - {_UNMAPPED})


def _read_groups(connection: socket.socket) -> list[int]:
    # By hand: Python's own getsockopt takes 1024 bytes at most, and some people are in more than 256 groups.
    groups = (ctypes.c_uint32 * _MOST_GROUPS)()
    size = ctypes.c_uint32(ctypes.sizeof(groups))
    asked = _libc.getsockopt(
        connection.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, groups, ctypes.byref(size)
    )
    if asked != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return groups[: size.value // ctypes.sizeof(ctypes.c_uint32)]
