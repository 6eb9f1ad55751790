"""Whether rule, units and the like are where the system looks for them, as this version ships them."""

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ghostroll
from ghostroll.cards.sight import CARDS_FOLDER
from ghostroll.doctor.commands import read_bytes
from ghostroll.doctor.finding import INSTALL, Check, Finding, finding, hint, join_names, ok
from ghostroll.doctor.surroundings import ACCOUNT, Account, Service, Surroundings

_ADMIN = {  # what an administrator's file of the same name takes the place of, by systemd.unit(5), udev(7) and the like
    "/usr/lib/systemd/system/": "/etc/systemd/system/",
    "/usr/lib/systemd/user/": "/etc/systemd/user/",
    "/usr/lib/udev/rules.d/": "/etc/udev/rules.d/",
    "/usr/lib/sysusers.d/": "/etc/sysusers.d/",
    "/usr/lib/tmpfiles.d/": "/etc/tmpfiles.d/",
}
_RELOAD = {
    "/usr/lib/systemd/system/": " && sudo systemctl daemon-reload",
    "/usr/lib/systemd/user/": " && systemctl --user daemon-reload",
    "/usr/lib/udev/rules.d/": " && sudo udevadm control --reload",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A file that the service consists of: where it is in the source, and where the installer puts it."""

    source: str
    place: str


_USER_UNIT = Part("systemd/ghostroll-user.service", "/usr/lib/systemd/user/ghostroll.service")
PARTS = (
    Part("systemd/ghostroll.sysusers", "/usr/lib/sysusers.d/ghostroll.conf"),
    Part("systemd/ghostroll.tmpfiles", "/usr/lib/tmpfiles.d/ghostroll.conf"),
    Part("systemd/ghostroll.service", "/usr/lib/systemd/system/ghostroll.service"),
    Part("systemd/ghostroll-card@.service", "/usr/lib/systemd/system/ghostroll-card@.service"),
    _USER_UNIT,
    Part("systemd/ghostroll.rules", "/usr/share/polkit-1/rules.d/50-ghostroll.rules"),
    Part("udev/90-ghostroll.rules", "/usr/lib/udev/rules.d/90-ghostroll.rules"),
)
_RULE = PARTS[-1]


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What there is of a part.

    `shipped` is None where this package carries no copy, `installed` where there is none. `instead` is a file of the
    administrator that is taken in its place. `hidden`: this user may not look.
    """

    part: Part
    shipped: bytes | None
    installed: bytes | None
    instead: bytes | None
    instead_path: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """Who owns the folder of the cards, and who gets in."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class InstalledFacts:
    """`cards` is None where there is no such folder."""

    service: Service
    parts: tuple[PartFacts, ...]
    account: Account | None
    cards: Folder | None


def look_at_installation(surroundings: Surroundings) -> list[Finding]:
    """Files, user, group, and the folder of the cards."""
    home = find_shipped()
    return judge_installation(
        InstalledFacts(
            service=surroundings.service,
            parts=tuple(_read_part(part, home) for part in PARTS),
            account=surroundings.account,
            cards=_read_folder(os.fsdecode(CARDS_FOLDER)),
        )
    )


def judge_installation(facts: InstalledFacts) -> list[Finding]:
    """A person's own service needs its unit alone, and the system's rule must not take its cards away."""
    match facts.service:
        case Service.NONE:
            return [_say_no_service(facts.parts)]
        case Service.USER:
            needed = [one for one in facts.parts if one.part == _USER_UNIT]
            return [*_judge_parts(needed), *_judge_rule_beside(facts.parts)]
        case Service.SYSTEM:
            needed = [one for one in facts.parts if one.part != _USER_UNIT or one.installed is not None]
            return [*_judge_parts(needed), *_judge_account(facts), *_judge_cards(facts)]


def find_shipped() -> str | None:
    """Where this package carries the files of the service: its source, or beside its other data."""
    source = Path(ghostroll.__file__).resolve().parents[2]
    for home in (source, Path(sys.prefix, "share", "ghostroll")):
        if (home / PARTS[0].source).is_file():
            return str(home)
    return None


def _say_no_service(parts: Sequence[PartFacts]) -> Finding:
    left = [one.part.place for one in parts if one.installed is not None]
    why = "cards are taken only when somebody types 'ghostroll ingest'"
    if left:
        return finding(
            Check.INSTALLED,
            f"the service is installed in parts only: {join_names(left)} and no {PARTS[2].place}",
            "cards that go in are not taken",
            INSTALL,
        )
    return hint(Check.INSTALLED, "ghostroll is not installed as a service", why, INSTALL)


def _judge_parts(parts: Sequence[PartFacts]) -> list[Finding]:
    missing = [one.part.place for one in parts if one.installed is one.instead is None and not one.hidden]
    changed = [one.part.place for one in parts if _is_changed(one.installed, one.shipped)]
    found = []
    if missing:
        why = "the service doesn't work without, or only in part"
        found.append(finding(Check.INSTALLED, f"not installed: {join_names(missing, 9)}", why, INSTALL))
    if changed:
        found.append(
            finding(
                Check.INSTALLED,
                f"not as version {ghostroll.__version__} ships it: {join_names(changed, 9)}",
                "an old or edited file may not fit the rest; what you want otherwise belongs into a drop-in"
                " ('systemctl edit') or a rule of your own",
                INSTALL,
            )
        )
    found += [_say_instead(one) for one in parts if _is_replaced(one)]
    if not found and any(one.shipped is None for one in parts):
        why = "this package carries no copies to compare them with"
        return [
            hint(Check.INSTALLED, "rule and units are installed, perhaps of another version", why, INSTALL)
        ]
    return found or [ok(Check.INSTALLED, f"{_name_parts(parts)} as version {ghostroll.__version__} ships it")]


def _name_parts(parts: Sequence[PartFacts]) -> str:
    return "the unit is installed" if len(parts) == 1 else "rule, units and folders are installed, each"


def _is_changed(there: bytes | None, shipped: bytes | None) -> bool:
    return there is not None and shipped is not None and there != shipped


def _is_replaced(one: PartFacts) -> bool:
    """Whether something else is in force; of a unit that is masked the service manager tells."""
    if one.instead == b"":
        return not one.part.place.startswith("/usr/lib/systemd/")
    return _is_changed(one.instead, one.shipped)


def _say_instead(one: PartFacts) -> Finding:
    what = f"{one.instead_path} is taken instead of {one.part.place}"
    why = "it is not what this version ships, and may not fit the rest"
    if not one.instead:
        what, why = (
            f"{one.part.place} is switched off by {one.instead_path}",
            "so cards that go in are not taken",
        )
    folder = os.path.dirname(one.part.place) + "/"
    return finding(Check.INSTALLED, what, why, f"sudo rm {one.instead_path}{_RELOAD.get(folder, '')}")


def _judge_rule_beside(parts: Sequence[PartFacts]) -> list[Finding]:
    rule = next(one for one in parts if one.part == _RULE)
    if rule.installed is None or rule.instead == b"":
        return []
    off = f"/etc/udev/rules.d/{os.path.basename(_RULE.place)}"
    return [
        finding(
            Check.INSTALLED,
            "the rule of the system's service is in force beside your own service",
            "it keeps the desktop from mounting cards, and your service takes only what the desktop mounts",
            f"sudo ln -sf /dev/null {off} && sudo udevadm control --reload",
        )
    ]


def _judge_account(facts: InstalledFacts) -> list[Finding]:
    if facts.account is None:
        return [
            finding(
                Check.ACCOUNT,
                f"there is no user {ACCOUNT}",
                "the service runs as that user and can't start without",
                "sudo systemd-sysusers ghostroll.conf",
            )
        ]
    return [ok(Check.ACCOUNT, f"user and group {ACCOUNT} are there")]


def _judge_cards(facts: InstalledFacts) -> list[Finding]:
    folder = os.fsdecode(CARDS_FOLDER)
    remedy = "sudo systemd-tmpfiles --create ghostroll.conf"
    if facts.cards is None:
        return [finding(Check.CARDS_FOLDER, f"{folder} is not there", "cards are mounted in it", remedy)]
    if facts.account is not None and facts.cards != Folder(0, facts.account.gid, 0o750):
        owner = f"{facts.cards.uid}:{facts.cards.gid}, mode {facts.cards.mode:o}"
        why = f"only root may change it and only group {ACCOUNT} may look in: root:{ACCOUNT}, mode 750"
        return [finding(Check.CARDS_FOLDER, f"{folder} belongs to {owner}", why, remedy)]
    return [ok(Check.CARDS_FOLDER, f"{folder} is there for cards to be mounted in")]


def _read_part(part: Part, home: str | None) -> PartFacts:
    folder, name = os.path.split(part.place)
    shipped = None if home is None else read_bytes(os.path.join(home, part.source))
    admin = _ADMIN.get(folder + "/")
    instead = None if admin is None else admin + name
    hidden = os.path.isdir(folder) and not os.access(folder, os.X_OK)  # as Debian's of polkit's rules
    taken = None if instead is None else read_bytes(instead)
    return PartFacts(part, shipped, read_bytes(part.place), taken, instead or "", hidden)


def _read_folder(path: str) -> Folder | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (
        Folder(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        if stat.S_ISDIR(found.st_mode)
        else None
    )
