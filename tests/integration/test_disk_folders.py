"""Folders that must survive a power cut, whoever made them."""

import os
from pathlib import Path

import pytest

from ghostroll.disk import make_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced from now on, in its order."""
    found: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_new_folders_are_synced_by_their_names(tmp_path: Path, synced: list[Path]) -> None:
    """Every folder that gets a new name in it is synced."""
    make_folder(os.fspath(tmp_path / "a" / "b" / "c"))
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(synced)


def test_a_folder_that_was_there_is_synced_by_its_name(tmp_path: Path, synced: list[Path]) -> None:
    """A folder whose maker was killed, or never synced it, is on the medium all the same once it is used."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    make_folder(os.fspath(tmp_path / "a" / "b"))
    assert {tmp_path, tmp_path / "a"} <= set(synced)


def test_a_folder_behind_a_link_is_synced_where_it_is(tmp_path: Path, synced: list[Path]) -> None:
    """A link leads to the folder whose name counts."""
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    make_folder(os.fspath(tmp_path / "link"))
    assert {tmp_path, tmp_path / "real"} <= set(synced)


def test_only_the_own_disk_is_synced(synced: list[Path]) -> None:
    """What is above the place where a disk is mounted was there before the disk was."""
    make_folder("/proc")
    assert synced == []


def test_a_folder_without_anything_to_sync_is_no_obstacle() -> None:
    """Where folders know no sync, as in /proc, a folder is there all the same."""
    make_folder("/proc/self/fd")
    assert os.path.isdir("/proc/self/fd")
