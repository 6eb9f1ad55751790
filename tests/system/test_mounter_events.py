"""From a real event of the kernel through udevd and our rule to a mount; only systemd is a script here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disks
from running import need_tools, wait_until
from slots import READER, Host, Slot, write_table

ROOT = Path(__file__).resolve().parents[2]
RULE = ROOT / "udev/90-ghostroll.rules"
UDEVD = "/lib/systemd/systemd-udevd"

# What `systemctl --no-block restart ghostroll-card@DISK.service` comes to.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {calls}
unit="${{3#ghostroll-card@}}"
{python} -m ghostroll.mounter "${{unit%.service}}" --cards {cards} --config {config} --user {reader} 2>> {said}
"""


class Machine:
    """A host with a running udevd, for which one loop device is a card reader."""

    def __init__(self, host: Host, slot: Slot, folder: Path) -> None:
        self.host, self.slot = host, slot
        self.calls, self.said = folder / "calls", folder / "said"
        script = folder / "systemctl"
        script.write_text(
            SYSTEMCTL.format(
                calls=self.calls,
                said=self.said,
                python=sys.executable,
                cards=host.cards,
                config=host.config,
                reader=READER,
            )
        )
        script.chmod(0o755)
        host.do("mount", "-t", "tmpfs", "tmpfs", "/run")
        host.do("mount", "--bind", script, os.path.realpath("/bin/systemctl"))
        rules = host.see(Path("/run/udev/rules.d"))
        rules.mkdir(parents=True)
        (rules / RULE.name).write_text(RULE.read_text())
        name = f'SUBSYSTEM=="block", KERNEL=="{slot.name}|{slot.name}p*"'
        # A removed reader can't be asked whether it is one; here it can, so it is made to forget.
        reader = (
            f'{name}, ACTION!="remove", ENV{{GHOSTROLL_CARD}}="1"\n'
            f'{name}, ACTION=="remove", ENV{{GHOSTROLL_CARD}}=""\n'
        )
        (rules / "89-test.rules").write_text(reader)
        self._udevd = subprocess.Popen(
            host.enter(UDEVD), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(host.see(Path("/run/udev/control")).exists)

    def settle(self) -> str:
        """Wait until every event was handled; what the mounter said since the last time."""
        self.host.do("udevadm", "settle", "--timeout=60")
        text = self.said.read_text() if self.said.exists() else ""
        self.said.write_text("")
        return text

    def ask_udev(self, node: str) -> dict[str, str]:
        """What udev knows of a device."""
        lines = self.host.do("udevadm", "info", "--query=property", node).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def end(self) -> None:
        """No more events."""
        self._udevd.terminate()
        self._udevd.wait()


@pytest.fixture
def cards(disks: Disks, tmp_path: Path) -> dict[str, Path]:
    """Four cards of one size: A and B without a partition table, P and Q with one, and equal bit by bit."""
    made = {name: disks.format(name, mib=8, files={"DCIM/name": name.encode()}) for name in "ABP"}
    whole, twin = tmp_path / "P.img", tmp_path / "Q.img"
    write_table(whole, [made["P"]])
    twin.write_bytes(whole.read_bytes())
    made |= {"P": whole, "Q": twin}
    for name in "AB":
        os.truncate(made[name], made["P"].stat().st_size)
    return made


@pytest.fixture
def machine(cards: dict[str, Path], tmp_path: Path) -> Iterator[Machine]:
    """A machine with card A in its reader since before udevd was started."""
    need_tools(
        unshare="util-linux", nsenter="util-linux", partx="util-linux", udevadm="udev", systemctl="systemd"
    )
    host, slot = Host(tmp_path / "host", own_events=True), Slot(cards["A"])
    host.config.write_text('[cards]\nfilesystems = ["ext4"]\n')
    made = Machine(host, slot, tmp_path)
    yield made
    made.end()
    host.end()
    slot.empty()


def check(machine: Machine, number: int, name: str) -> None:
    """Exactly this card is mounted, as this partition of the medium that is in."""
    wanted = f"{machine.slot.diskseq}-{number}"
    assert set(machine.host.mounts()) == {wanted}
    assert machine.host.see(machine.host.cards / wanted / "DCIM/name").read_text() == name


def test_cards_come_and_go_by_events_alone(machine: Machine, cards: dict[str, Path]) -> None:
    """A card that was in before udevd, one after it without a table and one with a table are mounted, each in its turn."""
    machine.settle()
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    assert "mounted read-only" in machine.settle()
    check(machine, 0, "A")
    assert machine.ask_udev(machine.slot.node)["UDISKS_AUTO"] == "0"

    machine.slot.swap(cards["B"])
    assert "let go: its card is gone" in machine.settle()
    check(machine, 0, "B")

    machine.slot.swap(cards["P"])
    machine.settle()
    subprocess.run(
        ["partx", "--update", machine.slot.node], check=True
    )  # the kernel's part, where it has parsers
    machine.settle()
    check(machine, 1, "P")
    partition = machine.ask_udev(f"{machine.slot.node}p1")
    assert partition["UDISKS_AUTO"] == "0"
    assert partition["GHOSTROLL_DISKSEQ"] == str(machine.slot.diskseq)


def test_every_event_of_a_partition_is_one_of_its_disk(machine: Machine, cards: dict[str, Path]) -> None:
    """A partition that appears, and one that goes when nothing can be asked of it any more, restart their disk's unit."""
    machine.slot.swap(cards["P"])
    machine.settle()
    for verb in ("--update", "--delete"):
        machine.host.do("sh", "-c", f"umount {machine.host.cards}/* || true")
        machine.calls.write_text("")
        subprocess.run(["partx", verb, machine.slot.node], check=True)
        machine.settle()
        assert set(machine.calls.read_text().splitlines()) == {
            f"--no-block restart ghostroll-card@{machine.slot.name}.service"
        }


def test_a_partition_that_outlives_its_card_is_known(
    machine: Machine, cards: dict[str, Path], tmp_path: Path
) -> None:
    """A desktop's mount on a partition of the card before is not bound for the card that is in now."""
    desktop = tmp_path / "media"
    desktop.mkdir()
    machine.slot.swap(cards["P"])
    subprocess.run(["partx", "--update", machine.slot.node], check=True)
    machine.settle()
    check(machine, 1, "P")
    machine.host.do("mount", "-o", "ro,noload", f"{machine.slot.node}p1", desktop)
    born = machine.ask_udev(f"{machine.slot.node}p1")["GHOSTROLL_DISKSEQ"]
    machine.slot.swap(cards["Q"])
    assert f"is mounted at {desktop}, maybe since an earlier card" in machine.settle()
    assert machine.host.mounts() == {}
    machine.host.do("udevadm", "trigger", "--action=change", f"/sys/class/block/{machine.slot.name}p1")
    machine.settle()
    assert (
        machine.ask_udev(f"{machine.slot.node}p1")["GHOSTROLL_DISKSEQ"] == born != str(machine.slot.diskseq)
    )
    assert machine.host.mounts() == {}


def test_other_disks_start_nothing(machine: Machine) -> None:
    """A loop device that no rule calls a reader restarts no unit and stays the desktop's."""
    machine.host.see(Path("/run/udev/rules.d/89-test.rules")).unlink()
    machine.host.do("udevadm", "control", "--reload")
    machine.settle()
    machine.calls.write_text("")
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.settle()
    assert machine.calls.read_text() == ""
    assert "UDISKS_AUTO" not in machine.ask_udev(machine.slot.node)
