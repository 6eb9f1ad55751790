"""Fixtures for tests that need root: disks that are files, a reader that is a loop device, and whole machines."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from container import Container
from disks import Disk, Disks
from running import do_without, need_tools
from slots import Host, Slot


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


@pytest.fixture
def shelf(disks: Disks) -> Disk:
    """An empty disk for a library."""
    return disks.make("SHELF", mib=64, read_only=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six files of 2 MB."""
    root = tmp_path / "CARD"
    root.mkdir()
    for number in range(6):
        (root / f"file{number}.bin").write_bytes(os.urandom(2_000_000))
    return root


@pytest.fixture
def host(tmp_path: Path, disks: Disks) -> Iterator[Host]:  # noqa: ARG001  # without root there are no disks
    """A machine that takes loop devices with ext4 for cards."""
    need_tools(unshare="util-linux", nsenter="util-linux", blkid="util-linux", partx="util-linux")
    made = Host(tmp_path / "host")
    made.config.write_text('[cards]\nfilesystems = ["vfat", "ext4"]\nreaders = ["loop*"]\n')
    yield made
    made.end()


@pytest.fixture
def cards(disks: Disks) -> dict[str, Path]:
    """Three cards without a partition table; each holds one file with its own name."""
    return {name: disks.format(name, mib=8, files={"DCIM/name": name.encode()}) for name in "ABC"}


@pytest.fixture
def slot(host: Host, cards: dict[str, Path]) -> Iterator[Slot]:
    """A reader with card A in it."""
    made = Slot(cards["A"])
    yield made
    host.end()
    made.empty()


_REPORT = pytest.StashKey[pytest.TestReport]()
# The first one makes the root that all use, which fetches a small Debian.
_CONTAINERS = {"container", "bare_container"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a fixture know how its test ended."""
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a machine the time that making its root may take."""
    for item in items:
        if _CONTAINERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(900), append=False)


@pytest.fixture
def container(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A machine of this test's own with ghostroll installed and running; its journal is shown if the test fails."""
    yield from _run_container(tmp_path, request, installed=True)


@pytest.fixture
def bare_container(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A machine of this test's own that ghostroll was never installed on, with its source tree."""
    yield from _run_container(tmp_path, request, installed=False)


def _run_container(folder: Path, request: pytest.FixtureRequest, *, installed: bool) -> Iterator[Container]:
    place = folder / "container"
    place.mkdir()
    with Container(place, installed=installed) as made:
        yield made
        report = request.node.stash.get(_REPORT, None)
        if report is not None and report.failed and made.is_running:
            print(made.tell(300))  # noqa: T201  # pytest shows it with the failure
