"""The power fails anywhere in an ingest: what had been said is true, and a restart ends as if nothing had been.

The ingest runs on a disk that records what is asked of it; the model of `power_cut.py` says what such a disk may hold
when the power fails after any of these operations.
"""

import random
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from campaign import count, pick
from crash_card import make_crash_card
from cutting import Recording, Step, blame_cut, check_cut, check_restart, lay_down, record_steps
from power_cut import ALL_ODDS, MIXED, NAMES_ALONE, Disk

RUNS = pick(1, 2)  # of each scenario
SAMPLES = pick(8, 300)  # operations of a run after which the power fails; all around what was said as well
RESTARTS = pick(2, 18)
NEAR = pick(2, 15)
KILLED_AT = [
    "copy.read_back",
    "library.renamed",
    "library.folder_synced",
    "secured.promising",
    "render.stored",
]


def choose_positions(recording: Recording, chance: random.Random) -> list[int]:
    """After how many operations the power fails: here and there, and after each that is near what was said."""
    first, end = recording.began, len(recording.log)
    positions = {end, *chance.sample(range(first, end), min(SAMPLES, end - first))}
    for saying in recording.sayings:
        positions |= {saying.position, *range(max(first, saying.position - NEAR), saying.position + NEAR)}
    return sorted(position for position in positions if position <= end)


def check_cuts(recording: Recording, positions: Iterable[int], seed: int, disk: Disk) -> int:
    """Check what every one of these cuts leaves, for all odds; returns how many there were."""
    told = cuts = 0
    for position in positions:
        disk.tell_all(recording.log[told:position])
        told = position
        for number, odds in enumerate(ALL_ODDS):
            tree = disk.cut(odds, random.Random(f"{seed}/{position}/{number}"))
            with tempfile.TemporaryDirectory(dir=recording.place) as place:
                lay_down(tree, Path(place))
                library, said = Path(place, "library"), recording.list_said(position)
                blame_cut(lambda: check_cut(library, recording.cards, said), position, odds, seed)  # noqa: B023
            cuts += 1
    return cuts


def make_steps(scenario: str, card: Path, chance: random.Random) -> list[Step]:
    """What is done before the power fails."""
    if scenario == "two cards":
        return [Step(card), Step(make_second_card(card, chance))]
    if scenario == "killed, then gone on":
        return [Step(card, killed_at=chance.choice(KILLED_AT)), Step(card)]
    return [Step(card, by_daemon=scenario == "by a daemon")]


def make_second_card(card: Path, chance: random.Random) -> Path:
    """Another card with some of the first one's photos, and something of its own."""
    second = card.with_name("NIKON_D850")
    shutil.copytree(card, second)
    (second / "notes.bin").unlink()
    (second / "DCIM" / "100CANON" / "IMG_0002.JPG").unlink()
    (second / "new.bin").write_bytes(chance.randbytes(100_000))
    return second


@pytest.mark.timeout(pick(120, 7200))
@pytest.mark.parametrize("seed", range(RUNS))
@pytest.mark.parametrize("scenario", ["one card", "two cards", "killed, then gone on", "by a daemon"])
def test_the_power_fails(scenario: str, seed: int, tmp_path: Path) -> None:
    """Whatever of the unsynced reached the disk, nothing that was said is untrue and a restart completes the ingest."""
    chance = random.Random(f"{scenario} {seed}")
    steps = make_steps(scenario, make_crash_card(tmp_path / "cards"), chance)
    settings = {
        "GHOSTROLL_COPY__BATCH_FILES": chance.choice(["1", "2", "32"]),
        "GHOSTROLL_COPY__THREADS_PER_CARD": chance.choice(["1", "2"]),
    }
    recording = record_steps(tmp_path, steps, settings)
    count("power cuts replayed", check_cuts(recording, choose_positions(recording, chance), seed, Disk()))
    for _ in range(RESTARTS):
        position = chance.randint(recording.began, len(recording.log))
        odds = chance.choice([*ALL_ODDS, MIXED, MIXED])
        cards = list(dict.fromkeys(step.card for step in steps))
        recording.put_back(recording.cut(position, odds, chance))
        blame_cut(lambda: check_restart(recording, cards), position, odds, seed)  # noqa: B023
    count("restarts after a power cut", RESTARTS)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """One ingest, file by file, for disks that lie about it."""
    place = tmp_path_factory.mktemp("recording")
    return record_steps(place, [Step(make_crash_card(place / "cards"))], {"GHOSTROLL_COPY__BATCH_FILES": "1"})


def test_a_library_in_a_folder_that_nobody_synced(tmp_path: Path) -> None:
    """Where the library's folder was made just before and not synced, its name survives with what was said."""
    steps = [Step(make_crash_card(tmp_path / "cards"))]
    recording = record_steps(tmp_path, steps, prepare=lambda disk: (disk / "library").mkdir())
    check_cuts(recording, [recording.sayings[0].position], 0, Disk())


LIES = {  # which syncs are forgotten, and what the checks say
    "bytes of originals": (r"library/\.ghostroll/incoming/\d+-\d+", "under final names"),
    "names of originals": (r".*/DCIM/100CANON", "recorded and not there"),
    "the card's folder": (r"library/[^/]+/originals", "recorded and not there"),
    "the library's name": (r"", "6 contents are not there"),
    "names of sessions": (r"library", "6 contents are not there"),
    "the write-ahead log": (r"library/\.ghostroll/state\.db-wal", "no record|not on record"),
    "the state's folder": (r"library/\.ghostroll", "no record|not on record"),
    "checksums": (r"library/\.ghostroll/incoming/SHA256SUMS-\d+", "SHA256SUMS"),
    "manifests": (r"library/\.ghostroll/incoming/manifest\.json-\d+", "half a manifest"),
    "galleries": (r"library/[^/]+/\.gallery\.json\.new", "half a gallery"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_disk_that_lies_is_seen(lie: str, recording: Recording) -> None:
    """A disk that forgets the syncs of one kind of file or folder breaks a promise, and the checks see it."""
    forgotten, seen = LIES[lie]
    disk = Disk(lambda path: re.fullmatch(forgotten, path) is not None)
    with pytest.raises(AssertionError, match=seen):
        check_cuts(recording, [recording.sayings[0].position, len(recording.log)], 0, disk)


def test_a_disk_that_lies_about_pictures_is_seen(recording: Recording) -> None:
    """Pictures that were shown as complete and lost their bytes are not what an undisturbed ingest has."""
    disk = Disk(lambda path: re.search(r"/(share|thumbs)-\d+$", path) is not None)
    disk.tell_all(recording.log)
    recording.put_back(disk.cut(NAMES_ALONE, random.Random(0)))
    with pytest.raises(AssertionError, match="other renditions"):
        check_restart(recording, [recording.sayings[0].card])


SABOTAGES = {  # what the program does not do, and what the checks say
    "no sync of the bytes": (
        "import ghostroll.library.copying as copying; copying.sync_data = lambda descriptor: None",
        "under final names",
    ),
    "recorded before its folders are synced": (
        "from ghostroll.library.copying import Copier; Copier._sync_places = lambda *_: None",
        "recorded and not there|contents are not there",
    ),
    "said before the record is synced": (
        "from ghostroll.state.database import Database; Database.promise = Database.write",
        "no record|not on record",
    ),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_sabotaged_program_is_seen(sabotage: str, tmp_path: Path) -> None:
    """A program that leaves out one sync on the way to *secured* breaks a promise, and the checks see it."""
    code, seen = SABOTAGES[sabotage]
    recording = record_steps(tmp_path, [Step(make_crash_card(tmp_path / "cards"), sabotage=code)])
    with pytest.raises(AssertionError, match=seen):
        check_cuts(recording, [recording.sayings[0].position, len(recording.log)], 0, Disk())
