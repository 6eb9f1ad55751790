"""A daemon whose library takes nothing for a while: it says so once, waits, and goes on by itself."""

from pathlib import Path

import pytest
from campaign import FULL, count, pick
from daemons import RunningDaemon
from faulty import Fault, Faulty, list_calls
from promises import check_always, check_finished
from running import check_sentence, environment, run_command, wait_until

# Of a quota the free space says nothing, so this one is found out only by trying; the others by `make campaign`.
CASES = (
    [("write", "EDQUOT")]
    if not FULL
    else [
        (kind, error)
        for kind in ("create", "write", "sync", "rename", "mkdir")
        for error in ("ENOSPC", "EDQUOT", "EIO", "EROFS")
    ]
)
CODES = {"ENOSPC": 5, "EDQUOT": 5, "EIO": 2, "EROFS": 2}
CAUSES = {5: "no-space", 2: "library-gone"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("kind", "error"), CASES)
def test_a_daemon_goes_on_by_itself(
    kind: str, error: str, *, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """What the library's disk refuses waits under its name, and goes on without anybody when the disk takes it again."""
    library, gate, log = tmp_path / "library", tmp_path / "gate", tmp_path / "calls"
    env = environment(tmp_path, library)
    fault = Fault(kind, f"{library}/*", error, but="*/state.db*", gate=gate)
    daemon = RunningDaemon(tmp_path / "daemon", env | faulty.arm(fault, log=log))
    try:
        daemon.wait_ready()
        gate.touch()
        run = run_command(env, "ingest", small_card, "--json")
        check_sentence(run)
        assert run.code == CODES[error], run.err + run.out
        assert run.document["secured"] is False
        assert run.document["failed"] == [], "no file of the card is to blame"
        assert {waits["cause"] for waits in run.document["waiting"]} == {CAUSES[run.code]}
        if kind == "write":
            wait_until(lambda: any(call.met and "trial" in call.path for call in list_calls(log)))
            assert "going on" not in daemon.text(), "tried again though nothing has changed"
        wait_until(lambda: "EOS_DIGITAL: NOT SAFE" in daemon.status()["status"])
        assert run.document["waiting"][0]["error"] in daemon.status()["status"]
        gate.unlink()
        daemon.wait_for("safe to remove", timeout=90)
        daemon.wait_for("gallery complete", timeout=30)
        assert daemon.stop() == 0
    finally:
        daemon.end()
    text = daemon.text()
    assert text.count("waiting: ") <= 2, text
    assert "Traceback" not in text
    assert "contacts" not in text, "the card is not to blame"
    check_always(library, small_card)
    check_finished(library, small_card)
    count(f"disk: daemons that waited for their library ({error})")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("error", "first"), [("ENOSPC", 1), ("EIO", 150), ("ENOSPC", 150)][: pick(1, 3)])
def test_a_state_that_takes_nothing(
    error: str, first: int, *, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """A daemon whose state can't be written, from the start or in the middle of a copy, says so, and works again with it."""
    library, gate = tmp_path / "library", tmp_path / "gate"
    env = environment(tmp_path, library)
    kinds = ("write", "truncate", "create")
    faults = [
        Fault(kind, "*/state.db-*", error, first if kind == "write" else 1, gate=gate) for kind in kinds
    ]
    daemon = RunningDaemon(tmp_path / "daemon", env | faulty.arm(*faults))
    try:
        daemon.wait_ready()
        gate.touch()
        run = run_command(env, "ingest", small_card, "--json")
        check_sentence(run)
        assert run.code in (2, 5), run.err + run.out
        assert '"secured": true' not in run.out
        if first > 1:  # a station was at work
            daemon.wait_for("can't be used any more")
        gate.unlink()
        if first > 1:
            daemon.wait_for("waits for cards", times=2, timeout=60)
        again = run_command(env, "ingest", small_card, "--json")
        assert again.code == 0, again.err + again.out
        assert again.document["secured"] is True
        assert daemon.stop() == 0
    finally:
        daemon.end()
    assert "Traceback" not in daemon.text()
    check_finished(library, small_card)
    count(f"disk: daemons that waited for their state ({error})")
