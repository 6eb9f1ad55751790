"""Looking: reads the truth about this machine's disks now, whatever the events said."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pyudev

from ghostroll.cards.blocks import (
    Block,
    Describe,
    Described,
    describe_by_udev,
    list_names,
    read_blocks,
    read_diskseq,
)
from ghostroll.cards.fstab import read_fixed
from ghostroll.cards.judging import judge
from ghostroll.cards.mounts import Mount, MountKey, read_mounts, unescape
from ghostroll.cards.roots import RootReader
from ghostroll.cards.sight import CardRules, Seen, Why
from ghostroll.cards.truth import Truth, track_media

_SWAPS = "/proc/swaps"
_UDEVD = "/run/udev/control"  # is there while udevd runs
_NO_SWAPS = f"{_SWAPS} can't be read here, and udev doesn't run: which disks hold swap space is not known"
_NO_UDEV = "udev doesn't run here: only cards that something else mounts are seen"
_TRIES = 5  # to read disks and mounts of one moment; a medium changes once in seconds


class Lookout:
    """Remembers of which medium each mount is, and what stood in the top folders. Used by one thread.

    `on_listed` is called from other threads when a look would now tell more.
    """

    def __init__(
        self, rules: CardRules, on_listed: Callable[[], None], context: pyudev.Context | None
    ) -> None:
        roots = tuple(os.path.realpath(root) for root in rules.mount_roots)  # as the kernel names mounts
        self._rules = replace(rules, mount_roots=roots)
        self._describe: Describe = _know_nothing if context is None else describe_by_udev(context)
        self._roots = RootReader(on_listed)
        self._media: Mapping[MountKey, int] = {}
        self.notes: tuple[str, ...] = ()

    def look(self) -> tuple[Seen, ...]:
        """Every volume as it is now. Cards that were not listed before are listed meanwhile.

        Raises OSError where this process is short of something or the disks don't come to rest, and so can't tell.
        """
        truth = self._read_truth()
        answers = self._roots.answers()
        seen = judge(truth, self._rules, answers)
        keys = set()
        for volume in seen:
            own = [(volume.insertion, mount.key) for mount in volume.mounts]
            keys.update(own)
            if volume.refusal is not None and volume.refusal.why is Why.NO_ANSWER:
                unknown = [key not in answers for key in own].index(True)
                self._roots.ask(own[unknown], volume.mounts[unknown])
        self._roots.keep(keys)
        return seen

    def close(self, timeout: float) -> bool:
        """Give up; False where a card doesn't answer and its thread was left behind."""
        return self._roots.close(timeout)

    def _read_truth(self) -> Truth:
        running = is_udev_running()
        # What a stopped udevd left behind describes cards that are long gone.
        blocks, mounts = self._read_moment(self._describe if running else _know_nothing)
        self._media = track_media(self._media, blocks, mounts)
        swaps = _read_swaps()
        known = self._describe is not _know_nothing and running
        # udev knows the signature of swap space too.
        self.notes = () if known else (_NO_UDEV, *((_NO_SWAPS,) if swaps is None else ()))
        state = self._rules.state
        return Truth(
            blocks=blocks,
            mounts=mounts,
            media=self._media,
            swaps=swaps,
            fixed=read_fixed(),
            library=os.path.realpath(self._rules.library),
            state=None if state is None else os.path.realpath(state),
        )

    def _read_moment(self, describe: Describe) -> tuple[Sequence[Block], Sequence[Mount]]:
        """Disks and mounts between whose readings no medium changed, and no disk came: a mount of one we can't know."""
        for _ in range(_TRIES):
            names, blocks, mounts = list_names(), read_blocks(describe), read_mounts()
            if names == list_names() and all(read_diskseq(block) == block.diskseq for block in blocks):
                return blocks, mounts
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def is_udev_running() -> bool:
    """Whether there is an udevd whose events and database are of today."""
    return os.path.exists(_UDEVD)


def _read_swaps() -> list[bytes] | None:
    """Where this machine swaps to; None where that can't be told."""
    try:
        with open(_SWAPS, "rb") as file:
            return [unescape(line.split()[0]) for line in file.read().splitlines()[1:] if line.strip()]
    except OSError:
        return None


def _know_nothing(_path: str) -> Described | None:
    return None
