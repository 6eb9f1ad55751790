"""What is so at one moment: this machine's disks, and what stands on what. Pure."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ghostroll.cards.blocks import Block
from ghostroll.cards.mounts import Mount, MountKey, find_mount, is_below
from ghostroll.cards.sight import Refusal, Why

# Where a disk that carries a part of the system is mounted; below the second ones too.
_SYSTEM_POINTS = frozenset({b"/", b"/efi", b"/etc", b"/home", b"/nix", b"/opt", b"/root", b"/srv", b"/usr"})
_SYSTEM_FOLDERS = (b"/boot", b"/var")


@dataclass(frozen=True, slots=True)
class Truth:
    """The disks and mounts at one moment. `media` is what medium was in when each mount was first seen.

    `swaps` are the paths in /proc/swaps, None where it can't be read. `library` and `state` are real paths.
    `fixed` is what `read_fixed` found.
    """

    blocks: Sequence[Block]
    mounts: Sequence[Mount]
    media: Mapping[MountKey, int]
    swaps: Sequence[bytes] | None
    fixed: Mapping[str, str]
    library: bytes
    state: bytes | None = None


def track_media(
    known: Mapping[MountKey, int], blocks: Sequence[Block], mounts: Sequence[Mount]
) -> dict[MountKey, int]:
    """The medium that was in when each mount was first seen: a mount outlives its medium, and then lies."""
    behind = Stack(blocks)
    now = {mount.key: block.diskseq for mount in mounts if (block := behind.find_block(mount)) is not None}
    return {key: known.get(key, diskseq) for key, diskseq in now.items()}


class Stack:
    """Finds the device behind a mount, and the disks behind a device that stands on others."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._by_number = {block.number: block for block in blocks}
        self._by_name = {block.name: block for block in blocks}

    def find_block(self, mount: Mount) -> Block | None:
        """The device that a mount shows; None where it is none of this machine's."""
        # btrfs mounts have numbers of their own; their source tells.
        source = os.path.basename(mount.source).decode("ascii", "replace")
        return self._by_number.get(mount.device) or self._by_name.get(source)

    def find_disks(self, block: Block | None) -> set[str]:
        """Every disk that a device stands on, the device itself among them."""
        if block is None:
            return set()
        below = [self._by_name[name] for name in block.slaves if name in self._by_name]
        return {block.disk}.union(*(self.find_disks(slave) for slave in below))

    def find_named(self, path: bytes) -> Block | None:
        """The device of that name in /dev."""
        return self._by_name.get(os.path.basename(path).decode("ascii", "replace"))


def find_kept_disks(truth: Truth, behind: Stack) -> Iterator[tuple[str, Refusal]]:
    """The disks that this machine itself lives on; the last word about each is the weightiest."""
    swapping = [behind.find_named(path) or _find_under(path, truth, behind) for path in truth.swaps or ()]
    if truth.swaps is None:
        swapping = [
            block
            for block in truth.blocks
            if block.described is not None and block.described.filesystem == "swap"
        ]
    for block in swapping:
        yield from dict.fromkeys(
            behind.find_disks(block), Refusal(Why.SWAP, "its disk holds swap space")
        ).items()
    for path, what in ((truth.state, "the state"), (truth.library, "the library")):
        if path is not None:
            refusal = Refusal(Why.LIBRARY, f"its disk holds {what}")
            yield from dict.fromkeys(behind.find_disks(_find_under(path, truth, behind)), refusal).items()
    for mount in truth.mounts:
        if mount.point in _SYSTEM_POINTS or any(is_below(mount.point, one) for one in _SYSTEM_FOLDERS):
            refusal = Refusal(Why.SYSTEM, f"its disk backs {os.fsdecode(mount.point)}")
            yield from dict.fromkeys(behind.find_disks(behind.find_block(mount)), refusal).items()


def _find_under(path: bytes, truth: Truth, behind: Stack) -> Block | None:
    mount = find_mount(path, truth.mounts)
    return None if mount is None else behind.find_block(mount)
