"""`python -m ghostroll.mounter DISK`: make the mounts of one disk agree with what is in its slot, once.

Started by `ghostroll-card@.service` at every event of the disk. It keeps no state: what is mounted is
told by the kernel alone.
"""

import argparse
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence

from ghostroll.mounter.access import Reader, find_reader
from ghostroll.mounter.acting import Result, Said, act, release_stale
from ghostroll.mounter.looking import Extent, is_disk_name, list_extents, read_disk
from ghostroll.mounter.mounts import read_mounts
from ghostroll.mounter.plan import Disk, Partition, Rules, plan_mounts, refuse_disk
from ghostroll.mounter.probing import open_disk, probe_partition
from ghostroll.mounter.protections import find_protections
from ghostroll.mounter.rules import BadConfiguration, Wishes, read_wishes

CARDS = "/run/ghostroll/cards"
CONFIGURATION = "/etc/ghostroll/config.toml"
_PAUSE = 1.0  # seconds between two tries


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: see `Result`. One line on stderr for each thing that happened or didn't.

    What may work in a second is tried again each second for `--patience`, and said once.
    """
    options = _parse(arguments)
    until = time.monotonic() + options.patience
    told: set[str] = set()
    while True:
        worst = Result.DONE
        for one in _run(options):
            worst = max(worst, one.result)
            if one.line not in told:
                told.add(one.line)
                _tell(one)
        if worst is not Result.RETRY or time.monotonic() >= until:
            return worst
        time.sleep(_PAUSE)


def _tell(said: Said) -> None:
    # systemd reads a priority in front of each line (sd-daemon(3)); a person would stumble over it.
    under_systemd = "JOURNAL_STREAM" in os.environ
    # At once: the next event ends this run wherever it is.
    sys.stderr.write(f"<{said.priority}>{said.line}\n" if under_systemd else f"{said.line}\n")
    sys.stderr.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ghostroll.mounter", description=__doc__, allow_abbrev=False)
    parser.add_argument("disk", help="the kernel's name of a whole disk, such as sdb")
    parser.add_argument("--cards", default=CARDS, help="where cards are mounted (%(default)s)")
    parser.add_argument("--config", default=CONFIGURATION, help="the configuration (%(default)s)")
    parser.add_argument("--user", default="ghostroll", help="who reads the cards (%(default)s)")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds for what may work later (%(default)s)"
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> Iterator[Said]:
    cards = os.fsencode(os.path.abspath(options.cards))
    if (wrong := _check_folder(cards)) is not None:
        yield wrong
        return
    if not is_disk_name(options.disk):
        yield Said("the name of a disk is wanted, such as sdb", 3, Result.UNUSABLE)
        return
    yield from release_stale(cards)
    try:
        wishes, reader = read_wishes(options.config), find_reader(options.user)
    except BadConfiguration as error:
        yield Said(str(error), 3, Result.UNUSABLE)
    except KeyError:
        why = f"there is no user {options.user} to read cards: install ghostroll again"
        yield Said(why, 3, Result.UNUSABLE)
    else:
        yield from _visit(options.disk, cards, wishes, reader)


def _visit(name: str, cards: bytes, wishes: Wishes, reader: Reader) -> Iterator[Said]:
    """Look at a disk and do what follows. It is opened only if it can be a card."""
    disk = read_disk(name)
    if disk is None:
        yield Said(f"{name}: the disk is gone", 6)
        return
    protections = tuple(find_protections(read_mounts(), wishes.library))
    rules = Rules(cards, wishes.filesystems, wishes.readers, wishes.deny, protections)
    partitions: list[Partition] = []
    if refuse_disk(disk, rules) is None:
        try:
            with open_disk(disk):
                # Opening may have shown that the medium is another one than a moment ago.
                yield from release_stale(cards)
                disk, partitions = _look_into(disk)
        except OSError as error:
            yield _explain(name, error)
            return
    for action in plan_mounts(disk, partitions, read_mounts(), rules):
        yield act(disk, action, reader)


def _look_into(disk: Disk) -> tuple[Disk, list[Partition]]:
    """Look at each partition of an open disk; at the disk itself where there is none."""
    now = read_disk(disk.name)
    if now is None:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    extents = list_extents(now.name) or [Extent(now.name, 0, now.device, 0, now.sectors)]
    mounts = read_mounts()
    return now, [probe_partition(now, extent, mounts) for extent in extents]


def _explain(name: str, error: OSError) -> Said:
    if error.errno == errno.ENOMEDIUM:
        return Said(f"{name}: the slot is empty", 6)
    if error.errno in (errno.ENXIO, errno.ENODEV, errno.ENOENT):
        return Said(f"{name}: the card or its reader was pulled", 4, Result.RETRY)
    remedy = "clean the contacts of the card, put it in again, or try another reader"
    return Said(f"{name}: can't be read ({error.strerror}): {remedy}", 3, Result.REFUSED)


def _check_folder(cards: bytes) -> Said | None:
    """Work only in a folder that nobody but root can change."""
    try:
        found = os.lstat(cards)
    except OSError:
        found = None
    if found is None or not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        why = "must be a folder of root's that nobody else can write in: `systemd-tmpfiles --create` makes it"
        return Said(f"{os.fsdecode(cards)} {why}", 3, Result.UNUSABLE)
    return None


if __name__ == "__main__":
    sys.exit(main())
