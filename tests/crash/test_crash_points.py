"""SIGKILL at every crash point x {ingest, daemon} x {folder, bucket}, then a restart: the promises hold."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bucket_promises import check_bucket
from campaign import FULL, count
from crash_card import make_crash_card
from crash_points import OF_BUCKET, OF_HEALING, find_points
from forking import fork_command
from killing import PROGRAMS, Program
from pledges import Pledges, list_pictures
from promises import check_always, check_finished, hash_tree
from running import KILLED, environment
from stores import Store

from ghostroll.demo.photos import make_photo

OF_FOLDER = [point for point in find_points() if not point.startswith(OF_BUCKET)]
POINTS = {
    "folder": OF_FOLDER,
    "bucket": [point for point in find_points() if not point.startswith(OF_HEALING)],
}
ONLY_AT_FIRST = {"state.migrating", "state.migrated", "session.making", "session.made", "session.synced"}
OF_PARTS = (
    *("upload.creating", "upload.created", "upload.part_putting"),
    *("upload.part_put", "upload.completing", "upload.completed"),
)
LEGS = 4
GROWTH = 40  # photos that a card may get between two kills
LARGE = 33 << 20  # bytes; more than one part of a multipart upload


def make_film(card: Path) -> None:
    """A file of two parts."""
    with open(card / "film.bin", "wb") as film:
        film.truncate(LARGE)


def make_growth(number: int) -> bytes:
    """The photo that is taken before this kill."""
    return make_photo(
        seed=100 + number, size=(160, 120), taken=datetime(2026, 11, 23, 10, number, tzinfo=UTC)
    )


def grow(card: Path, number: int) -> None:
    """One more photo in a folder of its own."""
    folder = card / "DCIM" / f"{300 + number}CANON"
    folder.mkdir()
    (folder / "IMG_0001.JPG").write_bytes(make_growth(number))


@dataclass(frozen=True, slots=True)
class Target:
    """Where it is published: `store` is None for the folder."""

    name: str
    store: Store | None

    def settle(self, place: Path, **more: str) -> dict[str, str]:
        """An environment in which everything goes there."""
        env = environment(place, place / "library", **more)
        if self.store is None:
            return env
        return env | self.store.settings | {"GHOSTROLL_PUBLISH__ORIGINALS": "all"}

    def check_finished(self, place: Path, card: Path) -> None:
        """Library and bucket are whole."""
        check_finished(place / "library", card)
        if self.store is not None:
            check_bucket(self.store, place / "library")


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest) -> Target:
    """Each place where a gallery may be."""
    store: Store | None = None if request.param == "folder" else request.getfixturevalue("moto")
    return Target(request.param, store)


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    """Each program that works on a library."""
    return PROGRAMS[request.param]


@dataclass(frozen=True, slots=True)
class Clean:
    """What an undisturbed run does: the points that it passes, in their order, and each content's renditions."""

    points: tuple[str, ...]
    pictures: dict[str, tuple[str, str]]


def run_clean(place: Path, target: Target) -> Clean:
    """A run on a card that holds all that any test's card ever holds."""
    card = make_crash_card(place)
    for number in range(GROWTH):
        grow(card, number)
    if target.store is not None:
        make_film(card)
    log = place / "points.log"
    run = fork_command(target.settle(place, GHOSTROLL_CRASH_LOG=str(log)), "ingest", card, "--json")
    assert run.code == 0, run.err
    assert run.document["secured"] is True
    target.check_finished(place, card)
    return Clean(tuple(log.read_text().split()), list_pictures(place / "library"))


@pytest.fixture(scope="module")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """What an undisturbed run into the folder does."""
    return run_clean(tmp_path_factory.mktemp("clean"), Target("folder", None))


@pytest.fixture(scope="module")
def clean_bucket(tmp_path_factory: pytest.TempPathFactory, moto_server: Store) -> Clean:
    """What an undisturbed run into a bucket does."""
    store = moto_server.with_new_bucket()
    return run_clean(tmp_path_factory.mktemp("clean"), Target("bucket", store))


@pytest.fixture
def clean(target: Target, request: pytest.FixtureRequest) -> Clean:
    """What an undisturbed run into this test's target does."""
    found: Clean = request.getfixturevalue(f"clean_{target.name}")
    return found


def check_pictures(library: Path, clean: Clean) -> None:
    """Every rendition is byte for byte what an undisturbed run makes of the same photo."""
    for content, renditions in list_pictures(library).items():
        assert clean.pictures[content] == renditions


def test_every_point_is_reached(target: Target, clean: Clean) -> None:
    """Each crash point in the source is passed by an ordinary ingest, so that killing there means something."""
    points = POINTS[target.name]
    assert len(points) > (45 if target.store else 35)
    assert set(points) - set(clean.points) == set()


def order_points(passed: Sequence[str], meant: Collection[str]) -> list[str]:
    """Points in the order in which they are passed; those of a large upload together, for one film is enough for all."""
    points = [point for point in passed if point in meant]
    large = [point for point in OF_PARTS if point in points]
    first = min(map(points.index, large), default=0)
    rest = [point for point in points if point not in large]
    return [*rest[:first], *large, *rest[first:]]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("leg", range(LEGS))
def test_killed_in_turn(leg: int, program: Program, target: Target, clean: Clean, tmp_path: Path) -> None:
    """Killed at one point after the other while the card grows, it loses nothing on the way and ends as if nothing had been."""
    points = order_points(clean.points, POINTS[target.name])
    own = points[leg * len(points) // LEGS : (leg + 1) * len(points) // LEGS]
    card, growth = make_crash_card(tmp_path), iter(range(GROWTH))
    env, pledges = target.settle(tmp_path), Pledges(tmp_path / "library")
    of_parts = [point for point in own if point in OF_PARTS]
    for point in own:
        if point in of_parts[:1]:
            make_film(card)  # not before: it goes up beside everything else, and is begun but once
        for _ in range(3):  # where it had nothing to do at a point, it has once there is a new photo
            grow(card, next(growth))
            killed = program(env | {"GHOSTROLL_CRASH_AT": point}, card, tmp_path).killed
            pledges.look([card])
            if killed:
                break
        else:
            pytest.fail(f"never got to {point}")
    assert program(env, card, tmp_path).document["secured"] is True
    pledges.look([card])
    target.check_finished(tmp_path, card)
    check_pictures(tmp_path / "library", clean)
    count("kills at a crash point, one after the other on one library", len(own))


def list_lone_kills() -> Iterator[tuple[str, str, str]]:
    """At which pass of which point what is killed alone, with which target: a part of them in every run."""
    for name, points in POINTS.items():
        for who in PROGRAMS:
            for point in points:
                if FULL or (name, who) == ("folder", "ingest"):
                    yield f"{point}:1", who, name
                if FULL:
                    yield f"{point}:3", who, name


@pytest.mark.parametrize(("at", "who", "target"), list(list_lone_kills()), indirect=["target"])
def test_killed_at_a_point(at: str, who: str, target: Target, clean: Clean, tmp_path: Path) -> None:
    """Killed at a point and started again, it ends exactly as if nothing had been."""
    program, library = PROGRAMS[who], tmp_path / "library"
    card = make_crash_card(tmp_path)
    if target.store is not None and at.rpartition(":")[0] in OF_PARTS:
        make_film(card)
    env = target.settle(tmp_path)
    killed = program(env | {"GHOSTROLL_CRASH_AT": at}, card, tmp_path).killed
    assert killed or at.endswith(":3"), f"never got to {at}"
    check_always(library, card)
    assert program(env, card, tmp_path).document["secured"] is True
    target.check_finished(tmp_path, card)
    check_pictures(library, clean)
    count("kills at a crash point, each on a library of its own", int(killed))


def cut_short(place: Path, card: Path) -> tuple[dict[str, str], Path]:
    """A library whose ingest was killed half-way, and in which one stored file has rotted and was found damaged."""
    library = place / "library"
    env = environment(place, library, GHOSTROLL_COPY__BATCH_FILES="1", GHOSTROLL_COPY__THREADS_PER_CARD="1")
    killed = fork_command(env | {"GHOSTROLL_CRASH_AT": "copy.read:4"}, "ingest", card, "--json")
    assert killed.code == KILLED, killed.err
    stored = next(path for path in sorted(library.glob("*/originals/**/*.JPG")))
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    assert fork_command(env, "verify").code == 3
    return env, library


# What a heal does beyond an ordinary copy are renames; the rest of the points is for the campaign.
HEALED_AT = [
    point
    for point in OF_FOLDER
    if point not in ONLY_AT_FIRST
    and (FULL or point.startswith(("library.renam", "library.folder_sync", "secured.")))
]


@pytest.mark.parametrize("point", HEALED_AT)
def test_killed_while_going_on(point: str, clean_folder: Clean, tmp_path: Path) -> None:
    """Killed while it resumes and heals, and started once more, an ingest still ends as an undisturbed one."""
    card = make_crash_card(tmp_path)
    env, library = cut_short(tmp_path, card)
    killed = fork_command(env | {"GHOSTROLL_CRASH_AT": point}, "ingest", card, "--json")
    assert killed.code == KILLED, f"never got to {point}"
    again = fork_command(env, "ingest", card, "--json")
    assert again.code == 0, again.err
    check_finished(library, card, aside=1)
    check_pictures(library, clean_folder)
    count("kills while a damaged file is healed")


def test_the_card_is_not_written(tmp_path: Path) -> None:
    """An ingest leaves every name, byte and time of the card as it was."""
    card = make_crash_card(tmp_path)
    before = json.dumps([(str(path), path.stat().st_mtime_ns) for path in sorted(card.rglob("*"))])
    contents = hash_tree(card)
    assert fork_command(environment(tmp_path, tmp_path / "library"), "ingest", card, "--json").code == 0
    assert json.dumps([(str(path), path.stat().st_mtime_ns) for path in sorted(card.rglob("*"))]) == before
    assert hash_tree(card) == contents
