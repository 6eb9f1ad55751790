"""Watching real mounts come and go, and listing real folders."""

import contextlib
import ctypes
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import run
from running import do_without, need_tools

from ghostroll.cards.blocks import Described, read_blocks
from ghostroll.cards.mounts import Mount, read_mounts
from ghostroll.cards.roots import RootReader, list_root
from ghostroll.cards.sight import CardRules, Changes, Insertion, Listing, Seen, Why
from ghostroll.cards.watch import Watcher

LONG = 3600.0  # seconds; no test waits for a rescan
BOUND = 30.0  # seconds that something may take before it counts as lost


class Reader:
    """Cards that are tmpfs: made aside, then shown whole at one of the places where cards are looked for."""

    def __init__(self, folder: Path) -> None:
        self._aside = folder / "aside"
        self.root = folder / "media"
        self.root.mkdir()
        self._aside.mkdir()

    def make(self, name: str, *folders: str) -> Path:
        """A card with these folders, not yet to be seen."""
        card = self._aside / name
        card.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=64k", name, card)
        for folder in folders:
            (card / folder).mkdir(parents=True)
        return card

    def put_in(self, name: str, *folders: str) -> Path:
        """Mount a card."""
        card = self.make(name, *folders)
        point = self.root / name
        point.mkdir(exist_ok=True)
        run("mount", "--bind", card, point)
        return point

    def remove(self) -> None:
        """Unmount everything."""
        for place in (self.root, self._aside):
            for point in place.iterdir():
                while (
                    subprocess.run(["umount", "-l", point], check=False, capture_output=True).returncode == 0
                ):
                    pass


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A place where cards are mounted. Without root it is skipped; in CI that fails."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(mount="mount")
    made = Reader(tmp_path)
    yield made
    made.remove()


@pytest.fixture
def rules(reader: Reader, tmp_path: Path) -> CardRules:
    """Cards are what is mounted in the reader."""
    return CardRules(
        library=os.fsencode(tmp_path / "library"),
        filesystems=frozenset({"tmpfs", "fuse"}),
        mount_roots=(os.fsencode(reader.root),),
        debounce=0.0,
    )


@pytest.fixture
def watcher(rules: CardRules) -> Iterator[Watcher]:
    """A watcher that has had its first look, and rescans only after the test."""
    with Watcher(rules, rescan=LONG, settle=0.01) as made:
        made.wait()
        yield made


def wait_for(watcher: Watcher, pick: Callable[[Changes], tuple[Seen, ...]]) -> Seen:
    """The next volume of a kind that the watcher tells of; AssertionError when it takes too long."""
    until = time.monotonic() + BOUND
    while (left := until - time.monotonic()) > 0:
        found = [seen for seen in pick(watcher.wait(left)) if not seen.insertion.diskseq]
        if found:
            return found[0]
    raise AssertionError("nothing was told")


def test_a_card_that_is_mounted_arrives_and_leaves(reader: Reader, watcher: Watcher) -> None:
    """The kernel's word that mounts changed is enough for both, and nothing of the card is kept open meanwhile."""
    point = reader.put_in("EOS", "DCIM/100")
    card = wait_for(watcher, lambda changes: changes.arrived)
    assert card.mount is not None
    assert card.mount.point == os.fsencode(point)
    assert card.volume.label == "EOS"
    run("umount", point)  # fails while anything is open in there
    gone = wait_for(watcher, lambda changes: changes.left)
    assert gone == card
    run("umount", reader.make("OTHER"))


def test_the_first_answer_has_what_is_in(reader: Reader, rules: CardRules) -> None:
    """Cards that were mounted before are in the first answer, refused ones as well."""
    reader.put_in("EOS", "DCIM")
    reader.put_in("PAPERS", "Letters")
    with Watcher(rules, rescan=LONG) as watcher:
        changes = watcher.wait()
    assert [card.volume.label for card in changes.arrived] == ["EOS"]
    refused = {seen.name: seen.refusal for seen in changes.refused}
    assert refused["PAPERS"] is not None
    assert refused["PAPERS"].why is Why.NOT_CAMERA


def test_another_card_at_the_same_place(reader: Reader, watcher: Watcher) -> None:
    """What stood on a card is not believed of the next one, though that is mounted at the same place."""
    point = reader.put_in("EOS", "DCIM")
    wait_for(watcher, lambda changes: changes.arrived)
    run("umount", point)
    wait_for(watcher, lambda changes: changes.left)
    run("umount", reader.root.parent / "aside" / "EOS")
    (reader.root.parent / "aside" / "EOS").rmdir()
    reader.put_in("EOS", "Letters")
    refused = wait_for(watcher, lambda changes: changes.refused)
    assert refused.refusal is not None
    assert refused.refusal.why is Why.NOT_CAMERA
    assert refused in watcher.seen


def test_a_first_answer_may_be_empty(rules: CardRules) -> None:
    """The first answer comes without anything happening, and a timeout gives an empty one."""
    with Watcher(rules, rescan=LONG) as watcher:
        first = watcher.wait()
        assert (first.arrived, first.left) == ((), ())
        assert not watcher.wait(timeout=0)


def test_stop_ends_a_wait_from_another_thread(watcher: Watcher) -> None:
    """A thread that waits without a timeout comes back when another one says stop, also when that was said before."""
    answers: list[Changes] = []
    thread = threading.Thread(target=lambda: answers.append(watcher.wait()))
    thread.start()
    watcher.stop()
    thread.join(BOUND)
    assert not thread.is_alive()
    assert answers == [Changes()]
    assert watcher.wait() == Changes()
    watcher.close()
    watcher.stop()
    watcher.look_soon()
    watcher.close()


def test_run_calls_back_until_stop(reader: Reader, rules: CardRules) -> None:
    """The first look is called back, then each change, and stop said in a callback ends it."""
    heard: list[Changes] = []
    with Watcher(rules, rescan=LONG, settle=0.01) as watcher:

        def hear(changes: Changes) -> None:
            heard.append(changes)
            if len(heard) == 1:
                reader.put_in("EOS", "DCIM")
            if changes.arrived:
                watcher.stop()

        watcher.run(hear)
    assert not heard[0].arrived
    assert [card.name for card in heard[-1].arrived] == ["EOS"]


def test_an_idle_watcher_does_nothing(rules: CardRules) -> None:
    """While nothing happens, nothing is looked at and nothing runs."""
    asked = 0

    def clock() -> float:
        nonlocal asked
        asked += 1
        return time.monotonic()

    with Watcher(rules, rescan=LONG, clock=clock) as watcher:
        watcher.wait()
        asked = 0
        watcher.wait(timeout=0.5)
        assert watcher.looks < 10, "somebody else may mount things meanwhile"
    assert asked < 100


def test_a_burst_is_answered_once(reader: Reader, rules: CardRules) -> None:
    """Many changes at once are not answered by as many looks."""
    with Watcher(rules, rescan=LONG, settle=0.5) as watcher:
        watcher.wait()
        point = reader.make("busy")
        stop = threading.Event()

        def mount_and_unmount() -> None:
            for _ in range(60):
                run("mount", "-t", "tmpfs", "busy", point)
                run("umount", point)
            reader.put_in("EOS", "DCIM")
            stop.set()

        thread = threading.Thread(target=mount_and_unmount)
        thread.start()
        wait_for(watcher, lambda changes: changes.arrived)
        thread.join(BOUND)
        assert stop.is_set()
        assert watcher.looks < 60


def test_looking_again_by_the_clock(reader: Reader, rules: CardRules) -> None:
    """A card of which no event was heard is found at the next rescan."""
    with Watcher(rules, rescan=0.1, settle=LONG) as watcher:
        watcher.wait()
        # Deaf to events from here on, as it would be to those that get lost.
        watcher._settling = True
        reader.put_in("EOS", "DCIM")
        assert wait_for(watcher, lambda changes: changes.arrived).name == "EOS"


@contextlib.contextmanager
def mount_silent(point: Path) -> Iterator[None]:
    """A filesystem that never answers, as a dying card: FUSE without anybody behind it."""
    point.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        if libc.mount(b"silent", os.fsencode(point), b"fuse", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        yield
    finally:
        os.close(device)  # whoever waits gets an error
        libc.umount2(os.fsencode(point), 2)


def test_a_card_that_never_answers_stops_nobody(reader: Reader, rules: CardRules) -> None:
    """With one card hanging the first answer comes, another card arrives, the hanging one is mentioned, and stop ends it all."""
    if not os.path.exists("/dev/fuse"):
        do_without("no /dev/fuse here: modprobe fuse")
    patient = CardRules(
        rules.library, filesystems=rules.filesystems, mount_roots=rules.mount_roots, patience=0.1
    )
    with mount_silent(reader.root / "DYING"), Watcher(patient, rescan=LONG, settle=0.01) as watcher:
        first = watcher.wait()
        reader.put_in("EOS", "DCIM")
        arrived, refused = list(first.arrived), list(first.refused)
        until = time.monotonic() + BOUND
        while not (arrived and any(seen.name == "DYING" for seen in refused)):
            assert time.monotonic() < until
            changes = watcher.wait(BOUND)
            arrived += changes.arrived
            refused += changes.refused
        assert [card.name for card in arrived] == ["EOS"]
        (dying,) = (seen for seen in refused if seen.name == "DYING")
        assert dying.refusal is not None
        assert dying.refusal.why is Why.NO_ANSWER


def mount_of(path: Path) -> Mount:
    """A folder as if it were a mount."""
    return Mount(os.stat(path).st_dev, b"/", os.fsencode(path), "ext4", b"/dev/sdz1")


def test_the_top_folders_are_listed(tmp_path: Path) -> None:
    """Folders are listed; files, and links to folders, are not; a library of ours is told."""
    (tmp_path / "DCIM").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "PRIVATE").symlink_to("/tmp")  # noqa: S108  # any folder
    listing = list_root(mount_of(tmp_path))
    assert listing.folders == (b"DCIM",)
    assert not listing.library
    (tmp_path / ".ghostroll").mkdir()
    (tmp_path / ".ghostroll" / "library.json").write_text("{}")
    assert list_root(mount_of(tmp_path)).library


def test_a_full_top_folder_is_listed_to_its_end(tmp_path: Path) -> None:
    """The camera's folder is found behind thousands of files, and not more folders are remembered than makes sense."""
    for number in range(3000):
        (tmp_path / f"{number:04}.jpg").touch()
    (tmp_path / "DCIM").mkdir()
    assert list_root(mount_of(tmp_path)).folders == (b"DCIM",)
    for number in range(2500):
        (tmp_path / f"{number:04}").mkdir()
    assert len(list_root(mount_of(tmp_path)).folders) == 2000


def test_what_is_forgotten_is_listed_again(tmp_path: Path) -> None:
    """An answer is kept as long as its mount is there; for the next one under the same number the folder is listed anew."""
    done = threading.Semaphore(0)
    reader = RootReader(done.release)
    key, mount = (Insertion(0, "mount:7:EOS"), mount_of(tmp_path).key), mount_of(tmp_path)
    reader.ask(key, mount)
    assert done.acquire(timeout=BOUND)
    assert reader.answers() == {key: Listing()}
    (tmp_path / "DCIM").mkdir()
    reader.keep({key})
    reader.ask(key, mount)
    assert not done.acquire(timeout=0)
    reader.keep(())
    assert reader.answers() == {}
    reader.ask(key, mount)
    assert done.acquire(timeout=BOUND)
    assert reader.answers() == {key: Listing((b"DCIM",))}
    assert reader.close(BOUND)


def test_what_cannot_be_listed_says_why(tmp_path: Path) -> None:
    """A folder that is not there, or that shows another filesystem than it should, is an error in words."""
    assert (
        list_root(Mount(1, b"/", os.fsencode(tmp_path / "no"), "", b"")).error == "No such file or directory"
    )
    other = Mount(os.makedev(250, 250), b"/", os.fsencode(tmp_path), "vfat", b"")
    assert list_root(other).error == "something else is mounted on top of it"
    joined = Mount(os.makedev(0, 99), b"/", os.fsencode(tmp_path), "btrfs", b"/dev/sdz")
    assert list_root(joined).error is None, "its files have numbers of their own"


def test_the_disks_of_this_machine_are_read() -> None:
    """Every device that something is mounted from is found in sysfs, with its size and its disk."""
    blocks = {block.number: block for block in read_blocks(lambda _path: Described("ext4"))}
    found = [blocks[mount.device] for mount in read_mounts() if mount.device in blocks]
    for block in found:
        assert block.size > 0
        assert block.path.startswith(block.disk)
        assert Path(f"/sys{block.disk}").is_dir()
        assert block.described == Described("ext4")


def write_disk(sysfs: Path, path: str, **attributes: str) -> None:
    """A device as sysfs shows it."""
    place = sysfs / path
    for name, text in attributes.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
        (place / name.replace("__", "/")).write_text(text + "\n")
    (sysfs / "class/block").mkdir(parents=True, exist_ok=True)
    (sysfs / "class/block" / place.name).symlink_to(place)


def test_a_disk_is_not_gone_because_files_run_out() -> None:
    """Without a free descriptor nothing is known of a disk, and that is said instead of guessed."""
    program = (
        "import os, resource\nfrom ghostroll.cards.blocks import read_blocks, read_diskseq\n"
        "block = read_blocks(lambda path: None)[0]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n    read_diskseq(block)\nexcept OSError as error:\n    print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == f"{errno.EMFILE}\n"


def test_sysfs_is_understood(tmp_path: Path) -> None:
    """Slots of SD hosts are removable though they deny it, an empty slot has no size, and its partitions have none either."""
    write_disk(
        tmp_path,
        "devices/mmc0/mmcblk0",
        dev="179:0",
        size="1024",
        diskseq="11",
        removable="0",
        device__type="SD",
    )
    write_disk(tmp_path, "devices/mmc0/mmcblk0/mmcblk0p1", dev="179:1", size="1000", partition="1")
    write_disk(tmp_path, "devices/usb/sda", dev="8:0", size="0", diskseq="17", removable="1")
    write_disk(tmp_path, "devices/usb/sda/sda1", dev="8:1", size="1000", partition="1")
    write_disk(
        tmp_path,
        "devices/emmc/mmcblk1",
        dev="179:8",
        size="9",
        diskseq="2",
        removable="0",
        device__type="MMC",
    )
    write_disk(tmp_path, "devices/going/sdb", size="9")
    write_disk(tmp_path, "devices/ata/sr0", dev="11:0", size="9", diskseq="3", removable="1")
    (tmp_path / "devices/usb/sda/sda1/holders/dm-0").mkdir(parents=True)
    (tmp_path / "devices/ata/sr0/slaves/sdz").mkdir(parents=True)
    blocks = {block.name: block for block in read_blocks(lambda _path: None, str(tmp_path))}
    assert blocks.keys() == {"mmcblk0", "mmcblk0p1", "sda", "sda1", "sr0", "mmcblk1"}
    part = blocks["mmcblk0p1"]
    assert (part.partition, part.diskseq, part.removable, part.size) == (1, 11, True, 512_000)
    assert part.disk == "/devices/mmc0/mmcblk0"
    assert (blocks["sda1"].size, blocks["sda1"].diskseq, blocks["sda"].size) == (0, 17, 0)
    assert not blocks["mmcblk1"].removable
    assert not blocks["sr0"].removable, "a disc is no card"
    assert (blocks["sda1"].holders, blocks["sda"].holders, blocks["sr0"].slaves) == (("dm-0",), (), ("sdz",))
