"""The units, the rule and the folders, as systemd's own tools judge them."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from running import do_without, need_tools

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = ROOT / "systemd"
UNITS = ["ghostroll.service", "ghostroll-card@.service", "ghostroll-user.service"]

# Each gives a unit a mount namespace of its own: what the run mounts there, nobody else sees.
OWN_NAMESPACE = re.compile(
    r"(ProtectSystem|ProtectHome|PrivateTmp|PrivateDevices|PrivateMounts|PrivateIPC|PrivateUsers|ProtectKernelTunables"
    r"|ProtectKernelModules|ProtectKernelLogs|ProtectControlGroups|ProtectProc|ProcSubset|\w+Paths|TemporaryFileSystem"
    r"|LogNamespace|DynamicUser|User|MountFlags|RootDirectory|RootImage|NetworkNamespacePath|\w+Directory)="
)


def read_directives(unit: str) -> dict[str, list[str]]:
    """What a unit says, by key; comments left out."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize(("unit", "most"), [("ghostroll.service", 1.5), ("ghostroll-card@.service", 4.0)])
def test_exposure(unit: str, most: float) -> None:
    """A unit is exposed as little as is promised."""
    need_tools(**{"systemd-analyze": "systemd"})
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", SYSTEMD / unit],
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(json.loads(done.stdout)) > 50
    plain = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", SYSTEMD / unit],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", plain)
    assert found is not None, plain
    assert float(found[1]) <= most


@pytest.mark.parametrize("unit", UNITS)
def test_every_line_of_a_unit_is_understood(unit: str, tmp_path: Path) -> None:
    """Systemd knows every directive and every value; only the programs are taken for others that are there."""
    need_tools(**{"systemd-analyze": "systemd"})
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", (SYSTEMD / unit).read_text(), flags=re.MULTILINE)
    (tmp_path / unit).write_text(text)
    where = ["--user"] if "user" in unit else []
    done = subprocess.run(
        ["systemd-analyze", *where, "verify", "--man=no", tmp_path / unit],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "XDG_RUNTIME_DIR": str(tmp_path),
            "HOME": str(tmp_path),
        },
    )
    # Units of the machine itself, and how its manager was started, are none of our business.
    ours = [line for line in done.stderr.splitlines() if unit.partition(".")[0].rstrip("@") in line]
    assert ours == []
    if where == []:
        assert done.returncode == 0, done.stderr


def test_mounting_stays_in_the_hosts_namespace() -> None:
    """The root unit has no directive that would hide its mounts from everybody else, and can't write to a card."""
    directives = read_directives("ghostroll-card@.service")
    assert [key for key in directives if OWN_NAMESPACE.match(f"{key}=")] == []
    assert directives["DevicePolicy"] == ["closed"]
    assert directives["DeviceAllow"] == ["block-* r"]
    assert directives["CapabilityBoundingSet"] == ["CAP_SYS_ADMIN CAP_DAC_READ_SEARCH"]


def test_what_is_tried_again() -> None:
    """A run that ends by "try again", or is killed, is repeated after a second without end; other failures are not."""
    directives = read_directives("ghostroll-card@.service")
    assert directives["Restart"] == ["on-failure"]
    assert directives["RestartSec"] == ["1"]
    assert directives["StartLimitIntervalSec"] == ["0"]
    assert directives["RestartPreventExitStatus"] == ["1 2 3"]


def test_the_daemon_can_do_nothing_but_its_work() -> None:
    """The daemon has no capability, hears udev, sees later mounts, and no folder that may be absent stops it."""
    directives = read_directives("ghostroll.service")
    assert directives["CapabilityBoundingSet"] == directives["AmbientCapabilities"] == [""]
    assert "AF_NETLINK" in directives["RestrictAddressFamilies"][0]
    assert "PrivateNetwork" not in directives
    assert "MountFlags" not in directives
    assert all(path.startswith("-") for paths in directives["ReadWritePaths"] for path in paths.split())
    # A stop would remove it, and the cards' folder with it.
    assert directives["RuntimeDirectory"] == ["ghostroll/daemon"]
    assert directives["KillMode"] == ["mixed"]


def test_folders_and_user(tmp_path: Path) -> None:
    """Systemd makes the user, and the cards' folder as the mounter wants it: root's, and the group's to enter."""
    need_tools(**{"systemd-sysusers": "systemd", "systemd-tmpfiles": "systemd"})
    for kind in ("sysusers", "tmpfiles"):
        folder = tmp_path / f"usr/lib/{kind}.d"
        folder.mkdir(parents=True)
        (folder / "ghostroll.conf").write_text((SYSTEMD / f"ghostroll.{kind}").read_text())
    (tmp_path / "etc").mkdir()
    if (tmp_path / "etc").stat().st_uid != 0:
        do_without("not root: run the tests with sudo")
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", "ghostroll.conf"], check=True, capture_output=True
    )
    entry = (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^ghostroll:.*:/var/lib/ghostroll:/usr/sbin/nologin$", entry, re.MULTILINE)
    group = re.search(r"^ghostroll:[^:]*:(\d+):", (tmp_path / "etc/group").read_text(), re.MULTILINE)
    assert group is not None
    (tmp_path / "run").mkdir()
    subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "ghostroll.conf"],
        check=True,
        capture_output=True,
    )
    above, cards = (tmp_path / "run/ghostroll").stat(), (tmp_path / "run/ghostroll/cards").stat()
    assert (above.st_uid, above.st_mode & 0o777) == (0, 0o755)
    assert (cards.st_uid, cards.st_gid, cards.st_mode & 0o777) == (0, int(group[1]), 0o750)


def test_the_rule_is_understood() -> None:
    """The rule reader of udev itself finds nothing wrong with the rule, where its version can tell."""
    need_tools(udevadm="udev")
    asked = subprocess.run(["udevadm", "verify", "--help"], check=False, capture_output=True)
    if asked.returncode != 0:
        pytest.skip("this udev can't verify rules (253 and later can); the events' tests load this one")
    subprocess.run(["udevadm", "verify", ROOT / "udev/90-ghostroll.rules"], check=True)


def test_the_install_script_is_clean() -> None:
    """Nothing in the script that runs as root is left to chance where a name has a space in it, or a command fails."""
    need_tools(shellcheck="shellcheck")
    subprocess.run(["shellcheck", SYSTEMD / "install.sh"], check=True)
