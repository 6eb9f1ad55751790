"""What can be seen of the media in this machine: the words that detection is spoken in. Values, stdlib only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ghostroll.cards.mounts import Mount
from ghostroll.model import Volume

CARDS_FOLDER = b"/run/ghostroll/cards"  # where volumes are mounted as <diskseq>-<partition>


@dataclass(frozen=True, slots=True)
class CardRules:
    """What may be a card. `debounce` and `patience` are seconds.

    `allow` and `deny` hold labels or UUIDs, in any case of letters; deny wins. What is allowed need not be
    removable, nor hold a camera's folder; a disk that this machine itself lives on is never a card. `readers`
    are patterns of kernel names and serial numbers of disks that count as removable. Only volumes mounted
    below one of `mount_roots` are looked into, the first root is preferred.
    """

    library: bytes
    state: bytes | None = None
    markers: tuple[str, ...] = ("DCIM",)
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    readers: tuple[str, ...] = ()
    filesystems: frozenset[str] = frozenset({"vfat", "exfat"})
    mount_roots: tuple[bytes, ...] = (CARDS_FOLDER, b"/run/media", b"/media", b"/mnt")
    debounce: float = 0.2  # a medium that stays for less was never in
    patience: float = 10.0  # until a medium that nobody mounts is mentioned


class Why(StrEnum):
    """Why a volume is not a card, or not yet one."""

    SYSTEM = "system"  # its disk is one that the machine runs from
    SWAP = "swap"
    LIBRARY = "library"  # its disk holds the library or the state
    IN_USE = "in-use"  # something is stacked on it: LVM, RAID, encryption
    DENIED = "denied"
    FSTAB = "fstab"  # its disk has a fixed place in this machine
    FIXED = "fixed"  # not removable
    FILESYSTEM = "filesystem"  # of a kind that is not allowed
    NOT_CAMERA = "not-camera"  # none of the markers
    COMPUTER = "computer"  # a backup or somebody's files, with or without a marker
    UNREADABLE = "unreadable"  # its top folder can't be listed
    EMPTY = "empty"  # no filesystem on the whole medium
    NOT_MOUNTED = "not-mounted"  # nobody mounted it yet
    STALE = "stale"  # its mount is that of the medium which was in before
    NO_ANSWER = "no-answer"  # its top folder is being listed


# These pass by themselves when all goes well, and are mentioned only when patience is at its end.
PASSING = frozenset({Why.EMPTY, Why.NOT_MOUNTED, Why.STALE, Why.NO_ANSWER})
# A machine has such volumes for good; nobody wonders why they are not taken.
ORDINARY = frozenset({Why.SYSTEM, Why.SWAP, Why.LIBRARY, Why.IN_USE, Why.FSTAB, Why.FIXED})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a volume is not a card, for the program and as the end of a sentence: "sdb1 (EOS): <words>"."""

    why: Why
    words: str


@dataclass(frozen=True, slots=True)
class Insertion:
    """One volume of one medium, from going in to coming out.

    `diskseq` is the kernel's number of the medium (0 where there is none); it rises at every change, in and
    out. `device` is the volume's path in sysfs; of a mount without a block device, the mount's own name.
    """

    diskseq: int
    device: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One volume as it is now: a card where `mount` is set, else refused.

    `mounts` are all the places where this very medium can be read, the preferred one first.
    """

    insertion: Insertion
    name: str
    volume: Volume
    mounts: tuple[Mount, ...]
    mount: Mount | None
    refusal: Refusal | None

    @property
    def title(self) -> str:
        """How people call it: its label, and the kernel's name of it."""
        return f"{self.volume.label} ({self.name})" if self.volume.label else self.name


@dataclass(frozen=True, slots=True)
class Listing:
    """The folders at the top of a volume, or why they can't be listed. `library` tells that it is one of ours."""

    folders: tuple[bytes, ...] = ()
    library: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Active:
    """What `reconcile` remembers: the cards that arrived, what was said of each insertion, and since when it is so.

    `since` has each insertion with None for being there, and with what it is refused for.
    """

    cards: Mapping[Insertion, Seen] = field(default_factory=dict)
    since: Mapping[tuple[Insertion, Why | None], float] = field(default_factory=dict)
    said: frozenset[tuple[Insertion, Why]] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new: cards to read, cards that are gone, media that are refused and were not yet.

    `due` is when to look again though nothing happens, on the clock of whoever asked. `notes` are sentences on
    what can't be told on this machine, each once.
    """

    arrived: tuple[Seen, ...] = ()
    left: tuple[Seen, ...] = ()
    refused: tuple[Seen, ...] = ()
    notes: tuple[str, ...] = ()
    due: float | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.arrived or self.left or self.refused or self.notes)
