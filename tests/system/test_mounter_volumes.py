"""Which volumes the mounter takes, and how: mounted by a desktop, damaged, denied, or no card. Needs root."""

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disks
from slots import DONE, READER, REFUSED, RETRY, Host, Slot, check_one, write_fat

from ghostroll.mounter.looking import read_disk
from ghostroll.mounter.probing import open_disk


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
