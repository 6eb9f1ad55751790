"""SIGKILL at moments that nobody chose, again and again on one library, until the ingest gets through."""

import random
import subprocess
from pathlib import Path

import pytest
from crash_card import make_crash_card
from promises import check_always, check_finished
from running import KILLED, command, environment, run_command

LONGEST = 0.9  # seconds; an undisturbed ingest of this card takes about as long
KILLS = 6


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random(seed: int, tmp_path: Path) -> None:
    """However often and whenever it is killed, an ingest loses nothing, and ends as if nothing had been."""
    moments = random.Random(seed)
    card = make_crash_card(tmp_path)
    library = tmp_path / "library"
    env = environment(tmp_path, library)
    killed = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            command("ingest", card, "--json"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                process.communicate(timeout=moments.uniform(0.15, LONGEST))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        killed += process.returncode == KILLED
        check_always(library, card)
    assert killed > 0, "every run ended before its kill: the moments are too late to test anything"
    last = run_command(env, "ingest", card, "--json")
    assert last.code == 0, last.err
    check_finished(library, card)
