"""The mounter on real disks: cards that come, go, are swapped and held, and runs that are cut short. Needs root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disks import Disks
from running import KILLED, wait_until
from slots import DONE, READER, RETRY, UNUSABLE, Host, Slot, check_one, read_name, write_table


def test_three_cards_one_after_the_other(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """Each of three cards in a standing reader is mounted under its own number, and what was before is let go."""
    seen = []
    for name in "ABC":
        if name != "A":
            slot.swap(cards[name])
        assert host.visit(slot.name).code == DONE
        check_one(host, slot, name)
        seen.append(slot.diskseq)
    assert sorted(set(seen)) == seen


def test_looking_again_changes_nothing(host: Host, slot: Slot) -> None:
    """A second run leaves the mount as it is, and is silent."""
    assert "mounted read-only" in host.visit(slot.name).said
    before = host.mounts()
    again = host.visit(slot.name)
    assert (again.code, again.said) == (DONE, "")
    assert host.mounts() == before


def test_a_card_out_and_in_faster_than_anybody_looks(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """The same card back in its slot is a new medium: the old mount is not believed."""
    host.visit(slot.name)
    before = host.mounts()
    slot.swap(cards["B"])
    slot.swap(cards["A"])
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "A")
    assert set(host.mounts()) != set(before)


def test_a_patient_run_says_once_what_it_waits_for(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """A run that is told to be patient tries again by itself, and fills no journal meanwhile."""
    host.visit(slot.name)
    arguments = ("--cards", host.cards, "--config", host.config, "--user", READER, "--patience", "60")
    with host.see(host.cards / f"{slot.diskseq}-0/DCIM/name").open("rb"):
        slot.swap(cards["B"])
        run = subprocess.Popen(
            host.enter(sys.executable, "-m", "ghostroll.mounter", slot.name, *arguments),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stderr is not None
        said = ""
        while "fuser" not in said:
            said = run.stderr.readline()
            assert said, "it ended without waiting"
        looks = Path(f"/proc/{run.pid}/status")
        before = looks.read_text()
        wait_until(lambda: looks.read_text() != before)  # it has tried again since
    _, rest = run.communicate(timeout=60)
    assert run.returncode == DONE
    assert "fuser" not in rest
    check_one(host, slot, "B")


def test_a_file_held_open_makes_the_next_card_wait(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """While a file of the old card is open the new one is not mounted, and it is as soon as the file is closed."""
    host.visit(slot.name)
    with host.see(host.cards / f"{slot.diskseq}-0/DCIM/name").open("rb"):
        slot.swap(cards["B"])
        for _ in range(2):
            blind = host.visit(slot.name)
            assert blind.code == RETRY
            assert f"fuser -vm {slot.node}" in blind.said
            assert host.mounts() == {}
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "B")


def test_an_empty_slot_is_said_and_emptied(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """With the card out nothing stays mounted, and the next card is taken as ever."""
    host.visit(slot.name)
    host.do("umount", host.cards / f"{slot.diskseq}-0")
    slot.empty()
    out = host.visit(slot.name)
    assert (out.code, out.said) == (DONE, f"{slot.name}: the slot is empty\n")
    assert os.listdir(host.cards) == []
    subprocess.run(["losetup", "--read-only", slot.node, cards["B"]], check=True)
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "B")


def test_a_mount_of_a_disk_that_is_gone_is_let_go(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """A run for any disk lets go of what belongs to no medium that is in, whichever disk it was on."""
    host.visit(slot.name)
    slot.swap(cards["B"])
    said = host.visit("sdnone").said
    assert host.mounts() == {}
    assert "let go" in said
    assert "sdnone: the disk is gone" in said


def test_two_partitions_are_two_volumes(host: Host, cards: dict[str, Path], tmp_path: Path) -> None:
    """Each partition of a card is mounted under its number, and both are let go with the card."""
    whole = tmp_path / "whole.img"
    write_table(whole, [cards["A"], cards["B"]])
    slot = Slot(whole)
    try:
        subprocess.run(["partx", "--update", slot.node], check=True)
        visit = host.visit(slot.name)
        assert visit.code == DONE, visit.said
        first, second = f"{slot.diskseq}-1", f"{slot.diskseq}-2"
        assert set(host.mounts()) == {first, second}
        assert (read_name(host, first), read_name(host, second)) == ("A", "B")
        other = tmp_path / "other.img"
        write_table(other, [cards["C"], cards["B"]])
        slot.swap(other)
        visit = host.visit(slot.name)
        assert visit.code == DONE, visit.said
        assert read_name(host, f"{slot.diskseq}-1") == "C"
        assert len(host.mounts()) == 2
    finally:
        host.end()
        slot.empty()


def test_a_partition_that_outlived_its_card_waits(
    host: Host, cards: dict[str, Path], disks: Disks, tmp_path: Path
) -> None:
    """A partition that the new card's table doesn't have is not mounted, at whatever it begins."""
    old, new = tmp_path / "old.img", tmp_path / "new.img"
    write_table(old, [cards["A"], cards["B"]])
    write_table(new, [disks.format("BIG", mib=16)])
    slot = Slot(old)
    try:
        subprocess.run(["partx", "--update", slot.node], check=True)
        slot.swap(new)
        visit = host.visit(slot.name)
        assert visit.code == RETRY, visit.said
        assert host.mounts() == {}
        subprocess.run(["partx", "--delete", slot.node], check=True)
        subprocess.run(["partx", "--add", slot.node], check=True)
        assert host.visit(slot.name).code == DONE
        assert set(host.mounts()) == {f"{slot.diskseq}-1"}
    finally:
        host.end()
        slot.empty()


# Counts the steps that change something, and kills the run in front of the one that is asked for.
_KILL = """
import os, signal
from ghostroll.mounter import syscalls
steps = {number}
def doomed(function):
    def step(*arguments, **more):
        global steps
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps -= 1
        return function(*arguments, **more)
    return step
os.mkdir, os.rmdir = doomed(os.mkdir), doomed(os.rmdir)
for name in ("mount_device", "bind_mount", "let_go", "drop_cache"):
    setattr(syscalls, name, doomed(getattr(syscalls, name)))
after = os.path.lexists
os.path.lexists = doomed(after)
"""


def test_killed_anywhere_the_next_run_makes_it_right(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """A run killed in front of each of its steps leaves nothing that the next one doesn't mend."""
    names, number, killed = "ABC", 0, 0
    while True:
        host.visit(slot.name)
        name = names[(number + 1) % 3]
        slot.swap(cards[name])
        cut = host.visit(slot.name, before=_KILL.format(number=number))
        assert cut.code in (DONE, KILLED), cut.said
        assert host.visit(slot.name).code == DONE
        check_one(host, slot, name)
        if cut.code == DONE:
            break
        killed += 1
        number += 1
    assert killed >= 5


def test_what_somebody_left_at_our_place_is_replaced(host: Host, slot: Slot, tmp_path: Path) -> None:
    """A mount of the right card that could be run from, and one of something else, are done anew."""
    point = host.cards / f"{slot.diskseq}-0"
    point.mkdir()
    host.do("mount", "-o", "ro,noload,exec,suid", slot.node, point)
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "A")
    host.do("mount", "--bind", tmp_path, point)
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "A")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_card_swapped_while_it_is_mounted(
    host: Host, slot: Slot, cards: dict[str, Path], moment: str
) -> None:
    """A card that was swapped around the moment of mounting is let go, and the next run takes the new one."""
    swap = (
        "import fcntl\nfrom ghostroll.mounter import syscalls\nmount = syscalls.mount_device\n"
        "def swap():\n"
        f"    with open({slot.node!r}, 'rb') as d, open({str(cards['B'])!r}, 'rb') as b:\n"
        "        fcntl.ioctl(d, 0x4C06, b.fileno())\n"
        "def swapping(*arguments):\n"
        + ("    swap(); mount(*arguments)\n" if moment == "before" else "    mount(*arguments); swap()\n")
        + "syscalls.mount_device = swapping\n"
    )
    visit = host.visit(slot.name, before=swap)
    assert visit.code == RETRY
    assert "the card was pulled or swapped meanwhile" in visit.said
    assert (host.mounts(), os.listdir(host.cards)) == ({}, [])
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "B")


@pytest.mark.parametrize("name", ["../sda", "loop0/../../etc", "", ".", "sd a", "sda\n"])
def test_names_that_lead_elsewhere(host: Host, name: str) -> None:
    """What is no disk's name is refused before anything is touched."""
    visit = host.visit(name)
    assert visit.code == UNUSABLE
    assert "the name of a disk is wanted" in visit.said


def test_what_root_alone_must_own(host: Host, slot: Slot) -> None:
    """A cards' folder that others can change, or a broken configuration, stops everything with one line."""
    host.config.write_text("[cards\n")
    visit = host.visit(slot.name)
    assert (visit.code, host.mounts()) == (UNUSABLE, {})
    assert "mend it, `ghostroll config check` says where" in visit.said
    for mode, owner in ((0o757, 0), (0o775, 0), (0o755, 65534)):
        host.cards.chmod(mode)  # the mistakes that are tested
        os.chown(host.cards, owner, owner)
        visit = host.visit(slot.name)
        assert (visit.code, host.mounts()) == (UNUSABLE, {})
        assert "must be a folder of root's that nobody else can write in" in visit.said
