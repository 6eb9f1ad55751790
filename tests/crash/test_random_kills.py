"""SIGKILL at moments that nobody chose, again and again on one library, until the ingest gets through."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from crash_card import make_crash_card
from promises import check_always, check_finished
from running import KILLED, command, environment, run_command

KILLS = 6


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random(seed: int, tmp_path: Path) -> None:
    """However often and whenever it is killed, an ingest loses nothing, and ends as if nothing had been."""
    moments = random.Random(seed)
    card = make_crash_card(tmp_path)
    longest = measure_run(tmp_path / "undisturbed", card)
    killed = 0
    for attempt in range(
        20
    ):  # each try's moments are half as late: however fast the machine, one comes in time
        library = tmp_path / f"library-{attempt}"
        env = environment(tmp_path, library)
        for _ in range(KILLS):
            killed += kill_after(env, card, moments.uniform(0.2, 1.0) * longest / 2**attempt)
            check_always(library, card)
        last = run_command(env, "ingest", card, "--json")
        assert last.code == 0, last.err
        check_finished(library, card)
        if killed:
            break
    assert killed > 0


def measure_run(library: Path, card: Path) -> float:
    """Seconds that an undisturbed ingest takes, here and now."""
    began = time.monotonic()
    assert run_command(environment(library.parent, library), "ingest", card, "--json").code == 0
    return time.monotonic() - began


def kill_after(env: dict[str, str], card: Path, seconds: float) -> bool:
    """Start an ingest and kill it after so many seconds; False if it had ended by itself."""
    with subprocess.Popen(
        command("ingest", card, "--json"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    return process.returncode == KILLED
