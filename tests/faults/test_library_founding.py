"""Where it can't be told which library belongs at a folder, none is founded there: it may be an empty mount point."""

import json
from pathlib import Path

import pytest
from faulty import Fault, Faulty
from forking import fork_command
from running import check_sentence, environment


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        pytest.param("stat", "state.db", id="a state that can't be seen"),
        pytest.param("open", "libraries.json", id="a memory that can't be read"),
    ],
)
def test_an_empty_mount_point_stays_empty(
    kind: str, lost: str, *, faulty: Faulty, bare_card: Path, tmp_path: Path
) -> None:
    """Of state and memory one is gone and the other can't be read while the disk is not mounted: nothing is written."""
    library, state = tmp_path / "shelf", tmp_path / "db" / "state.db"
    env = environment(tmp_path, library, GHOSTROLL_STATE__PATH=str(state))
    assert fork_command(env, "ingest", bare_card).code == 0
    memory = tmp_path / ".local" / "state" / "ghostroll" / "libraries.json"
    known = memory.read_bytes()
    gone = memory if lost == "state.db" else state
    gone.rename(tmp_path / "away")
    library.rename(tmp_path / "unplugged")
    library.mkdir()
    run = faulty.run(env | faulty.arm(Fault(kind, f"*/{lost}", "EIO")), "ingest", bare_card)
    check_sentence(run)
    assert run.code == 2, run.err
    assert "Input/output error" in run.err
    assert list(library.iterdir()) == []
    if lost == "libraries.json":
        told = faulty.run(env | faulty.arm(Fault(kind, f"*/{lost}", "EIO")), "doctor")
        assert f"{memory} can't be read: Input/output error" in told.out
    assert lost == "state.db" or memory.read_bytes() == known


def test_a_memory_that_cannot_be_read_is_not_written_anew(
    faulty: Faulty, bare_card: Path, tmp_path: Path
) -> None:
    """Where the memory of libraries can't be read for a moment, those of other folders are not forgotten."""
    env = environment(tmp_path, tmp_path / "shelf")
    memory = tmp_path / ".local" / "state" / "ghostroll" / "libraries.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(json.dumps({"/elsewhere": "0" * 32}))
    armed = faulty.arm(Fault("open", "*/libraries.json", "EIO", 2))
    run = faulty.run(env | armed, "ingest", bare_card)
    check_sentence(run)
    assert run.code == 0, run.err
    assert "can't be remembered" in run.err
    assert json.loads(memory.read_bytes()) == {"/elsewhere": "0" * 32}
