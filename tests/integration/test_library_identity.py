"""The library has an identity: what is not it is not written to."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from promises import hash_tree
from running import Run, check_sentence, environment, run_command

from ghostroll.errors import LibraryNotThere, UsageError
from ghostroll.library import identity
from ghostroll.library.identity import Library, open_library

MARKER = Path(".ghostroll") / "library.json"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with two small files."""
    root = tmp_path / "CARD"
    (root / "DCIM").mkdir(parents=True)
    (root / "DCIM" / "one.bin").write_bytes(b"one")
    (root / "DCIM" / "two.bin").write_bytes(b"two")
    return root


@pytest.fixture(params=["state inside", "state elsewhere"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A user whose database is in the library, or somewhere else."""
    more = (
        {}
        if request.param == "state inside"
        else {"GHOSTROLL_STATE__PATH": str(tmp_path / "db" / "state.db")}
    )
    return environment(tmp_path, tmp_path / "library", **more)


def list_all(top: Path) -> list[str]:
    """Every name below a folder."""
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def ingest(env: dict[str, str], card: Path) -> Run:
    """Ingest and see to it that whatever is said is a sentence."""
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    return run


def test_a_new_library_gets_a_marker_that_stays(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """The first run in an empty folder makes an id, and later runs keep it."""
    assert ingest(env, card).code == 0
    marker = (tmp_path / "library" / MARKER).read_bytes()
    assert len(json.loads(marker)["id"]) == 32
    assert ingest(env, card).code == 0
    assert (tmp_path / "library" / MARKER).read_bytes() == marker


def test_a_folder_with_something_in_it_is_refused(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """Somebody's folder does not become a library, and nothing is put in it."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "thesis.txt").write_text("mine")
    run = ingest(env, card)
    assert run.code == 2
    assert "empty folder" in run.err
    assert list_all(library) == ["thesis.txt"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"id": null}', b"\xff\x00", b'{"id": "' + b"0" * 32 + b'"}']
)
def test_another_marker_is_refused(damage: bytes, env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """A marker that is damaged or another library's ends with exit code 2 and writes nothing."""
    assert ingest(env, card).code == 0
    library = tmp_path / "library"
    (library / MARKER).write_bytes(damage)
    before = hash_tree(library)
    (card / "DCIM" / "three.bin").write_bytes(b"three")
    run = ingest(env, card)
    assert run.code == 2
    assert ".ghostroll/library.json" in run.err
    assert hash_tree(library) == before


def test_a_missing_marker_is_refused(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """A library that lost its marker is not taken for a new one."""
    assert ingest(env, card).code == 0
    library = tmp_path / "library"
    (library / MARKER).unlink()
    before = list_all(library)
    run = ingest(env, card)
    assert run.code == 2
    assert list_all(library) == before


@pytest.mark.parametrize("mount_point", ["empty", "gone"])
def test_an_unmounted_library_is_noticed(
    mount_point: str, env: dict[str, str], card: Path, tmp_path: Path
) -> None:
    """Where the library's disk is not mounted, its empty mount point is left empty; mounted again, all goes on."""
    assert ingest(env, card).code == 0
    library, away = tmp_path / "library", tmp_path / "away"
    library.rename(away)
    if mount_point == "empty":
        library.mkdir()
    run = ingest(env, card)
    assert run.code == 2
    assert "mount its disk" in run.err
    if mount_point == "empty":
        assert list_all(library) == []
        library.rmdir()
    else:
        assert not library.exists()
    away.rename(library)
    run = ingest(env, card)
    assert run.code == 0
    assert run.document["known"] == 2


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a filesystem that forgets everything at a power cut."""
    shared = Path("/dev/shm")  # noqa: S108  # the one memory filesystem that every Linux has
    place = shared / f"ghostroll-{os.getpid()}"
    yield place
    shutil.rmtree(place, ignore_errors=True)


def test_a_weak_filesystem_wants_permission(card: Path, tmp_path: Path, memory: Path) -> None:
    """A library on tmpfs is refused by name, and nothing is left there; it works once that is allowed."""
    env = environment(tmp_path, memory)
    run = ingest(env, card)
    assert run.code == 2
    assert "tmpfs" in run.err
    assert "library.allow_weak_filesystem" in run.err
    assert not memory.exists() or list_all(memory) == []
    run = ingest(env | {"GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM": "true"}, card)
    assert run.code == 0
    assert run.document["secured"] is True


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs", "ext2", "vfat", "exfat", "nfs4", "tmpfs", ""])
def test_only_three_filesystems_are_trusted(filesystem: str, tmp_path: Path) -> None:
    """Full promises are made on ext4, xfs and btrfs alone; a refused folder is not even made."""
    place = tmp_path / "library"

    def found() -> Library:
        return open_library(
            os.fsencode(place), new_id="1" * 32, expected=None, filesystem=filesystem, allow_weak=False
        )

    if filesystem in ("ext4", "xfs", "btrfs"):
        assert found().id == "1" * 32
    else:
        with pytest.raises(UsageError, match="ext4, xfs or btrfs"):
            found()
        assert not place.exists()


def test_a_card_inside_the_library_is_refused(card: Path, tmp_path: Path) -> None:
    """The library itself, or a folder in it, is not a card."""
    env = environment(tmp_path, tmp_path / "library")
    assert ingest(env, card).code == 0
    for path in (tmp_path / "library", next((tmp_path / "library").glob("2*/originals"))):
        run = ingest(env, path)
        assert run.code == 2
        assert "inside the library" in run.err


def test_a_library_on_the_card_is_refused(card: Path, tmp_path: Path) -> None:
    """A library.path on the card is refused before a single byte is written there."""
    before = list_all(card)
    run = ingest(environment(tmp_path, card / "library"), card)
    assert run.code == 2
    assert "library.path" in run.err
    assert list_all(card) == before


def test_a_file_in_the_place_of_the_library_is_refused(card: Path, tmp_path: Path) -> None:
    """A library.path that names a file is a usage error."""
    (tmp_path / "library").write_text("mine")
    assert ingest(environment(tmp_path, tmp_path / "library"), card).code == 2
    assert (tmp_path / "library").read_text() == "mine"


def test_two_that_found_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that found the same library at once, both end with the id of one."""
    path = os.fsencode(tmp_path / "library")

    def open_as(new_id: str) -> Library:
        return open_library(path, new_id=new_id, expected=None, filesystem="ext4", allow_weak=False)

    others: list[Library] = []
    complete_home = identity._complete_home

    def be_overtaken(root: int) -> None:
        complete_home(root)
        monkeypatch.setattr(identity, "_complete_home", complete_home)
        others.append(open_as("2" * 32))

    monkeypatch.setattr(identity, "_complete_home", be_overtaken)
    mine = open_as("1" * 32)
    assert mine == others[0]
    with mine.enter(), others[0].enter():
        pass


def test_a_library_that_goes_away_in_the_middle(tmp_path: Path) -> None:
    """Entering is refused as soon as the marker is not that of the opened library."""
    path = os.fsencode(tmp_path / "library")
    library = open_library(path, new_id="1" * 32, expected=None, filesystem="ext4", allow_weak=False)
    (tmp_path / "library").rename(tmp_path / "away")
    with pytest.raises(LibraryNotThere, match="mount its disk"), library.enter():
        pass
    (tmp_path / "library").mkdir()
    with pytest.raises(LibraryNotThere, match="mount its disk"), library.enter():
        pass
    assert list_all(tmp_path / "library") == []
