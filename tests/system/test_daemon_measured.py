"""The daemon's benchmark runs and says something plausible; how fast anything is, no test decides. Needs root."""

import os
import tempfile
from pathlib import Path

import pytest
from figures import figures_of, run_benchmark
from running import do_without, need_tools


@pytest.mark.timeout(900)  # the first one makes the root that all machines use
def test_the_daemon_is_measured() -> None:
    """Moments, memory and wake-ups of a daemon in a machine stand beside what they are made of, and so do its speeds."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(**{"systemd-nspawn": "systemd-container", "losetup": "mount", "debugfs": "e2fsprogs"})
    # The sockets of a machine lie in the cache, and the kernel takes 107 letters of a socket's path.
    with tempfile.TemporaryDirectory(prefix="bench-") as short:
        document = run_benchmark("daemon.py", Path(short), rounds=1, idle=1, photos=6, megapixels=12)
        kept = sorted(path.name for path in (Path(short) / "cache").iterdir())
    figures = figures_of(document)
    ways = [name for name in figures if "beside the mount" in name]
    assert len(ways) == 4
    slowest = figures["udev's event to first byte, the slowest of all"]["value"]
    assert slowest == max(figures[name]["value"] for name in ways)
    assert all(figures[name]["floor"] > 0 for name in ways)
    assert figures["kernel's event to first byte, the slowest of all"]["value"] > min(
        figures[name]["value"] for name in ways
    )
    assert figures["last byte verified to 'safe to remove' in the journal"]["value"] > 0
    memory = figures["idle: memory, undivided (RSS), beside an empty Python"]
    assert memory["value"] >= figures["idle: memory, what is shared divided (PSS)"]["value"] > 0
    assert memory["ratio"] > 1
    speeds = [figure for name, figure in figures.items() if "90 MB/s" in name]
    assert all(figure["value"] > 0 and figure["floor"] > 0 for figure in speeds)
    assert kept == ["photos-12mp"]
