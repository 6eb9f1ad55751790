"""From a real event of the kernel through udevd and our rule to a mount; only systemd is a script here."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disks, run
from running import need_tools, wait_until
from slots import READER, Host, Slot, write_table

ROOT = Path(__file__).resolve().parents[2]
RULE = ROOT / "udev/90-ghostroll.rules"
UNIT = ROOT / "systemd/ghostroll-card@.service"
UDEVD = "/lib/systemd/systemd-udevd"
CAPABILITIES = ",".join(
    name.replace("CAP_", "+").lower()
    for line in re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    for name in line.split()
)

# `systemctl --no-block restart ghostroll-card@DISK.service` tells the manager, and is done.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {calls}
echo "$3" > {queue}
"""


class Units:
    """What systemd does for the one unit there is: a run at each restart, which ends the run that is under way."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._said = folder / "said"
        self._queue = folder / "queue"
        self._run: subprocess.Popen[bytes] | None = None
        self._restarts = self._unasked = 0
        self._ended = False
        os.mkfifo(self._queue)
        # For writing too, so that it has no end while nobody writes.
        self._reads = os.fdopen(os.open(self._queue, os.O_RDWR | os.O_CLOEXEC), "rb", buffering=0)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def queue(self) -> Path:
        """Where a line restarts the unit of its name."""
        return self._queue

    def is_done(self, calls: int) -> bool:
        """Whether after so many calls of systemctl the last run is over."""
        return self._restarts >= calls + self._unasked and (self._run is None or self._run.poll() is not None)

    def hear(self) -> str:
        """What the runs have said since the last time."""
        text = self._said.read_text() if self._said.exists() else ""
        self._said.write_text("")
        return text

    def restart(self, disk: str) -> None:
        """A run that no event has asked for."""
        with self._queue.open("w") as queue:
            queue.write(f"{disk}\n")
        self._unasked += 1

    def end(self) -> None:
        """No more runs."""
        self._ended = True
        self.restart("")
        self._thread.join()
        self._reads.close()

    def _serve(self) -> None:
        for line in self._reads:
            if self._run is not None:
                self._run.terminate()
                self._run.wait()
            if self._ended:
                return
            disk = line.decode().strip().removeprefix("ghostroll-card@").removesuffix(".service")
            with self._said.open("a") as said:
                self._run = subprocess.Popen(self._host.enter(*self._command(disk)), stderr=said)
            self._restarts += 1

    def _command(self, disk: str) -> list[str | Path]:
        options: list[str | Path] = [
            "--cards",
            self._host.cards,
            "--config",
            self._host.config,
            "--user",
            READER,
        ]
        confined: list[str | Path] = [
            "setpriv",
            "--no-new-privs",
            "--inh-caps=-all",
            f"--bounding-set=-all,{CAPABILITIES}",
        ]
        return [*confined, sys.executable, "-m", "ghostroll.mounter", disk, *options]


class Machine:
    """A host with a running udevd, for which one loop device is a card reader."""

    def __init__(self, host: Host, slot: Slot, folder: Path, *, rule: str = "") -> None:
        self.host, self.slot = host, slot
        self.calls = folder / "calls"
        self.calls.touch()
        self.units = Units(host, folder)
        script = folder / "systemctl"
        script.write_text(SYSTEMCTL.format(calls=self.calls, queue=self.units.queue))
        script.chmod(0o755)
        host.do("mount", "-t", "tmpfs", "tmpfs", "/run")
        host.do("mount", "--bind", script, os.path.realpath("/bin/systemctl"))
        rules = host.see(Path("/run/udev/rules.d"))
        rules.mkdir(parents=True)
        (rules / RULE.name).write_text(rule or RULE.read_text())
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
        """Wait until every event was handled, those that come of it too; what the mounter said since the last time."""
        before = -1
        while before != (calls := len(self.read_calls())):
            before = calls
            self.host.do("udevadm", "settle", "--timeout=60")
            wait_until(lambda: self.units.is_done(len(self.read_calls())))
        return self.units.hear()

    def read_calls(self) -> list[str]:
        """How systemctl was called."""
        return self.calls.read_text().splitlines()

    def ask_udev(self, node: str) -> dict[str, str]:
        """What udev knows of a device."""
        lines = self.host.do("udevadm", "info", "--query=property", node).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def end(self) -> None:
        """No more events."""
        self._udevd.terminate()
        self._udevd.wait()
        self.units.end()


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
        unshare="util-linux",
        nsenter="util-linux",
        partx="util-linux",
        setpriv="util-linux",
        udevadm="udev",
        systemctl="systemd",
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
        before = len(machine.read_calls())
        subprocess.run(["partx", verb, machine.slot.node], check=True)
        machine.settle()
        assert set(machine.read_calls()[before:]) == {
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
    before = machine.read_calls()
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.settle()
    assert machine.read_calls() == before
    assert "UDISKS_AUTO" not in machine.ask_udev(machine.slot.node)


def check_known(machine: Machine, image: Path) -> None:
    """Udev describes the card that is in, as it stands on it."""
    on_it = run("blkid", "-p", "-o", "udev", "-s", "UUID", "-s", "LABEL", "-s", "TYPE", image).splitlines()
    known = machine.ask_udev(machine.slot.node)
    assert dict(line.split("=", 1) for line in on_it).items() <= known.items()
    assert f"/dev/disk/by-diskseq/{machine.slot.diskseq}" in known["DEVLINKS"].split()


def test_udev_knows_the_card_that_is_in(machine: Machine, cards: dict[str, Path]) -> None:
    """A card swapped for another under a mount is described as itself when it is mounted, and then nothing runs any more."""
    machine.settle()
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.settle()
    for name in "BABA":
        before = len(machine.read_calls())
        machine.slot.swap(cards[name])
        machine.settle()
        check(machine, 0, name)
        check_known(machine, cards[name])
        # One for the new medium, one for the second look, and whatever else the machine does with its disks meanwhile.
        assert len(machine.read_calls()) - before in range(2, 5)


def test_udev_is_asked_again_once_the_old_card_is_let_go(machine: Machine, cards: dict[str, Path]) -> None:
    """While a file of the card before is open udev isn't asked in vain; after that it is, and the card is mounted."""
    machine.settle()
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.settle()
    inside = machine.host.see(machine.host.cards / f"{machine.slot.diskseq}-0/DCIM/name")
    with inside.open("rb"):
        machine.slot.swap(cards["B"])
        assert "has a file of an earlier card open" in machine.settle()
        asked = len(machine.read_calls())
        machine.units.restart(machine.slot.name)  # as every second
        machine.settle()
        assert len(machine.read_calls()) == asked
        assert machine.host.mounts() == {}
    machine.units.restart(machine.slot.name)
    machine.settle()
    check(machine, 0, "B")
    check_known(machine, cards["B"])


def write_rule(machine: Machine, name: str, text: str) -> None:
    """From now on udevd heeds this rule."""
    (machine.host.see(Path("/run/udev/rules.d")) / name).write_text(text)
    machine.host.do("udevadm", "control", "--reload")


@pytest.mark.parametrize("spoilt", ["not noted", "described otherwise", "not written", "not heard"])
def test_a_udev_that_does_not_look_again_stops_nothing(
    machine: Machine, cards: dict[str, Path], spoilt: str
) -> None:
    """Where udev can't be asked, or stays with what it knew, the card is mounted all the same, and nothing runs in circles."""
    machine.settle()
    machine.host.do("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.settle()
    match spoilt:
        case "not noted":
            write_rule(machine, RULE.name, RULE.read_text().replace("SYNTH_ARG_GHOSTROLL", "SYNTH_ARG_OTHER"))
        case "described otherwise":
            write_rule(machine, "91-other.rules", 'KERNEL=="loop*", ENV{ID_FS_LABEL_ENC}="OTHER"\n')
        case "not written":
            machine.host.do("mount", "-o", "remount,bind,ro", "/sys")
        case _:
            machine.host.do("udevadm", "control", "--stop-exec-queue")
    before = len(machine.read_calls())
    machine.slot.swap(cards["B"])
    machine.units.restart(machine.slot.name)
    if spoilt == "not heard":
        wait_until(lambda: machine.units.is_done(before))
        check(machine, 0, "B")
        machine.host.do("udevadm", "control", "--start-exec-queue")
    machine.settle()
    check(machine, 0, "B")
    assert len(machine.read_calls()) - before <= 4


def test_a_reader_that_calls_its_cards_fixed(machine: Machine) -> None:
    """Of a fixed disk on USB the unit is told, which mounts it where the configuration names its reader; it stays the desktop's too."""
    reader = f'KERNEL=="{machine.slot.name}", ENV{{ID_BUS}}="usb", ENV{{ID_SERIAL}}="ProGrade_CFexpress_1"\n'
    write_rule(machine, "89-test.rules", reader)
    write_rule(machine, RULE.name, RULE.read_text().replace("|loop*|", "|"))
    machine.settle()
    trigger = ("udevadm", "trigger", "--action=add", f"/sys/block/{machine.slot.name}")
    machine.host.do(*trigger)
    assert "is a fixed disk and no card" in machine.settle()
    assert machine.host.mounts() == {}
    machine.host.config.write_text('[cards]\nfilesystems = ["ext4"]\nreaders = ["ProGrade_*"]\n')
    machine.host.do(*trigger)
    machine.settle()
    check(machine, 0, "A")
    assert "UDISKS_AUTO" not in machine.ask_udev(machine.slot.node)
