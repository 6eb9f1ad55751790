"""Doing what was planned, one mount at a time. Killed anywhere, the next run makes it right."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from ghostroll.mounter import syscalls
from ghostroll.mounter.access import Reader, list_unreadable, may_read
from ghostroll.mounter.filesystems import DRIVERS, RECIPES, list_options
from ghostroll.mounter.looking import PROBED, ask_to_probe, read_diskseq, read_media, read_udev
from ghostroll.mounter.mounts import NAME, read_mounts
from ghostroll.mounter.plan import (
    Action,
    Bind,
    Disk,
    Leave,
    LetGo,
    Mount,
    Partition,
    Refuse,
    Reprobe,
    Wait,
    plan_releases,
    show_path,
)

# At the top of a disk that holds a library, whatever the configuration says of it.
_LIBRARY_MARKER = b".ghostroll/library.json"
_SHOWN, _SHOWN_LETTERS = 3, 60  # of names on a card, in a line
# How long udev may take to look again at a device, and how often its answer is looked for.
_PROBE_SECONDS, _PROBE_STEP = 3.0, 0.02
# What mount(2) says when somebody else's superblock is on the device, or the medium just went.
_LATER = frozenset({errno.EBUSY, errno.ENXIO, errno.ENOENT})


class Result(IntEnum):
    """How a run ended, as its exit code: the unit starts RETRY again after a second, the others not."""

    DONE = 0
    UNUSABLE = 2  # the command line, the configuration or the installation is wrong
    REFUSED = 3  # something on the card could not be mounted
    RETRY = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, slots=True)
class Said:
    """One line for the journal, with its syslog priority, and what it means for the run."""

    line: str
    priority: int
    result: Result = Result.DONE


def release_stale(cards: bytes) -> Iterator[Said]:
    """Let go of every mount of ours whose medium is gone, and of folders that were left over."""
    mounts, names = read_mounts(), os.listdir(cards)
    media = read_media()
    for release in plan_releases(mounts, media, cards):
        _let_go(release.point)
        yield Said(f"{show_path(release.point)} let go: {release.why}", 6)
    for name in names:
        match = NAME.fullmatch(name)
        if match is not None and int(match[1]) not in media:
            _remove(os.path.join(cards, name))


def act(disk: Disk, action: Action, reader: Reader) -> Said:
    """Do one thing, and say how it went."""
    match action:
        case LetGo(point, why):
            _let_go(point)
            return Said(f"{show_path(point)} let go: {why}", 6)
        case Reprobe(partition):
            return _reprobe(disk, partition)
        case Mount(partition, point):
            return _mount(disk, partition, point, reader)
        case Bind(partition, source, point):
            return _bind(disk, partition, source, point, reader)
        case Leave(name, why, is_ordinary):
            return Said(f"{name}: {why}", 7 if is_ordinary else 6)
        case Refuse(name, why) | Wait(name, why):
            later = isinstance(action, Wait)
            return Said(f"{name}: {why}", 4 if later else 3, Result.RETRY if later else Result.REFUSED)
        case _:
            assert_never(action)


def _reprobe(disk: Disk, partition: Partition) -> Said:
    """Have udev look again and wait until it has: then its event has restarted this unit, or this run goes on."""
    until = time.monotonic() + _PROBE_SECONDS
    asked = ask_to_probe(partition.name, disk.diskseq)
    while asked and time.monotonic() < until:
        if read_udev(partition.device).get(PROBED) == str(disk.diskseq):
            return Said(f"{partition.name}: udev had described another card, and has looked again", 6)
        time.sleep(_PROBE_STEP)
    return Said(f"{partition.name}: udev describes another card, and does not look again", 5)


def _mount(disk: Disk, partition: Partition, point: bytes, reader: Reader) -> Said:
    assert partition.filesystem
    options, bare = list_options(partition.filesystem, reader.uid, reader.gid)
    driver = DRIVERS.get(partition.filesystem, partition.filesystem)
    node, note = f"/dev/{partition.name}", ""
    _make(point)
    try:
        try:
            syscalls.mount_device(node, point, driver, options)
        except OSError as error:
            if error.errno != errno.EINVAL or options == bare:
                raise
            syscalls.mount_device(node, point, driver, bare)
            note = f", without the options {options}: this kernel's {driver} doesn't take them"
    except OSError as error:
        _remove(point)
        return _explain_mount(partition, error)
    undone = _check(disk, partition, point)
    if undone is not None:
        return undone
    where = f"{partition.name}: mounted read-only at {show_path(point)} ({partition.filesystem}){note}"
    return _warn_of_unreadable(Said(where, 5 if note else 6), partition, point, reader)


def _bind(disk: Disk, partition: Partition, source: bytes, point: bytes, reader: Reader) -> Said:
    _make(point)
    shown = show_path(source)
    try:
        syscalls.bind_mount(source, point)
    except OSError as error:
        _remove(point)
        why = f"is mounted at {shown} and can't be shown here ({error.strerror}): unmount it there"
        return Said(f"{partition.name}: {why}", 4, Result.RETRY)
    undone = _check(disk, partition, point)
    if undone is not None:
        return undone
    if not may_read(os.stat(point), reader):
        _let_go(point)
        why = f"is mounted at {shown} for one user alone: unmount it there, and it is mounted here within a second"
        return Said(f"{partition.name}: {why}", 4, Result.RETRY)
    where = f"{partition.name}: bound read-only from {shown} to {show_path(point)}"
    return _warn_of_unreadable(Said(where, 6), partition, point, reader)


def _warn_of_unreadable(said: Said, partition: Partition, point: bytes, reader: Reader) -> Said:
    """Say the same, and what of the card its reader may not read, where files have owners."""
    assert partition.filesystem
    kept = list_unreadable(point, reader) if RECIPES[partition.filesystem].has_owners else []
    if not kept:
        return said
    names = ", ".join(show_path(path)[:_SHOWN_LETTERS] for path in kept[:_SHOWN]) + (
        " …" if kept[_SHOWN:] else ""
    )
    remedy = "on a computer, `chmod -R a+rX` lets it in; what may stay behind goes into cards.leave_out"
    return Said(f"{said.line}, but user {reader.name} may not read {names} on it: {remedy}", 4)


def _check(disk: Disk, partition: Partition, point: bytes) -> Said | None:
    """Undo the mount unless it is of this very medium, which is still in; say why."""
    with contextlib.suppress(OSError):
        if os.path.lexists(os.path.join(point, _LIBRARY_MARKER)):
            _let_go(point)
            return Said(f"{partition.name}: holds a ghostroll library and is no card", 6)
        if os.stat(point).st_dev == partition.device and read_diskseq(disk.name) == disk.diskseq:
            return None
    _let_go(point)
    return Said(f"{partition.name}: the card was pulled or swapped meanwhile", 4, Result.RETRY)


def _explain_mount(partition: Partition, error: OSError) -> Said:
    name, filesystem = partition.name, partition.filesystem
    if error.errno in _LATER:
        return Said(f"{name}: can't be mounted yet ({error.strerror})", 4, Result.RETRY)
    match error.errno:
        case errno.ENODEV:
            why = f"has {filesystem}, which this kernel doesn't know: install a kernel with the module {filesystem}"
        case errno.ENOMEDIUM:
            return Said(f"{name}: the card is gone", 6)
        case errno.EIO:
            why = "can't be read: clean the contacts of the card, put it in again, or try another reader"
        case errno.EPERM | errno.EACCES:
            why = f"must not be mounted ({error.strerror}): run this as root, by ghostroll-card@.service"
        case _:
            why = (
                f"has a damaged {filesystem} ({error.strerror}): ghostroll never repairs a card;"
                f" on a computer, after a backup, `fsck.{filesystem} /dev/{name}` may"
            )
    return Said(f"{name}: {why}", 3, Result.REFUSED)


def _make(point: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(point, 0o700)


def _let_go(point: bytes) -> None:
    # Another run may have been quicker: EINVAL, it is no mount any more; ENOENT, nor a folder.
    with contextlib.suppress(OSError):
        syscalls.let_go(point)
    _remove(point)


def _remove(point: bytes) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(point)
