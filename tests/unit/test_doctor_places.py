"""What the doctor says of library, disk, records, galleries and mounts: by facts alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ghostroll.doctor.disk import DiskFacts, find_nearest, judge_disk
from ghostroll.doctor.finding import Check, Finding, Level
from ghostroll.doctor.library import LibraryFacts, find_unmounted, judge_library
from ghostroll.doctor.medium import MediumFacts, judge_medium
from ghostroll.doctor.namespace import NamespaceFacts, Table, judge_namespace, parse_table
from ghostroll.doctor.state import StateFacts, judge_state
from ghostroll.doctor.surroundings import Service
from ghostroll.doctor.target import TargetFacts, judge_target
from ghostroll.state.owner import Owner

HERE = LibraryFacts(
    "/srv/photos", "ghostroll", recorded="abc", remembered="abc", found="abc", witness="/w.json"
)
GB = 10**9
DISK = DiskFacts(
    library="/srv/photos",
    is_new=False,
    point="/srv",
    filesystem="ext4",
    allow_weak=False,
    read_only=False,
    size=100 * GB,
    free=50 * GB,
    keep_free=GB,
    writer="ghostroll",
    takes_files=True,
    trial="",
)
STATE = StateFacts("/srv/photos/.ghostroll/state.db", free=GB, service=Service.SYSTEM)
FSTAB = """
# <file system> <mount point> <type> <options>
UUID=1234 / ext4 defaults 0 1
UUID=2345\t/mnt/photos\text4 nofail 0 2
LABEL=x /mnt/my\\040disk xfs nofail 0 2
UUID=3456 none swap sw 0 0
"""


def levels(found: list[Finding]) -> dict[Check, Level]:
    """How bad each check came out; one finding for each."""
    assert len({one.check for one in found}) == len(found)
    return {one.check: one.level for one in found}


@pytest.mark.parametrize(
    "facts",
    [
        HERE,
        replace(HERE, recorded=None),
        replace(HERE, remembered=None),
        replace(HERE, recorded=None, remembered=None),
        replace(HERE, remembered="other"),  # the state knows better
        LibraryFacts("/srv/photos", "alex"),
        LibraryFacts("/srv/photos", "alex", there=False, trouble="No such file or directory"),
    ],
)
def test_a_library_that_is_well(facts: LibraryFacts) -> None:
    """The library that is known, one that nobody knows yet, or a place for one."""
    assert levels(judge_library(facts)) == {Check.LIBRARY: Level.OK}


@pytest.mark.parametrize(
    ("facts", "words", "remedy"),
    [
        (replace(HERE, found=None, there=False, trouble="none"), "there is no such folder", "lsblk"),
        (replace(HERE, found=None), "its folder holds no library", "lsblk"),
        (
            replace(HERE, found=None, recorded=None),
            "its folder holds no library",
            "remove its line from /w.json",
        ),
        (replace(HERE, found=None, unmounted="/srv"), "gone", "sudo mount /srv"),
        (replace(HERE, found="x"), "is another library than the state knows", "lsblk"),
        (replace(HERE, found="x", recorded=None), "is another library than /w.json remembers", "lsblk"),
        (replace(HERE, trouble="Not a directory", found=None), "can't be opened: Not a directory", "ls -ld"),
        (
            replace(HERE, damage="it is damaged"),
            "/srv/photos/.ghostroll/library.json can't be read: it is damaged",
            """echo '{"id": "abc"}' | sudo tee /srv/photos/.ghostroll/library.json""",
        ),
        (replace(HERE, damage="it is damaged", recorded=None, remembered=None), "it is damaged", "restore"),
        (
            replace(HERE, damage="Permission denied", refused=True),
            "Permission denied",
            "sudo chown ghostroll: /srv",
        ),
        (
            LibraryFacts("/srv/photos", "alex", strangers=("a", "b")),
            "not empty and no library: a, b",
            "library.path",
        ),
        (LibraryFacts("/srv/photos", "alex", unmounted="/srv"), "/srv is not mounted", "sudo mount /srv"),
    ],
)
def test_a_library_that_can_not_be_used(facts: LibraryFacts, words: str, remedy: str) -> None:
    """What is wrong with a library is said in one sentence, with the command that mends it."""
    (one,) = judge_library(facts)
    assert (one.check, one.level) == (Check.LIBRARY, Level.FINDING)
    assert words in one.what
    assert remedy in one.remedy


@pytest.mark.parametrize("facts", [replace(HERE, trouble="Permission denied"), replace(HERE, damage="no")])
def test_a_library_that_is_not_ours_to_see(facts: LibraryFacts) -> None:
    """What this user may not look into is no finding."""
    assert levels(judge_library(replace(facts, forbidden=True))) == {Check.LIBRARY: Level.HINT}


@pytest.mark.parametrize(
    ("path", "mounted", "expected"),
    [
        (b"/mnt/photos/library", [b"/"], "/mnt/photos"),
        (b"/mnt/photos", [b"/"], "/mnt/photos"),
        (b"/mnt/photos/library", [b"/", b"/mnt/photos"], None),
        (b"/mnt/photos2", [b"/"], None),
        (b"/mnt/my disk/x", [b"/"], "/mnt/my disk"),
        (b"/home/alex", [], None),
    ],
)
def test_what_of_fstab_is_not_mounted(path: bytes, mounted: list[bytes], expected: str | None) -> None:
    """The innermost mount point above a path is named where nothing is mounted; the root always is."""
    assert find_unmounted(path, FSTAB, mounted) == expected


def test_a_disk_that_is_well() -> None:
    """Filesystem, rights, durability and room are each a line."""
    assert levels(judge_disk(DISK)) == {
        Check.FILESYSTEM: Level.OK,
        Check.WRITABLE: Level.OK,
        Check.SYNC: Level.OK,
        Check.SPACE: Level.OK,
    }


@pytest.mark.parametrize(
    ("facts", "check", "level", "remedy"),
    [
        (
            replace(DISK, filesystem="vfat"),
            Check.FILESYSTEM,
            Level.FINDING,
            "library.allow_weak_filesystem = true",
        ),
        (replace(DISK, filesystem="", allow_weak=True), Check.FILESYSTEM, Level.HINT, "ext4, xfs or btrfs"),
        (replace(DISK, read_only=True), Check.WRITABLE, Level.FINDING, "sudo mount -o remount,rw /srv"),
        (replace(DISK, takes_files=None), Check.WRITABLE, Level.HINT, "sudo ghostroll doctor"),
        (
            replace(DISK, takes_files=False),
            Check.WRITABLE,
            Level.FINDING,
            "sudo chown -R ghostroll: /srv/photos",
        ),
        (
            replace(DISK, takes_files=False, is_new=True),
            Check.WRITABLE,
            Level.FINDING,
            "sudo mkdir -p /srv/photos && sudo chown -R ghostroll: /srv/photos",
        ),
        (replace(DISK, trial="Input/output error"), Check.SYNC, Level.FINDING, "dmesg"),
        (replace(DISK, free=GB), Check.SPACE, Level.FINDING, "du -xh"),
        (replace(DISK, free=GB // 2), Check.SPACE, Level.FINDING, "du -xh"),
        (replace(DISK, free=GB + 1), Check.SPACE, Level.HINT, "du -xh"),
        (replace(DISK, free=10 * GB), Check.SPACE, Level.HINT, "du -xh"),
        (replace(DISK, free=11 * GB), Check.SPACE, Level.OK, ""),
    ],
)
def test_a_disk_that_is_not(facts: DiskFacts, check: Check, level: Level, remedy: str) -> None:
    """Each thing that a disk lacks is its own finding, with its remedy."""
    (one,) = (one for one in judge_disk(facts) if one.check is check)
    assert one.level is level
    assert remedy in one.remedy
    assert [other.level for other in judge_disk(facts) if other.check is not check].count(Level.OK) >= 2


def test_a_disk_without_a_trial() -> None:
    """Where no file was made for trial, nothing is said of durability."""
    assert Check.SYNC not in levels(judge_disk(replace(DISK, trial=None)))


def test_the_nearest_folder(tmp_path: Path) -> None:
    """Of a path that is not there yet, the nearest folder above counts."""
    (tmp_path / "file").write_text("")
    for name in ("", "a/b/c", "file/b"):
        assert find_nearest(bytes(tmp_path / name)) == bytes(tmp_path)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (MediumFacts("sda1", removable=False, holds_system=False, taken=False, fixed=None), Level.OK, "none"),
        (
            MediumFacts("sda1", removable=True, holds_system=False, taken=False, fixed="/etc/fstab"),
            Level.OK,
            "none",
        ),
        (MediumFacts("vda", removable=False, holds_system=True, taken=False, fixed=None), Level.OK, "none"),
        (
            MediumFacts("sda1", removable=True, holds_system=False, taken=False, fixed=None),
            Level.HINT,
            "mounts it",
        ),
        (
            MediumFacts("mmcblk0p2", removable=True, holds_system=True, taken=False, fixed="x"),
            Level.HINT,
            "starts",
        ),
        (
            MediumFacts("sdb1", removable=True, holds_system=False, taken=True, fixed=None),
            Level.FINDING,
            "card",
        ),
    ],
)
def test_the_sort_of_disk(facts: MediumFacts, level: Level, words: str) -> None:
    """A library on a card is a finding; on the card that the machine starts from, or a stick, a hint."""
    (one,) = judge_medium(facts)
    assert one.level is level
    assert words in one.what
    assert facts.name in one.what


OWNER = Owner(42, "daemon", "/run/ghostroll/daemon/socket")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (STATE, {Check.STATE: Level.OK}),
        (replace(STATE, there=False), {Check.STATE: Level.OK}),
        (replace(STATE, there=False, sessions=True), {Check.STATE: Level.HINT}),
        (replace(STATE, forbidden=True, trouble="x: y"), {Check.STATE: Level.HINT}),
        (replace(STATE, trouble="x: y"), {Check.STATE: Level.FINDING}),
        (replace(STATE, log_bytes=65 << 20), {Check.STATE: Level.HINT}),
        (replace(STATE, log_bytes=63 << 20), {Check.STATE: Level.OK}),
        (replace(STATE, owner=Owner(42, "ingest /card")), {Check.STATE: Level.OK, Check.OWNER: Level.OK}),
        (replace(STATE, owner=OWNER), {Check.STATE: Level.OK, Check.OWNER: Level.OK}),
        (replace(STATE, owner=OWNER, answers=True), {Check.STATE: Level.OK, Check.OWNER: Level.OK}),
        (replace(STATE, owner=OWNER, answers=False), {Check.STATE: Level.OK, Check.OWNER: Level.FINDING}),
    ],
)
def test_records_and_their_owner(facts: StateFacts, expected: Mapping[Check, Level]) -> None:
    """Records that can't be used and an owner that doesn't answer are findings."""
    assert levels(judge_state(facts)) == expected


def test_no_room_for_records() -> None:
    """A full disk of the records is a finding beside sound records."""
    found = judge_state(replace(STATE, free=1 << 20))
    assert [one.level for one in found] == [Level.OK, Level.FINDING]
    assert found[1].remedy.startswith("df -h /srv/photos/.ghostroll")


@pytest.mark.parametrize(
    ("service", "first", "last"),
    [
        (
            Service.SYSTEM,
            "sudo systemctl stop ghostroll.service && sudo find ",
            "sudo systemctl start ghostroll.service",
        ),
        (
            Service.USER,
            "systemctl --user stop ghostroll.service && find ",
            "systemctl --user start ghostroll.service",
        ),
        (Service.NONE, "find /srv/photos/.ghostroll ", "ghostroll adopt"),
    ],
)
def test_damaged_records(service: Service, first: str, last: str) -> None:
    """Damaged records are put aside and made anew, while nobody works on them."""
    trouble = "the state at /x is damaged (row 3: bad); it was left untouched: move it away, then run 'ghostroll adopt'"
    (one,) = judge_state(replace(STATE, trouble=trouble, service=service))
    assert one.what == "the state at /x is damaged (row 3: bad); it was left untouched"
    assert one.remedy.startswith(first)
    assert one.remedy.endswith(last)


@pytest.mark.parametrize(
    ("closed", "level", "words"),
    [
        ((), Level.OK, "galleries can be written"),
        (None, Level.HINT, "not looked at"),
        (("2026-11-22_143015-A-k3f7",), Level.FINDING, "1 of 4 session folders: 2026-11-22_143015-A-k3f7"),
    ],
)
def test_galleries(closed: tuple[str, ...] | None, level: Level, words: str) -> None:
    """A session's folder that can't be written is named."""
    (one,) = judge_target(TargetFacts("/srv/photos", 4, closed, "ghostroll"))
    assert one.level is level
    assert words in one.what


ROOT = b"25 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
RUN = b"26 25 0:20 / /run rw shared:5 - tmpfs tmpfs rw\n"
CARD = b"90 26 8:17 / /run/ghostroll/cards/7-1 ro shared:9 - vfat /dev/sdb1 ro\n"
HOST = ROOT + RUN
INNER = b"125 100 8:1 / / ro shared:11 master:1 - ext4 /dev/sda1 rw\n"
INNER_RUN = b"126 125 0:20 / /run rw shared:15 master:5 - tmpfs tmpfs rw\n"
INNER_CARD = b"190 126 8:17 / /run/ghostroll/cards/7-1 ro master:9 - vfat /dev/sdb1 ro\n"


def look(host: bytes, daemon: bytes, after: bytes | None = None) -> list[Finding]:
    """What is said of these mount tables."""
    return judge_namespace(
        NamespaceFacts(parse_table(host), parse_table(daemon), parse_table(host if after is None else after))
    )


def test_the_optional_fields_of_mountinfo() -> None:
    """Groups are read by mount; other fields, and lines that are none, are passed over."""
    table = parse_table(
        INNER.replace(b"master:1", b"master:1 propagate_from:3 unbindable") + b"rubbish\n7 - x\n"
    )
    assert table.peers == {125: {"shared": 11, "master": 1}, 7: {}}
    assert [mount.point for mount in table.mounts] == [b"/"]


@pytest.mark.parametrize(
    ("host", "daemon", "after", "level"),
    [
        (HOST, INNER + INNER_RUN, None, Level.OK),
        (HOST + CARD, INNER + INNER_RUN + INNER_CARD, None, Level.OK),
        (HOST + CARD, HOST + CARD, None, Level.OK),  # one namespace
        (HOST, INNER + INNER_RUN.replace(b" shared:15", b""), None, Level.OK),
        (HOST, INNER + INNER_RUN.replace(b"shared:15 master:5", b"shared:5"), None, Level.OK),
        (HOST + CARD, INNER + INNER_RUN, HOST, Level.OK),  # it was pulled meanwhile
        (HOST, INNER + INNER_RUN, HOST + CARD, Level.OK),  # it came meanwhile
        (HOST + CARD, INNER + INNER_RUN, None, Level.FINDING),
        (HOST + CARD, INNER + INNER_RUN + INNER_CARD.replace(b"8:17", b"8:33"), None, Level.FINDING),
        (HOST, INNER + INNER_RUN.replace(b"shared:15 master:5", b""), None, Level.FINDING),
        (HOST, INNER + INNER_RUN.replace(b"master:5", b"master:6"), None, Level.FINDING),
        (HOST.replace(b"shared:5 ", b""), INNER + INNER_RUN, None, Level.FINDING),
        (HOST, b"", None, Level.FINDING),
    ],
)
def test_what_the_daemon_sees(host: bytes, daemon: bytes, after: bytes | None, level: Level) -> None:
    """The daemon has to see every card that stays, and to be fed by the host's mounts."""
    (one,) = look(host, daemon, after)
    assert (one.check, one.level) == (Check.NAMESPACE, level)


def test_the_remedy_for_a_private_namespace() -> None:
    """Whose mounts are private decides about the remedy."""
    (one,) = look(HOST.replace(b"shared:5 ", b""), INNER + INNER_RUN)
    assert one.remedy.startswith("sudo mount --make-rshared /")
    (one,) = look(HOST, INNER + INNER_RUN.replace(b"shared:15 master:5", b""))
    assert one.remedy.startswith("systemctl cat ghostroll.service")


def test_tables_that_can_not_be_read() -> None:
    """Where a table can't be read nothing is claimed."""
    table = Table((), {})
    for facts in (NamespaceFacts(None, table, table), NamespaceFacts(table, None, table)):
        (one,) = judge_namespace(facts)
        assert one.level is Level.HINT
