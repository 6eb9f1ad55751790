"""What sort of disk the library is on: one that stays, and not a card."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyudev

from ghostroll.cards.blocks import Block, Describe, describe_by_udev, read_blocks
from ghostroll.cards.fstab import find_fixed, read_fixed
from ghostroll.cards.judging import judge
from ghostroll.cards.lookout import is_udev_running
from ghostroll.cards.mounts import find_mount, read_mounts
from ghostroll.cards.roots import list_root
from ghostroll.cards.sight import CardRules, Seen, Why
from ghostroll.cards.truth import Stack, Truth, track_media
from ghostroll.daemon.rules import make_card_rules
from ghostroll.doctor.disk import find_nearest
from ghostroll.doctor.finding import Check, Finding, finding, hint, ok
from ghostroll.doctor.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class MediumFacts:
    """The disk under the library. `taken` is whether it would be read as a card, were the library not on it.

    `fixed` is the file that gives it a fixed place in this machine, such as /etc/fstab.
    """

    name: str
    removable: bool
    holds_system: bool
    taken: bool
    fixed: str | None


def look_at_medium(surroundings: Surroundings) -> list[Finding]:
    """The disk under the library; nothing where there is no disk behind its filesystem."""
    facts = _read_medium(surroundings)
    return [] if facts is None else judge_medium(facts)


def judge_medium(facts: MediumFacts) -> list[Finding]:
    """Whether the library's disk could be taken for a card, or may not last."""
    if facts.taken:
        return [
            finding(
                Check.MEDIUM,
                f"the library is on {facts.name}, which is a camera's card itself",
                "what a card holds is kept when its bytes are somewhere else, and cards are formatted",
                "set library.path to a folder on a disk that stays in this machine",
            )
        ]
    if facts.holds_system and facts.removable:
        return [
            hint(
                Check.MEDIUM,
                f"the library is on {facts.name}, the card that this machine starts from",
                "such cards are small, slow, and wear out with what is written to them",
                "set library.path to a folder on a disk of its own",
            )
        ]
    if facts.removable and facts.fixed is None:
        return [
            hint(
                Check.MEDIUM,
                f"the library's disk {facts.name} is a removable one, and nothing mounts it when the machine starts",
                "without it nothing can be copied, and desktops are kept from mounting it",
                f"sudo blkid /dev/{facts.name}  # tells its UUID, for a line in /etc/fstab with the option nofail",
            )
        ]
    return [ok(Check.MEDIUM, f"the library's disk {facts.name} is none that would be taken for a card")]


def _read_medium(surroundings: Surroundings) -> MediumFacts | None:
    path = os.path.realpath(find_nearest(os.fsencode(surroundings.settings.library.path)))
    blocks = read_blocks(_describe_by_anybody())
    mounts = read_mounts()
    mount = find_mount(path, mounts)
    block = None if mount is None else Stack(blocks).find_block(mount)
    if block is None or mount is None:
        return None
    fixed = read_fixed()
    # As if the library and the state were somewhere else: would it be taken for a card?
    truth = Truth(blocks, mounts, track_media({}, blocks, mounts), swaps=[], fixed=fixed, library=b"/")
    rules = replace(make_card_rules(surroundings.settings), mount_roots=(mount.point,))
    seen = _judge_alone(truth, rules, block)
    family = [one for one in blocks if one.disk == block.disk]
    aliases = frozenset().union(*(one.described.aliases if one.described else () for one in family))
    return MediumFacts(
        name=block.name,
        removable=block.removable,
        holds_system=seen is not None and seen.refusal is not None and seen.refusal.why is Why.SYSTEM,
        taken=seen is not None and seen.mount is not None,
        fixed=find_fixed(aliases | {f"/dev/{one.name}" for one in family}, fixed),
    )


def _judge_alone(truth: Truth, rules: CardRules, block: Block) -> Seen | None:
    """How the volume on this device is seen, with its top folder listed where that decides."""
    seen = _find_seen(judge(truth, rules, {}), block)
    if seen is None or seen.refusal is None or seen.refusal.why is not Why.NO_ANSWER:
        return seen
    listings = {(seen.insertion, mount.key): list_root(mount) for mount in seen.mounts}
    return _find_seen(judge(truth, rules, listings), block)


def _find_seen(volumes: Iterable[Seen], block: Block) -> Seen | None:
    return next((one for one in volumes if one.insertion.device == block.path), None)


def _describe_by_anybody() -> Describe:
    """Udev's database where there is one of today, else nothing is known but what sysfs says."""
    try:
        return describe_by_udev(pyudev.Context()) if is_udev_running() else lambda _path: None
    except ImportError:  # libudev is not installed
        return lambda _path: None
