"""Whether the service is switched on and at work, and may write where it has to."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ghostroll.cards.mounts import is_below
from ghostroll.doctor.commands import ask_systemd
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, ok
from ghostroll.doctor.surroundings import SERVICE_STATE, UNIT, Service, Surroundings

_PROPERTIES = [
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "MainPID",
    "NeedDaemonReload",
    "ProtectSystem",
    "ProtectHome",
    "ReadWritePaths",
    "BindPaths",
]
_ON = frozenset({"enabled", "enabled-runtime", "linked", "static", "alias"})
_DROP_INS = f"/etc/systemd/system/{UNIT}.d"
_HOMES = (b"/home", b"/root", b"/run/user")  # what ProtectHome= is about, systemd.exec(5)
_EXITS = {  # of ghostroll itself
    "2": "its configuration or its library has to be mended",
    "5": "there is no space",
    "7": "another ghostroll holds the state",
}


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """`says` are the unit's properties by systemctl(1), None where the manager doesn't answer.

    `places` are what the service has to write to: real paths of library and state; none where its settings
    are not known.
    """

    service: Service
    both: bool
    booted: bool
    says: Mapping[str, str] | None
    places: tuple[bytes, ...] = ()


def look_at_service(surroundings: Surroundings) -> list[Finding]:
    """What the service manager says."""
    own = surroundings.service is Service.USER
    if surroundings.service is Service.NONE:
        return []
    settings = surroundings.settings
    places = (os.fsencode(settings.library.path), os.fsencode(settings.state_path.parent))
    return judge_service(
        ServiceFacts(
            service=surroundings.service,
            both=surroundings.both_services,
            booted=surroundings.booted,
            says=ask_systemd(UNIT, _PROPERTIES, own=own) if surroundings.booted else None,
            places=() if surroundings.own_settings else tuple(map(os.path.realpath, places)),
        )
    )


def judge_service(facts: ServiceFacts) -> list[Finding]:
    """Whether the service is on, runs, and what its sandbox lets it write."""
    if not facts.booted:
        why = "systemd doesn't run this machine"
        return [could_not_look(Check.SERVICE, "the service", why, remedy="")]
    if facts.says is None:
        return [could_not_look(Check.SERVICE, "the service", "the service manager doesn't answer")]
    found = [*_judge_running(facts.service, facts.says), *_judge_reload(facts.service, facts.says)]
    if facts.both:
        found.append(
            finding(
                Check.SERVICE,
                "the system's service and your own are both switched on",
                "the system's takes the cards, and keeps the desktop from mounting them for yours",
                f"systemctl --user disable --now {UNIT}",
            )
        )
    if facts.service is Service.SYSTEM and facts.places:
        found += judge_sandbox(facts.says, facts.places)
    return found


def judge_sandbox(says: Mapping[str, str], places: Sequence[bytes]) -> list[Finding]:
    """Whether the unit's sandbox lets the service write below these real paths (systemd.exec(5))."""
    bound, opened = says.get("BindPaths", ""), says.get("ReadWritePaths", "") + " " + SERVICE_STATE
    found = []
    for place in places:
        shown = os.fsdecode(place)
        if any(is_below(place, other) for other in places[: places.index(place)]):
            continue  # the state is in the library, mostly
        if any(is_below(place, home) for home in _HOMES) and says.get("ProtectHome", "no") != "no":
            if not _names_folder_of(bound, shown):
                found.append(_say_closed(shown, "ProtectHome=tmpfs", f"BindPaths={_quote(shown)}"))
        elif says.get("ProtectSystem") == "strict" and not _names_folder_of(f"{opened} {bound}", shown):
            found.append(_say_closed(shown, f"ReadWritePaths={_quote(f'-{shown}')}"))
    return found or [ok(Check.SANDBOX, "the service may write to its library and its state")]


def _say_closed(place: str, *lines: str) -> Finding:
    written = shlex.join(["printf", "%s\\n", "[Service]", *lines])
    return finding(
        Check.SANDBOX,
        f"the service may not write to {place}",
        "its sandbox is closed to everything but its own folders",
        f"sudo mkdir -p {_DROP_INS} && {written} | sudo tee {_DROP_INS}/library.conf && sudo systemctl daemon-reload && sudo systemctl restart {UNIT}",
    )


def _quote(path: str) -> str:
    """A path as a unit takes it (systemd.syntax(7)), specifiers undone."""
    path = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{path}"' if any(letter in path for letter in " \"'\\;") else path


def _judge_running(service: Service, says: Mapping[str, str]) -> list[Finding]:
    systemctl = _systemctl(service)
    if says.get("LoadState") == "masked":
        remedy = f"{systemctl} unmask {UNIT} && {systemctl} enable --now {UNIT}"
        return [finding(Check.SERVICE, "the service is masked", "cards that go in are not taken", remedy)]
    if says.get("LoadState") != "loaded":
        return [
            finding(
                Check.SERVICE,
                f"the service manager doesn't know {UNIT} ({says.get('LoadState', 'no answer')})",
                "cards that go in are not taken",
                f"{systemctl} daemon-reload && {systemctl} enable --now {UNIT}",
            )
        ]
    found = []
    if says.get("UnitFileState") not in _ON:
        why = (
            "it doesn't start with the machine"
            if service is Service.SYSTEM
            else "it doesn't start when you log in"
        )
        found.append(finding(Check.SERVICE, "the service is not enabled", why, f"{systemctl} enable {UNIT}"))
    match says.get("ActiveState"):
        case "active":
            return found or [ok(Check.SERVICE, "the service is enabled and runs")]
        case "activating":
            return [*found, ok(Check.SERVICE, f"the service is starting ({says.get('SubState')})")]
        case state:
            return [*found, _say_stopped(service, state or "unknown", says)]


def _say_stopped(service: Service, state: str, says: Mapping[str, str]) -> Finding:
    systemctl, what = _systemctl(service), f"the service doesn't run ({state})"
    own = "--user " if service is Service.USER else ""
    start = f"{systemctl} start {UNIT}"
    status = says.get("ExecMainStatus", "0")
    if state == "failed":
        cause = (
            _EXITS.get(status, f"exit status {status}")
            if says.get("Result") == "exit-code"
            else says.get("Result")
        )
        what = f"the service has failed: {cause}"
        start = f"{systemctl} reset-failed {UNIT} && {start}  # journalctl {own}-u {UNIT} -n 20 tells why it failed"
    return finding(Check.SERVICE, what, "cards that go in are not taken", start)


def _judge_reload(service: Service, says: Mapping[str, str]) -> list[Finding]:
    if says.get("NeedDaemonReload") != "yes":
        return []
    systemctl = _systemctl(service)
    return [
        finding(
            Check.SERVICE,
            "the unit was changed on disk and the service manager has not read it again",
            "the service runs by the old one",
            f"{systemctl} daemon-reload && {systemctl} restart {UNIT}",
        )
    ]


def _systemctl(service: Service) -> str:
    return "systemctl --user" if service is Service.USER else "sudo systemctl"


def _names_folder_of(paths: str, place: str) -> bool:
    """Whether a list of paths, as `systemctl show` prints it, has the place or a folder above it. They may hold spaces."""
    above = [place, *map(str, PurePath(place).parents[:-1])]
    return any(re.search(rf"(?:^|[\s:])[-+]*{re.escape(path)}/?(?=[\s:]|$)", paths) for path in above)
