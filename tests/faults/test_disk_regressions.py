"""Faults of disks that were once told wrongly, or blamed on the card. Each was found by a sweep."""

import itertools
import os
from pathlib import Path

import pytest
from campaign import count
from faulty import Fault, Faulty, count_met
from promises import check_finished, hash_tree, list_originals
from running import check_sentence, environment, run_command

_STATE = "*/.ghostroll/state.db*"


@pytest.mark.parametrize(
    ("kind", "glob", "error", "code", "words"),
    [
        pytest.param("mkdir", "*/shelf", "ENOSPC", 5, "make room", id="no room for the library's own folder"),
        pytest.param("write", _STATE, "EDQUOT", 5, "make room", id="a quota that SQLite takes for a failure"),
        pytest.param("sync", _STATE, "ENOSPC", 5, "make room", id="a disk that is full when it is synced"),
        pytest.param(
            "create", "*/state.db.lock", "ENOSPC", 5, "make room", id="no room for the owner's lock"
        ),
        pytest.param("truncate", "*/state.db.lock", "EIO", 0, "SECURED", id="an owner without a name"),
        pytest.param("read", "*/library.json", "EIO", 2, "check its disk", id="a marker that can't be read"),
        pytest.param(
            "write", "*/share-*", "EIO", 2, "check that disk", id="a rendition that can't be written"
        ),
        pytest.param(
            "stat", "*/state.db-wal", "EIO", 0, "SECURED", id="a journal of the state that can't be seen"
        ),
        pytest.param(
            "stat", "*/shelf/20*.JPG", "EIO", 2, "check that disk", id="a stored file that can't be seen"
        ),
    ],
)
def test_what_was_told_wrongly(
    kind: str,
    glob: str,
    error: str,
    code: int,
    words: str,
    *,
    faulty: Faulty,
    small_card: Path,
    tmp_path: Path,
) -> None:
    """A disk that refuses something is said to, in one sentence with the remedy, and by the right exit code."""
    env = environment(tmp_path, tmp_path / "shelf")
    run = run_command(env | faulty.arm(Fault(kind, glob, error)), "ingest", small_card)
    check_sentence(run)
    assert run.code == code, run.err + run.out
    assert words in run.err + run.out
    assert "no picture" not in run.err + run.out, "a picture dies of no disk"
    count(f"disk: calls of the program that failed ({error})")


@pytest.mark.parametrize("kind", ["write", "sync", "read"])
def test_a_disk_that_fails_is_not_the_cards_fault(
    kind: str, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Where the library's disk fails and the state lies elsewhere, no contacts of a card are to be cleaned for it."""
    library = tmp_path / "shelf"
    env = environment(tmp_path, library, GHOSTROLL_STATE__PATH=str(tmp_path / "db" / "state.db"))
    fault = Fault(kind, "*/shelf/.ghostroll/incoming/[0-9]*", "EIO")
    run = run_command(env | faulty.arm(fault), "ingest", small_card, "--json")
    check_sentence(run)
    assert run.code == 2, run.err + run.out
    assert run.document["failed"] == []
    assert run.document["state"] == "copying"
    (waiting,) = run.document["waiting"]
    assert (waiting["stage"], waiting["cause"]) == ("copy", "library-gone")
    assert "library's disk" in str(waiting["error"])
    assert "contacts" not in run.out
    assert os.listdir(library / ".ghostroll" / "incoming") == []
    again = run_command(env, "ingest", small_card, "--json")
    assert again.code == 0, again.err
    assert set(list_originals(library).values()) == set(hash_tree(small_card).values())
    count("disk: calls of the program that failed (EIO)")


def test_a_library_that_cannot_be_opened_any_more_is_not_called_unmounted(
    faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Where the library's folder can't be opened for an error of its disk, the disk is to be checked, not to be mounted."""
    env = environment(tmp_path, tmp_path / "shelf", GHOSTROLL_STATE__PATH=str(tmp_path / "db" / "state.db"))
    run = run_command(env | faulty.arm(Fault("open", "*/shelf", "EIO", 2)), "ingest", small_card)
    check_sentence(run)
    assert run.code == 2, run.err
    assert "check its disk" in run.err
    assert "mount" not in run.err
    count("disk: calls of the program that failed (EIO)")


@pytest.mark.parametrize(("kind", "place"), [("mkdir", "own/db"), ("sync", "own")])
def test_no_room_for_the_states_folder(
    kind: str, place: str, *, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Where there is no room for the folder of a state of its own, it is room that is asked for."""
    (tmp_path / "own").mkdir()
    env = environment(tmp_path, tmp_path / "shelf", GHOSTROLL_STATE__PATH=str(tmp_path / "own/db/state.db"))
    run = run_command(env | faulty.arm(Fault(kind, f"{tmp_path}/{place}", "EDQUOT")), "ingest", small_card)
    check_sentence(run)
    assert run.code == 5, run.err
    assert "make room on its disk" in run.err
    count("disk: calls of the program that failed (EDQUOT)")


def test_a_state_that_cannot_be_read_is_not_called_damaged(
    faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Where the disk doesn't give the state back, nobody is told to move it away, and it is as it was with a good disk."""
    env = environment(tmp_path, tmp_path / "shelf")
    for first in (2, 5):
        armed = faulty.arm(Fault("read", _STATE, "EIO", first))
        run = run_command(env | armed, "ingest", small_card)
        check_sentence(run)
        assert run.code == 2, run.err
        assert "check" in run.err
        assert "damaged" not in run.err
    assert run_command(env, "ingest", small_card).code == 0
    count("disk: calls of the program that failed (EIO)", 2)


@pytest.mark.parametrize(("kind", "glob"), [("stat", "*EOS_DIGITAL-????"), ("sync", "*/shelf")])
def test_a_disk_that_fails_once_leaves_nothing_half(
    kind: str, glob: str, faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Whichever look at a session's folder fails once, or whichever sync of its name, a run that ends well has made all."""
    for nth in itertools.count(1):
        home = tmp_path / str(nth)
        home.mkdir()
        fault = Fault(kind, glob, "EIO", nth, nth)
        env = environment(home, home / "shelf") | faulty.arm(fault, log=home / "calls")
        run = faulty.run(env, "ingest", small_card, "--json")
        if not count_met(home / "calls"):
            break
        check_sentence(run)
        if run.code == 0:
            check_finished(home / "shelf", small_card)
    assert nth > 3
    count("disk: calls of the program that failed (EIO)", nth - 1)


def test_a_session_that_cannot_be_looked_at_is_not_taken_for_a_new_one(
    faulty: Faulty, small_card: Path, tmp_path: Path
) -> None:
    """Where a wanted session's folder can't be seen, nothing is copied into it: no record may know its files."""
    env = environment(tmp_path, tmp_path / "shelf")
    other = tmp_path / "other" / "DCIM" / "100OTHER"
    other.mkdir(parents=True)
    (other / "CLIP0001.WAV").write_bytes(b"of another card")
    assert run_command(env, "ingest", tmp_path / "other").code == 0
    session = tmp_path / "shelf" / "party"
    session.mkdir()
    (session / "speech.txt").write_text("kept")
    for kind in ("stat", "list"):
        armed = faulty.arm(Fault(kind, "*/shelf/party", "EIO"))
        run = run_command(env | armed, "ingest", "--session", "party", small_card)
        check_sentence(run)
        assert run.code == 2, run.err + run.out
        assert os.listdir(session) == ["speech.txt"]
    count("disk: calls of the program that failed (EIO)", 2)
