"""Fixtures for faults: the library that makes calls fail, and a card so small that hundreds of runs are no matter."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faulty import Faulty

from ghostroll.demo.photos import make_photo


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """Compiled once for each process of a test run."""
    return Faulty(tmp_path_factory.mktemp("faulty"))


@pytest.fixture(scope="session")
def small_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos, one of them twice, and a file of more than one chunk."""
    root = tmp_path_factory.mktemp("card") / "EOS_DIGITAL"
    folder = root / "DCIM" / "100CANON"
    folder.mkdir(parents=True)
    for number in (1, 2):
        photo = make_photo(seed=number, size=(160, 120), taken=datetime(2026, 11, 22, 10, number, tzinfo=UTC))
        (folder / f"IMG_{number:04}.JPG").write_bytes(photo)
    (folder / "IMG_0003.JPG").write_bytes((folder / "IMG_0001.JPG").read_bytes())
    (root / "notes.bin").write_bytes(random.Random(1).randbytes(1_500_000))
    return root


@pytest.fixture(scope="session")
def bare_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files without a picture, two of them equal: what the state goes through, and no worker is started for it."""
    root = tmp_path_factory.mktemp("card") / "BARE"
    root.mkdir()
    for name, size in (("one.bin", 1_500_000), ("two.bin", 3_000), ("three.bin", 3_000)):
        (root / name).write_bytes(random.Random(size).randbytes(size))
    return root
