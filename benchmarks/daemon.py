"""How soon and how fast the daemon serves cards, and what it costs when there are none.

Moments and idleness are taken in a whole small machine in a container, as the system tests have it: udevd, the
root unit, the daemon in its sandbox, the journal. Speed is taken on this machine itself. Needs root.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# The machines and readers of the system tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from daemon_idle import measure_idle
from daemon_moments import MOST_ROUNDS, measure_pulls, measure_ways
from daemon_speed import FILES, PHOTOS, measure_speed
from measuring import Figure, give_up, option_parser, report
from slow_cards import find_obstacle
from staging import Stage, open_stage

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "partx": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}


def main() -> None:
    """Take every part, one after the other."""
    parser = option_parser("how soon and how fast the daemon serves cards, and what it costs when idle")
    parser.add_argument("--rounds", type=int, default=5, help=f"of everything, {MOST_ROUNDS} at most")
    parser.add_argument("--idle", type=int, default=180, help="seconds in which nothing happens")
    parser.add_argument("--photos", type=int, default=48, help="on each of two cards whose speed is taken")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    options = parser.parse_args()
    if min(options.rounds, options.idle, options.photos, options.megapixels) <= 0:
        parser.error("rounds, idle, photos and megapixels must be more than 0")
    if options.rounds > MOST_ROUNDS:
        parser.error(f"rounds must be {MOST_ROUNDS} or less")
    if os.geteuid() != 0:
        give_up("only root can start a machine in a container: run it with sudo")
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        give_up(f"something is missing: apt install {' '.join(missing)}")
    with open_stage(options.cache) as stage:
        try:
            figures = [
                *_take_machine(stage, options.rounds, options.idle),
                *_take_speed(stage, options.rounds, options.photos, options.megapixels),
            ]
        except (
            pytest.skip.Exception,
            pytest.fail.Exception,
        ) as obstacle:  # what a machine of the tests lacks
            give_up(str(obstacle.msg))
    report(options, figures)


def _take_machine(stage: Stage, rounds: int, idle: int) -> Iterator[Figure]:
    for take, amount in ((measure_ways, rounds), (measure_pulls, rounds), (measure_idle, idle)):
        with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
            yield from take(Path(folder), amount)


def _take_speed(stage: Stage, rounds: int, photos: int, megapixels: float) -> Iterator[Figure]:
    obstacle = find_obstacle()
    if obstacle is not None:
        sys.stderr.write(f"daemon.py: {obstacle}: there are no figures of speed\n")
        return
    for kind in (PHOTOS, FILES):
        yield from measure_speed(stage, kind, photos=photos, megapixels=megapixels, rounds=rounds)


if __name__ == "__main__":
    main()
