"""Which disks have a fixed place in this machine: /etc/fstab and systemd's mount units."""

import contextlib
import glob
import re
from collections.abc import Mapping

FSTAB = "/etc/fstab"
UNITS = "/etc/systemd/system/*.mount"
_ESCAPED = re.compile(r"\\([0-7]{3})")
_WHAT = re.compile(r"^What\s*=\s*(.+?)\s*$", re.MULTILINE)


def read_fixed(fstab: str = FSTAB, units: str = UNITS) -> dict[str, str]:
    """What is mounted by configuration, as it is named there, and the file that says so."""
    found: dict[str, str] = {}
    for path in sorted(glob.glob(units)):
        found |= dict.fromkeys(parse_unit(_read(path)), path)
    return found | dict.fromkeys(parse_fstab(_read(fstab)), fstab)


def parse_fstab(text: str) -> list[str]:
    """The first fields of an fstab (fstab(5)): UUID=…, LABEL=…, /dev/…; quotes and escapes are undone."""
    lines = (line.split() for line in text.splitlines())
    return [_plain(fields[0]) for fields in lines if fields and not fields[0].startswith("#")]


def parse_unit(text: str) -> list[str]:
    """What a mount unit mounts (systemd.mount(5))."""
    return [_plain(what) for what in _WHAT.findall(text)]


def find_fixed(aliases: frozenset[str], fixed: Mapping[str, str]) -> str | None:
    """The file that gives a device with these names a fixed place, if there is one."""
    plain = {alias.casefold() for alias in aliases}
    return next((file for name, file in fixed.items() if name.casefold() in plain), None)


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field).replace('"', "")


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return ""
