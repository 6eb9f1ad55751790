"""`ghostroll daemon` where things go wrong: cards with two parts that are pulled, libraries that fail, stops that hang. Needs root."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import RunningDaemon
from desktop import Desktop, run_udev
from disks import Disks, run
from holding import hold_reads
from running import environment
from slots import write_table


@pytest.fixture(scope="module")
def udev() -> Iterator[None]:
    """An udevd that takes loop devices for card readers."""
    yield from run_udev()


@pytest.fixture
def desktop(udev: None, disks: Disks, tmp_path: Path) -> Iterator[Desktop]:  # noqa: ARG001  # udev runs
    """A desktop with card readers."""
    made = Desktop(disks, tmp_path)
    yield made
    made.remove()


@pytest.fixture
def env(desktop: Desktop, library: Path, tmp_path: Path) -> dict[str, str]:
    """The configuration: cards are ext4 here, and mounted where the desktop does it."""
    return environment(
        tmp_path,
        library,
        GHOSTROLL_CARDS__FILESYSTEMS='["ext4"]',
        GHOSTROLL_CARDS__MOUNT_ROOTS=json.dumps([str(desktop.media)]),
        GHOSTROLL_COPY__BATCH_FILES="1",
        GHOSTROLL_COPY__THREADS_PER_CARD="1",
    )


@pytest.fixture
def daemon(env: dict[str, str], tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon that is up."""
    made = RunningDaemon(tmp_path / "daemon", env)
    made.wait_ready()
    yield made
    made.end()


def blobs(number: int, size: int = 300_000) -> dict[str, bytes]:
    """Files that no two cards share."""
    return {f"DCIM/100/file{n}.bin": os.urandom(size) for n in range(number)}


def make_two(disks: Disks, folder: Path, first: dict[str, bytes]) -> Path:
    """A card with two volumes, the second with three files."""
    images = [disks.format(name, mib=16, files=files) for name, files in (("ONE", first), ("TWO", blobs(3)))]
    card = folder / "both.card"
    write_table(card, images)
    return card


def test_a_card_pulled_with_one_volume_safe(
    daemon: RunningDaemon, desktop: Desktop, disks: Disks, tmp_path: Path
) -> None:
    """Of a card that is pulled while one of its volumes is not safe it is never said that it may be removed."""
    slot = desktop.put_in(make_two(disks, tmp_path, blobs(2)))
    run("partx", "--update", slot.node)
    two = desktop.mount(f"{slot.node}p2", "TWO")
    with hold_reads(two / "DCIM/100/file1.bin") as held:
        held.catch()
        desktop.mount(f"{slot.node}p1", "ONE")
        daemon.wait_for("ONE: 2 files verified; another volume of this card is not safe yet, leave it in")
        run("umount", "-l", desktop.media / "TWO")
        run("umount", desktop.media / "ONE")
        slot.empty()
        daemon.wait_for("TWO: NOT SAFE")
        daemon.wait_for("removed", times=2)
    assert daemon.stop() == 0
    assert "safe to remove" not in daemon.text(), daemon.text()


def test_an_empty_volume_says_nothing_of_the_other(
    daemon: RunningDaemon, desktop: Desktop, disks: Disks, tmp_path: Path
) -> None:
    """A volume without files says nothing of the other one on its card."""
    slot = desktop.put_in(make_two(disks, tmp_path, {"DCIM/._x": b""}))
    run("partx", "--update", slot.node)
    two = desktop.mount(f"{slot.node}p2", "TWO")
    with hold_reads(two / "DCIM/100/file1.bin") as held:
        held.catch()
        desktop.mount(f"{slot.node}p1", "ONE")
        daemon.wait_for("there is no file")
        assert "safe to remove" not in daemon.text(), daemon.text()
    daemon.wait_for("TWO: safe to remove")


def test_a_stop_that_leaves_a_read_behind_says_so(daemon: RunningDaemon, desktop: Desktop) -> None:
    """A stop that leaves a hanging read behind still says that the card is not safe."""
    _, point = desktop.insert(desktop.make("STOPPED", files=blobs(3)), "STOPPED")
    with hold_reads(point / "DCIM/100/file1.bin") as held:
        held.catch()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(11) == 0
    assert "STOPPED: NOT SAFE, ghostroll was stopped in the middle" in daemon.text(), daemon.text()


def test_a_library_whose_disk_fails_is_waited_for(
    env: dict[str, str], desktop: Desktop, disks: Disks, tmp_path: Path
) -> None:
    """Where the library's disk fails under the daemon it lives on, and goes on with the card when the disk is well."""
    library = disks.make("LIBRARY", mib=64, read_only=False)
    env = env | {"GHOSTROLL_LIBRARY__PATH": str(library.point / "photos")}
    daemon = RunningDaemon(tmp_path / "daemon", env)
    try:
        daemon.wait_ready()
        run(
            "mount", "-o", "remount,abort", library.point
        )  # as the kernel does after an error: it takes no writes
        desktop.insert(desktop.make("WAITS", files=blobs(2)), "WAITS")
        daemon.wait_for("can't be used any more")
        daemon.wait_for("nothing is copied")
        run("umount", library.point)
        subprocess.run(["e2fsck", "-fy", library.device], check=False, capture_output=True)
        run("mount", library.device, library.point)
        daemon.wait_for("WAITS: safe to remove, 2 files verified", timeout=40)
    finally:
        daemon.end()
