"""The mounter on real disks, in a mount namespace of its own: cards that come, go, are swapped, held and spoilt."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disks
from running import need_tools, wait_until
from slots import READER, Host, Slot, write_fat, write_table

from ghostroll.mounter.looking import read_disk
from ghostroll.mounter.probing import open_disk

DONE, UNUSABLE, REFUSED, RETRY, KILLED = 0, 2, 3, 75, -9
HARMLESS = {"ro", "nosuid", "nodev", "noexec"}


@pytest.fixture
def host(tmp_path: Path, disks: Disks) -> Iterator[Host]:  # noqa: ARG001  # without root there are no disks
    """A machine that takes loop devices with ext4 for cards."""
    need_tools(unshare="util-linux", nsenter="util-linux", blkid="util-linux", partx="util-linux")
    made = Host(tmp_path / "host")
    made.config.write_text('[cards]\nfilesystems = ["vfat", "ext4"]\nreaders = ["loop*"]\n')
    yield made
    made.end()


@pytest.fixture
def cards(disks: Disks) -> dict[str, Path]:
    """Three cards without a partition table; each holds one file with its own name."""
    return {name: disks.format(name, mib=8, files={"DCIM/name": name.encode()}) for name in "ABC"}


@pytest.fixture
def slot(host: Host, cards: dict[str, Path]) -> Iterator[Slot]:
    """A reader with card A in it."""
    made = Slot(cards["A"])
    yield made
    host.end()
    made.empty()


def read_name(host: Host, mount: str) -> str:
    """The name in the file of the card that is mounted here."""
    return host.see(host.cards / mount / "DCIM/name").read_text()


def check_one(host: Host, slot: Slot, name: str) -> None:
    """Exactly one card is mounted, harmlessly, and it is this one."""
    wanted = f"{slot.diskseq}-0"
    found = host.mounts()
    assert set(found) == {wanted}
    assert set(found[wanted][0].split(",")) >= HARMLESS
    assert read_name(host, wanted) == name
    assert os.listdir(host.cards) == [wanted]


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


def test_what_a_desktop_mounted_is_bound_read_only(
    host: Host, cards: dict[str, Path], tmp_path: Path
) -> None:
    """A card that a desktop has mounted for writing is shown read-only, and the desktop's mount stays as it is."""
    desktop = tmp_path / "media"
    desktop.mkdir()
    slot = Slot(cards["A"], read_only=False)
    try:
        host.do("mount", "-o", "rw", slot.node, desktop)
        visit = host.visit(slot.name)
        assert visit.code == DONE, visit.said
        assert f"bound read-only from {desktop}" in visit.said
        check_one(host, slot, "A")
        host.do("touch", desktop / "by-the-desktop")
        refused = subprocess.run(
            host.enter("touch", host.cards / f"{slot.diskseq}-0" / "by-us"), check=False, capture_output=True
        )
        assert b"Read-only file system" in refused.stderr
    finally:
        host.end()
        slot.empty()


def test_a_desktops_private_mount_is_not_bound(host: Host, cards: dict[str, Path], tmp_path: Path) -> None:
    """What a desktop has mounted for one user alone is not shown to a daemon that couldn't read it."""
    desktop = tmp_path / "media"
    desktop.mkdir()
    slot = Slot(cards["A"], read_only=False)
    try:
        host.do("mount", "-o", "rw", slot.node, desktop)
        host.do("chmod", "700", desktop)
        visit = host.visit(slot.name)
        assert visit.code == RETRY
        assert f"mounted at {desktop} for one user alone: unmount it there" in visit.said
        assert host.mounts() == {}
        host.do("chmod", "755", desktop)
        host.do("umount", desktop)
        assert host.visit(slot.name).code == DONE
        check_one(host, slot, "A")
    finally:
        host.end()
        slot.empty()


def test_a_stale_desktop_mount_is_not_believed(
    host: Host, slot: Slot, cards: dict[str, Path], tmp_path: Path
) -> None:
    """A mount of the card before is not shown as the card that is in now."""
    desktop = tmp_path / "media"
    desktop.mkdir()
    host.do("mount", "-o", "ro,noload", slot.node, desktop)
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "A")
    slot.swap(cards["B"])
    stale = host.visit(slot.name)
    assert stale.code == RETRY
    assert f"is mounted at {desktop}, maybe since an earlier card: unmount it there" in stale.said
    assert host.mounts() == {}
    host.do("umount", desktop)
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "B")


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


def test_nothing_is_written_to_a_card(host: Host, disks: Disks, tmp_path: Path) -> None:
    """A card that was never unmounted keeps every bit: its journal is not replayed."""
    plain = disks.format("plain", mib=16)
    subprocess.run(["mkfs.ext4", "-q", "-F", plain], check=True)
    written = disks.mount(plain, read_only=False)
    (written.point / "photo").write_bytes(os.urandom(100_000))
    subprocess.run(["sync", "-f", written.point], check=True)
    dirty = tmp_path / "dirty.img"
    dirty.write_bytes(plain.read_bytes())
    features = subprocess.run(["dumpe2fs", "-h", dirty], check=True, capture_output=True, text=True).stdout
    assert "needs_recovery" in features
    before = hashlib.sha256(dirty.read_bytes()).digest()
    slot = Slot(dirty, read_only=False)
    try:
        assert host.visit(slot.name).code == DONE
        assert set(host.mounts()) == {f"{slot.diskseq}-0"}
    finally:
        host.end()
        slot.empty()
    assert hashlib.sha256(dirty.read_bytes()).digest() == before


@pytest.mark.parametrize("spoilt", ["unknown", "damaged", "not configured"])
def test_what_cannot_be_mounted_is_one_line(
    host: Host, slot: Slot, cards: dict[str, Path], tmp_path: Path, spoilt: str
) -> None:
    """A card that can't be mounted costs one line with a remedy, and the next card works."""
    bad = tmp_path / "bad.img"
    data = bytearray(cards["B"].read_bytes())
    wanted = "format the card in the camera"
    if spoilt == "unknown":
        data = bytearray(len(data))
    elif spoilt == "damaged":
        data[1024 + 0x60] |= 0x80  # an incompatible feature that no kernel knows... and
        data[1024 + 0x18] = 77  # blocks of 2^87 bytes
        wanted = "ghostroll never repairs a card"
    else:
        host.config.write_text('[cards]\nreaders = ["loop*"]\n')
        wanted = 'write filesystems = ["vfat", "exfat", "ext4"]'
    bad.write_bytes(data)
    slot.swap(bad)
    visit = host.visit(slot.name)
    assert visit.code == REFUSED, visit.said
    assert wanted in visit.said
    assert visit.said.count("\n") == 1
    assert (host.mounts(), os.listdir(host.cards)) == ({}, [])
    host.config.write_text('[cards]\nfilesystems = ["vfat", "ext4"]\nreaders = ["loop*"]\n')
    slot.swap(cards["C"])
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "C")


def test_a_cameras_filesystem(host: Host, tmp_path: Path) -> None:
    """FAT is mounted for the reading user alone, or it is said that this kernel doesn't know it."""
    image = tmp_path / "fat.img"
    write_fat(image, serial=0x1234ABCD)
    slot = Slot(image)
    try:
        visit = host.visit(slot.name)
        if "vfat" in Path("/proc/filesystems").read_text():
            assert visit.code == DONE, visit.said
            assert host.see(host.cards / f"{slot.diskseq}-0").stat().st_mode & 0o777 == 0o500
        else:
            assert visit.code == REFUSED
            assert "has vfat, which this kernel doesn't know" in visit.said
            assert visit.said.count("\n") == 1
            assert os.listdir(host.cards) == []
    finally:
        host.end()
        slot.empty()


def test_a_card_that_belongs_to_somebody_else(host: Host, disks: Disks) -> None:
    """What its reader may not read on a card with owners is said in the line that says where it is mounted."""
    slot = Slot(disks.format("OWNED", mib=8, files={"DCIM/100/photo": b"x", "DCIM/100/other": b"x"}))
    try:
        visit = host.visit(slot.name)
        assert visit.code == DONE
        assert visit.said.count("\n") == 1
        # Every filesystem of this kind has that one, and it is root's alone.
        assert f"but user {READER} may not read lost+found on it: " in visit.said
    finally:
        host.end()
        slot.empty()


def test_options_that_a_kernel_does_not_take(host: Host, slot: Slot) -> None:
    """Where the kernel refuses an option it is tried with the bare minimum, and that is said."""
    spoil = (
        "from ghostroll.mounter import filesystems as f\n"
        "f.RECIPES['ext4'] = f.Recipe('noload,no_such_option', bare='noload')"
    )
    visit = host.visit(slot.name, before=spoil)
    assert visit.code == DONE
    assert "without the options noload,no_such_option" in visit.said
    check_one(host, slot, "A")


def test_a_denied_card_is_left_alone(host: Host, slot: Slot, cards: dict[str, Path]) -> None:
    """A volume whose label is on the deny list is not mounted, and let go once it is on it; the next card is taken."""
    assert host.visit(slot.name).code == DONE
    host.config.write_text(host.config.read_text() + 'deny = ["a"]\n')
    visit = host.visit(slot.name)
    assert visit.code == DONE
    assert f"{slot.name}: is on cards.deny" in visit.said
    assert (host.mounts(), os.listdir(host.cards)) == ({}, [])
    slot.swap(cards["B"])
    assert host.visit(slot.name).code == DONE
    check_one(host, slot, "B")


def test_a_name_in_dev_may_be_another_device(slot: Slot) -> None:
    """Only the very device that sysfs tells of is opened under its name."""
    disk = read_disk(slot.name)
    assert disk is not None
    with open_disk(disk):
        pass
    for other in (replace(disk, device=disk.device + 1), replace(disk, name="null")):
        with pytest.raises(OSError, match="No such device"), open_disk(other):
            pass


def test_a_disk_that_is_none_of_our_business(host: Host, slot: Slot, tmp_path: Path) -> None:
    """Fixed disks, and disks of fstab, of the system and of the library, are left alone with one line that says why."""
    config = host.config.read_text()
    host.config.write_text('[cards]\nfilesystems = ["vfat", "ext4"]\n')
    # It is not even opened.
    visit = host.visit(slot.name, before="import ghostroll.mounter.__main__ as m; del m.open_disk")
    assert (visit.code, host.mounts()) == (DONE, {})
    assert "is a fixed disk and no card" in visit.said
    host.config.write_text(config)

    uuid = host.do("blkid", "-p", "-s", "UUID", "-o", "value", slot.node)
    fstab = tmp_path / "fstab"
    for line in (f"UUID={uuid} /mnt ext4 ro", 'LABEL="A" /mnt ext4 ro', f"{slot.node} /mnt ext4 noauto"):
        fstab.write_text(f"# disks\n{line} 0 0\n")
        host.do("mount", "--bind", fstab, "/etc/fstab")
        visit = host.visit(slot.name)
        assert (visit.code, host.mounts()) == (DONE, {})
        assert "stands in /etc/fstab and is no card" in visit.said
        host.do("umount", "/etc/fstab")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    host.do("mount", "-o", "ro,noload", slot.node, elsewhere)
    host.config.write_text(config + f'[library]\npath = "{elsewhere}/photos"\n')
    visit = host.visit(slot.name)
    assert (visit.code, host.mounts()) == (DONE, {})
    assert "holds the library and is no card" in visit.said
    host.do("umount", elsewhere)

    host.do("mount", "-o", "ro,noload", slot.node, "/opt")
    host.config.write_text(config)
    visit = host.visit(slot.name)
    assert (visit.code, host.mounts()) == (DONE, {})
    assert "holds /opt and is no card" in visit.said


def test_a_library_that_no_configuration_names(host: Host, disks: Disks) -> None:
    """A disk with a library at its top is let go again, whoever it belongs to."""
    slot = Slot(disks.format("LIB", mib=8, files={".ghostroll/library.json": b"{}"}))
    try:
        visit = host.visit(slot.name)
        assert (visit.code, host.mounts(), os.listdir(host.cards)) == (DONE, {}, [])
        assert "holds a ghostroll library and is no card" in visit.said
    finally:
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
