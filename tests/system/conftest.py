"""Fixtures for tests that need root: disks that are files, and reads that wait."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disk, Disks
from running import do_without, need_tools


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """A maker of loop disks, all taken away at the end. Without root it is skipped; in CI that fails."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(losetup="mount", mkfs_ext4="e2fsprogs", debugfs="e2fsprogs")
    made = Disks(tmp_path / "disks")
    yield made
    made.remove()


@pytest.fixture
def card(disks: Disks) -> Disk:
    """A card with three files in a camera's folder, mounted read-only."""
    files = {f"DCIM/100/file{number}.bin": os.urandom(300_000) for number in range(3)}
    return disks.make("CARD", mib=16, files=files)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Where the library will be."""
    return tmp_path / "library"
