"""SIGKILL at every crash point between a station and its bucket, then a restart: bucket and library end whole."""

import random
from pathlib import Path

import pytest
from bucket_promises import check_bucket
from crash_card import make_crash_card
from crash_points import OF_BUCKET, OF_HEALING, find_points
from PIL import Image
from promises import check_always, check_finished
from running import KILLED, environment, run_command
from stores import Store

POINTS = [
    point for point in find_points() if point.startswith(OF_BUCKET) and not point.startswith(OF_HEALING)
]
BEFORE_ANY_UPLOAD = [
    "session.synced",
    "library.renamed",
    "render.stored",
    "engine.settled",
    "state.committed",
]
LARGE = 33 << 20  # bytes; more than one part of a multipart upload


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card with a film of two parts, and two photos whose archive is of two parts as well."""
    root = make_crash_card(tmp_path_factory.mktemp("card"))
    folder = root / "DCIM" / "102CANON"
    folder.mkdir()
    noise = random.Random(7)
    for number in (1, 2):
        photo = Image.frombytes("RGB", (1500, 1100), noise.randbytes(1500 * 1100 * 3))
        photo.save(folder / f"IMG_{number:04}.JPG", quality=95)
    with open(root / "film.bin", "wb") as film:
        film.truncate(LARGE)
    return root


def settle(place: Path, store: Store, **more: str) -> dict[str, str]:
    """An environment in which everything goes to the bucket."""
    large = {"GHOSTROLL_RENDER__SHARE_EDGE": "2048", "GHOSTROLL_RENDER__SHARE_QUALITY": "95"}
    return (
        environment(place, place / "library", GHOSTROLL_PUBLISH__ORIGINALS="all", **large)
        | store.settings
        | more
    )


def test_every_point_is_reached(card: Path, moto: Store, tmp_path: Path) -> None:
    """Each crash point of the bucket is passed by an ordinary ingest into one, so that killing there means something."""
    log = tmp_path / "points.log"
    run = run_command(settle(tmp_path, moto, GHOSTROLL_CRASH_LOG=str(log)), "ingest", card, "--json")
    assert run.code == 0, run.err
    assert run.document["formattable"] is True
    check_finished(tmp_path / "library", card)
    check_bucket(moto, tmp_path / "library")
    assert len(POINTS) > 10
    assert set(POINTS) - set(log.read_text().split()) == set()


@pytest.mark.parametrize("point", [*POINTS, *BEFORE_ANY_UPLOAD])
def test_killed_at_a_point(point: str, card: Path, moto: Store, tmp_path: Path) -> None:
    """Killed at a point and started again, an ingest leaves library and bucket as an undisturbed one does."""
    library = tmp_path / "library"
    env = settle(tmp_path, moto)
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": point}, "ingest", card, "--json")
    assert killed.code == KILLED, f"never got to {point}: {killed.err}"
    check_always(library, card)
    again = run_command(env, "ingest", card, "--json")
    assert again.code == 0, again.err
    assert again.document["secured"] is True
    check_finished(library, card)
    check_bucket(moto, library)
