"""`ghostroll daemon` with real cards in a real udev: nobody touches a keyboard. Needs root."""

import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from daemons import RunningDaemon
from desktop import Desktop, run_udev
from disks import Disk, Disks, run
from holding import hold_reads
from promises import ask, check_always, hash_tree, list_originals
from running import environment, run_command, wait_until

from ghostroll.demo.photos import make_photo

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


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


def photos(number: int) -> dict[str, bytes]:
    """Small photos in a camera's folder."""
    return {
        f"DCIM/100CANON/IMG_{n:04}.JPG": make_photo(seed=n, size=(320, 240), taken=NOON)
        for n in range(1, number + 1)
    }


def blobs(number: int, size: int = 300_000) -> dict[str, bytes]:
    """Files that no two cards share."""
    return {f"DCIM/100/file{n}.bin": os.urandom(size) for n in range(number)}


def test_a_card_goes_in_and_nobody_touches_a_keyboard(
    daemon: RunningDaemon, desktop: Desktop, library: Path
) -> None:
    """A card that is mounted is copied, verified and shown; the log tells it from top to bottom, and the status too."""
    assert daemon.status()["status"] == "waiting for a card"
    slot, point = desktop.insert(desktop.make("EOS", files=photos(3)), "EOS")
    daemon.wait_for("gallery complete")
    said = daemon.text()
    assert re.search(
        rf"EOS \({slot.name}\): a camera's card of 16.8 MB is in\n(.*\n)*"
        r"EOS: 3 files, [\d.]+ kB on the card, all to copy; this is job 1\n"
        r"(.*\n)*EOS: copied and verified 3 files, [\d.]+ kB in [\d.]+ s \([\d.]+ .?B/s\)\n"
        r"EOS: safe to remove, 3 files verified\n"
        r"(.*\n)*EOS: 3 pictures made in [\d.]+ s \([\d.]+/s\)\n"
        r"EOS: gallery complete with 3 pictures; Link ready: ghostroll link 1",
        said,
    ), said
    check_always(library, point)
    wait_until(
        lambda: daemon.status()["status"] == "waiting for a card" and daemon.status()["cards"][0]["job"] == 1
    )
    (card,) = daemon.status()["cards"]
    assert (card["card"], card["state"], card["safe_to_remove"]) == ("EOS", "secured", True)
    run("umount", point)
    daemon.wait_for(f"EOS ({slot.name}): removed")
    wait_until(lambda: daemon.status()["cards"] == [])
    assert "NOT SAFE" not in daemon.text()
    assert daemon.stop() == 0
    wait_until(lambda: "STOPPING=1" in daemon.told)
    assert not (daemon.runtime / "status.json").exists()


def test_a_card_that_is_in_before_the_start(env: dict[str, str], desktop: Desktop, tmp_path: Path) -> None:
    """A card that was in when the daemon started is taken like any other."""
    desktop.insert(desktop.make("EARLY", files=blobs(2)), "EARLY")
    daemon = RunningDaemon(tmp_path / "daemon", env)
    try:
        daemon.wait_for("EARLY: safe to remove, 2 files verified")
    finally:
        daemon.end()


def test_nothing_new_makes_no_session(daemon: RunningDaemon, desktop: Desktop, library: Path) -> None:
    """The same card again is safe at once and makes no folder; with one photo more, that photo alone is new."""
    image = desktop.make("SAME", files=blobs(2))
    slot, point = desktop.insert(image, "SAME")
    daemon.wait_for("safe to remove")
    run("umount", point)
    slot.empty()
    daemon.wait_for("removed")
    slot, point = desktop.insert(image, "SAME")
    daemon.wait_for("SAME: 2 files, 600 kB on the card, nothing new")
    daemon.wait_for("safe to remove", times=2)
    assert len(list(library.glob("2*"))) == 1
    run("umount", point)
    slot.empty()
    daemon.wait_for("removed", times=2)
    (desktop.media / "new").write_bytes(b"one more")
    run("debugfs", "-w", "-R", f"write {desktop.media}/new DCIM/new.bin", image)
    desktop.insert(image, "SAME")
    daemon.wait_for("safe to remove", times=3)
    assert len(list(library.glob("2*"))) == 2
    assert len(list_originals(library)) == 3


def test_two_volumes_of_one_card(daemon: RunningDaemon, desktop: Desktop) -> None:
    """A card may be pulled when all its volumes are safe, and not before."""
    slot = desktop.put_in(desktop.make("TWO", files=blobs(2), table=True))
    run("partx", "--update", slot.node)
    first = desktop.mount(f"{slot.node}p1", "one")
    daemon.wait_for("TWO: 2 files verified; another volume of this card is not safe yet, leave it in")
    assert "safe to remove" not in daemon.text()
    assert not any(card["safe_to_remove"] for card in daemon.status()["cards"])
    assert first.exists()
    desktop.mount(f"{slot.node}p2", "two")
    daemon.wait_for("TWO: safe to remove", times=2)


def test_two_cards_at_once(daemon: RunningDaemon, desktop: Desktop, library: Path) -> None:
    """Two cards are read at the same time: neither waits for the other."""
    one, two = (desktop.make(name, files=blobs(3)) for name in ("ONE", "TWO"))
    slot = desktop.put_in(one)
    point = desktop.mount(slot.node, "ONE")
    with hold_reads(point / "DCIM/100/file1.bin") as held:
        held.catch()
        desktop.insert(two, "TWO")
        daemon.wait_for("TWO: safe to remove, 3 files verified")
        assert "ONE: safe to remove" not in daemon.text()
    daemon.wait_for("ONE: safe to remove, 3 files verified")
    assert len(list_originals(library)) == 6


def test_pulled_while_copying_and_put_back(daemon: RunningDaemon, desktop: Desktop, library: Path) -> None:
    """A pulled card is called unsafe within moments, what was verified stays, and in another reader the copy goes on."""
    image = desktop.make("PULLED", files=blobs(5))
    other = desktop.make("OTHER", files=blobs(1))
    slot, point = desktop.insert(image, "PULLED")
    with hold_reads(point / "DCIM/100/file3.bin") as held:
        held.catch()
        slot.swap(other)
        daemon.wait_for("PULLED: NOT SAFE, it was removed too early: 2 of 5 files missing")
    assert ask(library, "SELECT safety FROM job") == [("interrupted",)]
    assert len(list_originals(library)) == 3
    assert ask(
        library, "SELECT count(*) FROM task WHERE state IN ('ready', 'running') AND stage = 'copy'"
    ) == [(0,)]
    run("umount", point)
    slot.empty()
    _, point = desktop.insert(image, "BACK")
    daemon.wait_for("PULLED: safe to remove, 5 files verified")
    assert ask(library, "SELECT id, safety FROM job") == [(1, "secured")]
    assert sorted(list_originals(library).values()) == sorted(hash_tree(point / "DCIM").values())


def test_swapped_between_two_reads_of_one_file(
    daemon: RunningDaemon, desktop: Desktop, library: Path
) -> None:
    """Of a card that took another's place in the middle of a file, no byte stands under a name of the first."""
    one = desktop.make("FIRST", files=blobs(1, size=6 << 20))
    two = desktop.make("SECOND", files=blobs(1, size=6 << 20))
    slot, point = desktop.insert(one, "FIRST")
    with hold_reads(point / "DCIM/100/file0.bin") as held:
        held.catch()
        slot.swap(two)
    daemon.wait_for("FIRST: NOT SAFE")
    assert list_originals(library) == {}
    run("umount", point)
    run("udevadm", "trigger", "--settle", f"/sys/block/{slot.name}")  # as the root helper does
    desktop.mount(slot.node, "SECOND")
    daemon.wait_for("SECOND: safe to remove")
    assert set(list_originals(library).values()) == set(hash_tree(desktop.media / "SECOND" / "DCIM").values())


def test_killed_in_the_middle(
    daemon: RunningDaemon, desktop: Desktop, library: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """After SIGKILL the next daemon goes on with the card that is still in, and nothing is twice."""
    _, point = desktop.insert(desktop.make("KILLED", files=blobs(5)), "KILLED")
    with hold_reads(point / "DCIM/100/file2.bin") as held:
        held.catch()
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    check_always(library, point)
    again = RunningDaemon(tmp_path / "again", env)
    try:
        again.wait_for("KILLED: safe to remove, 5 files verified")
        assert ask(library, "SELECT id, safety FROM job") == [(1, "secured")]
        check_always(library, point)
    finally:
        again.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_the_middle(
    number: int, daemon: RunningDaemon, desktop: Desktop, library: Path, env: dict[str, str]
) -> None:
    """A stop waits for no read that hangs; the next start completes the job, and nobody is charged."""
    _, point = desktop.insert(desktop.make("STOPPED", files=blobs(5)), "STOPPED")
    with hold_reads(point / "DCIM/100/file2.bin") as held:
        held.catch()
        daemon.process.send_signal(number)
        daemon.wait_for("ended without waiting for it")  # while the read still hangs
    assert daemon.process.wait(20) == 0
    again = RunningDaemon(library.parent / "again", env)
    try:
        again.wait_for("STOPPED: safe to remove, 5 files verified")
        check_always(library, point)
        assert ask(library, "SELECT sum(attempts) FROM task")[0][0] in (0, None)
    finally:
        again.end()


def test_a_stop_says_that_the_card_is_not_safe(
    daemon: RunningDaemon, desktop: Desktop, library: Path
) -> None:
    """Whoever reads the log after a stop in the middle knows not to format the card."""
    files = {f"DCIM/100/f{n:04}.bin": os.urandom(20_000) for n in range(400)}
    desktop.insert(desktop.make("CUT", files=files, mib=32), "CUT")
    wait_until(lambda: len(list_originals(library)) > 3)
    assert daemon.stop() == 0
    if "CUT: safe to remove" not in daemon.text():
        assert "CUT: NOT SAFE, ghostroll was stopped in the middle" in daemon.text()


def test_a_bad_sector_costs_one_file(
    daemon: RunningDaemon, desktop: Desktop, disks: Disks, library: Path, env: dict[str, str]
) -> None:
    """A file that can't be read is named and the rest goes on; once the card is well, `retry` completes the job."""
    files = blobs(4, size=40_960)
    image = disks.format("BAD", mib=16, files=files, bad={"DCIM/100/file1.bin": 5})
    whole = image.read_bytes()
    slot = desktop.put_in(image)
    elsewhere = library.parent / "elsewhere"
    elsewhere.mkdir()
    run("mount", "-o", "ro,noload", slot.node, elsewhere)
    Disk(image, elsewhere, slot.node).cut()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    point = desktop.media / "BAD"
    point.mkdir()
    run("mount", "--bind", elsewhere, point)
    daemon.wait_for("BAD: NOT SAFE, 1 file can't be read and everything else is in the library")
    assert "NOT SAFE: DCIM/100/file1.bin the card gives a read error here" in daemon.text()
    assert ask(library, "SELECT safety FROM job") == [("attention",)]
    assert len(list_originals(library)) == 3
    image.write_bytes(whole)
    done = run_command(env, "retry", "1", "--json")
    assert done.code == 0, done.err
    assert done.document["secured"] is True
    daemon.wait_for("BAD: safe to remove, 4 files verified")
    run("umount", elsewhere)


def test_a_medium_that_is_no_card(daemon: RunningDaemon, desktop: Desktop, library: Path) -> None:
    """A stick with somebody's files and a backup disk with a DCIM folder are refused once, and said why."""
    slot, _ = desktop.insert(desktop.make("STICK", files={"letters/one.txt": b"Dear"}), "STICK")
    daemon.wait_for(f"STICK ({slot.name}): not taken")
    backup = {"DCIM/1.jpg": b"x", "Users/me/x": b"x", "System/y": b"y", "home/z": b"z"}
    slot, _ = desktop.insert(desktop.make("BACKUP", files=backup), "BACKUP")
    daemon.wait_for(f"BACKUP ({slot.name}): not taken")
    assert daemon.text().count("not taken") == 2
    assert list_originals(library) == {}
    assert ask(library, "SELECT count(*) FROM job") == [(0,)]


def test_a_second_daemon_is_refused(daemon: RunningDaemon, env: dict[str, str], tmp_path: Path) -> None:
    """Two daemons never share a state: the second says who holds it and ends with 7."""
    second = RunningDaemon(tmp_path / "second", env)
    try:
        assert second.process.wait(20) == 7
        assert f"process {daemon.process.pid} (daemon)" in second.text()
    finally:
        second.end()
    assert daemon.process.poll() is None


def test_a_library_that_is_not_there_is_waited_for(
    env: dict[str, str], desktop: Desktop, disks: Disks, tmp_path: Path
) -> None:
    """Without its disk the daemon is up and says so; once it is mounted, the card that is in is taken."""
    library = disks.make("LIBRARY", mib=64, read_only=False)
    env = env | {
        "GHOSTROLL_LIBRARY__PATH": str(library.point / "photos"),
        "GHOSTROLL_STATE__PATH": str(tmp_path / "state" / "state.db"),
    }
    first = RunningDaemon(tmp_path / "first", env)
    try:
        first.wait_ready()
        assert first.stop() == 0
    finally:
        first.end()
    run("umount", library.point)
    daemon = RunningDaemon(tmp_path / "daemon", env)
    try:
        daemon.wait_ready()
        daemon.wait_for("nothing is copied")
        desktop.insert(desktop.make("WAITS", files=blobs(2)), "WAITS")
        run("mount", library.device, library.point)
        daemon.wait_for("WAITS: safe to remove, 2 files verified", timeout=60)
    finally:
        daemon.end()


def test_a_full_disk_goes_on_when_there_is_room(
    env: dict[str, str], desktop: Desktop, disks: Disks, tmp_path: Path
) -> None:
    """Where the library's disk is full it is said, and when room was made the copy goes on by itself."""
    library = disks.make("FULL", mib=24, read_only=False)
    (library.point / "ballast").write_bytes(os.urandom(15 << 20))
    env = env | {
        "GHOSTROLL_LIBRARY__PATH": str(library.point / "photos"),
        "GHOSTROLL_STATE__PATH": str(tmp_path / "state" / "state.db"),
    }
    (library.point / "photos").mkdir()
    daemon = RunningDaemon(tmp_path / "daemon", env)
    try:
        desktop.insert(desktop.make("BIG", files=blobs(5, size=2 << 20)), "BIG")
        daemon.wait_for("waiting: there is no room for this file in the library")
        assert "safe to remove" not in daemon.text()
        (library.point / "ballast").unlink()
        daemon.wait_for("BIG: safe to remove, 5 files verified", timeout=60)
    finally:
        daemon.end()


def test_the_watchdog_is_fed(env: dict[str, str], desktop: Desktop, tmp_path: Path) -> None:
    """The service manager hears of the daemon at least twice in each watchdog period, busy or idle."""
    daemon = RunningDaemon(tmp_path / "daemon", env, watchdog=2.0)
    try:
        daemon.wait_ready()
        wait_until(lambda: daemon.told.count("WATCHDOG=1") >= 3)
        desktop.insert(desktop.make("FED", files=blobs(2)), "FED")
        daemon.wait_for("FED: safe to remove")
        before = daemon.told.count("WATCHDOG=1")
        wait_until(lambda: daemon.told.count("WATCHDOG=1") >= before + 3)
        assert any(line.startswith("STATUS=") for line in daemon.told)
    finally:
        daemon.end()
