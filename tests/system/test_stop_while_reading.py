"""A read that hangs in the kernel, as on a dying card, stops neither a stop nor another card."""

import signal
import subprocess
from pathlib import Path

import pytest
from disks import Disk
from holding import hold_reads
from promises import check_always, check_finished
from running import check_sentence, environment, finish_command, run_command, start_command


@pytest.mark.parametrize("patience", ["waits", "presses on"])
def test_a_hanging_read_does_not_stop_a_stop(
    patience: str, card: Disk, library: Path, tmp_path: Path
) -> None:
    """Ctrl-C ends the command though a read never comes back, a second one at once; the next run completes the job."""
    env = environment(
        tmp_path, library, GHOSTROLL_COPY__BATCH_FILES="1", GHOSTROLL_COPY__THREADS_PER_CARD="1"
    )
    with hold_reads(card.point / "DCIM" / "100" / "file1.bin") as held:
        process = start_command(env, "ingest", card.point)
        held.catch()
        process.send_signal(signal.SIGINT)
        if patience == "presses on":
            _read_until(process, b"stopping")
            process.send_signal(signal.SIGINT)
        # The kernel ends a process only when its read comes back or can be killed; this one can.
        done = finish_command(process)
    check_sentence(done)
    if patience == "waits":
        assert done.code == 4, done.err
        assert "does not answer" in done.err
    else:
        assert done.code == 130, done.err
    assert "SECURED" not in done.out
    check_always(library, card.point)
    again = run_command(env, "ingest", card.point, "--json")
    check_sentence(again)
    assert again.code == 0
    assert again.document["job"] == 1
    check_finished(library, card.point)


def _read_until(process: subprocess.Popen[bytes], word: bytes) -> None:
    assert process.stderr is not None
    line = b""
    while word not in line:
        line = process.stderr.readline()
        assert line, "it never said so"
