"""What is to be done so that the mounts of a disk agree with its slot: decisions only, over what was seen.

Why each rule is there is written beside the table of the ways a card comes and goes, in the tests of
this module: a pulled card whose mount stays, a next card under the old one's device number, a reader
that is blind while somebody has a file open.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ghostroll.mounter.filesystems import CAMERA_FILESYSTEMS, RECIPES
from ghostroll.mounter.mounts import Mounted, find_number

# Disks that can be `removable` and are never a camera's card: discs, floppies, files, memory, stacks of other disks.
_NO_CARD = ("dm-", "fd", "loop", "md", "nbd", "ram", "sr", "zram")


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk as the kernel shows it. `sectors` is 0 where the slot is empty.

    `marked` says that a udev rule of this machine calls it a card reader; `holders` are the
    device-mapper and RAID devices that stand on it.
    """

    name: str
    device: int
    diskseq: int
    sectors: int
    removable: bool = False
    sd: bool = False
    marked: bool = False
    serial: str = ""
    holders: tuple[str, ...] = ()
    devices: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a filesystem can be: a partition, or the disk itself with number 0.

    `filesystem` is "" where none was recognized, None where nobody could look. `held`: the kernel gives it to nobody, because
    a superblock of it is alive. `born` is the diskseq under which the partition appeared, where udev
    knows it. `agrees`: the filesystem that is mounted elsewhere has the identity that stands on the
    medium now. `tags` are its `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=`. `misread`: udev describes
    another filesystem than the one that is here, and was not asked yet to look again.
    """

    name: str
    number: int
    device: int
    filesystem: str | None
    held: bool = False
    born: int | None = None
    agrees: bool = False
    extended: bool = False
    tags: frozenset[str] = frozenset()
    misread: bool = False


@dataclass(frozen=True, slots=True)
class Protection:
    """Something that makes a disk none of our business: a device number or a tag, and why."""

    what: int | str
    why: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be mounted, and where. `deny` are labels and UUIDs, in any case of letters."""

    cards: bytes
    filesystems: frozenset[str] = CAMERA_FILESYSTEMS
    readers: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    protections: tuple[Protection, ...] = ()


@dataclass(frozen=True, slots=True)
class LetGo:
    """Unmount what is at this point, and remove the folder."""

    point: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Reprobe:
    """Have udev look at a partition again: what it knows is of the medium that was in before."""

    partition: Partition


@dataclass(frozen=True, slots=True)
class Mount:
    """Mount a partition at this point, read-only."""

    partition: Partition
    point: bytes


@dataclass(frozen=True, slots=True)
class Bind:
    """Show at this point, read-only, what somebody has mounted elsewhere."""

    partition: Partition
    source: bytes
    point: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing to do, for a reason that is no failure. `is_ordinary`: nobody wonders about it."""

    name: str
    why: str
    is_ordinary: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Can't be mounted as it is: a person has to do something."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Can't be mounted yet: look again in a second."""

    name: str
    why: str


Action = LetGo | Reprobe | Mount | Bind | Leave | Refuse | Wait


def plan_releases(
    mounts: Iterable[Mounted], media: Mapping[int, Mapping[int, int]], cards: bytes
) -> list[LetGo]:
    """Every mount of ours that is not what its name says, read-only and alone there; the topmost first.

    `media` are the device numbers behind each diskseq that is in now: partition number to device, 0 for
    the disk itself. Look at the mounts first and at the media after that: then a mount that another run
    has just made is never taken for stale.
    """
    ours = [(mount, find_number(mount.point, cards)) for mount in mounts]
    points = Counter(mount.point for mount, number in ours if number is not None)
    stale = []
    for mount, number in ours:
        if number is None:
            continue
        diskseq, partition = number
        if diskseq not in media:
            stale.append(LetGo(mount.point, "its card is gone"))
        elif media[diskseq].get(partition) != mount.device:
            stale.append(LetGo(mount.point, "it is not of that card"))
        elif not mount.is_harmless or points[mount.point] > 1:
            stale.append(LetGo(mount.point, "it is not mounted as it should be"))
    return stale[::-1]


def refuse_disk(disk: Disk, rules: Rules) -> Leave | None:
    """Why this disk is not looked into at all; None if it may be a card."""
    if disk.sectors == 0:
        return Leave(disk.name, "the slot is empty")
    looks_like_card = (disk.removable or disk.sd) and not disk.name.startswith(_NO_CARD)
    if not (looks_like_card or disk.marked or _is_reader(disk, rules.readers)):
        return Leave(
            disk.name,
            "is a fixed disk and no card: for a reader that says so of its cards, set cards.readers",
            is_ordinary=True,
        )
    if disk.holders:
        return Leave(disk.name, f"is used by {', '.join(disk.holders)} and is no card")
    for protection in rules.protections:
        if protection.what in disk.devices:
            return Leave(disk.name, f"{protection.why} and is no card")
    return None


def plan_mounts(
    disk: Disk, partitions: Iterable[Partition], mounts: Iterable[Mounted], rules: Rules
) -> list[Action]:
    """What has to happen so that every volume of this disk is mounted once, read-only, where it belongs.

    Nothing to do gives nothing. Call it after what is stale was let go and the table was read again.
    """
    partitions = [partition for partition in partitions if not partition.extended]
    mounts = list(mounts)
    refused = refuse_disk(disk, rules) or _find_protection(disk, partitions, rules.protections)
    if refused is not None:
        ours = [LetGo(mount.point, refused.why) for mount in _find_ours(disk, mounts, rules.cards)]
        return [*ours[::-1], refused]
    if not partitions:
        return [
            Refuse(disk.name, "has no partition that this kernel can read: format the card in the camera")
        ]
    return [action for one in partitions for action in _plan_one(disk, one, mounts, rules)]


def _plan_one(disk: Disk, partition: Partition, mounts: list[Mounted], rules: Rules) -> Iterator[Action]:
    point = rules.cards + f"/{disk.diskseq}-{partition.number}".encode()
    is_mounted = any(mount.point == point for mount in mounts)
    action: Action | None = None
    if _is_denied(partition, rules.deny):
        action = Leave(partition.name, "is on cards.deny")
        if is_mounted:
            yield LetGo(point, "it is on cards.deny")
    elif not is_mounted:
        action = _plan_new(disk, partition, point, mounts, rules)
    # Before it is mounted: whoever sees the mount asks udev what it is. Not of one that must wait: udev would
    # see no more of the medium than before.
    if partition.misread and not isinstance(action, Wait):
        yield Reprobe(partition)
    if action is not None:
        yield action


def _plan_new(disk: Disk, partition: Partition, point: bytes, mounts: list[Mounted], rules: Rules) -> Action:
    others = [
        mount
        for mount in mounts
        if mount.device == partition.device and find_number(mount.point, rules.cards) is None
    ]
    if partition.born not in (None, disk.diskseq):
        return Wait(partition.name, _explain_old(partition, others))
    if partition.filesystem is None:
        return Wait(partition.name, "can't be looked into yet")
    if partition.filesystem == "":
        return Refuse(partition.name, "has no filesystem that is known: format the card in the camera")
    if partition.filesystem not in rules.filesystems or partition.filesystem not in RECIPES:
        return Refuse(partition.name, _explain_filesystem(partition.filesystem, rules.filesystems))
    if not partition.held:
        return Mount(partition, point)
    return _plan_held(disk, partition, point, others)


def _plan_held(disk: Disk, partition: Partition, point: bytes, others: list[Mounted]) -> Action:
    """What becomes of a partition that the kernel gives to nobody: bound where somebody else has mounted it."""
    # Only the whole filesystem is the card: a bind of one folder elsewhere is not.
    whole = [mount for mount in others if mount.root == b"/"]
    if not whole:
        return Wait(partition.name, _explain_old(partition, []))
    if partition.born == disk.diskseq or partition.agrees:
        return Bind(partition, whole[0].point, point)
    return Wait(partition.name, _explain_old(partition, whole))


def _explain_old(partition: Partition, mounts: list[Mounted]) -> str:
    if mounts:
        return (
            f"is mounted at {show_path(mounts[0].point)}, maybe since an earlier card: unmount it there,"
            " and it is mounted here within a second"
        )
    return (
        "a program still has a file of an earlier card open, so that this card can't be read:"
        f" `fuser -vm /dev/{partition.name}` names it; tried again every second"
    )


def _explain_filesystem(filesystem: str, wanted: Collection[str]) -> str:
    if filesystem not in RECIPES:
        return f"has {filesystem}, which ghostroll doesn't mount: format the card in the camera"
    names = ", ".join(f'"{name}"' for name in RECIPES if name in wanted or name == filesystem)
    return (
        f"has {filesystem}, which is not on the list: if it is a card, write filesystems = [{names}]"
        " below [cards] in /etc/ghostroll/config.toml"
    )


def _find_protection(
    disk: Disk, partitions: list[Partition], protections: Iterable[Protection]
) -> Leave | None:
    tags = {tag.casefold() for partition in partitions for tag in partition.tags}
    for protection in protections:
        if isinstance(protection.what, str) and protection.what.casefold() in tags:
            return Leave(disk.name, f"{protection.why} and is no card")
    return None


def _is_denied(partition: Partition, deny: Iterable[str]) -> bool:
    names = {name.casefold() for name in deny if name}
    volume = (tag.partition("=") for tag in partition.tags)
    return any(kind in ("UUID", "LABEL") and name.casefold() in names for kind, _, name in volume)


def _find_ours(disk: Disk, mounts: list[Mounted], cards: bytes) -> list[Mounted]:
    return [
        mount
        for mount in mounts
        if (number := find_number(mount.point, cards)) is not None and number[0] == disk.diskseq
    ]


def _is_reader(disk: Disk, readers: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in readers for name in (disk.name, disk.serial) if name)


def show_path(path: bytes) -> str:
    """A path for a line of the journal: a desktop's mount points carry the card's label."""
    return ascii(os.fsdecode(path))[1:-1]
