"""Whether the kernel can mount what cameras write."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ghostroll.doctor.commands import read_text
from ghostroll.doctor.finding import Check, Finding, finding, hint, join_names, ok
from ghostroll.doctor.surroundings import Service, Surroundings

_DRIVERS = {"ext2": "ext4", "ext3": "ext4"}  # which driver mounts it, where that is not the one of its name


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """`loaded` are the filesystems that the kernel has now, `available` the modules it could load.

    `modules_there` is whether this kernel's folder of modules is.
    """

    wanted: tuple[str, ...]
    loaded: frozenset[str]
    available: frozenset[str]
    modules_there: bool
    release: str
    service: Service


def look_at_drivers(surroundings: Surroundings) -> list[Finding]:
    """The kernel's drivers for the filesystems of cards."""
    release = os.uname().release
    folder = f"/lib/modules/{release}"
    return judge_drivers(
        DriverFacts(
            wanted=tuple(dict.fromkeys(surroundings.settings.cards.filesystems)),
            loaded=frozenset(_parse_filesystems(read_text("/proc/filesystems") or "")),
            available=frozenset(_read_modules(folder)),
            modules_there=os.path.isdir(folder),
            release=release,
            service=surroundings.service,
        )
    )


def judge_drivers(facts: DriverFacts) -> list[Finding]:
    """Without a service that mounts cards, a missing driver is a hint: something else may mount them (FUSE)."""
    there = facts.loaded | facts.available
    missing = [one for one in facts.wanted if one not in there and _DRIVERS.get(one) not in there]
    if not missing:
        return [ok(Check.DRIVERS, f"the kernel can mount {join_names(facts.wanted, 9)}")]
    say = finding if facts.service is Service.SYSTEM else hint
    what = f"the kernel has no driver for {join_names(missing, 9)}"
    why = "cards with that filesystem can't be mounted"
    return [say(Check.DRIVERS, what, why, _remedy(facts))]


def _remedy(facts: DriverFacts) -> str:
    if not facts.modules_there:
        # Its package was replaced by a newer one while it runs; or there never was one.
        return "sudo reboot  # if the kernel was updated since the machine was started; else take one that has modules"
    if cloud := re.fullmatch(r".*-cloud-(amd64|arm64)", facts.release):
        return f"sudo apt install linux-image-{cloud[1]} && sudo reboot"
    return f"sudo apt install --reinstall linux-image-{facts.release}"


def _parse_filesystems(text: str) -> Iterator[str]:
    yield from (line.split()[-1] for line in text.splitlines() if line.strip())


def _read_modules(folder: str) -> Iterator[str]:
    """Names of all modules in modules.dep and modules.builtin, modules.dep(5)."""
    for name in ("modules.dep", "modules.builtin"):
        for line in (_read_whole(os.path.join(folder, name))).splitlines():
            base = os.path.basename(line.partition(":")[0])
            yield base.partition(".ko")[0]


def _read_whole(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
