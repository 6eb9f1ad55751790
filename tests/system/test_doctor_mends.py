"""`ghostroll doctor` on an installed machine: each thing is broken for real, said, and mended by the very command that is said."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from container import LIBRARY, SETTINGS, Container

REINSTALL = "sudo make install"
UNIT = "/usr/lib/systemd/system/ghostroll.service"
DROP_INS = "/etc/systemd/system/ghostroll.service.d"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A machine on which all is well, and is so again after each test."""
    with Container(tmp_path_factory.mktemp("doctor")) as machine:
        machine.run("mkdir", "/mnt/photos", "/home/photos")
        yield machine


def examine(machine: Container, user: str | None = None) -> list[dict[str, Any]]:
    """What the doctor finds, as root or as another."""
    run = machine.execute("ghostroll", "doctor", "--json", user=user)
    assert run.code in (0, 3), run.out + run.err
    document = json.loads(run.out)
    found = [one for one in document["checks"] if one["level"] == "finding"]
    assert len(found) == document["findings"]
    assert run.code == (3 if found else 0)
    return found


def mend(machine: Container, remedy: str) -> None:
    """Type what the doctor says, as a person who may sudo."""
    machine.execute(
        "systemctl", "reset-failed", "ghostroll"
    )  # so many starts in a row are none of its business
    machine.run("sh", "-c", remedy, user="alex")


# What breaks it; what is found, by check and words.
BROKEN = {
    "udev stopped": (
        "systemctl stop systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udevd.service",
        "udevd",
        "udev doesn't run",
    ),
    "no folder for cards": (
        "rmdir /run/ghostroll/cards",
        "cards-folder",
        "/run/ghostroll/cards is not there",
    ),
    "a folder for cards that anybody may enter": (
        "chmod 777 /run/ghostroll/cards",
        "cards-folder",
        "mode 777",
    ),
    "service stopped": ("systemctl stop ghostroll", "service", "the service doesn't run (inactive)"),
    "service disabled": ("systemctl disable ghostroll", "service", "the service is not enabled"),
    "service killed, and given up": (
        (
            "systemctl kill -s KILL ghostroll; mkdir -p /run/systemd/system/ghostroll.service.d;"
            "systemctl stop ghostroll; systemctl start ghostroll;"
            "printf '[library]\\npath = 3\\n' > /etc/ghostroll/bad.toml; chmod 644 /etc/ghostroll/bad.toml;"
            "printf '[Service]\\nEnvironment=GHOSTROLL_CONFIG=/etc/ghostroll/bad.toml\\n' > /run/systemd/system/ghostroll.service.d/bad.conf;"
            "systemctl daemon-reload; systemctl restart ghostroll; rm -r /run/systemd/system/ghostroll.service.d; systemctl daemon-reload"
        ),
        "service",
        "the service has failed: its configuration or its library has to be mended",
    ),
    "service masked": (
        "systemctl stop ghostroll; systemctl disable ghostroll; systemctl mask ghostroll",
        "service",
        "the service is masked",
    ),
    "a unit in its place": (
        f"sed s/WatchdogSec=60/WatchdogSec=61/ {UNIT} > /etc/systemd/system/ghostroll.service; systemctl daemon-reload",
        "installed",
        "/etc/systemd/system/ghostroll.service is taken instead",
    ),
    "a rule switched off": (
        "ln -s /dev/null /etc/udev/rules.d/90-ghostroll.rules",
        "installed",
        "90-ghostroll.rules is switched off by /etc/udev/rules.d/90-ghostroll.rules",
    ),
    "a unit that was not read again": (
        (
            f"mkdir -p {DROP_INS}; printf '[Service]\\nWatchdogSec=50\\n' > {DROP_INS}/a.conf; systemctl daemon-reload;"
            f"touch {DROP_INS}/a.conf"
        ),
        "service",
        "was changed on disk",
    ),
    "a private host": (
        "mount --make-rprivate /run; systemctl restart ghostroll",
        "namespace",
        "what is mounted below /run/ghostroll/cards does not reach the daemon",
    ),
    "a library that is read-only": (
        "systemctl stop ghostroll; mount -o remount,ro /var/lib/ghostroll",
        "writable",
        "mounted read-only at /var/lib/ghostroll",
    ),
    "a library of root's": (
        f"chown -R root: {LIBRARY}/.ghostroll/incoming",
        "writable",
        "ghostroll may not write to",
    ),
    "a session of root's": (
        f"mkdir {LIBRARY}/2026-11-22_143015-EOS_DIGITAL-k3f7",
        "target",
        "may not write to 1 of 1 session folders: 2026-11-22_143015-EOS_DIGITAL-k3f7",
    ),
    "a marker that is damaged": (
        f"echo '{{' > {LIBRARY}/.ghostroll/library.json",
        "library",
        "it is damaged",
    ),
    "a marker of root's": (
        f"chown root: {LIBRARY}/.ghostroll/library.json; chmod 600 {LIBRARY}/.ghostroll/library.json",
        "library",
        "Permission denied",
    ),
    "a database that is damaged": (
        f"systemctl stop ghostroll; printf 'rubbish rubbish rubbish' | dd of={LIBRARY}/.ghostroll/state.db conv=notrunc bs=1 status=none",
        "state",
        "is not a database of ghostroll",
    ),
    "a daemon that is silent": (
        "systemctl kill -s STOP ghostroll",
        "owner",
        "holds the state and does not answer",
    ),
}
# Some leave the service stopped, which is found as well.
TOGETHER = {"service", "owner"}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_mended(machine: Container, case: str) -> None:
    """The doctor names what is broken, and its own command mends it."""
    damage, check, words = BROKEN[case]
    assert examine(machine) == []
    machine.run("sh", "-c", damage)
    found = examine(machine)
    (wanted,) = [one for one in found if one["check"] == check]
    assert words in wanted["what"]
    assert {one["check"] for one in found} <= {check} | TOGETHER
    mend(machine, wanted["remedy"])
    for left in examine(machine):
        assert left["check"] in TOGETHER - {check}, left
        mend(machine, left["remedy"])
    machine.wait_until(lambda: examine(machine) == [])


@pytest.mark.parametrize("place", ["/mnt/photos", "/home/photos/my 100% photos"])
def test_a_library_that_the_sandbox_closes(machine: Container, place: str) -> None:
    """A library elsewhere is opened to the service by the command that is said."""
    machine.run("install", "-d", "-o", "ghostroll", "-g", "ghostroll", place)
    machine.write(
        "/etc/ghostroll/config.toml",
        SETTINGS.replace(f'"{LIBRARY}"', f'"{place}"\nallow_weak_filesystem = true'),
    )
    machine.execute("systemctl", "restart", "ghostroll")
    found = examine(machine)
    (wanted,) = [one for one in found if one["check"] == "sandbox"]
    assert wanted["what"] == f"the service may not write to {place}"
    mend(machine, wanted["remedy"])
    machine.wait_until(lambda: machine.exists(f"{place}/.ghostroll/library.json"))
    machine.wait_until(lambda: examine(machine) == [])
    machine.run("rm", "-r", DROP_INS)
    machine.write("/etc/ghostroll/config.toml", SETTINGS)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed", "ghostroll")
    machine.run("systemctl", "restart", "ghostroll")


def test_a_private_service(machine: Container) -> None:
    """A drop-in that closes the daemon's namespace to mounts is found."""
    machine.write(f"{DROP_INS}/a.conf", "[Service]\nMountFlags=private\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ghostroll")
    (wanted,) = examine(machine)
    assert wanted["check"] == "namespace"
    assert "MountFlags=private" in wanted["why"]
    machine.run("rm", "-r", DROP_INS)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ghostroll")


@pytest.mark.parametrize(
    "gone", ["/usr/lib/udev/rules.d/90-ghostroll.rules", "/usr/lib/tmpfiles.d/ghostroll.conf"]
)
def test_a_file_that_is_missing_or_old(machine: Container, gone: str) -> None:
    """A part that is not there, or not as it is shipped, is named with the installer as the remedy."""
    machine.run("mv", gone, "/root/kept")
    (wanted,) = examine(machine)
    assert wanted["what"] == f"not installed: {gone}"
    assert wanted["remedy"].startswith(REINSTALL)
    machine.run("sh", "-c", f"cat /root/kept > {gone}; echo '# old' >> {gone}")
    (wanted,) = examine(machine)
    assert wanted["what"] == f"not as version 0.1.0 ships it: {gone}"
    machine.run("mv", "/root/kept", gone)
    assert examine(machine) == []


def test_people(machine: Container) -> None:
    """Who is in the group is told so, who isn't is told how to get in, and what only root sees is no finding."""
    assert examine(machine, "alex") == []
    assert examine(machine, "ghostroll") == []
    (wanted,) = examine(machine, "stranger")
    assert wanted["what"] == "stranger is not in group ghostroll"
    mend(machine, wanted["remedy"])
    assert examine(machine, "stranger") == []
    without = ["setpriv", "--reuid=stranger", "--regid=stranger", "--clear-groups", "--reset-env"]
    run = machine.execute(*without, "ghostroll", "doctor")
    assert "stranger is in group ghostroll, but was not yet at this login" in run.out
    machine.run("gpasswd", "--delete", "stranger", "ghostroll")


def test_a_card_that_is_in(machine: Container, disks: Any) -> None:
    """A card that is mounted is seen by the daemon, and is counted."""
    card = machine.insert(disks.format("A", mib=16, files={"DCIM/100CANON/1.bin": b"x" * 1000}))
    machine.wait_for_mount(card.point())
    run = machine.execute("ghostroll", "doctor")
    assert "the daemon sees the mounts of cards, 1 now" in run.out
    card.pull()


def test_a_users_own_service(machine: Container) -> None:
    """Beside the system's service one's own is too much; alone it needs its unit, and the system's rule out of its way."""
    machine.run("loginctl", "enable-linger", "alex")
    machine.wait_until(lambda: machine.exists("/run/user/1000/systemd/private"))
    as_alex = ["setpriv", "--reuid=alex", "--regid=alex", "--init-groups", "--reset-env"]
    as_alex += ["env", "XDG_RUNTIME_DIR=/run/user/1000", "GHOSTROLL_LIBRARY__PATH=/home/alex/photos"]
    as_alex += ["GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM=true", "GHOSTROLL_LIBRARY__KEEP_FREE_MIB=1"]

    def look() -> list[dict[str, Any]]:
        run = machine.execute(*as_alex, "ghostroll", "doctor", "--json")
        assert run.code in (0, 3), run.out + run.err
        return [one for one in json.loads(run.out)["checks"] if one["level"] == "finding"]

    machine.write(
        "/home/alex/.config/systemd/user/ghostroll.service.d/a.conf",
        """[Service]
Environment=GHOSTROLL_LIBRARY__PATH=/home/alex/photos GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM=true GHOSTROLL_LIBRARY__KEEP_FREE_MIB=1
""",
    )
    machine.run("chown", "-R", "alex:", "/home/alex/.config")
    machine.run(*as_alex, "systemctl", "--user", "daemon-reload")
    machine.run(*as_alex, "systemctl", "--user", "enable", "--now", "ghostroll")
    (wanted,) = look()
    assert wanted["what"] == "the system's service and your own are both switched on"
    machine.run(*as_alex, "sh", "-c", wanted["remedy"])
    assert look() == []
    machine.run("systemctl", "disable", "--now", "ghostroll")
    machine.run(*as_alex, "systemctl", "--user", "enable", "--now", "ghostroll")
    (wanted,) = look()
    assert wanted["what"] == "the rule of the system's service is in force beside your own service"
    machine.run(*as_alex, "sh", "-c", wanted["remedy"])
    assert look() == []
    machine.run(*as_alex, "systemctl", "--user", "stop", "ghostroll")
    (wanted,) = look()
    assert wanted["what"] == "the service doesn't run (inactive)"
    machine.run(*as_alex, "sh", "-c", wanted["remedy"])
    assert look() == []
    out = machine.run(*as_alex, "ghostroll", "doctor")
    assert "the unit is installed as version 0.1.0 ships it" in out
    assert "the service is enabled and runs" in out
