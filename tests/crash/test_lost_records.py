"""A file that has its final name and was killed before its record: whatever brings the content next, it ends up once."""

from pathlib import Path

import pytest
from commanding import write_photo
from promises import check_finished, list_originals
from running import KILLED, environment, run_command

ONE_BY_ONE = {"GHOSTROLL_COPY__BATCH_FILES": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A library in which one card's only photo was stored and not recorded."""
    env = environment(tmp_path, tmp_path / "library", **ONE_BY_ONE)
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "library.renamed:2"}, "ingest", put(tmp_path, "ONE", 1))
    assert killed.code == KILLED
    assert len(list_originals(tmp_path / "library")) == 1
    return env


def put(place: Path, card: str, number: int) -> Path:
    """A photo on a card; the card's folder."""
    folder = place / "cards" / card / "DCIM" / "100CANON"
    folder.mkdir(parents=True, exist_ok=True)
    write_photo(folder / "IMG_0001.JPG", number)
    return place / "cards" / card


def test_another_card_is_faster(env: dict[str, str], tmp_path: Path) -> None:
    """Where another card brings the content first, the copy that was never recorded is gone once its own card is back."""
    for card in (put(tmp_path, "TWO", 1), tmp_path / "cards" / "ONE"):
        run = run_command(env, "ingest", card, "--json")
        assert run.code == 0, run.err
    check_finished(tmp_path / "library", tmp_path / "cards")
    assert run_command(env, "verify").code == 0


def test_another_card_is_faster_and_the_job_is_closed(env: dict[str, str], tmp_path: Path) -> None:
    """Where its job is given up instead, it is gone as well."""
    run = run_command(env, "ingest", put(tmp_path, "TWO", 1), "--json")
    assert run.code == 0, run.err
    assert run_command(env, "close", "1", "--json").document["missing"] == 1
    check_finished(tmp_path / "library", tmp_path / "cards", closed=True)
    assert run_command(env, "verify").code == 0


def test_the_only_copy_of_a_job_that_is_closed_is_kept(env: dict[str, str], tmp_path: Path) -> None:
    """A copy that was never recorded is nobody's to delete where there is no other: closing its job moves it aside."""
    closed = run_command(env, "close", "1")
    assert closed.code == 0, closed.err
    (kept,) = (tmp_path / "library" / ".ghostroll" / "aside").iterdir()
    photo = tmp_path / "cards" / "ONE" / "DCIM" / "100CANON" / "IMG_0001.JPG"
    assert kept.read_bytes() == photo.read_bytes()
    assert run_command(env, "verify").code == 0


def test_the_only_good_copy_is_kept(env: dict[str, str], tmp_path: Path) -> None:
    """Where the copy that was recorded has rotted meanwhile, the one that never was recorded is the good one, and stays."""
    run = run_command(env, "ingest", put(tmp_path, "TWO", 1), "--json")
    assert run.code == 0, run.err
    (recorded,) = Path(run.document["session_dir"]).glob("originals/**/*.JPG")
    good = recorded.read_bytes()
    recorded.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    closed = run_command(env, "close", "1")
    assert closed.code == 0, closed.err
    (kept,) = (tmp_path / "library" / ".ghostroll" / "aside").iterdir()
    assert kept.read_bytes() == good
