"""The kernel's mount table: what is mounted where. Format: proc(5), /proc/pid/mountinfo."""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOUNTINFO = "/proc/self/mountinfo"
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, as far as it matters here. `root` is what of the filesystem is seen at `point`."""

    device: int
    root: bytes
    point: bytes
    filesystem: str
    source: bytes
    id: int = 0
    read_only: bool = False

    @property
    def key(self) -> "MountKey":
        """What tells this mount from others at the same place, as long as it lasts."""
        return MountKey(self.id, self.device, self.point)


@dataclass(frozen=True, slots=True)
class MountKey:
    """One mount of one device. The kernel gives an `id` again once its mount is gone."""

    id: int
    device: int
    point: bytes


def parse_mountinfo(text: bytes) -> list[Mount]:
    """The mounts in a mountinfo file, later ones on top; lines that make no sense are left out."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(b" ")
        with contextlib.suppress(ValueError, IndexError):
            tail = fields.index(b"-")
            major, minor = fields[2].split(b":")
            mounts.append(
                Mount(
                    device=os.makedev(int(major), int(minor)),
                    root=unescape(fields[3]),
                    point=unescape(fields[4]),
                    filesystem=fields[tail + 1].decode("ascii", "replace"),
                    source=unescape(fields[tail + 2]),
                    id=int(fields[0]),
                    read_only=b"ro" in fields[5].split(b","),
                )
            )
    return mounts


def read_mounts() -> list[Mount]:
    """The mounts that this process sees now."""
    with open(MOUNTINFO, "rb") as file:
        return parse_mountinfo(file.read())


def find_mount(path: bytes, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a real path is on: the one with the longest mount point, the topmost of equals."""
    best: Mount | None = None
    for mount in mounts:
        if is_below(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder or inside it, by name alone."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def unescape(field: bytes) -> bytes:
    """A name as it was before the kernel wrote octal numbers for what would split its line. proc(5)."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)
