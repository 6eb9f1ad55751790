"""Fixtures for every test: where the sample files are, and S3 stores on this machine, each test with its own bucket."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import do_without
from stores import Store, serve_localstack, serve_moto, serve_rclone

# A promise that is broken says what was there instead.
pytest.register_assert_rewrite("promises", "bucket_promises", "cutting", "doctoring", "keeping", "slots")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """Files of real cameras; GHOSTROLL_SAMPLES names another place. In CI they must be there."""
    place = Path(os.environ.get("GHOSTROLL_SAMPLES", ROOT.parent / "shared" / "samples"))
    if not place.is_dir():
        do_without(f"no sample files at {place}: set GHOSTROLL_SAMPLES to their folder")
    return place


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Store]:
    """Moto's server: fast and loose, it takes any signature."""
    with serve_moto() as store:
        yield store


@pytest.fixture(scope="session")
def strict_server() -> Iterator[Store]:
    """Moto's server, which checks signatures and what a user may do."""
    with serve_moto(enforcing=True) as store:
        yield store


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """`rclone serve s3`: it checks every signature."""
    with serve_rclone(tmp_path_factory.mktemp("rclone")) as store:
        yield store


@pytest.fixture(scope="session")
def localstack_server() -> Iterator[Store]:
    """Localstack's S3: it checks checksums, conditions and links."""
    with serve_localstack() as store:
        yield store


@pytest.fixture
def moto(moto_server: Store) -> Store:
    """An empty bucket of moto's."""
    return moto_server.with_new_bucket()


@pytest.fixture
def strict(strict_server: Store) -> Store:
    """An empty bucket of a moto that enforces permissions; `restrict` makes a user."""
    return strict_server.with_new_bucket()


@pytest.fixture
def rclone(rclone_server: Store) -> Store:
    """An empty bucket of rclone's."""
    return rclone_server.with_new_bucket()


@pytest.fixture
def localstack(localstack_server: Store) -> Store:
    """An empty bucket of localstack's."""
    return localstack_server.with_new_bucket()
