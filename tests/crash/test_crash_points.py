"""SIGKILL at every crash point, then a restart: the promises hold."""

import json
from pathlib import Path

import pytest
from crash_card import make_crash_card
from crash_points import OF_BUCKET, find_points
from promises import check_always, check_finished, hash_tree
from running import KILLED, environment, run_command

POINTS = [point for point in find_points() if not point.startswith(OF_BUCKET)]
ONLY_AT_FIRST = {"state.migrating", "state.migrated", "session.making", "session.made", "session.synced"}


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One card for all kills."""
    return make_crash_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def clean(card: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[bytes, str], set[str]]:
    """What an undisturbed run makes: its renditions, and the crash points that it passes."""
    place = tmp_path_factory.mktemp("clean")
    log = place / "points.log"
    env = environment(place, place / "library", GHOSTROLL_CRASH_LOG=str(log))
    run = run_command(env, "ingest", card, "--json")
    assert run.code == 0, run.err
    check_finished(place / "library", card)
    return list_renditions(place / "library"), set(log.read_text().split())


def list_renditions(library: Path) -> dict[bytes, str]:
    """Every rendition of a library, whatever its session is called."""
    return {
        path.split(b"/", 1)[1]: checksum
        for path, checksum in hash_tree(library).items()
        if path.split(b"/")[1] in (b"share", b"thumbs")
    }


def test_every_point_is_reached(clean: tuple[dict[bytes, str], set[str]]) -> None:
    """Each crash point in the source is passed by an ordinary ingest, so that killing there means something."""
    assert len(POINTS) > 30
    assert set(POINTS) - clean[1] == set()


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(
    point: str, nth: int, card: Path, clean: tuple[dict[bytes, str], set[str]], tmp_path: Path
) -> None:
    """Killed at a point and started again, an ingest ends exactly as an undisturbed one does."""
    library = tmp_path / "library"
    env = environment(tmp_path, library)
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": f"{point}:{nth}"}, "ingest", card, "--json")
    if killed.code != KILLED:
        assert nth > 1, f"never got to {point}"
        assert killed.code == 0, killed.err
    check_always(library, card)
    again = run_command(env, "ingest", card, "--json")
    assert again.code == 0, again.err
    assert again.document["secured"] is True
    check_finished(library, card)
    assert list_renditions(library) == clean[0]


def cut_short(place: Path, card: Path) -> tuple[dict[str, str], Path]:
    """A library whose ingest was killed half-way, and in which one stored file has rotted and was found damaged."""
    library = place / "library"
    env = environment(place, library, GHOSTROLL_COPY__BATCH_FILES="1", GHOSTROLL_COPY__THREADS_PER_CARD="1")
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read:4"}, "ingest", card, "--json")
    assert killed.code == KILLED, killed.err
    stored = next(path for path in sorted(library.glob("*/originals/**/*.JPG")))
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    assert run_command(env, "verify").code == 3
    return env, library


@pytest.mark.parametrize("point", [point for point in POINTS if point not in ONLY_AT_FIRST])
def test_killed_while_going_on(
    point: str, card: Path, clean: tuple[dict[bytes, str], set[str]], tmp_path: Path
) -> None:
    """Killed while it resumes and heals, and started once more, an ingest still ends as an undisturbed one."""
    env, library = cut_short(tmp_path, card)
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": point}, "ingest", card, "--json")
    assert killed.code == KILLED, f"never got to {point}"
    again = run_command(env, "ingest", card, "--json")
    assert again.code == 0, again.err
    check_finished(library, card, aside=1)
    assert list_renditions(library) == clean[0]


def test_the_card_is_not_written(card: Path, tmp_path: Path) -> None:
    """An ingest leaves every name, byte and time of the card as it was."""
    before = json.dumps([(str(path), path.stat().st_mtime_ns) for path in sorted(card.rglob("*"))])
    contents = hash_tree(card)
    assert run_command(environment(tmp_path, tmp_path / "library"), "ingest", card, "--json").code == 0
    assert json.dumps([(str(path), path.stat().st_mtime_ns) for path in sorted(card.rglob("*"))]) == before
    assert hash_tree(card) == contents
