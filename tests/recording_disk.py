"""A disk that writes down what is asked of it, for tests that cut its power. Needs root and FUSE."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from running import do_without, need_tools

READY = b"ready\n"
_PROCESS = Path(__file__).with_name("recording_process.py")


@contextlib.contextmanager
def record(behind: Path, point: Path, log: Path) -> Iterator[None]:
    """Pass the folder `behind` through at `point`; after the end everything stands in `log`."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        do_without("no FUSE here: run the tests with sudo where there is /dev/fuse")
    need_tools(fusermount3="fuse3")
    with subprocess.Popen([sys.executable, _PROCESS, behind, point, log], stdout=subprocess.PIPE) as disk:
        assert disk.stdout is not None
        assert disk.stdout.readline() == READY, "the recording disk was not mounted"
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)  # it ends with the last file that is open
            try:
                disk.wait(30)
            except subprocess.TimeoutExpired:
                disk.kill()
                raise
    assert disk.returncode == 0, "the recording disk failed"
