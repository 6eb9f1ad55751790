"""Whose ghostroll is looked at: the system's service, a person's own, or commands by hand."""

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ghostroll.config import Loaded, Settings
from ghostroll.config.loading import SYSTEM_FILE
from ghostroll.station.witness import Witness

ACCOUNT = "ghostroll"  # the service's user and its group
UNIT = "ghostroll.service"
SERVICE_STATE = "/var/lib/ghostroll"  # the unit's StateDirectory=
_SYSTEM_UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_BOOTED = "/run/systemd/system"  # sd_booted(3)


class Service(StrEnum):
    """Who takes cards on this machine."""

    SYSTEM = "system"  # ghostroll.service of the system
    USER = "user"  # this person's own, under systemctl --user
    NONE = "none"  # nobody by itself; there are the commands


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every look starts from. Cheap to know: no disk but the system's was asked.

    `both_services` is whether the system's service and this person's own are switched on.
    `own_settings` are this person's; else they are the system service's. `person` is who sits at the keyboard,
    None where root does.
    """

    settings: Settings
    service: Service
    both_services: bool
    own_settings: bool
    booted: bool
    uid: int
    person: str | None
    account: Account | None
    witness: Witness

    @property
    def runner(self) -> Service:
        """Which service runs by these settings."""
        return Service.NONE if self.own_settings and self.service is Service.SYSTEM else self.service

    @property
    def writer(self) -> Account | None:
        """Whom root has to become to see what the service sees; None where this process is the one that writes."""
        return self.account if self.uid == 0 and not self.own_settings else None

    @property
    def writer_name(self) -> str:
        """Who has to be able to write to the library."""
        if self.own_settings:
            return "root" if self.uid == 0 else self.person or str(self.uid)
        return ACCOUNT

    @property
    def sees_as_writer(self) -> bool:
        """Whether what this process may do tells what ghostroll may do."""
        return (
            self.own_settings or self.uid == 0 or (self.account is not None and self.account.uid == self.uid)
        )


def look_around(
    loaded: Loaded, environ: Mapping[str, str], find_witness: Callable[[Mapping[str, str]], Witness]
) -> Surroundings:
    """The surroundings of this process."""
    system_enabled = os.path.lexists(f"/etc/systemd/system/multi-user.target.wants/{UNIT}")
    user_enabled = os.geteuid() != 0 and any(map(os.path.lexists, _user_links(environ)))
    service = choose_service(
        system_installed=any(os.path.lexists(os.path.join(folder, UNIT)) for folder in _SYSTEM_UNITS),
        system_enabled=system_enabled,
        user_enabled=user_enabled,
    )
    own = is_own(loaded, service)
    return Surroundings(
        settings=loaded.settings,
        service=service,
        both_services=system_enabled and user_enabled,
        own_settings=own,
        booted=os.path.isdir(_BOOTED),
        uid=os.geteuid(),
        person=_find_person(environ),
        account=_find_account(ACCOUNT),
        witness=find_witness(environ if own else {"STATE_DIRECTORY": SERVICE_STATE}),
    )


def choose_service(*, system_installed: bool, system_enabled: bool, user_enabled: bool) -> Service:
    """Which service is meant: a person who switched their own on means that one, unless the system's is on too."""
    if user_enabled and not system_enabled:
        return Service.USER
    return Service.SYSTEM if system_installed else Service.NONE


def is_own(loaded: Loaded, service: Service) -> bool:
    """Whether these settings are a person's; the system's service has those of its file, and none of our environment."""
    changed = any(origin.startswith("environment ") for origin in loaded.origins.values())
    return service is not Service.SYSTEM or loaded.file != SYSTEM_FILE or changed


def _user_links(environ: Mapping[str, str]) -> list[str]:
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(Path.home(), ".config")
    return [f"{folder}/systemd/user/default.target.wants/{UNIT}" for folder in (base, "/etc")]


def _find_person(environ: Mapping[str, str]) -> str | None:
    if os.geteuid() == 0:
        name = environ.get("SUDO_USER", "")
        return name if name not in ("", "root") and _find_account(name) else None
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def _find_account(name: str) -> Account | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(found.pw_name, found.pw_uid, found.pw_gid)
