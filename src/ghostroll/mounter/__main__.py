"""`python -m ghostroll.mounter DISK`: make the mounts of one disk agree with what is in its slot, once.

Started by `ghostroll-card@.service` at every event of the disk. It keeps no state: what is mounted is
told by the kernel alone.
"""

import argparse
import errno
import os
import pwd
import stat
import sys
from collections.abc import Sequence

from ghostroll.mounter.acting import Reader, Result, Said, act, release_stale
from ghostroll.mounter.looking import Extent, is_disk_name, list_extents, read_disk
from ghostroll.mounter.mounts import read_mounts
from ghostroll.mounter.plan import Disk, Partition, Rules, plan_mounts, refuse_disk
from ghostroll.mounter.probing import open_disk, probe_partition
from ghostroll.mounter.protections import find_protections
from ghostroll.mounter.rules import BadConfiguration, Wishes, read_wishes

CARDS = "/run/ghostroll/cards"
CONFIGURATION = "/etc/ghostroll/config.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: see `Result`. One line on stderr for each thing that happened or didn't."""
    options = _parse(arguments)
    said = _run(options)
    # systemd reads a priority in front of each line (sd-daemon(3)); a person would stumble over it.
    under_systemd = "JOURNAL_STREAM" in os.environ
    for one in said:
        sys.stderr.write(f"<{one.priority}>{one.line}\n" if under_systemd else f"{one.line}\n")
    return max((one.result for one in said), default=Result.DONE)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ghostroll.mounter", description=__doc__, allow_abbrev=False)
    parser.add_argument("disk", help="the kernel's name of a whole disk, such as sdb")
    parser.add_argument("--cards", default=CARDS, help="where cards are mounted (%(default)s)")
    parser.add_argument("--config", default=CONFIGURATION, help="the configuration (%(default)s)")
    parser.add_argument("--user", default="ghostroll", help="who reads the cards (%(default)s)")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> list[Said]:
    cards = os.fsencode(os.path.abspath(options.cards))
    if (wrong := _check_folder(cards)) is not None:
        return [wrong]
    if not is_disk_name(options.disk):
        return [Said("the name of a disk is wanted, such as sdb", 3, Result.UNUSABLE)]
    said = release_stale(cards)
    try:
        wishes, entry = read_wishes(options.config), pwd.getpwnam(options.user)
    except BadConfiguration as error:
        return [*said, Said(str(error), 3, Result.UNUSABLE)]
    except KeyError:
        why = f"there is no user {options.user} to read cards: install ghostroll again"
        return [*said, Said(why, 3, Result.UNUSABLE)]
    reader = Reader(entry.pw_uid, entry.pw_gid)
    return [*said, *_visit(options.disk, cards, wishes, reader)]


def _visit(name: str, cards: bytes, wishes: Wishes, reader: Reader) -> list[Said]:
    """Look at a disk and do what follows. It is opened only if it can be a card."""
    disk = read_disk(name)
    if disk is None:
        return [Said(f"{name}: the disk is gone", 6)]
    protections = tuple(find_protections(read_mounts(), wishes.library))
    rules = Rules(cards, wishes.filesystems, wishes.allow, protections)
    partitions: list[Partition] = []
    said: list[Said] = []
    try:
        if refuse_disk(disk, rules) is None:
            disk, partitions, said = _open(disk, cards)
    except OSError as error:
        return [_explain(name, error)]
    actions = plan_mounts(disk, partitions, read_mounts(), rules)
    return [*said, *(act(disk, action, reader) for action in actions)]


def _open(disk: Disk, cards: bytes) -> tuple[Disk, list[Partition], list[Said]]:
    """Make the kernel read the table anew, then look at each partition; at the disk itself where there is none."""
    descriptor = open_disk(disk)
    try:
        # Opening may have shown that the medium is another one than a moment ago.
        said = release_stale(cards)
        now = read_disk(disk.name)
        if now is None:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        extents = list_extents(now.name) or [Extent(now.name, 0, now.device, 0, now.sectors)]
        mounts = read_mounts()
        return now, [probe_partition(now, extent, mounts) for extent in extents], said
    finally:
        os.close(descriptor)


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
