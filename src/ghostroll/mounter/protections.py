"""Which disks are none of our business: the system's own, whatever an administrator mounts, the library's."""

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator

from ghostroll.mounter.mounts import Mounted
from ghostroll.mounter.plan import Protection

# Where a disk that carries a part of the system is mounted. What is below /boot and /var counts as well.
_PLACES = frozenset(
    {b"/", b"/boot", b"/efi", b"/etc", b"/home", b"/nix", b"/opt", b"/root", b"/srv", b"/usr", b"/var"}
)
_BELOW = (b"/boot/", b"/var/")
_UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
_TAG = re.compile(r"(UUID|LABEL|PARTUUID|PARTLABEL)=(.+)", re.IGNORECASE)
_LINK = re.compile(r"/dev/disk/by-(uuid|label|partuuid|partlabel)/(.+)")


def find_protections(mounts: Iterable[Mounted], library: Iterable[bytes]) -> list[Protection]:
    """Everything on this machine that protects a disk. `library` are the paths that originals and state are kept at."""
    mounts = list(mounts)
    swaps = [os.fsencode(source) for source in parse_swaps(_read("/proc/swaps"))]
    return [
        *_protect_mounts(mounts),
        *_protect_paths(mounts, library, "holds the library"),
        *_protect_paths(mounts, swaps, "holds swap space"),
        *_protect_sources(parse_fstab(_read("/etc/fstab")), "stands in /etc/fstab"),
        *_protect_sources(parse_command_line(_read("/proc/cmdline")), "holds the system"),
        *_protect_units(),
    ]


def parse_fstab(text: str) -> list[str]:
    """What is mounted by fstab(5): its first fields, unescaped."""
    fields = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [_unescape(field[0]) for field in fields if field]


def parse_swaps(text: str) -> list[str]:
    """The devices and files of /proc/swaps."""
    return [_unescape(line.split()[0]) for line in text.splitlines()[1:] if line.strip()]


def parse_unit(text: str) -> list[str]:
    """What a .mount or .swap unit is about: its `What=`; specifiers are not known here."""
    found = re.findall(r"^\s*What\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return [what for what in found if what]


def parse_command_line(text: str) -> list[str]:
    """The root filesystem on the kernel's command line."""
    return re.findall(r"(?:^|\s)root=(\S+)", text)


def list_tags(source: str) -> list[str]:
    """A source as the tag that a probe would find, such as `UUID=…` from /dev/disk/by-uuid/… or its quoted form."""
    if match := _TAG.fullmatch(source):
        return [f"{match[1].upper()}={match[2].strip(chr(34))}"]
    if match := _LINK.fullmatch(source):
        return [f"{match[1].upper()}={decode_udev(match[2])}"]
    return []


def decode_udev(text: str) -> str:
    r"""Text as it was before udev wrote \xNN for what is not plain in it."""
    raw = re.sub(
        rb"\\x([0-9a-f]{2})",
        lambda match: bytes([int(match[1], 16)]),
        text.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "replace")


def _protect_mounts(mounts: Iterable[Mounted]) -> Iterator[Protection]:
    for mount in mounts:
        if mount.point in _PLACES or mount.point.startswith(_BELOW):
            why = f"holds {os.fsdecode(mount.point)}"
            for device in _list_devices(mount):
                yield Protection(device, why)


def _protect_paths(mounts: list[Mounted], paths: Iterable[bytes], why: str) -> Iterator[Protection]:
    """What a path is: a device itself, or a file or folder on one."""
    for path in paths:
        real = os.path.realpath(path)
        if (device := _find_device(real)) is not None:
            yield Protection(device, why)
            continue
        above = [
            mount
            for mount in mounts
            if real == mount.point or real.startswith(mount.point.rstrip(b"/") + b"/")
        ]
        if above:
            for device in _list_devices(max(above, key=lambda mount: len(mount.point))):
                yield Protection(device, why)


def _list_devices(mount: Mounted) -> Iterator[int]:
    """The block devices under a mount: btrfs has one number for all of its disks, and that is none of them."""
    if os.major(mount.device):
        yield mount.device
    device = _find_device(mount.source)
    if device is not None:
        yield device
        yield from _list_companions(device)


def _list_companions(device: int) -> Iterator[int]:
    known = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for filesystem in os.listdir("/sys/fs/btrfs"):
            folder = f"/sys/fs/btrfs/{filesystem}/devices"
            names = os.listdir(folder) if os.path.isdir(folder) else []
            numbers = [_read(f"{folder}/{name}/dev").strip() for name in names]
            if known in numbers:
                for number in numbers:
                    major, _, minor = number.partition(":")
                    yield os.makedev(int(major), int(minor))


def _protect_units() -> Iterator[Protection]:
    for folder in _UNITS:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                if name.endswith((".mount", ".swap")):
                    sources = parse_unit(_read(os.path.join(folder, name)))
                    yield from _protect_sources(sources, f"is used by the unit {name}")


def _protect_sources(sources: Iterable[str], why: str) -> Iterator[Protection]:
    for source in sources:
        for tag in list_tags(source):
            yield Protection(tag, why)
        path = _name_path(source)
        device = _find_device(os.fsencode(path)) if path.startswith("/dev/") else None
        if device is not None:
            yield Protection(device, why)


def _name_path(source: str) -> str:
    """Where udev links a tag to its device; other sources are paths themselves."""
    match = _TAG.fullmatch(source)
    return source if match is None else f"/dev/disk/by-{match[1].lower()}/{match[2].strip(chr(34))}"


def _find_device(path: bytes) -> int | None:
    if not path.startswith(b"/"):
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
