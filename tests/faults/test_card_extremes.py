"""Cards at the edges: very many files, very large ones, empty and sparse ones, and times that no camera should write."""

import os
from pathlib import Path

import pytest
from campaign import count, pick
from promises import ask, check_finished, hash_tree
from running import Run, check_sentence, environment, run_command

_DAY = 86_400
TIMES = {  # seconds since 1970
    "1980": 315_532_800,  # where FAT begins
    "2038": 2**31,
    "2107": 4_354_819_198,  # where FAT ends
    "1901": -(2**31),
    "1970": 0,
    "before": -1,
    "2262": 2**63 // 10**9 + _DAY,  # more nanoseconds than 64 bits hold
    "2446": 15_032_385_535,  # where ext4 ends
}


def ingest(env: dict[str, str], card: Path, timeout: float = 100) -> Run:
    """Ingest to a secured end."""
    done = run_command(env, "ingest", card, "--json", timeout=timeout)
    check_sentence(done)
    assert done.code == 0, done.err + done.out
    assert done.document["secured"] is True
    return done


@pytest.mark.timeout(pick(120, 3600))
@pytest.mark.parametrize(("folders", "files"), [(1, pick(500, 10_000)), (50, pick(10, 1_000))])
def test_very_many_files(folders: int, files: int, tmp_path: Path) -> None:
    """A card of many thousand files, in one folder or in fifty, is secured, every file of it by its name."""
    card, library = tmp_path / "CARD", tmp_path / "library"
    for folder in range(folders):
        place = card / "DCIM" / f"{100 + folder}CANON"
        place.mkdir(parents=True)
        for number in range(files):
            (place / f"MVI_{number:05}.THM").write_text(f"{folder} {number}")
    done = ingest(environment(tmp_path, library), card, timeout=pick(100, 3000))
    assert done.document["files"] == done.document["new"] == folders * files
    check_finished(library, card)
    count("card: files of crowded cards", folders * files)


@pytest.mark.timeout(pick(120, 1200))
def test_a_very_large_file(tmp_path: Path) -> None:
    """A film of more than 4 GiB, most of it a hole, is stored byte for byte, beside an empty file."""
    card, library = tmp_path / "CARD", tmp_path / "library"
    card.mkdir()
    size = pick(1 << 26, 4 << 30) + 4097
    with (card / "film.bin").open("wb") as film:
        film.truncate(size)
        film.seek(size - 3)
        film.write(b"end")
    (card / "empty.bin").touch()
    (card / "hole.bin").touch()
    os.truncate(card / "hole.bin", 1 << 20)
    done = ingest(environment(tmp_path, library), card, timeout=pick(100, 1000))
    assert done.document["bytes"] == size + (1 << 20)
    check_finished(library, card)
    count("card: very large, sparse and empty files", 3)


@pytest.fixture
def aged(tmp_path: Path) -> Path:
    """A card whose files are of all times."""
    card = tmp_path / "CARD"
    card.mkdir()
    for name, seconds in TIMES.items():
        (card / f"{name}.bin").write_text(name)
        os.utime(card / f"{name}.bin", (0, seconds))
    return card


def test_times_that_no_camera_should_write(aged: Path, tmp_path: Path) -> None:
    """Files of 1980, 2107, before 1970 and after 2262 are secured like others, and the manifest can be adopted."""
    library = tmp_path / "library"
    env = environment(tmp_path, library)
    ingest(env, aged)
    check_finished(library, aged)
    before = ask(library, "SELECT path, mtime_ns FROM source ORDER BY path")
    assert len({time for _, time in before}) >= len(TIMES) - 1
    for name in os.listdir(library / ".ghostroll"):
        if name.startswith("state.db"):
            (library / ".ghostroll" / name).unlink()
    adopted = run_command(env, "adopt")
    check_sentence(adopted)
    assert adopted.code == 0, adopted.err + adopted.out
    assert ask(library, "SELECT path, mtime_ns FROM source ORDER BY path") == before
    again = ingest(env, aged)
    assert again.document["new"] == 0
    assert set(hash_tree(aged).values()) == {
        checksum.lower() for (checksum,) in ask(library, "SELECT hex(sha256) FROM asset")
    }
    shown = run_command(env, "show", str(again.document["job"]))
    check_sentence(shown)
    assert shown.code == 0, shown.err
    count("card: files with odd times", len(TIMES))
