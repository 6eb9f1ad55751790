"""What the doctor says of udev, rule, units, service and people: by facts alone."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ghostroll.doctor.finding import Check, Finding, Level
from ghostroll.doctor.installed import (
    PARTS,
    Folder,
    InstalledFacts,
    Part,
    PartFacts,
    find_shipped,
    judge_installation,
)
from ghostroll.doctor.membership import MembershipFacts, judge_membership
from ghostroll.doctor.service import ServiceFacts, judge_sandbox, judge_service
from ghostroll.doctor.surroundings import Account, Service
from ghostroll.doctor.udev import Reader, UdevFacts, judge_udev

ROOT = Path(__file__).resolve().parents[2]
GHOSTROLL = Account("ghostroll", 990, 991)
WELL = UdevFacts(running=True, booted=True, default_poll=2000, readers=(), service=Service.SYSTEM)
RULE, UNIT, USER_UNIT = (
    next(part for part in PARTS if part.source == source)
    for source in ("udev/90-ghostroll.rules", "systemd/ghostroll.service", "systemd/ghostroll-user.service")
)
ACTIVE = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "ExecMainStatus": "0",
    "NeedDaemonReload": "no",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ReadWritePaths": "-/srv/ghostroll",
    "BindPaths": "",
}


def levels(found: list[Finding]) -> dict[Check, Level]:
    """How bad each check came out; one finding for each."""
    assert len({one.check for one in found}) == len(found)
    return {one.check: one.level for one in found}


def installed(*changed: PartFacts, service: Service = Service.SYSTEM) -> InstalledFacts:
    """A machine where all is installed, but for these parts."""
    parts = {part: PartFacts(part, b"text", b"text", None) for part in PARTS}
    parts |= {one.part: one for one in changed}
    return InstalledFacts(service, tuple(parts.values()), GHOSTROLL, Folder(0, 991, 0o750))


def only(found: list[Finding]) -> Finding:
    """The one thing that is wrong."""
    (one,) = (one for one in found if one.level is Level.FINDING)
    return one


def test_udev_is_well() -> None:
    """Where udev runs and readers are asked, that is said, with how often."""
    found = judge_udev(replace(WELL, readers=(Reader("sdb", -1), Reader("sdc", 500))))
    assert levels(found) == {Check.UDEVD: Level.OK, Check.POLLING: Level.OK}
    assert found[1].what == "readers are asked for new cards: sdb every 2 s, sdc every 0.5 s"


@pytest.mark.parametrize(("booted", "remedy"), [(True, "systemctl start"), (False, "systemd-udevd --daemon")])
def test_udev_is_down(*, booted: bool, remedy: str) -> None:
    """Without udev no card is seen."""
    one = only(judge_udev(replace(WELL, running=False, booted=booted)))
    assert one.check is Check.UDEVD
    assert remedy in one.remedy


def test_polling_is_off_for_all() -> None:
    """A default of 0 is mended by udev's own value; a reader with a value of its own is well."""
    one = only(judge_udev(replace(WELL, default_poll=0, readers=(Reader("sdb", 2000),))))
    assert one.check is Check.POLLING
    assert one.remedy == "echo 2000 | sudo tee /sys/module/block/parameters/events_dfl_poll_msecs"


@pytest.mark.parametrize(("default", "value"), [(2000, -1), (None, 2000)])
def test_polling_is_off_for_one(default: int | None, value: int) -> None:
    """A single reader that is never asked is named, and goes back to the default where there is one."""
    one = only(judge_udev(replace(WELL, default_poll=default, readers=(Reader("sdb", 0), Reader("sdc", -1)))))
    assert "sdb" in one.what
    assert one.remedy == f"echo {value} | sudo tee /sys/block/sdb/events_poll_msecs"


def test_without_a_service_udev_is_a_hint() -> None:
    """Where nobody waits for cards, nothing of udev keeps ghostroll from working."""
    found = judge_udev(replace(WELL, running=False, default_poll=0, service=Service.NONE))
    assert {one.level for one in found} == {Level.HINT}


def test_parts_are_those_of_the_installer() -> None:
    """The doctor looks for every file that the installer puts in place, and for no other, but for the documentation."""
    script = (ROOT / "systemd" / "install.sh").read_text()
    units = re.search(r"^readonly UNITS=(\S+)$", script, re.MULTILINE)
    assert units is not None
    table = script.partition("<<FILES\n")[2].partition("\nFILES")[0].replace("$UNITS", units[1])
    lines = (line.lstrip("?").split() for line in table.splitlines())
    assert {Part(*line) for line in lines if not line[1].startswith("$DOC")} == set(PARTS)


def test_parts_are_found_in_the_source() -> None:
    """From a source tree the files are compared with those of the tree."""
    assert find_shipped() == str(ROOT)
    assert all((ROOT / part.source).is_file() for part in PARTS)


def test_all_is_installed() -> None:
    """Where every file is as shipped, one line says so."""
    found = judge_installation(installed())
    assert levels(found) == {
        Check.INSTALLED: Level.OK,
        Check.ACCOUNT: Level.OK,
        Check.CARDS_FOLDER: Level.OK,
    }


@pytest.mark.parametrize(
    ("facts", "words", "remedy"),
    [
        (PartFacts(RULE, b"a", None, None), f"not installed: {RULE.place}", "make install"),
        (PartFacts(RULE, b"a", b"b", None), RULE.place, "make install"),
        (
            PartFacts(RULE, b"a", b"a", b"", "/etc/udev/rules.d/90-ghostroll.rules"),
            "switched off by /etc/udev/rules.d/90-ghostroll.rules",
            "sudo rm /etc/udev/rules.d/90-ghostroll.rules && sudo udevadm control --reload",
        ),
        (
            PartFacts(UNIT, b"a", b"a", b"c", "/etc/systemd/system/ghostroll.service"),
            "/etc/systemd/system/ghostroll.service is taken instead",
            "sudo rm /etc/systemd/system/ghostroll.service && sudo systemctl daemon-reload",
        ),
    ],
)
def test_a_part_is_wrong(facts: PartFacts, words: str, remedy: str) -> None:
    """A file that is missing, changed, or not in force is named with its remedy."""
    one = only(judge_installation(installed(facts)))
    assert one.check is Check.INSTALLED
    assert words in one.what
    assert remedy in one.remedy


@pytest.mark.parametrize(
    "facts",
    [
        PartFacts(USER_UNIT, b"a", None, None),  # another service than the one in use
        PartFacts(RULE, b"a", None, None, hidden=True),  # this user may not look
        PartFacts(UNIT, b"a", b"a", b"a", "/etc/systemd/system/ghostroll.service"),
        PartFacts(
            UNIT, b"a", b"a", b"", "/etc/systemd/system/ghostroll.service"
        ),  # masked: said of the service
    ],
)
def test_a_part_that_does_not_matter(facts: PartFacts) -> None:
    """What changes nothing is no finding."""
    assert levels(judge_installation(installed(facts)))[Check.INSTALLED] is Level.OK


def test_a_package_without_copies() -> None:
    """Where there is nothing to compare with, that is a hint; what is missing is found all the same."""
    parts = [PartFacts(part, None, b"text", None) for part in PARTS]
    assert levels(judge_installation(installed(*parts)))[Check.INSTALLED] is Level.HINT
    parts[-1] = PartFacts(RULE, None, None, None)
    assert only(judge_installation(installed(*parts))).what == f"not installed: {RULE.place}"


def test_no_service() -> None:
    """Where nothing is installed that is a hint; half an installation is a finding."""
    nothing = [PartFacts(part, b"a", None, None) for part in PARTS]
    (one,) = judge_installation(installed(*nothing, service=Service.NONE))
    assert one.level is Level.HINT
    nothing[-1] = PartFacts(RULE, b"a", b"a", None)
    one = only(judge_installation(installed(*nothing, service=Service.NONE)))
    assert RULE.place in one.what


def test_ones_own_service() -> None:
    """It needs its unit alone, and the system's rule out of its way."""
    others = [PartFacts(part, b"a", None, None) for part in PARTS if part != USER_UNIT]
    found = judge_installation(installed(*others, service=Service.USER))
    assert levels(found) == {Check.INSTALLED: Level.OK}
    one = only(judge_installation(installed(service=Service.USER)))
    assert one.remedy.startswith("sudo ln -sf /dev/null /etc/udev/rules.d/90-ghostroll.rules")
    masked = PartFacts(RULE, b"a", b"a", b"")
    assert levels(judge_installation(installed(masked, service=Service.USER))) == {Check.INSTALLED: Level.OK}


def test_no_account() -> None:
    """Without its user the service can't start."""
    one = only(judge_installation(replace(installed(), account=None)))
    assert (one.check, one.remedy) == (Check.ACCOUNT, "sudo systemd-sysusers ghostroll.conf")


@pytest.mark.parametrize("cards", [None, Folder(990, 991, 0o750), Folder(0, 0, 0o750), Folder(0, 991, 0o755)])
def test_the_folder_of_the_cards(cards: Folder | None) -> None:
    """It is root's, and only the group gets in."""
    one = only(judge_installation(replace(installed(), cards=cards)))
    assert (one.check, one.remedy) == (Check.CARDS_FOLDER, "sudo systemd-tmpfiles --create ghostroll.conf")


def serve(says: Mapping[str, str], service: Service = Service.SYSTEM, *, both: bool = False) -> list[Finding]:
    """What is said of a service that is well but for this."""
    return judge_service(ServiceFacts(service, both=both, booted=True, says={**ACTIVE, **says}))


def test_a_service_that_runs() -> None:
    """A service that is on and at work is one line."""
    assert levels(serve({})) == {Check.SERVICE: Level.OK}
    assert levels(serve({"ActiveState": "activating", "SubState": "start"})) == {Check.SERVICE: Level.OK}


@pytest.mark.parametrize(
    ("says", "words", "remedy"),
    [
        ({"UnitFileState": "disabled"}, "not enabled", "enable ghostroll.service"),
        ({"ActiveState": "inactive"}, "doesn't run (inactive)", "start ghostroll.service"),
        ({"ActiveState": "failed", "Result": "watchdog"}, "has failed: watchdog", "reset-failed"),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "7"},
            "another ghostroll holds the state",
            "reset-failed",
        ),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "1"},
            "exit status 1",
            "journalctl",
        ),
        ({"LoadState": "masked"}, "masked", "unmask"),
        ({"LoadState": "not-found"}, "doesn't know", "daemon-reload"),
    ],
)
@pytest.mark.parametrize(
    ("service", "command"), [(Service.SYSTEM, "sudo systemctl "), (Service.USER, "systemctl --user ")]
)
def test_a_service_that_does_not_run(
    service: Service, command: str, says: Mapping[str, str], words: str, remedy: str
) -> None:
    """What keeps a service from running is said with the command for the right manager."""
    one = only(serve(says, service))
    assert words in one.what
    assert remedy in one.remedy
    assert one.remedy.startswith(command)


def test_a_unit_that_was_not_read_again() -> None:
    """A change on disk that the manager has not read is a finding beside a running service."""
    found = serve({"NeedDaemonReload": "yes"})
    assert "changed on disk" in only(found).what


def test_two_services() -> None:
    """The system's service and one's own are one too many."""
    assert only(serve({}, both=True)).remedy == "systemctl --user disable --now ghostroll.service"


@pytest.mark.parametrize(
    "facts",
    [
        ServiceFacts(Service.SYSTEM, both=False, booted=False, says=None),
        ServiceFacts(Service.SYSTEM, both=False, booted=True, says=None),
    ],
)
def test_a_service_that_can_not_be_looked_at(facts: ServiceFacts) -> None:
    """Where systemd doesn't run or answer, that is said and is no finding."""
    assert levels(judge_service(facts)) == {Check.SERVICE: Level.HINT}


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (b"/var/lib/ghostroll/library", {}),
        (b"/srv/ghostroll", {}),
        (b"/srv/ghostroll/library", {}),
        (b"/mnt/photos/2026", {"ReadWritePaths": "-/srv/ghostroll -/mnt/photos/"}),
        (b"/mnt/my photos", {"ReadWritePaths": "-/srv/ghostroll -/mnt/my photos"}),
        (b"/mnt/photos", {"BindPaths": "/media/x:/mnt/photos:rbind"}),
        (b"/home/alex/photos", {"ProtectHome": "tmpfs", "BindPaths": "/home/alex/photos"}),
        (b"/home/alex/photos", {"ProtectHome": "no", "ProtectSystem": "full"}),
        (b"/mnt/photos", {"ProtectSystem": "no"}),
    ],
)
def test_an_open_sandbox(place: bytes, says: Mapping[str, str]) -> None:
    """What the unit opens to the service is well."""
    assert levels(judge_sandbox({**ACTIVE, **says}, [place])) == {Check.SANDBOX: Level.OK}


@pytest.mark.parametrize(
    ("place", "says", "lines"),
    [
        (b"/mnt/photos", {}, "ReadWritePaths=-/mnt/photos"),
        (b"/srv/ghostroll2", {}, "ReadWritePaths=-/srv/ghostroll2"),
        (b"/mnt/photos", {"ReadWritePaths": "-/mnt/photos/2026"}, "ReadWritePaths=-/mnt/photos"),
        (b"/mnt/my 100% photos", {}, "'ReadWritePaths=\"-/mnt/my 100%% photos\"'"),
        (b"/home/alex/photos", {}, "ProtectHome=tmpfs BindPaths=/home/alex/photos"),
        (b"/home/alex/photos", {"ReadWritePaths": "/home/alex/photos"}, "BindPaths=/home/alex/photos"),
    ],
)
def test_a_closed_sandbox(place: bytes, says: Mapping[str, str], lines: str) -> None:
    """What it keeps closed is one finding, with the drop-in that opens it."""
    (one,) = judge_sandbox({**ACTIVE, **says}, [place, place + b"/.ghostroll"])
    assert one.level is Level.FINDING
    assert place.decode() in one.what
    assert lines in one.remedy


def test_a_state_of_its_own_place() -> None:
    """A state outside the library has to be open as well."""
    (one,) = judge_sandbox(ACTIVE, [b"/srv/ghostroll", b"/mnt/state"])
    assert "/mnt/state" in one.what


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (MembershipFacts("alex", group_exists=True, listed=True, effective=True), Level.OK, ""),
        (MembershipFacts("alex", group_exists=True, listed=True, effective=None), Level.OK, ""),
        (MembershipFacts("alex", group_exists=True, listed=False, effective=True), Level.OK, ""),
        (
            MembershipFacts("alex", group_exists=True, listed=False, effective=False),
            Level.FINDING,
            "sudo usermod --append --groups ghostroll alex",
        ),
        (
            MembershipFacts("alex", group_exists=True, listed=True, effective=False),
            Level.FINDING,
            "newgrp ghostroll",
        ),
        (
            MembershipFacts("alex", group_exists=False, listed=False, effective=None),
            Level.FINDING,
            "systemd-sysusers",
        ),
    ],
)
def test_membership(facts: MembershipFacts, level: Level, remedy: str) -> None:
    """A person has to be in the group, and at this login."""
    (one,) = judge_membership(facts)
    assert one.level is level
    assert remedy in one.remedy
