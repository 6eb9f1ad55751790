"""Ctrl-C in the middle of a copy: it ends soon, leaves nothing half, and goes on the next time."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from promises import check_always, check_finished
from running import check_sentence, environment, finish_command, run_command, start_command, wait_until

MIB = 1 << 20


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with enough bytes to be stopped in the middle of: eight different files of 48 MiB."""
    root = tmp_path / "CARD"
    root.mkdir()
    for number in range(8):
        with (root / f"file{number}.bin").open("wb") as file:
            file.write(b"%d" % number)
            file.truncate(48 * MIB)
    return root


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2, [signal.SIGINT] * 5]
)
def test_stopped_in_the_middle(signals: list[signal.Signals], card: Path, tmp_path: Path) -> None:
    """A stop ends with 130, or 143 where a second SIGTERM asks; no half file has a final name; the next run ends well."""
    library = tmp_path / "library"
    env = environment(tmp_path, library)
    process = start_command(env, "ingest", card)
    incoming = library / ".ghostroll" / "incoming"
    wait_until(lambda: incoming.exists() and any(name[:1].isdigit() for name in os.listdir(incoming)))
    for number in signals:
        process.send_signal(number)
    stopped = finish_command(process)
    check_sentence(stopped)
    assert stopped.code == 130, stopped.err
    assert "SECURED" not in stopped.out
    if len(signals) == 1:
        assert "NOT SAFE: stopped" in stopped.out
        assert os.listdir(incoming) == []
    check_always(library, card)
    again = run_command(env, "ingest", card, "--json")
    check_sentence(again)
    assert again.code == 0, again.err
    assert again.document["job"] == 1
    check_finished(library, card)


@pytest.mark.parametrize("pause", [0, 2, 5, 10, 20, 50])
def test_a_second_stop_is_always_heard(pause: int, card: Path, tmp_path: Path) -> None:
    """However soon after the first, also while everything is being closed, a second Ctrl-C ends it."""
    library = tmp_path / "library"
    env = environment(tmp_path, library)
    process = start_command(env, "ingest", card)
    incoming = library / ".ghostroll" / "incoming"
    wait_until(lambda: incoming.exists() and any(name[:1].isdigit() for name in os.listdir(incoming)))
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=pause / 1000)
    process.send_signal(signal.SIGINT)
    assert finish_command(process).code == 130
    check_always(library, card)
    assert run_command(env, "ingest", card, "--json").code == 0
    check_finished(library, card)
