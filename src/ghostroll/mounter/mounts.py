"""Reading /proc/self/mountinfo. Its own parser, because the root program may need nothing but Python."""

import contextlib
import os
import re
from dataclasses import dataclass

# Format of a mount's name below the folder of the cards: the medium's diskseq and the partition's number.
NAME = re.compile(rb"(\d+)-(\d+)")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of mountinfo. `device` is 0:n for filesystems that stand on no single device."""

    device: int
    root: bytes
    point: bytes
    options: frozenset[str]
    filesystem: str
    source: bytes

    @property
    def is_harmless(self) -> bool:
        """Whether nothing can be written or run through this mount."""
        return self.options >= {"ro", "nosuid", "nodev", "noexec"}


def parse_mountinfo(text: bytes) -> list[Mounted]:
    """The mounts in a mountinfo file (format: proc(5)), later ones on top. What it can't read it leaves out."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(b" ")
        with contextlib.suppress(ValueError, IndexError):
            tail = fields.index(b"-")
            major, minor = fields[2].split(b":")
            mounts.append(
                Mounted(
                    os.makedev(int(major), int(minor)),
                    _unescape(fields[3]),
                    _unescape(fields[4]),
                    frozenset(fields[5].decode("ascii", "replace").split(",")),
                    fields[tail + 1].decode("ascii", "replace"),
                    _unescape(fields[tail + 2]),
                )
            )
    return mounts


def read_mounts() -> list[Mounted]:
    """What is mounted now, as this process sees it."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mountinfo(file.read())


def find_number(point: bytes, cards: bytes) -> tuple[int, int] | None:
    """The diskseq and the partition number in a path right below the folder of the cards; else None."""
    folder, name = os.path.split(point)
    match = NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if folder == cards and match else None


def _unescape(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)
