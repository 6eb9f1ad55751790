"""An ingest that was cut short goes on; and when it must begin anew, it does."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from promises import ask, check_always, check_finished, check_records, list_originals
from running import KILLED, Run, check_sentence, environment, run_command

from ghostroll.demo.photos import make_photo


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with six files."""
    root = tmp_path / "CARD"
    (root / "DCIM").mkdir(parents=True)
    for number in range(6):
        (root / "DCIM" / f"file{number}.bin").write_bytes(os.urandom(5000))
    return root


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Where the library will be."""
    return tmp_path / "library"


@pytest.fixture
def env(tmp_path: Path, library: Path) -> dict[str, str]:
    """A user whose copies are recorded one by one, by one thread."""
    return environment(
        tmp_path, library, GHOSTROLL_COPY__BATCH_FILES="1", GHOSTROLL_COPY__THREADS_PER_CARD="1"
    )


@pytest.fixture
def interrupted(env: dict[str, str], card: Path, library: Path) -> int:
    """The number of a job that was killed after two of its six files were recorded."""
    run = run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read:3"}, "ingest", card, "--json")
    assert run.code == KILLED
    assert ask(library, "SELECT count(*) FROM asset") == [(2,)]
    ((job,),) = ask(library, "SELECT id FROM job")
    assert isinstance(job, int)
    return job


def ingest(env: dict[str, str], card: Path, *, code: int = 0) -> Run:
    """Ingest to the expected end."""
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == code, run.err + run.out
    return run


def test_it_goes_on_where_it_was(env: dict[str, str], card: Path, library: Path, interrupted: int) -> None:
    """The same card again continues the same job, and what was recorded is not copied again."""
    run = ingest(env, card)
    assert run.document["job"] == interrupted
    assert run.document["new"] == 6
    assert run.document["stages"]["copy"]["items"] == 4
    check_finished(library, card)


def test_more_files_join_the_job(env: dict[str, str], card: Path, library: Path, interrupted: int) -> None:
    """Photos taken in the meantime belong to the continued job."""
    (card / "DCIM" / "file7.bin").write_bytes(b"more")
    run = ingest(env, card)
    assert run.document["job"] == interrupted
    assert run.document["files"] == 7
    check_finished(library, card)


def test_a_settled_file_may_be_gone(env: dict[str, str], card: Path, library: Path, interrupted: int) -> None:
    """A file that is in the library already may be deleted from the card; the job goes on."""
    settled = [path for (path,) in ask(library, "SELECT path FROM source WHERE state = 'stored'")]
    (card / os.fsdecode(settled[0])).unlink()
    run = ingest(env, card)
    assert run.document["job"] == interrupted
    assert run.document["secured"] is True
    assert len(list_originals(library)) == 6


@pytest.mark.parametrize("change", ["gone", "other time", "other size"])
def test_an_unsettled_file_that_is_not_there_makes_a_new_job(
    change: str, env: dict[str, str], card: Path, library: Path, interrupted: int
) -> None:
    """A pending file that is missing or changed: this is not that card's continuation; nothing is lost by it."""
    pending = [path for (path,) in ask(library, "SELECT path FROM source WHERE state = 'pending'")]
    path = card / os.fsdecode(pending[-1])
    match change:
        case "gone":
            path.unlink()
        case "other time":
            os.utime(path, (0, 1_700_000_000))
        case _:
            path.write_bytes(b"other")
    run = ingest(env, card)
    assert run.document["job"] != interrupted
    assert run.document["secured"] is True
    assert run.document["duplicates"] == 2
    assert (interrupted, "interrupted") in ask(library, "SELECT id, safety FROM job")
    assert len(list_originals(library)) == len(list(card.rglob("*.bin")))


def test_of_two_candidates_the_newest(
    env: dict[str, str], card: Path, library: Path, interrupted: int
) -> None:
    """Where two interrupted jobs fit the card, the newer one goes on."""
    stash = card.parent / "stash"
    pending = [path for (path,) in ask(library, "SELECT path FROM source WHERE state = 'pending'")]
    (card / os.fsdecode(pending[-1])).rename(stash)
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read:4"}, "ingest", card, "--json")
    assert killed.code == KILLED
    stash.rename(card / os.fsdecode(pending[-1]))
    run = ingest(env, card)
    assert run.document["job"] == interrupted + 1
    assert run.document["secured"] is True
    check_always(library, card)


def test_a_photo_that_changed_is_shown_as_it_is_now(env: dict[str, str], card: Path, library: Path) -> None:
    """A settled photo that was replaced on the card is stored beside the old one, and its new picture is shown."""
    taken = datetime(2026, 11, 22, tzinfo=UTC)
    for number in range(3):
        (card / "DCIM" / f"IMG_{number}.JPG").write_bytes(
            make_photo(seed=number, size=(320, 240), taken=taken)
        )
    killed = run_command(
        env | {"GHOSTROLL_CRASH_AT": "copy.read:6", "GHOSTROLL_RENDER__WORKERS": "1"}, "ingest", card
    )
    assert killed.code == KILLED
    (path, *_) = [
        os.fsdecode(path)
        for (path,) in ask(library, "SELECT path FROM source WHERE state = 'stored' AND kind = 'jpeg'")
    ]
    (card / path).write_bytes(make_photo(seed=77, size=(320, 240), taken=taken))
    run = ingest(env, card)
    assert run.document["secured"] is True
    check_records(library)
    shown = {name for (name,) in ask(library, "SELECT share FROM picture")}
    wanted = {
        f"-{checksum[:10]}.jpg"
        for (checksum,) in ask(
            library,
            "SELECT lower(hex(sha256)) FROM asset JOIN source ON source.asset_id = asset.id WHERE kind = 'jpeg'",
        )
    }
    assert {name[name.rfind("-") :] for name in shown} == wanted


def test_a_file_deleted_before_it_was_said(env: dict[str, str], card: Path, library: Path) -> None:
    """Killed just before the promise, and a file is deleted by hand: it is copied again, not promised."""
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "secured.promising"}, "ingest", card)
    assert killed.code == KILLED
    next(library.glob("2*/originals/CARD/DCIM/file3.bin")).unlink()
    run = ingest(env, card)
    assert run.document["secured"] is True
    check_always(library, card)
    assert len(list_originals(library)) == 6


def test_another_card_does_not_wait_for_it(
    env: dict[str, str], card: Path, library: Path, tmp_path: Path
) -> None:
    """The same, with another card put in: that one is secured, and the command ends."""
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "secured.promising"}, "ingest", card)
    assert killed.code == KILLED
    next(library.glob("2*/originals/CARD/DCIM/file3.bin")).unlink()
    other = tmp_path / "OTHER"
    other.mkdir()
    (other / "other.bin").write_bytes(b"other")
    run = run_command(env, "ingest", other, "--json", timeout=30)
    check_sentence(run)
    assert run.code == 0
    assert ask(library, "SELECT safety FROM job WHERE label = 'CARD'") != [("secured",)]


def test_a_renamed_folder_is_a_card_that_left(
    env: dict[str, str], card: Path, library: Path, interrupted: int
) -> None:
    """The same files in another place of the filesystem are another volume; both end well."""
    moved = card.with_name("MOVED")
    card.rename(moved)
    run = ingest(env, moved)
    assert run.document["job"] != interrupted
    assert run.document["secured"] is True
    moved.rename(card)
    assert ingest(env, card).document["job"] == interrupted
    assert not ask(library, "SELECT 1 FROM job WHERE safety <> 'secured'")


def test_a_file_in_the_place_of_a_folder(env: dict[str, str], card: Path, library: Path) -> None:
    """Where a name was a folder at first and is a file on the resumed card, both are kept."""
    shutil.rmtree(card / "DCIM")
    (card / "A").mkdir()
    (card / "A" / "inner.bin").write_bytes(b"inner")
    (card / "B.bin").write_bytes(b"b")
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read:2"}, "ingest", card)
    assert killed.code == KILLED
    assert len(list_originals(library)) == 1
    settled = {path for (path,) in ask(library, "SELECT path FROM source WHERE state = 'stored'")}
    if settled == {b"A/inner.bin"}:
        shutil.rmtree(card / "A")
        (card / "A").write_bytes(b"now a file")
    else:
        (card / "B.bin").unlink()
        (card / "B.bin").mkdir()
        (card / "B.bin" / "now.bin").write_bytes(b"now a folder")
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code in (0, 3)
    assert run.document["secured"] is (run.code == 0)
    check_records(library)
