"""A lock whose disk fails: whoever looks for the owner of a state is told a sentence, and the daemon goes on looking."""

import os
from pathlib import Path

import pytest
from commanding import make_person
from faulty import Fault, Faulty
from running import check_sentence

from ghostroll.state.owner import Ownership

_LOCK = "*/state.db.lock"


@pytest.mark.parametrize("name", ["retry", "verify"])
def test_an_owner_that_cannot_be_read(name: str, faulty: Faulty, tmp_path: Path) -> None:
    """An owner whose word the disk does not give back holds the state all the same, without a name."""
    person = make_person(tmp_path)
    person.ingest()
    owner = Ownership.take(os.fspath(person.state), command="x")
    run = faulty.run(person.env | faulty.arm(Fault("read", _LOCK, "EIO")), name, "1")
    owner.release()
    check_sentence(run)
    assert run.code == 7, run.err
    assert "left no name" in run.err
