"""What the mounter decides: each way a card comes and goes, as decisions over what the kernel shows.

The kernel's side of it, seen on real readers: a mounted card that is pulled from a standing reader gives
no removal, its partition and the mount stay; the next card comes in under the same device number; an open
file keeps the partition in use after a lazy unmount; only the disk's diskseq tells media apart.
"""

import os
from dataclasses import replace

import pytest

from ghostroll.mounter.mounts import Mounted
from ghostroll.mounter.plan import (
    Action,
    Bind,
    Disk,
    Leave,
    LetGo,
    Mount,
    Partition,
    Protection,
    Refuse,
    Reprobe,
    Rules,
    Wait,
    plan_mounts,
    plan_releases,
    show_path,
)

CARDS = b"/run/ghostroll/cards"
RULES = Rules(CARDS)
SDC, SDC1, SDC2 = (os.makedev(8, minor) for minor in (32, 33, 34))
DISK = Disk("sdc", SDC, 16, 524288, removable=True, devices=frozenset({SDC, SDC1, SDC2}))
FIRST = Partition("sdc1", 1, SDC1, "vfat")
SECOND = Partition("sdc2", 2, SDC2, "exfat")
WHOLE = Partition("sdc", 0, SDC, "vfat")
HARMLESS = frozenset({"ro", "nosuid", "nodev", "noexec", "relatime"})


def mounted(name: str, device: int, *, options: frozenset[str] = HARMLESS, root: bytes = b"/") -> Mounted:
    """A mount of ours, or anybody's where `name` is a full path."""
    point = os.path.join(CARDS, name.encode())
    return Mounted(device, root, point, options, "vfat", b"/dev/sdc1")


MEDIA = {16: {0: SDC, 1: SDC1}}


@pytest.mark.parametrize(
    ("mounts", "points"),
    [
        pytest.param([mounted("16-1", SDC1)], [], id="the card that is in"),
        pytest.param([mounted("14-1", SDC1)], [b"14-1"], id="the next card, under the same device number"),
        pytest.param([mounted("16-0", SDC1)], [b"16-0"], id="another partition than its name says"),
        pytest.param([mounted("16-1", os.makedev(8, 49))], [b"16-1"], id="another disk than its name says"),
        pytest.param(
            [mounted("14-1", SDC1), mounted("15-1", SDC1)],
            [b"15-1", b"14-1"],
            id="two runs missed, topmost first",
        ),
        pytest.param([mounted("16-1", SDC1), mounted("16-1", SDC1)], [b"16-1", b"16-1"], id="one on another"),
        pytest.param(
            [mounted("16-1", SDC1, options=HARMLESS - {"ro"})], [b"16-1"], id="killed before it was read-only"
        ),
        pytest.param([mounted("/media/alex/CARD", SDC1, options=frozenset({"rw"}))], [], id="a desktop's"),
        pytest.param([mounted("notes", SDC1), mounted("1-2/3-4", SDC1)], [], id="no name of ours"),
    ],
)
def test_what_is_let_go(mounts: list[Mounted], points: list[bytes]) -> None:
    """A mount stays only if it is what its name says, of a medium that is in, and harmless."""
    assert [release.point for release in plan_releases(mounts, MEDIA, CARDS)] == [
        CARDS + b"/" + point for point in points
    ]


def test_an_emptied_slot_lets_everything_go() -> None:
    """With no medium in, every mount of a card is let go."""
    mounts = [mounted("16-1", SDC1), mounted("16-2", SDC2)]
    assert len(plan_releases(mounts, {}, CARDS)) == 2


@pytest.mark.parametrize(
    ("partitions", "points"),
    [
        pytest.param([FIRST], ["16-1"], id="a reader plugged in with its card, or a card put in"),
        pytest.param([WHOLE], ["16-0"], id="no partition table"),
        pytest.param([FIRST, SECOND], ["16-1", "16-2"], id="two partitions"),
        pytest.param([replace(FIRST, extended=True), SECOND], ["16-2"], id="an extended partition is none"),
        pytest.param([replace(FIRST, born=16)], ["16-1"], id="a partition that udev saw appear"),
    ],
)
def test_a_card_is_mounted(partitions: list[Partition], points: list[str]) -> None:
    """Each volume of a card is mounted once, at a place named by medium and partition."""
    actions = plan_mounts(DISK, partitions, [], RULES)
    assert [action.point for action in actions if isinstance(action, Mount)] == [
        CARDS + b"/" + point.encode() for point in points
    ]
    assert len(actions) == len(points)


def test_what_is_mounted_stays() -> None:
    """A volume that is mounted where it belongs needs nothing; its neighbour that is not is mounted."""
    held = replace(FIRST, held=True)
    assert plan_mounts(DISK, [held], [mounted("16-1", SDC1)], RULES) == []
    (action,) = plan_mounts(DISK, [held, SECOND], [mounted("16-1", SDC1)], RULES)
    assert action == Mount(SECOND, CARDS + b"/16-2")


DESKTOP = mounted("/media/alex/CARD", SDC1, options=frozenset({"rw"}))


@pytest.mark.parametrize(
    "partition", [replace(FIRST, held=True, born=16), replace(FIRST, held=True, agrees=True)]
)
def test_a_desktops_mount_is_bound(partition: Partition) -> None:
    """What somebody else has mounted since this very card went in is bound."""
    assert plan_mounts(DISK, [partition], [DESKTOP], RULES) == [
        Bind(partition, b"/media/alex/CARD", CARDS + b"/16-1")
    ]


@pytest.mark.parametrize(
    ("partition", "mounts", "words"),
    [
        pytest.param(replace(FIRST, held=True), [], "has a file of an earlier card open", id="an open file"),
        pytest.param(
            replace(FIRST, held=True),
            [DESKTOP],
            "mounted at /media/alex/CARD, maybe since an earlier card",
            id="stale",
        ),
        pytest.param(
            replace(FIRST, held=True, born=14, agrees=True),
            [DESKTOP],
            "maybe since",
            id="a partition of the card before",
        ),
        pytest.param(replace(FIRST, born=14), [], "earlier card", id="an older partition that nobody holds"),
        pytest.param(
            replace(FIRST, held=True, agrees=True),
            [replace(DESKTOP, root=b"/DCIM")],
            "has a file of an earlier card open",
            id="only one folder of it is mounted",
        ),
        pytest.param(
            replace(FIRST, held=True, agrees=True),
            [mounted("14-1", SDC1)],
            "has a file of an earlier card open",
            id="our own old mount is nobody's",
        ),
        pytest.param(replace(FIRST, filesystem=None), [], "can't be looked into yet", id="not in the table"),
    ],
)
def test_a_blind_reader_waits(partition: Partition, mounts: list[Mounted], words: str) -> None:
    """A card that can't be told from the one before is not mounted yet, and it is said who is in the way."""
    (action,) = plan_mounts(DISK, [partition], mounts, RULES)
    assert isinstance(action, Wait)
    assert words in action.why


@pytest.mark.parametrize(
    ("filesystem", "words"),
    [
        ("", "no filesystem that is known"),
        ("ext4", 'filesystems = ["vfat", "exfat", "ext4"]'),
        ("ntfs", "which ghostroll doesn't mount"),
    ],
)
def test_a_foreign_filesystem_is_refused(filesystem: str, words: str) -> None:
    """What is no camera's filesystem is refused with the remedy, and its neighbour is mounted all the same."""
    refused, other = plan_mounts(DISK, [replace(FIRST, filesystem=filesystem), SECOND], [], RULES)
    assert isinstance(refused, Refuse)
    assert words in refused.why
    assert isinstance(other, Mount)


def test_what_the_configuration_adds_is_mounted() -> None:
    """A filesystem that is configured is mounted, if it is one that can be without writing."""
    rules = replace(RULES, filesystems=frozenset({"ext4", "ntfs"}))
    added, not_known = plan_mounts(
        DISK, [replace(FIRST, filesystem="ext4"), replace(SECOND, filesystem="ntfs")], [], rules
    )
    assert isinstance(added, Mount)
    assert isinstance(not_known, Refuse)


@pytest.mark.parametrize("name", ["music", "8355-7f0a"])
def test_what_is_denied_is_left_alone(name: str) -> None:
    """A volume on the deny list is not mounted, and let go if it was; its neighbour is mounted all the same."""
    rules = replace(RULES, deny=("", name))
    denied = replace(FIRST, tags=frozenset({"LABEL=MUSIC", "UUID=8355-7F0A", "PARTLABEL=x"}))
    left, other = plan_mounts(DISK, [denied, SECOND], [], rules)
    assert left == Leave("sdc1", "is on cards.deny")
    assert isinstance(other, Mount)
    release, left = plan_mounts(DISK, [replace(denied, held=True)], [mounted("16-1", SDC1)], rules)
    assert isinstance(release, LetGo)
    assert release.point == CARDS + b"/16-1"
    assert isinstance(left, Leave)
    assert isinstance(plan_mounts(DISK, [denied], [], replace(RULES, deny=("x", "MUSI")))[0], Mount)


MISREAD = replace(FIRST, misread=True)


@pytest.mark.parametrize(
    ("partition", "mounts", "rules", "after"),
    [
        pytest.param(MISREAD, [], RULES, Mount, id="it can be mounted"),
        pytest.param(replace(MISREAD, filesystem="ntfs"), [], RULES, Refuse, id="it can't be"),
        pytest.param(replace(MISREAD, held=True, born=16), [DESKTOP], RULES, Bind, id="a desktop has it"),
        pytest.param(
            replace(MISREAD, tags=frozenset({"LABEL=X"})), [], replace(RULES, deny=("X",)), Leave, id="denied"
        ),
        pytest.param(replace(MISREAD, held=True), [mounted("16-1", SDC1)], RULES, None, id="it is mounted"),
    ],
)
def test_udev_looks_again_first(
    partition: Partition, mounts: list[Mounted], rules: Rules, after: type[Action] | None
) -> None:
    """Where udev describes the card before, it is asked to look again before anybody can see this one mounted."""
    first, *others = plan_mounts(DISK, [partition], mounts, rules)
    assert first == Reprobe(partition)
    assert [type(action) for action in others] == ([] if after is None else [after])


@pytest.mark.parametrize(
    "partition",
    [replace(MISREAD, held=True), replace(MISREAD, born=14), replace(MISREAD, filesystem=None)],
)
def test_udev_is_not_asked_in_vain(partition: Partition) -> None:
    """As long as the medium can't be seen by anybody, udev isn't asked to look at it again."""
    (action,) = plan_mounts(DISK, [partition], [], RULES)
    assert isinstance(action, Wait)


def test_a_table_that_nobody_can_read_is_refused() -> None:
    """A disk on which there is nothing to look at is refused with the remedy."""
    (action,) = plan_mounts(DISK, [], [], RULES)
    assert isinstance(action, Refuse)


@pytest.mark.parametrize(
    ("disk", "rules", "words"),
    [
        pytest.param(replace(DISK, sectors=0), RULES, "the slot is empty", id="an empty slot"),
        pytest.param(replace(DISK, removable=False), RULES, "is a fixed disk", id="a fixed disk"),
        pytest.param(replace(DISK, name="sr0"), RULES, "no card", id="a disc drive says removable too"),
        pytest.param(replace(DISK, holders=("dm-0",)), RULES, "is used by dm-0", id="an encrypted disk"),
        pytest.param(
            DISK,
            replace(RULES, protections=(Protection(SDC2, "holds /boot"),)),
            "holds /boot",
            id="by another partition",
        ),
        pytest.param(
            DISK,
            replace(RULES, protections=(Protection("UUID=8355-7f0a", "stands in /etc/fstab"),)),
            "stands in /etc/fstab",
            id="by its UUID, however it is written",
        ),
    ],
)
def test_a_disk_that_is_no_card_is_left_alone(disk: Disk, rules: Rules, words: str) -> None:
    """Not one volume of such a disk is mounted, what we had of it is let go, and it is said why."""
    tagged = replace(FIRST, tags=frozenset({"UUID=8355-7F0A", "LABEL=CARD"}))
    release, left = plan_mounts(disk, [tagged, SECOND], [mounted("16-2", SDC2), mounted("12-1", SDC1)], rules)
    assert isinstance(release, LetGo)
    assert release.point == CARDS + b"/16-2"
    assert isinstance(left, Leave)
    assert words in left.why


@pytest.mark.parametrize(
    ("disk", "readers"),
    [
        pytest.param(Disk("mmcblk0", SDC, 16, 9, sd=True), (), id="an SD slot says removable=0"),
        pytest.param(
            Disk("sdc", SDC, 16, 9, serial="ProGrade_CFexpress_1-0:0"), ("ProGrade*",), id="by serial"
        ),
        pytest.param(Disk("loop7", SDC, 16, 9), ("loop7",), id="by name"),
        pytest.param(Disk("sdc", SDC, 16, 9, marked=True), (), id="by a udev rule"),
    ],
)
def test_fixed_disks_that_are_readers(disk: Disk, readers: tuple[str, ...]) -> None:
    """An SD slot, and what is named as a reader, is a reader although it doesn't say so."""
    (action,) = plan_mounts(disk, [WHOLE], [], replace(RULES, readers=readers))
    assert isinstance(action, Mount)


def test_an_allowed_disk_of_the_system_is_left_alone() -> None:
    """The list of readers opens no way to the disk that the system stands on."""
    rules = replace(RULES, readers=("*",), protections=(Protection(SDC1, "holds /"),))
    assert isinstance(plan_mounts(DISK, [FIRST], [], rules)[0], Leave)


def test_a_label_steers_no_line() -> None:
    """A mount point that carries a card's label is shown without anything that moves a cursor or ends a line."""
    assert show_path(b"/media/a\n\x1b[2J\xff\xc3\xa4") == r"/media/a\n\x1b[2J\udcff\xe4"
