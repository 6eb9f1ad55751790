"""Which of the volumes in this machine are cards, and why the others are not: pure."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ghostroll.cards.blocks import Block, Described
from ghostroll.cards.camera import judge_listing
from ghostroll.cards.fstab import find_fixed
from ghostroll.cards.mounts import Mount, MountKey, find_mount, is_below
from ghostroll.cards.sight import CARDS_FOLDER, CardRules, Insertion, Listing, Refusal, Seen, Why
from ghostroll.cards.truth import Stack, Truth, find_kept_disks
from ghostroll.config.values import FILESYSTEMS
from ghostroll.model import Volume

_OURS = re.compile(rb"(\d+)-(\d+)")

ListingKey = tuple[Insertion, MountKey]


def judge(truth: Truth, rules: CardRules, listings: Mapping[ListingKey, Listing]) -> tuple[Seen, ...]:
    """Every volume with a medium, each either a card or refused, in a stable order.

    A volume whose top folder would decide and is not in `listings` yet is refused with Why.NO_ANSWER.
    """
    return tuple(_Judge(truth, rules, listings).judge_all())


class _Judge:
    """One moment, and the rules that it is seen by."""

    def __init__(self, truth: Truth, rules: CardRules, listings: Mapping[ListingKey, Listing]) -> None:
        self._truth = truth
        self._rules = rules
        self._listings = listings
        stack = Stack(truth.blocks)
        self._kept = dict(find_kept_disks(truth, stack))
        self._mounts: dict[str, list[Mount]] = {block.path: [] for block in truth.blocks}
        self._bare: list[Mount] = []
        for mount in truth.mounts:
            block = stack.find_block(mount)
            (self._bare if block is None else self._mounts[block.path]).append(mount)

    def judge_all(self) -> Iterator[Seen]:
        for block in self._truth.blocks:
            if block.size and self._is_volume(block):
                yield self._judge_block(block)
        for mount in self._bare:
            if self._rank(mount) is not None:
                yield from self._judge_bare(mount)

    def _is_volume(self, block: Block) -> bool:
        """Whether a device is to be judged now: it is a filesystem, and udev is done with it."""
        if block.described is None:  # without udev only the mounts tell
            return bool(self._mounts[block.path])
        family = [other for other in self._truth.blocks if other.disk == block.disk]
        concerned = (block, *(other for other in family if other.path == block.disk))
        if any(_describe(one).diskseq not in (0, block.diskseq) for one in concerned):
            return False  # udev still describes the medium that was in before; it will say when it is done
        if _is_filesystem(block.described):
            return block.partition > 0 or len(family) == 1
        return self._is_in_reader(block) and len(family) == 1

    def _judge_block(self, block: Block) -> Seen:
        insertion = Insertion(block.diskseq, block.path)
        all_mounts = self._mounts[block.path]
        volume = _tell_volume(block, all_mounts)
        usable = sorted(
            (mount for mount in all_mounts if self._rank(mount) is not None), key=self._rank_known
        )
        mounts = tuple(mount for mount in usable if self._is_of_medium(mount, block))
        allowed = _is_listed(volume, self._rules.allow)
        # What the root helper mounted, it has looked at by its own rules of places.
        trusted = any(is_below(mount.point, CARDS_FOLDER) for mount in mounts)
        refusal = (
            self._kept.get(block.disk)
            or self._refuse_place(block, volume, trusted=allowed or trusted)
            or self._refuse_filesystem(volume)
        )
        if refusal is None and not mounts:
            refusal = self._explain_unmounted(all_mounts, usable)
        mount = None
        if refusal is None:
            mount, refusal = self._judge_mounts(insertion, mounts, allowed=allowed)
        return Seen(insertion, block.name, volume, mounts, mount, refusal)

    def _judge_bare(self, mount: Mount) -> Iterator[Seen]:
        """A mount that no block device is seen behind: FUSE, or a container without sysfs."""
        name = os.path.basename(mount.point).decode("utf-8", "replace")
        volume = Volume(None, name, 0, mount.filesystem)
        library = find_mount(self._truth.library, self._truth.mounts)
        if volume.filesystem not in self._rules.filesystems or (library and library.device == mount.device):
            return  # network shares, a container's own folders
        insertion = Insertion(0, f"mount:{mount.id}:{name}")
        found, refusal = None, None
        if _is_listed(volume, self._rules.deny):
            refusal = Refusal(Why.DENIED, "its label is on cards.deny")
        else:
            allowed = _is_listed(volume, self._rules.allow)
            found, refusal = self._judge_mounts(insertion, [mount], allowed=allowed)
        yield Seen(insertion, name, volume, (mount,), found, refusal)

    def _judge_mounts(
        self, insertion: Insertion, mounts: Sequence[Mount], *, allowed: bool
    ) -> tuple[Mount | None, Refusal | None]:
        """The first mount that this user can list decides."""
        refusal = None
        for mount in mounts:
            listing = self._listings.get((insertion, mount.key))
            place = os.fsdecode(mount.point)
            if listing is None:
                words = f"{place} doesn't answer: take the card out and put it in again"
                return None, Refusal(Why.NO_ANSWER, words)
            if listing.error is None:
                refusal = judge_listing(listing, self._rules.markers, allowed=allowed)
                return (mount, None) if refusal is None else (None, refusal)
            refusal = refusal or Refusal(Why.UNREADABLE, f"{place} can't be listed ({listing.error})")
        return None, refusal

    def _refuse_place(self, block: Block, volume: Volume, *, trusted: bool) -> Refusal | None:
        holders = {name for other in self._truth.blocks if other.disk == block.disk for name in other.holders}
        if holders:
            return Refusal(Why.IN_USE, f"its disk is in use by {', '.join(sorted(holders))}")
        if _is_listed(volume, self._rules.deny):
            return Refusal(Why.DENIED, "its label or UUID is on cards.deny")
        if trusted:
            return None
        for other in self._truth.blocks:
            if other.disk == block.disk:
                file = find_fixed(_describe(other).aliases | {f"/dev/{other.name}"}, self._truth.fixed)
                if file is not None:
                    return Refusal(
                        Why.FSTAB, f"its disk is in {file}: if it is a card, add it to cards.allow"
                    )
        if not self._is_in_reader(block):
            return Refusal(Why.FIXED, "a fixed disk: if it is a card, add its reader to cards.readers")
        return None

    def _is_in_reader(self, block: Block) -> bool:
        """Whether the disk is one that media go in and out of, as the kernel, a rule or the configuration says."""
        family = [other for other in self._truth.blocks if other.path in (block.path, block.disk)]
        names = {os.path.basename(block.disk), *(_describe(one).serial for one in family)} - {""}
        return (
            block.removable
            or any(_describe(one).marked for one in family)
            or any(fnmatchcase(name, pattern) for name in names for pattern in self._rules.readers)
        )

    def _refuse_filesystem(self, volume: Volume) -> Refusal | None:
        if volume.filesystem in self._rules.filesystems:
            return None
        if not volume.filesystem:
            return Refusal(Why.EMPTY, "no filesystem on it: format it in the camera")
        remedy = "format it in the camera"
        if volume.filesystem in FILESYSTEMS:
            remedy = "if it is a card, add it to cards.filesystems"
        return Refusal(Why.FILESYSTEM, f"filesystem {volume.filesystem} isn't allowed: {remedy}")

    def _explain_unmounted(self, mounts: Sequence[Mount], usable: Sequence[Mount]) -> Refusal:
        if usable:
            place = os.fsdecode(usable[0].point)
            words = (
                f"{place} still shows what was in before: unmount it, take the card out and put it in again"
            )
            return Refusal(Why.STALE, words)
        others = [root for root in self._rules.mount_roots if root != CARDS_FOLDER]
        # The last: a person mounts there, desktops and we have folders of our own.
        remedy = f"mount it below {os.fsdecode((others or self._rules.mount_roots)[-1])}"
        if mounts:
            place = os.fsdecode(mounts[0].point)
            return Refusal(Why.NOT_MOUNTED, f"mounted at {place}, where cards are not looked for: {remedy}")
        return Refusal(Why.NOT_MOUNTED, f"not mounted by anybody: see 'ghostroll doctor', or {remedy}")

    def _rank(self, mount: Mount) -> int | None:
        """How much a mount is preferred, 0 the most; None where it shows no whole volume in a place for cards."""
        if mount.root != b"/":
            return None
        roots = self._rules.mount_roots
        return next((rank for rank, root in enumerate(roots) if is_below(mount.point, root)), None)

    def _rank_known(self, mount: Mount) -> int:
        return self._rank(mount) or 0

    def _is_of_medium(self, mount: Mount, block: Block) -> bool:
        """Whether a mount was made of the medium that is in now, as far as its name and our memory tell."""
        ours = _OURS.fullmatch(mount.point.removeprefix(CARDS_FOLDER + b"/"))
        if ours is not None and (int(ours[1]), int(ours[2])) != (block.diskseq, block.partition):
            return False
        return self._truth.media.get(mount.key, block.diskseq) == block.diskseq


def _describe(block: Block) -> Described:
    return block.described or Described()


def _is_filesystem(described: Described) -> bool:
    kind = described.filesystem
    return kind not in ("", "swap") and not kind.endswith("_member")


def _tell_volume(block: Block, mounts: Sequence[Mount]) -> Volume:
    if block.described is not None:
        known = block.described
        return Volume(known.uuid, known.label, block.size, known.filesystem)
    name = os.path.basename(mounts[0].point).decode("utf-8", "replace")
    return Volume(None, name, block.size, mounts[0].filesystem)


def _is_listed(volume: Volume, names: frozenset[str]) -> bool:
    wanted = {name.casefold() for name in names if name}
    return volume.label.casefold() in wanted or (volume.uuid or "").casefold() in wanted
