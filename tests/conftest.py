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
