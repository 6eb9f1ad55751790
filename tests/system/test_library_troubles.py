"""The library's disk in trouble while a card is copied: unmounted, broken, out of files. Real ext4."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import count
from disks import Disk, Disks, run
from holding import hold_reads
from promises import check_finished, hash_tree, list_originals
from running import Run, check_sentence, environment, finish_command, run_command, start_command


@pytest.fixture(params=["state inside", "state elsewhere"])
def env(request: pytest.FixtureRequest, tmp_path: Path, shelf: Disk) -> dict[str, str]:
    """A user whose library is that disk, with the database on it or somewhere else; each file is recorded by itself."""
    more = {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}
    if request.param == "state elsewhere":
        more["GHOSTROLL_STATE__PATH"] = str(tmp_path / "db" / "state.db")
    return environment(tmp_path, shelf.point / "library", **more)


def disturb(env: dict[str, str], photos: Path, happens: Callable[[], object]) -> Run:
    """An ingest in the middle of whose second file something happens to a disk: it ends in a sentence, not secured."""
    with hold_reads(photos / "file1.bin") as held:
        process = start_command(env, "ingest", photos, "--json")
        held.catch()
        held.let_one_go()
        held.catch()
        happens()
    done = finish_command(process)
    check_sentence(done)
    assert done.code == 2, done.err + done.out
    assert '"secured": true' not in done.out
    return done


def check_mended(env: dict[str, str], photos: Path, library: Path) -> None:
    """The same command again, on a disk that is well: everything is there, once."""
    done = run_command(env, "ingest", photos, "--json")
    assert done.code == 0, done.err + done.out
    assert done.document["secured"] is True
    assert set(list_originals(library).values()) == set(hash_tree(photos).values())
    if "GHOSTROLL_STATE__PATH" not in env:
        check_finished(library, photos)


def test_a_library_unmounted_in_the_middle(
    env: dict[str, str], photos: Path, shelf: Disk, disks: Disks
) -> None:
    """A library whose disk is unmounted in the middle of a copy is waited for, and its mount point stays empty."""
    done = disturb(env, photos, lambda: run("umount", "-l", shelf.point))
    assert "mount" in done.err + done.out
    assert os.listdir(shelf.point) == []
    disks.mount(shelf.image, read_only=False)
    check_mended(env, photos, shelf.point / "library")
    count("disk: libraries unmounted in the middle")


def test_a_disk_that_breaks_in_the_middle(env: dict[str, str], photos: Path, shelf: Disk) -> None:
    """Where the kernel gives a failing disk up in the middle of a copy, it is said, and the same command goes on later."""
    done = disturb(env, photos, lambda: run("mount", "-o", "remount,abort", shelf.point))
    assert "contacts" not in done.err + done.out, "the card is not to blame"
    run("umount", shelf.point)
    subprocess.run(["e2fsck", "-fy", shelf.device], check=False, capture_output=True)
    run("mount", shelf.device, shelf.point)
    check_mended(env, photos, shelf.point / "library")
    count("disk: filesystems that the kernel gave up in the middle")


def test_a_disk_out_of_files(photos: Path, shelf: Disk, tmp_path: Path) -> None:
    """A disk with room but without a free inode is full, and says so; with inodes again, the same command goes on."""
    env = environment(tmp_path, shelf.point / "library")
    crowd = shelf.point / "lost+found"
    for number in range(os.statvfs(shelf.point).f_ffree - 15):
        (crowd / str(number)).touch()
    done = run_command(env, "ingest", photos, "--json")
    check_sentence(done)
    assert done.code == 5, done.err + done.out
    assert '"secured": true' not in done.out
    for path in crowd.iterdir():
        path.unlink()
    check_mended(env, photos, shelf.point / "library")
    count("disk: out of inodes")


def test_a_state_whose_disk_fails(photos: Path, disks: Disks, library: Path, tmp_path: Path) -> None:
    """Where the disk of the state breaks in the middle of a copy, it is said in a sentence, and nothing is lost."""
    desk = disks.make("DESK", mib=16, read_only=False)
    one = {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}
    env = environment(tmp_path, library, GHOSTROLL_STATE__PATH=str(desk.point / "state.db"), **one)
    done = disturb(env, photos, lambda: run("mount", "-o", "remount,abort", desk.point))
    assert "disk" in done.err
    run("umount", desk.point)
    subprocess.run(["e2fsck", "-fy", desk.device], check=False, capture_output=True)
    run("mount", desk.device, desk.point)
    check_mended(env, photos, library)
    count("disk: states whose disk failed in the middle")
