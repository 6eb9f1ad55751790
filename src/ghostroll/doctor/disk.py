"""The library's disk: whether it keeps what it is told to, takes files, and has room."""

import contextlib
import os
import secrets
import shlex
from dataclasses import dataclass

from ghostroll.cards.mounts import find_mount, is_below, read_mounts
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, hint, ok
from ghostroll.doctor.library import is_usable
from ghostroll.doctor.surroundings import SERVICE_STATE, Surroundings
from ghostroll.library.identity import INCOMING
from ghostroll.library.identity import STRONG_FILESYSTEMS as STRONG
from ghostroll.observe.wording import say_bytes

_LITTLE = 0.1  # of a disk
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The filesystem that the library is on, or will be; sizes in bytes.

    `writer` has to be able to write; `takes_files` is whether they are, None where this user's rights don't tell.
    `trial` is what a file made for trial came to: "" where it is durable, else the error, None without one.
    """

    library: str
    is_new: bool
    point: str
    filesystem: str
    allow_weak: bool
    read_only: bool
    size: int
    free: int
    keep_free: int
    writer: str
    takes_files: bool | None
    trial: str | None


def look_at_disk(surroundings: Surroundings) -> list[Finding]:
    """The disk under the library; nothing where the library can't be used anyway."""
    return judge_disk(_read_disk(surroundings)) if is_usable(surroundings) else []


def judge_disk(facts: DiskFacts) -> list[Finding]:
    """Filesystem, rights, durability, and room."""
    return [_judge_filesystem(facts), *_judge_writing(facts), _judge_space(facts)]


def _judge_filesystem(facts: DiskFacts) -> Finding:
    kind = facts.filesystem or "an unknown filesystem"
    if facts.filesystem in STRONG:
        return ok(Check.FILESYSTEM, f"the library is on {kind}")
    why = f"{kind} does not promise to keep files through a power cut"
    if facts.allow_weak:
        what = f"the library is on {kind}, as library.allow_weak_filesystem allows"
        return hint(Check.FILESYSTEM, what, why, "move the library to a disk with ext4, xfs or btrfs")
    remedy = "set library.path to a folder on ext4, xfs or btrfs, or library.allow_weak_filesystem = true"
    return finding(Check.FILESYSTEM, f"the library is on {kind}", f"{why}, and ghostroll refuses it", remedy)


def _judge_writing(facts: DiskFacts) -> list[Finding]:
    if facts.read_only:
        return [
            finding(
                Check.WRITABLE,
                f"the library's disk is mounted read-only at {facts.point}",
                "nothing can be copied; the kernel does this to a disk that fails ('sudo dmesg | tail -n 30' tells)",
                f"sudo mount -o remount,rw {shlex.quote(facts.point)}",
            )
        ]
    if facts.takes_files is None:
        why = f"{facts.writer} writes there, not you"
        return [could_not_look(Check.WRITABLE, "whether the library takes files", why)]
    if not facts.takes_files:
        return [_say_unwritable(facts)]
    writable = ok(Check.WRITABLE, f"{facts.writer} may write to the library")
    if facts.trial is None:
        return [writable]
    return [writable, _judge_trial(facts.trial, facts.point)]


def _say_unwritable(facts: DiskFacts) -> Finding:
    place = shlex.quote(facts.library)
    remedy = f"sudo chown -R {facts.writer}: {place}"
    if facts.is_new:
        remedy = f"sudo mkdir -p {place} && {remedy}"
    return finding(
        Check.WRITABLE, f"{facts.writer} may not write to {facts.library}", "nothing can be copied", remedy
    )


def _judge_trial(error: str, point: str) -> Finding:
    if not error:
        return ok(Check.SYNC, "a file made for trial is on the library's disk for certain (fsync)")
    return finding(
        Check.SYNC,
        f"a file made for trial can't be made durable on the library's disk: {error}",
        "no card can be called safe",
        f"sudo dmesg | tail -n 30; df -h {shlex.quote(point)}  # the first tells of a failing disk, the second of a full one",
    )


def _judge_space(facts: DiskFacts) -> Finding:
    usable = facts.free - facts.keep_free
    room = f"{say_bytes(max(0, usable))} of {say_bytes(facts.size)}"
    remedy = f"du -xh --max-depth=1 {shlex.quote(facts.library)} | sort -h  # shows what takes it; or take a larger disk"
    if usable <= 0:
        kept = (
            f", and library.keep_free_mib keeps {say_bytes(facts.keep_free)} free" if facts.keep_free else ""
        )
        what = (
            f"the library's disk is full: {say_bytes(facts.free)} of {say_bytes(facts.size)} are left{kept}"
        )
        return finding(Check.SPACE, what, "nothing can be copied", remedy)
    if usable < _LITTLE * facts.size:
        return hint(
            Check.SPACE, f"the library's disk has room for only {room}", "the next cards may not fit", remedy
        )
    return ok(Check.SPACE, f"the library's disk has room for {room}")


def _read_disk(surroundings: Surroundings) -> DiskFacts:
    settings = surroundings.settings
    library = os.fsencode(settings.library.path)
    folder = find_nearest(library)
    space = os.statvfs(folder)
    mount = find_mount(os.path.realpath(folder), read_mounts())
    read_only = bool(space.f_flag & os.ST_RDONLY)
    takes = _may_write(folder, library, surroundings)
    return DiskFacts(
        library=os.fsdecode(library),
        is_new=folder != library,
        point="/" if mount is None else os.fsdecode(mount.point),
        filesystem="" if mount is None else mount.filesystem,
        allow_weak=settings.library.allow_weak_filesystem,
        read_only=read_only,
        size=space.f_blocks * space.f_frsize,
        free=space.f_bavail * space.f_frsize,
        keep_free=settings.library.keep_free_mib << 20,
        writer=surroundings.writer_name,
        takes_files=takes,
        trial=try_durable_file(library) if takes and not read_only else None,
    )


def find_nearest(path: bytes) -> bytes:
    """A folder, or the nearest one above it that is there."""
    while not os.path.isdir(path) and path != b"/":
        path = os.path.dirname(path)
    return path


def _may_write(folder: bytes, library: bytes, surroundings: Surroundings) -> bool | None:
    if not surroundings.sees_as_writer:
        return None
    state = SERVICE_STATE.encode()
    if not surroundings.own_settings and is_below(library, state) and not is_below(folder, state):
        return True  # the unit's StateDirectory= makes it
    places = [folder]
    if folder == library:
        places += [
            place for name in (b".ghostroll", INCOMING) if os.path.isdir(place := os.path.join(library, name))
        ]
    return all(os.access(place, os.W_OK | os.X_OK, effective_ids=True) for place in places)


def try_durable_file(library: bytes) -> str | None:
    """Make a file in the library's `incoming`, make it durable, remove it; "" if that went well, else the error.

    None where there is no such folder yet. Nothing is left behind but by a kill, and that an ingest clears.
    """
    with contextlib.ExitStack() as opened:
        try:
            folder = _open_below(library, INCOMING, opened)
        except OSError:
            return None
        name = f"doctor-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
            try:
                os.write(descriptor, secrets.token_bytes(4096))
                os.fsync(descriptor)
                os.fsync(folder)
            finally:
                os.close(descriptor)
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _open_below(top: bytes, path: bytes, opened: contextlib.ExitStack) -> int:
    """A folder below another, without following links: root may be looking at anybody's library."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    for name in path.split(b"/"):
        descriptor = os.open(name, _FOLDER, dir_fd=descriptor)
        opened.callback(os.close, descriptor)
    return descriptor
