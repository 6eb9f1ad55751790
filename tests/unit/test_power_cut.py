"""The model of a power cut: what was synced is there, what wasn't may be, and nothing else ever is."""

import random
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from disk_log import (
    TOP,
    Link,
    Make,
    Operation,
    Remove,
    Rename,
    Resize,
    Sync,
    Write,
    encode,
    find_node,
    find_words,
    read_log,
)
from hypothesis import given
from hypothesis import strategies as st
from power_cut import (
    ALL_ODDS,
    BLOCK,
    DATA_ALONE,
    EVEN,
    EVERYTHING,
    MIXED,
    NAMES_ALONE,
    NOTHING,
    SECTOR,
    Disk,
    Odds,
    Tree,
)

FOLDER, FILE, OTHER = 1, 2, 3
TREE: list[Operation] = [Make(FOLDER, TOP, "d", is_folder=True), Sync(TOP)]
NEW: list[Operation] = [*TREE, Make(FILE, FOLDER, "a", is_folder=False)]


def cut(log: Iterable[Operation], odds: Odds, seed: int = 0) -> Tree:
    """What one cut leaves."""
    disk = Disk()
    disk.tell_all(list(log))
    return disk.cut(odds, random.Random(seed))


def cut_often(
    log: Iterable[Operation], odds: Odds, times: int = 300
) -> set[tuple[tuple[str, bytes | None], ...]]:
    """Every different thing that many cuts leave."""
    disk = Disk()
    disk.tell_all(list(log))
    return {tuple(disk.cut(odds, random.Random(seed)).items()) for seed in range(times)}


def contents(log: Iterable[Operation], odds: Odds, name: str = "d/a") -> set[bytes | None]:
    """What one file may hold, None where it is not there."""
    return {dict(tree).get(name) for tree in cut_often(log, odds)}


@pytest.mark.parametrize("odds", ALL_ODDS)
def test_what_is_synced_is_there(odds: Odds) -> None:
    """Bytes after the sync of their file and names after that of their folder survive every cut."""
    log: list[Operation] = [*NEW, Write(FILE, 0, b"safe"), Sync(FILE), Sync(FOLDER)]
    assert cut_often(log, odds, 50) == {(("d", None), ("d/a", b"safe"))}


def test_a_name_is_not_synced_with_its_file() -> None:
    """The sync of a file's bytes says nothing of its name."""
    log: list[Operation] = [*NEW, Write(FILE, 0, b"safe"), Sync(FILE)]
    assert cut(log, NOTHING) == {"d": None}
    assert cut(log, EVERYTHING) == {"d": None, "d/a": b"safe"}
    assert contents(log, EVEN) == {None, b"safe"}


def test_bytes_are_not_synced_with_their_name() -> None:
    """The sync of a folder says nothing of its files' bytes: empty, zeros, noise or all."""
    log: list[Operation] = [*NEW, Write(FILE, 0, b"lost"), Sync(FOLDER)]
    assert cut(log, NOTHING) == {"d": None, "d/a": b""}
    found = contents(log, EVEN)
    assert {b"", bytes(4), b"lost"} < found
    assert {len(one) for one in found if one is not None} == {0, 4}


def test_what_stands_in_a_folder_without_a_name_is_lost() -> None:
    """A synced file in a synced folder goes with that folder, if its own name was not synced."""
    log: list[Operation] = [
        Make(FOLDER, TOP, "d", is_folder=True),
        Make(FILE, FOLDER, "a", is_folder=False),
        Write(FILE, 0, b"x"),
        Sync(FILE),
        Sync(FOLDER),
    ]
    assert cut(log, NOTHING) == {}
    assert cut(log, EVERYTHING) == {"d": None, "d/a": b"x"}


def test_an_overwritten_file_is_old_or_new_sector_by_sector() -> None:
    """Each sector of an unsynced write is there or not for itself, never half, and its neighbours stay."""
    old, new = b"o" * (4 * SECTOR), b"n" * (2 * SECTOR)
    log: list[Operation] = [
        *NEW,
        Write(FILE, 0, old),
        Sync(FILE),
        Sync(FOLDER),
        Write(FILE, SECTOR + 100, new),
    ]
    seen = set()
    for found in contents(log, EVEN):
        assert found is not None
        assert len(found) == len(old)
        assert set(found[: SECTOR + 100] + found[3 * SECTOR + 100 :]) == {ord("o")}
        pieces = (
            found[SECTOR + 100 : 2 * SECTOR],
            found[2 * SECTOR : 3 * SECTOR],
            found[3 * SECTOR : 3 * SECTOR + 100],
        )
        assert all(len(set(piece)) == 1 for piece in pieces)
        seen.add(bytes(piece[0] for piece in pieces))
    assert len(seen) == 8  # one block, or three sectors in every combination


def test_a_later_write_may_be_there_without_an_earlier_one() -> None:
    """Unsynced writes reach the disk in any order; bytes that were skipped are zeros."""
    log: list[Operation] = [
        *NEW,
        Sync(FOLDER),
        Write(FILE, 0, b"1" * BLOCK),
        Write(FILE, BLOCK, b"2" * BLOCK),
    ]
    found = contents(log, Odds(1, 0.5, 0))
    assert bytes(BLOCK) + b"2" * BLOCK in found
    assert b"1" * BLOCK in found
    assert b"1" * BLOCK + b"2" * BLOCK in found


def test_a_file_may_have_grown_without_its_bytes() -> None:
    """A size may reach the disk alone: there are zeros or what stood there before."""
    log: list[Operation] = [*NEW, Sync(FOLDER), Write(FILE, 0, b"x" * 64)]
    found = contents(log, NAMES_ALONE)
    assert bytes(64) in found
    assert {len(one) for one in found if one is not None} == {64}
    assert b"x" * 64 not in found


def test_a_truncation_may_be_lost() -> None:
    """A file that was cut short and not synced is long or short; a shortened one that is synced stays so."""
    log: list[Operation] = [*NEW, Write(FILE, 0, b"long"), Sync(FILE), Sync(FOLDER), Resize(FILE, 1)]
    assert contents(log, EVEN) == {b"long", b"l"}
    assert contents([*log, Sync(FILE)], EVEN) == {b"l"}
    assert contents([*log, Resize(FILE, 3), Sync(FILE)], EVEN) == {b"l\0\0"}


def test_a_rename_over_a_file_leaves_the_old_or_the_new() -> None:
    """A name that was replaced leads to the old file or the new one, whole, whatever is lost."""
    log: list[Operation] = [
        *(*NEW, Write(FILE, 0, b"old"), Sync(FILE), Sync(FOLDER)),
        *(Make(OTHER, FOLDER, "b", is_folder=False), Write(OTHER, 0, b"new"), Sync(OTHER)),
        Rename(OTHER, FOLDER, "b", FOLDER, "a"),
    ]
    assert contents(log, EVEN) == {b"old", b"new"}
    assert contents(log, EVEN, "d/b") == {None, b"new"}
    assert contents([*log, Sync(FOLDER)], EVEN) == {b"new"}
    assert contents([*log, Sync(FOLDER)], EVEN, "d/b") == {None}


def test_a_rename_is_two_changes() -> None:
    """After an unsynced rename there may be one name, the other, both, or none."""
    log: list[Operation] = [
        *NEW,
        Write(FILE, 0, b"x"),
        Sync(FILE),
        Sync(FOLDER),
        Rename(FILE, FOLDER, "a", TOP, "z"),
    ]
    names = {tuple(name for name, content in tree if content is not None) for tree in cut_often(log, EVEN)}
    assert names == {("d/a",), ("z",), ("d/a", "z"), ()}
    synced = {
        tuple(name for name, content in tree if content is not None)
        for tree in cut_often([*log, Sync(TOP)], EVEN)
    }
    assert synced == {("z",), ("d/a", "z")}


def test_an_unlinked_name_may_be_there_again() -> None:
    """Until its folder is synced a removed file may come back, with what it had."""
    log: list[Operation] = [*NEW, Write(FILE, 0, b"x"), Sync(FILE), Sync(FOLDER), Remove(FOLDER, "a")]
    assert contents(log, EVEN) == {None, b"x"}
    assert contents([*log, Sync(FOLDER)], EVEN) == {None}


def test_all_names_of_a_file_lead_to_the_same_bytes() -> None:
    """Two links to a file that was half written show the same half."""
    log: list[Operation] = [
        *NEW,
        Link(FILE, FOLDER, "b"),
        Sync(FOLDER),
        Write(FILE, 0, bytes(range(256)) * 16),
    ]
    for tree in cut_often(log, MIXED, 50):
        assert dict(tree)["d/a"] == dict(tree)["d/b"]


def test_a_cut_changes_nothing() -> None:
    """A disk that was asked what a cut would leave goes on as if it hadn't been."""
    disk = Disk()
    disk.tell_all([*NEW, Write(FILE, 0, b"x" * BLOCK)])
    before = disk.cut(EVERYTHING, random.Random(0))
    for odds in ALL_ODDS:
        disk.cut(odds, random.Random(1))
    assert disk.cut(EVERYTHING, random.Random(0)) == before


def test_a_lying_disk_forgets_syncs() -> None:
    """A sync that the disk lies about makes nothing certain."""
    disk = Disk(lambda path: path == "d/a")
    disk.tell_all([*NEW, Write(FILE, 0, b"x"), Sync(FILE), Sync(FOLDER)])
    assert disk.cut(NOTHING, random.Random(0)) == {"d": None, "d/a": b""}
    assert disk.cut(DATA_ALONE, random.Random(0)) == {"d": None, "d/a": b"x"}


writes = st.builds(
    Write, st.just(FILE), st.integers(0, 3 * SECTOR), st.integers(1, 2 * BLOCK).map(lambda size: b"w" * size)
)
sizes = st.builds(Resize, st.just(FILE), st.integers(0, 2 * BLOCK))
steps = st.lists(writes | sizes | st.just(Sync(FILE)) | st.just(Sync(FOLDER)), max_size=8)


@given(steps, st.sampled_from(ALL_ODDS), st.integers())
def test_a_last_sync_leaves_one_disk(log: list[Operation], odds: Odds, seed: int) -> None:
    """However a file was written, once all is synced there is one thing left, and it is what a reader saw."""
    seen = bytearray()
    for operation in log:
        if isinstance(operation, Write):
            seen.extend(bytes(max(0, operation.at - len(seen))))
            seen[operation.at : operation.at + len(operation.data)] = operation.data
        elif isinstance(operation, Resize):
            seen = seen[: operation.size] + bytes(max(0, operation.size - len(seen)))
    whole = [*NEW, *log, Sync(FILE), Sync(FOLDER)]
    assert cut(whole, odds, seed) == {"d": None, "d/a": bytes(seen)}
    assert cut([*NEW, *log], EVERYTHING) == {"d": None, "d/a": bytes(seen)}


def test_a_log_is_read_as_it_was_put_down(tmp_path: Path) -> None:
    """Every operation comes back from the file, names that are not UTF-8 and line ends in bytes too."""
    log: list[Operation] = [
        *NEW,
        Make(OTHER, TOP, "caf\udce9\n", is_folder=False),
        Link(FILE, TOP, "b"),
        Write(FILE, 7, b"\n{}\n\xff"),
        Write(FILE, 0, b""),
        Resize(FILE, 3),
        Rename(FILE, TOP, "b", FOLDER, "c"),
        Remove(FOLDER, "a"),
        Sync(TOP),
    ]
    path = tmp_path / "log"
    path.write_bytes(b"".join(encode(operation) for operation in log))
    assert read_log(path) == log


def test_words_are_found_where_they_were_complete() -> None:
    """A sentence that came in two writes was said with the second; what was never said there is not found."""
    log: list[Operation] = [
        *NEW,
        Write(FILE, 0, b"safe to "),
        Make(OTHER, TOP, "elsewhere", is_folder=False),
        Write(OTHER, 0, b"safe to remove, safe to format"),
        Write(FILE, 8, b"remove\n"),
        Sync(TOP),
    ]
    assert find_words(log, FOLDER, re.compile(b"safe to remove")) == len(NEW) + 4
    assert find_words(log, FOLDER, re.compile(b"safe to format")) is None
    assert find_words(log, TOP, re.compile(b"safe to remove")) == len(NEW) + 3


def test_a_node_is_found_by_its_path() -> None:
    """A path leads to what was first made there."""
    assert find_node(NEW, "d/a") == FILE
    with pytest.raises(KeyError):
        find_node(NEW, "d/b")
