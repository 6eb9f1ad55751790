"""Fixtures for every test: where the sample files are."""

import os
from pathlib import Path

import pytest
from running import do_without

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """Files of real cameras; GHOSTROLL_SAMPLES names another place. In CI they must be there."""
    place = Path(os.environ.get("GHOSTROLL_SAMPLES", ROOT.parent / "shared" / "samples"))
    if not place.is_dir():
        do_without(f"no sample files at {place}: set GHOSTROLL_SAMPLES to their folder")
    return place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever attaches loop devices does so one after the other: a freed one is anybody's at once."""
    for item in items:
        if "system" in item.path.parts or item.path.name in ("test_benchmarks.py", "test_cards_watch.py"):
            item.add_marker(pytest.mark.xdist_group("loop devices"))
