"""Captured udev events, played back: what a look would see after each of them."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from running import do_without

from ghostroll.cards.blocks import Block, parse_properties
from ghostroll.cards.judging import judge
from ghostroll.cards.mounts import Mount, MountKey
from ghostroll.cards.reconcile import reconcile
from ghostroll.cards.sight import Active, CardRules, Changes, Listing, Seen
from ghostroll.cards.truth import Truth, track_media

ROOT = Path(__file__).resolve().parent.parent
RULES = CardRules(library=b"/srv/library", filesystems=frozenset({"vfat", "exfat"}))
SYSTEM_MOUNT = Mount(os.makedev(254, 0), b"/", b"/", "ext4", b"/dev/vda", id=1)
CAMERA = Listing((b"DCIM", b"MISC"))

_HEAD = re.compile(r"(KERNEL|UDEV) *\[[\d.]+\] +(\w+) +(\S+) \((\w+)\)")
_SIZE = 256 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One captured event of a block device; `step` counts what the person did."""

    source: str
    action: str
    properties: Mapping[str, str]
    step: int


def find_capture(name: str) -> str:
    """A file of captured events; GHOSTROLL_EVENTS names another folder. In CI they must be there."""
    path = Path(os.environ.get("GHOSTROLL_EVENTS", ROOT.parent / "shared" / "events")) / name
    if not path.is_file():
        do_without(f"no captured events at {path.parent}: set GHOSTROLL_EVENTS to their folder")
    return path.read_text(encoding="utf-8")


def parse_events(text: str) -> Iterator[Event]:
    """The events of block devices in a capture of `udevadm monitor --kernel --udev --property`."""
    step = 0
    for part in text.split("\n\n"):
        lines = part.splitlines()
        for number, line in enumerate(lines):
            if line.startswith("==="):
                step += 1
            head = _HEAD.match(line)
            if head is not None:
                properties = dict(pair.split("=", 1) for pair in lines[number + 1 :] if "=" in pair)
                if head[4] == "block":
                    yield Event(head[1], head[2], properties, step)


def parse_listing(text: str) -> list[dict[str, str]]:
    """The devices in a capture of `udevadm info`."""
    return [
        dict(pair.split("=", 1) for pair in part.splitlines() if "=" in pair and not pair.startswith("=="))
        for part in re.split(r"^== udevadm info.*$", text, flags=re.MULTILINE)[1:]
    ]


@dataclass
class Model:
    """A machine's disks: `kernel` is what sysfs has, `database` what udev has, `mounts` what is mounted."""

    kernel: dict[str, dict[str, str]] = field(default_factory=dict)
    database: dict[str, Mapping[str, str]] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    mounts: list[Mount] = field(default_factory=lambda: [SYSTEM_MOUNT])
    listings: dict[str, Listing] = field(
        default_factory=dict
    )  # by name of the device; a camera's unless told
    media: dict[MountKey, int] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Make an event true: the kernel's of the devices, udev's of its database."""
        path = event.properties["DEVPATH"]
        if event.source == "UDEV":
            self._describe(path, event)
        elif event.action == "remove":
            self.kernel.pop(path, None)
            self.mounts = [
                mount for mount in self.mounts if mount.source != event.properties["DEVNAME"].encode()
            ]
        else:
            self.kernel[path] = dict(event.properties)
            if event.properties.get("DISK_MEDIA_CHANGE"):  # in and out alternate
                self.empty ^= {path}

    def add(self, properties: Mapping[str, str]) -> None:
        """A device that was there before."""
        self.kernel[properties["DEVPATH"]] = dict(properties)
        self.database[properties["DEVPATH"]] = properties

    def _describe(self, path: str, event: Event) -> None:
        if event.action == "remove":
            self.database.pop(path, None)
            return
        links = ""
        if event.properties["DEVTYPE"] == "disk":
            links = f"/dev/disk/by-diskseq/{event.properties['DISKSEQ']}"
        self.database[path] = {**event.properties, "DEVLINKS": links}

    def blocks(self) -> list[Block]:
        """What sysfs and udev's database would say."""
        found = []
        for path, device in self.kernel.items():
            whole = device["DEVTYPE"] == "disk"
            disk = path if whole else os.path.dirname(path)
            known = self.database.get(path)
            found.append(
                Block(
                    path=path,
                    name=os.path.basename(path),
                    number=os.makedev(int(device["MAJOR"]), int(device["MINOR"])),
                    disk=disk,
                    partition=int(device.get("PARTN", 0)),
                    size=0 if disk in self.empty else _SIZE,
                    diskseq=int(self.kernel[disk]["DISKSEQ"]),
                    removable=True,
                    described=None if known is None else parse_properties(known),
                )
            )
        return found

    def mount_all(self) -> None:
        """What the root helper does: let go of stale mounts, mount every filesystem of the medium that is in."""
        blocks = {block.number: block for block in self.blocks()}
        self.mounts = [
            mount
            for mount in self.mounts
            if mount is SYSTEM_MOUNT
            or (
                mount.device in blocks
                and blocks[mount.device].size
                and _helper_point(blocks[mount.device]) == mount.point
            )
        ]
        for block in blocks.values():
            known = block.described
            if known is not None and known.filesystem and block.size and not self._is_mounted(block):
                self.mount(block, _helper_point(block))

    def _is_mounted(self, block: Block) -> bool:
        return any(mount.device == block.number for mount in self.mounts)

    def mount(self, block: Block, point: bytes) -> None:
        """Mount a volume somewhere."""
        number = max(mount.id for mount in self.mounts) + 1
        kind = block.described.filesystem if block.described else "vfat"
        self.mounts.append(Mount(block.number, b"/", point, kind, f"/dev/{block.name}".encode(), id=number))

    def look(self, rules: CardRules = RULES) -> tuple[Seen, ...]:
        """What a look sees now, when every top folder answers at once."""
        blocks = self.blocks()
        self.media = track_media(self.media, blocks, self.mounts)
        truth = Truth(blocks, self.mounts, self.media, (), {}, b"/srv/library")
        pending = judge(truth, rules, {})
        listings = {
            (volume.insertion, mount.key): self.listings.get(volume.name, CAMERA)
            for volume in pending
            for mount in volume.mounts
        }
        return judge(truth, rules, listings)


def _helper_point(block: Block) -> bytes:
    return f"/run/ghostroll/cards/{block.diskseq}-{block.partition}".encode()


@dataclass
class Watch:
    """What a watcher would tell, in words: "arrived sda1 16", "left sda1 16", "refused sda1 16 system"."""

    model: Model
    rules: CardRules = RULES
    now: float = 0.0
    active: Active | None = None
    told: list[str] = field(default_factory=list)

    def look(self, *, after: float = 1.0) -> Changes:
        """Look after some seconds."""
        self.now += after
        changes, self.active = reconcile(self.model.look(self.rules), self.active, self.now, self.rules)
        self.told += describe(changes)
        return changes


def describe(changes: Changes) -> list[str]:
    """Changes in words, in the order in which a station acts on them."""
    return [
        *(f"left {_word(volume)}" for volume in changes.left),
        *(f"arrived {_word(volume)}" for volume in changes.arrived),
        *(f"refused {_word(volume)} {volume.refusal.why}" for volume in changes.refused if volume.refusal),
    ]


def _word(volume: Seen) -> str:
    return f"{volume.name} {volume.insertion.diskseq}"
