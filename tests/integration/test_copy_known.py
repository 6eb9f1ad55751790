"""A card that comes again: what is taken from memory, and what never is."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from annotated_types import Interval
from promises import ask, check_always, check_finished, check_sums, list_originals
from running import KILLED, Run, check_sentence, environment, run_command
from tracing import below, run_traced

from ghostroll.config.settings import Copy

HEAD = 64 * 1024
SIZE = 200_000
HOUR = 3600 * 10**9
MINUTE = 60 * 10**9


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with five files, each larger than its head."""
    root = tmp_path / "CARD"
    (root / "DCIM").mkdir(parents=True)
    for number in range(5):
        path = root / "DCIM" / f"file{number}.bin"
        path.write_bytes(os.urandom(SIZE))
        os.utime(path, ns=(1_790_000_000 * 10**9 + number, 1_790_000_000 * 10**9 + number * 10**9))
    return root


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Where the library will be."""
    return tmp_path / "library"


@pytest.fixture
def env(tmp_path: Path, library: Path) -> dict[str, str]:
    """A user's environment."""
    return environment(tmp_path, library)


@pytest.fixture
def secured(env: dict[str, str], card: Path) -> Run:
    """The card was secured once."""
    run = ingest(env, card)
    assert run.document["new"] == 5
    return run


def ingest(env: dict[str, str], card: Path) -> Run:
    """Ingest to a secured end."""
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == 0, run.err
    assert run.document["secured"] is True
    return run


def shift(card: Path, by: int) -> None:
    """Change the time of every file of a card."""
    for path in card.rglob("*.bin"):
        entry = path.stat()
        os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns + by))


def counts(run: Run) -> tuple[int, int, int]:
    """New, known and duplicate files."""
    return run.document["new"], run.document["known"], run.document["duplicates"]


def test_a_known_card_is_read_by_its_heads(
    env: dict[str, str], card: Path, library: Path, tmp_path: Path, secured: Run
) -> None:
    """A secured card that comes again costs 64 KiB a file, and makes no session, no link and no gallery."""
    before = sorted(library.iterdir())
    run, sizes, _ = run_traced(env, tmp_path, "ingest", card, "--json")
    assert run.code == 0
    assert counts(run) == (0, 5, 0)
    assert below(card, sizes) == 5 * HEAD
    assert sorted(library.iterdir()) == before
    assert run.document["session"] is None
    assert run.document["session_dir"] is None
    assert run.document["job"] != secured.document["job"]
    assert run.document["files"] == 5
    assert "copy" not in run.document["stages"]


def test_each_byte_is_read_once(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """The first ingest reads every byte of the card once and no more."""
    run, sizes, _ = run_traced(env, tmp_path, "ingest", card, "--json")
    assert run.code == 0
    assert below(card, sizes) == 5 * SIZE


@pytest.mark.parametrize("by", [2 * HOUR, -5 * HOUR - 45 * MINUTE, 14 * HOUR])
@pytest.mark.usefixtures("secured")
def test_another_time_zone_is_known(by: int, env: dict[str, str], card: Path) -> None:
    """One shift of all times that a time zone explains changes nothing."""
    shift(card, by)
    assert counts(ingest(env, card)) == (0, 5, 0)


@pytest.mark.parametrize("by", [7 * MINUTE, 14 * HOUR + 15 * MINUTE, 1])
@pytest.mark.usefixtures("secured")
def test_another_time_is_read(by: int, env: dict[str, str], card: Path) -> None:
    """A shift that no time zone explains makes every file read again; all are found to be duplicates."""
    shift(card, by)
    assert counts(ingest(env, card)) == (0, 0, 5)


@pytest.mark.usefixtures("secured")
def test_a_file_with_another_shift_is_read(env: dict[str, str], card: Path) -> None:
    """The shift is common to the whole card: a file that moved otherwise is read, the others are known."""
    shift(card, HOUR)
    path = card / "DCIM" / "file3.bin"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + HOUR))
    assert counts(ingest(env, card)) == (0, 4, 1)


@pytest.mark.usefixtures("secured")
def test_one_lie_and_nothing_is_believed(
    env: dict[str, str], card: Path, library: Path, tmp_path: Path
) -> None:
    """One head that differs under the same size and time: the whole card is read again."""
    path = card / "DCIM" / "file3.bin"
    entry = path.stat()
    with path.open("r+b") as file:
        file.write(b"another beginning")
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    run, sizes, _ = run_traced(env, tmp_path, "ingest", card, "--json")
    assert counts(run) == (1, 0, 4)
    assert below(card, sizes) >= 5 * SIZE
    assert len(list_originals(library)) == 6


@pytest.mark.usefixtures("secured")
def test_a_new_file_is_copied_beside_known_ones(env: dict[str, str], card: Path, library: Path) -> None:
    """More files on a known card make a session with only those."""
    (card / "DCIM" / "file9.bin").write_bytes(b"new")
    run = ingest(env, card)
    assert counts(run) == (1, 5, 0)
    assert (Path(run.document["session_dir"]) / "originals" / "CARD" / "DCIM" / "file9.bin").is_file()
    check_always(library, card)


@pytest.mark.usefixtures("secured")
def test_a_file_that_is_gone_from_the_library_is_copied_again(
    env: dict[str, str], card: Path, library: Path
) -> None:
    """A file deleted from the library by hand is not known any more: it is stored anew."""
    next(library.glob("2*/originals/CARD/DCIM/file2.bin")).unlink()
    assert counts(ingest(env, card)) == (1, 4, 0)
    check_always(library, card)


@pytest.mark.usefixtures("secured")
def test_a_file_that_is_back_in_the_library_is_not_copied_any_more(
    env: dict[str, str], card: Path, library: Path, tmp_path: Path
) -> None:
    """A file that was to be copied when the run was killed, and is known by now, leaves no copy that nobody ever makes."""
    stored = next(library.glob("2*/originals/CARD/DCIM/file2.bin"))
    stored.rename(tmp_path / "elsewhere")
    assert run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read"}, "ingest", card).code == KILLED
    (tmp_path / "elsewhere").rename(stored)
    assert run_command(env | {"GHOSTROLL_CRASH_AT": "engine.settled"}, "ingest", card).code == KILLED
    states = (
        "SELECT source.state, task.state FROM source LEFT JOIN task ON stage = 'copy' AND subject = source.id"
    )
    assert ask(library, f"{states} WHERE source.job_id = 2") == [("known", None)] * 5
    assert counts(ingest(env, card)) == (0, 5, 0)
    check_finished(library, card)


@pytest.mark.usefixtures("secured")
def test_a_file_with_a_new_home_leaves_the_lists_of_the_old_one(
    env: dict[str, str], card: Path, library: Path
) -> None:
    """Killed after a missing file got a home in another session, the next run takes it out of the first one's lists."""
    (session,) = library.glob("2*")
    (session / "originals" / "CARD" / "DCIM" / "file2.bin").unlink()
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "engine.settled:2"}, "ingest", card)
    assert killed.code == KILLED
    assert b"file2.bin" in (session / "SHA256SUMS").read_bytes()
    assert run_command(env, "retry", "2").code == 0
    check_sums(session)
    assert (session / "SHA256SUMS").read_bytes().count(b"\n") == 4


def test_a_file_with_a_new_home_in_its_own_session_is_named_there(
    env: dict[str, str], library: Path, tmp_path: Path
) -> None:
    """A content that moves within its session is named at its new place by every manifest that knows it."""
    for name, session in (("FIRST", "shared"), ("SECOND", "other"), ("THIRD", "shared")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.bin").write_bytes(b"the same on all three" * 1000)
        (tmp_path / name / "own.bin").write_bytes(name.encode())
        if name == "THIRD":
            (library / "shared" / "originals" / "FIRST" / "FIRST.bin").unlink()
        assert run_command(env, "ingest", tmp_path / name, "--session", session).code == 0
    assert (library / "shared" / "originals" / "THIRD" / "THIRD.bin").is_file()
    manifests = list(library.glob("*/manifest.json"))
    assert len(manifests) == 2
    for manifest in manifests:
        sources = [source for job in json.loads(manifest.read_text())["jobs"] for source in job["sources"]]
        assert all((library / source["stored"]).is_file() for source in sources), manifest


@pytest.mark.usefixtures("secured")
def test_lists_that_cannot_be_written_hold_nobody_up(
    env: dict[str, str], card: Path, library: Path, tmp_path: Path
) -> None:
    """Where the lists of an old session can't be written any more, the log names it, and other cards are secured."""
    (session,) = library.glob("2*")
    (session / "originals" / "CARD" / "DCIM" / "file2.bin").unlink()
    (session / "manifest.json").unlink()
    (session / "manifest.json").mkdir()
    second = run_command(env, "ingest", card)
    assert second.code == 0
    assert f"{session.name}: its SHA256SUMS and manifest.json still name what has moved" in second.err
    (tmp_path / "THIRD").mkdir()
    (tmp_path / "THIRD" / "new.bin").write_bytes(b"something new")
    assert run_command(env, "ingest", tmp_path / "THIRD").code == 0
    (session / "manifest.json").rmdir()
    assert run_command(env, "ingest", card).code == 0
    check_sums(session)


@pytest.mark.usefixtures("secured")
def test_a_deleted_session_is_copied_again(env: dict[str, str], card: Path, library: Path) -> None:
    """A whole session deleted by hand comes back from the card, into a new session."""
    shutil.rmtree(next(library.glob("2*")))
    assert counts(ingest(env, card)) == (5, 0, 0)
    check_always(library, card)


@pytest.mark.usefixtures("secured")
def test_trust_known_can_be_turned_off(env: dict[str, str], card: Path) -> None:
    """With copy.trust_known = false every byte is read again."""
    assert counts(ingest(env | {"GHOSTROLL_COPY__TRUST_KNOWN": "false"}, card)) == (0, 0, 5)


@pytest.mark.usefixtures("secured")
def test_another_folder_with_the_same_files_is_read(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """The same names, sizes and times elsewhere are another volume: all is read, nothing is stored twice."""
    shutil.copytree(card, tmp_path / "COPY")
    assert counts(ingest(env, tmp_path / "COPY")) == (0, 0, 5)


@pytest.fixture
def memory_card(card: Path) -> Iterator[Path]:
    """The card on a filesystem without a UUID."""
    place = Path("/dev/shm") / f"ghostroll-card-{os.getpid()}"  # noqa: S108  # the one memory filesystem there always is
    shutil.copytree(card, place)
    yield place
    shutil.rmtree(place)


def test_without_a_uuid_nothing_is_known(env: dict[str, str], memory_card: Path) -> None:
    """A volume that can't be told from others is read whole every time."""
    assert counts(ingest(env, memory_card)) == (5, 0, 0)
    assert counts(ingest(env, memory_card)) == (0, 0, 5)


@pytest.mark.usefixtures("secured")
def test_a_rotten_file_is_replaced_when_its_time_has_come(
    env: dict[str, str], card: Path, library: Path
) -> None:
    """With reverify_days = 0 a stored file is read again when the card brings it, and healed where it is rotten."""
    rotten = next(library.glob("2*/originals/CARD/DCIM/file2.bin"))
    good = rotten.read_bytes()
    rotten.write_bytes(good[:100_000] + b"!" + good[100_001:])
    run = ingest(
        env | {"GHOSTROLL_COPY__TRUST_KNOWN": "false", "GHOSTROLL_LIBRARY__REVERIFY_DAYS": "0"}, card
    )
    assert counts(run) == (0, 0, 5)
    assert rotten.read_bytes() == good
    assert len(os.listdir(library / ".ghostroll" / "aside")) == 1
    check_always(library, card)


def test_a_card_with_a_name_that_is_not_utf8(env: dict[str, str], card: Path) -> None:
    """The folder where a card is mounted may have any name, and is known again."""
    odd = os.fsdecode(os.fsencode(card.parent) + b"/caf\xe9")
    card.rename(odd)
    assert counts(ingest(env, Path(odd))) == (5, 0, 0)
    assert counts(ingest(env, Path(odd))) == (0, 5, 0)


@pytest.mark.parametrize("batch", ["1", "32"])
def test_a_photo_that_is_on_the_card_twice(
    batch: str, env: dict[str, str], card: Path, library: Path
) -> None:
    """Copies of a file on one card, in one batch or in several, are stored once and all accounted for."""
    for number in range(3):
        shutil.copyfile(card / "DCIM" / "file0.bin", card / f"copy{number}.bin")
    run = ingest(env | {"GHOSTROLL_COPY__BATCH_FILES": batch}, card)
    assert counts(run) == (5, 0, 3)
    check_finished(library, card)


def most(key: str) -> int:
    """The largest value that a key of section [copy] takes."""
    hint = get_type_hints(Copy, include_extras=True)[key]
    (limit,) = [part.le for part in get_args(hint) if isinstance(part, Interval)]
    assert isinstance(limit, int)
    return limit


def test_many_small_files_fit_the_usual_limits(env: dict[str, str], tmp_path: Path, library: Path) -> None:
    """The largest batches that can be configured work with the usual limit of 1024 open files."""
    root = tmp_path / "MANY"
    root.mkdir()
    for number in range(2500):
        (root / f"{number}.txt").write_text(str(number))
    more = {
        "GHOSTROLL_COPY__BATCH_FILES": str(most("batch_files")),
        "GHOSTROLL_COPY__THREADS_PER_CARD": str(most("threads_per_card")),
    }
    wrapped = tmp_path / "bin"
    wrapped.write_text('#!/bin/sh\nulimit -Sn 1024\nexec "$@"\n')
    run = run_command(env | more, "ingest", root, "--json", before=["sh", wrapped])
    check_sentence(run)
    assert run.code == 0, run.document["failed"][:2]
    assert ask(library, "SELECT count(*) FROM asset") == [(2500,)]
