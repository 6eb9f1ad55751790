"""What the kernel's mount table and a file's name tell about a card."""

import os

import pytest

from ghostroll.cards.kinds import tell_kind
from ghostroll.cards.mounts import find_mount, parse_mountinfo
from ghostroll.model import Kind

MOUNTINFO = rb"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 22 8:17 / /run/ghostroll/cards/41-1 ro,nosuid shared:20 master:1 propagate_from:2 - exfat /dev/sdb1 ro,uid=990
41 22 8:33 /DCIM /mnt/my\040card\134x ro - vfat /dev/sdc1 ro
42 22 0:44 / /mnt/top rw - tmpfs tmp\011fs rw
43 42 0:45 / /mnt/top rw - fuse.sshfs host: rw
broken line
44 22 x:y / /mnt/odd rw - ext4 /dev/x rw
"""


def test_the_mount_table_is_read() -> None:
    """Device, root, point, type and source of each mount; escapes are undone, lines that make no sense ignored."""
    mounts = parse_mountinfo(MOUNTINFO)
    assert [mount.point for mount in mounts] == [
        b"/",
        b"/run/ghostroll/cards/41-1",
        b"/mnt/my card\\x",
        b"/mnt/top",
        b"/mnt/top",
    ]
    card = mounts[1]
    assert (card.device, card.root, card.filesystem, card.source) == (
        os.makedev(8, 17),
        b"/",
        "exfat",
        b"/dev/sdb1",
    )
    assert mounts[2].root == b"/DCIM"
    assert mounts[3].source == b"tmp\tfs"


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [
        (b"/", "ext4"),
        (b"/home/me", "ext4"),
        (b"/run/ghostroll/cards/41-1", "exfat"),
        (b"/run/ghostroll/cards/41-1/DCIM", "exfat"),
        (b"/run/ghostroll/cards/41-10", "ext4"),
        (b"/mnt/my card\\x/100CANON", "vfat"),
        (b"/mnt/top/x", "fuse.sshfs"),
    ],
)
def test_a_path_is_on_the_nearest_mount(path: bytes, filesystem: str) -> None:
    """The longest mount point that holds the path counts, and of two on one point the later one."""
    mount = find_mount(path, parse_mountinfo(MOUNTINFO))
    assert mount is not None
    assert mount.filesystem == filesystem


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"DCIM/100CANON/IMG_0001.JPG", Kind.JPEG),
        (b"img_0001.jpeg", Kind.JPEG),
        (b"IMG_0001.CR3", Kind.RAW),
        (b"A7.ARW", Kind.RAW),
        (b"X.HIF", Kind.HEIF),
        (b"C0001.MP4", Kind.VIDEO),
        (b"C0001M01.XML", Kind.SIDECAR),
        (b"scan.tif", Kind.IMAGE),
        (b"notes.txt", Kind.OTHER),
        (b".jpg", Kind.OTHER),
        (b"folder.jpg/file", Kind.OTHER),
        (b"no extension", Kind.OTHER),
        (b"caf\xe9.jpg", Kind.JPEG),
        (b"odd.j\xffg", Kind.OTHER),
    ],
)
def test_kinds_by_name(name: bytes, kind: Kind) -> None:
    """The extension tells the kind, in any case of letters; a hidden file without a stem has none."""
    assert tell_kind(name) is kind
