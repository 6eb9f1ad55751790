"""Doing what was planned, one mount at a time. Killed anywhere, the next run makes it right."""

import contextlib
import errno
import os
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from ghostroll.mounter import syscalls
from ghostroll.mounter.filesystems import DRIVERS, list_options
from ghostroll.mounter.looking import read_diskseq, read_media
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
    Wait,
    plan_releases,
    show_path,
)

# At the top of a disk that holds a library, whatever the configuration says of it.
_LIBRARY_MARKER = b".ghostroll/library.json"
# What mount(2) says when somebody else's superblock is on the device, or the medium just went.
_LATER = frozenset({errno.EBUSY, errno.ENXIO, errno.ENOENT})


class Result(IntEnum):
    """How a run ended, as its exit code: the unit starts RETRY again after a second, the others not."""

    DONE = 0
    UNUSABLE = 2  # the command line, the configuration or the installation is wrong
    REFUSED = 3  # something on the card could not be mounted
    RETRY = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads cards: FAT and exFAT files are shown as theirs."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Said:
    """One line for the journal, with its syslog priority, and what it means for the run."""

    line: str
    priority: int
    result: Result = Result.DONE


def release_stale(cards: bytes) -> list[Said]:
    """Let go of every mount of ours whose medium is gone, and of folders that were left over."""
    mounts, names = read_mounts(), os.listdir(cards)
    media = read_media()
    said = []
    for release in plan_releases(mounts, media, cards):
        _let_go(release.point)
        said.append(Said(f"{show_path(release.point)} let go: {release.why}", 6))
    for name in names:
        match = NAME.fullmatch(name)
        if match is not None and int(match[1]) not in media:
            _remove(os.path.join(cards, name))
    return said


def act(disk: Disk, action: Action, reader: Reader) -> Said:
    """Do one thing, and say how it went."""
    match action:
        case LetGo(point, why):
            _let_go(point)
            return Said(f"{show_path(point)} let go: {why}", 6)
        case Mount(partition, point):
            return _mount(disk, partition, point, reader)
        case Bind(partition, source, point):
            return _bind(disk, partition, source, point, reader)
        case Leave(name, why):
            return Said(f"{name}: {why}", 6)
        case Refuse(name, why):
            return Said(f"{name}: {why}", 3, Result.REFUSED)
        case Wait(name, why):
            return Said(f"{name}: {why}", 4, Result.RETRY)
        case _:
            assert_never(action)


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
    return Said(where, 5 if note else 6)


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
    if not _may_read(point, reader):
        _let_go(point)
        why = f"is mounted at {shown} for one user alone: unmount it there, and it is mounted here within a second"
        return Said(f"{partition.name}: {why}", 4, Result.RETRY)
    return Said(f"{partition.name}: bound read-only from {shown} to {show_path(point)}", 6)


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


def _may_read(point: bytes, reader: Reader) -> bool:
    found = os.stat(point)
    if found.st_uid == reader.uid:
        return found.st_mode & 0o500 == 0o500
    if found.st_gid == reader.gid:
        return found.st_mode & 0o050 == 0o050
    return found.st_mode & 0o005 == 0o005


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
