"""Disks and mounts of a machine that is made up, and what is seen of them."""

import os
from collections.abc import Mapping
from dataclasses import replace

from ghostroll.cards.blocks import Block, Described
from ghostroll.cards.judging import judge
from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import CardRules, Listing, Seen, Why
from ghostroll.cards.truth import Truth

RULES = CardRules(library=b"/srv/photos", state=b"/var/lib/ghostroll/state.db")
CAMERA = Listing((b"DCIM",))


def block(name: str, *, partition: int = 0, **more: object) -> Block:
    """A removable disk or partition with a FAT filesystem on it."""
    disk = name.rstrip("0123456789") if partition else name
    made = Block(
        path=f"/devices/{disk}" if not partition else f"/devices/{disk}/{name}",
        name=name,
        number=os.makedev(8, sum(name.encode())),
        disk=f"/devices/{disk}",
        partition=partition,
        size=1 << 30,
        diskseq=9,
        removable=True,
        described=Described("vfat", "1234-ABCD", "EOS_DIGITAL"),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # a test names the field


def mount(of: Block, point: bytes, **more: object) -> Mount:
    """A block device mounted whole."""
    return replace(
        Mount(of.number, b"/", point, "vfat", f"/dev/{of.name}".encode(), id=30),
        **more,  # type: ignore[arg-type]  # a test names the field
    )


_ROOT = block("vda", removable=False, described=Described("ext4"))
CARD = block("sdb1", partition=1)
DISK = block("sdb", described=Described(table=True))
DESKTOP = mount(CARD, b"/media/me/EOS", id=50)
MOUNTED = mount(CARD, b"/run/ghostroll/cards/9-1")


def see(
    *blocks: Block,
    mounts: tuple[Mount, ...] = (),
    rules: CardRules = RULES,
    listing: Listing | None = CAMERA,
    swaps: tuple[bytes, ...] | None = (),
    fixed: Mapping[str, str] | None = None,
    library: bytes = b"/srv/photos",
) -> dict[str, Seen]:
    """What is seen on a machine with these disks beside its own, by name."""
    truth = Truth(
        [_ROOT, *blocks],
        [mount(_ROOT, b"/", filesystem="ext4"), *mounts],
        {},
        swaps,
        fixed or {},
        library,
        b"/var/lib/ghostroll/state.db",
    )
    asked = judge(truth, rules, {})
    listings = {(seen.insertion, one.key): listing for seen in asked for one in seen.mounts if listing}
    return {seen.name: seen for seen in judge(truth, rules, listings)}


def refuse(seen: Seen) -> tuple[Why, str]:
    """Why a volume is refused."""
    assert seen.mount is None
    assert seen.refusal is not None
    assert "\n" not in seen.refusal.words
    return seen.refusal.why, seen.refusal.words
