"""Copying a batch, with one step sabotaged at a time."""

import errno
import os
from pathlib import Path

import pytest
from keeping import (
    ORIGINALS,
    Ledger,
    check_all_stored,
    copier,
    copy_all,
    fail_once,
    found_library,
    list_sources,
    make_ledger,
    write_card,
)
from promises import hash_tree, list_originals

from ghostroll.errors import NoSpace, SourceUnreadable, Stopped, TransientError
from ghostroll.library import copying, durable
from ghostroll.library.copying import Copied, Failed, Stored
from ghostroll.library.identity import Library
from ghostroll.model import JobId, Kind, Source, SourceId, SourceState


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with three different files."""
    return write_card(tmp_path / "CARD")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return found_library(tmp_path / "library")


@pytest.fixture
def ledger(card: Path) -> Ledger:
    """An empty ledger."""
    return make_ledger(card)


@pytest.mark.parametrize("step", ["sync_data", "read_content", "rename_into_place"])
def test_a_failed_step_spoils_one_file(
    step: str, library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a step fails for a file, that file alone fails, has no final name, and is copied anew from the card."""
    fail_once(monkeypatch, step, errno.EIO)
    fates = copy_all(library, ledger, list_sources(card))
    (failed,) = [fate for fate in fates if isinstance(fate, Failed)]
    assert isinstance(failed.error, TransientError)
    assert len(list_originals(Path(os.fsdecode(library.path)))) == 2
    ledger.opened.clear()
    (again,) = copy_all(library, ledger, [failed.source])
    assert isinstance(again, Stored)
    assert ledger.opened == [failed.source.path], "after a failed sync the card must be read again"
    check_all_stored(library, card)


def test_other_bytes_on_the_disk_are_noticed(
    library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte that changes between sync and re-read never gets a final name; the file is copied again."""
    sync_data = durable.sync_data
    temps = Path(os.fsdecode(library.path)) / ".ghostroll" / "incoming"

    def flip(descriptor: int) -> None:
        sync_data(descriptor)
        monkeypatch.setattr(copying, "sync_data", sync_data)
        path = temps / os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        data = bytearray(path.read_bytes())
        data[50_000] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(copying, "sync_data", flip)
    sources = list_sources(card)
    fates = copy_all(library, ledger, sources)
    (failed,) = [fate for fate in fates if isinstance(fate, Failed)]
    assert "other bytes than were written" in str(failed.error)
    assert set(list_originals(Path(os.fsdecode(library.path))).values()) < set(hash_tree(card).values())
    copy_all(library, ledger, [failed.source])
    check_all_stored(library, card)


def test_a_failed_folder_sync_records_nothing(
    library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a folder can't be synced, no file of the batch is called stored; the next try adopts what is there."""
    monkeypatch.setattr(durable.Folders, "sync", _raise_eio)
    with pytest.raises(TransientError):
        copy_all(library, ledger, list_sources(card))
    assert ledger.assets == {}
    monkeypatch.undo()
    fates = copy_all(library, ledger, list_sources(card))
    assert all(isinstance(fate, Stored) for fate in fates)
    assert ledger.notices == []
    check_all_stored(library, card)


def _raise_eio(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_stranger_in_the_way_is_moved_aside(library: Library, ledger: Ledger, card: Path) -> None:
    """A file of other content under the final name is kept in aside, said, and the copy takes the name."""
    home = Path(os.fsdecode(library.path))
    place = home / ORIGINALS / "a.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"stranger")
    copy_all(library, ledger, list_sources(card))
    check_all_stored(library, card)
    (aside,) = (home / ".ghostroll" / "aside").iterdir()
    assert aside.read_bytes() == b"stranger"
    assert len(ledger.notices) == 1


def test_a_second_stranger_does_not_replace_the_first(library: Library, ledger: Ledger, card: Path) -> None:
    """Two files of one name moved aside in the same second are both kept."""
    home = Path(os.fsdecode(library.path))
    place = home / ORIGINALS / "a.bin"
    place.parent.mkdir(parents=True)
    for content in (b"first", b"second"):
        place.unlink(missing_ok=True)
        place.write_bytes(content)
        ledger.assets.clear()
        copy_all(library, ledger, list_sources(card)[:1])
    assert {path.read_bytes() for path in (home / ".ghostroll" / "aside").iterdir()} == {b"first", b"second"}


def test_a_folder_in_the_way_is_left_alone(library: Library, ledger: Ledger, card: Path) -> None:
    """A folder under the final name may hold secured files: it stays, and the file gets a name beside it."""
    home = Path(os.fsdecode(library.path))
    inner = home / ORIGINALS / "a.bin" / "IMG_0001.JPG"
    inner.parent.mkdir(parents=True)
    inner.write_bytes(b"secured")
    fates = copy_all(library, ledger, list_sources(card))
    assert all(isinstance(fate, Stored) for fate in fates)
    assert inner.read_bytes() == b"secured"
    assert (home / ORIGINALS / "a~2.bin").read_bytes() == (card / "a.bin").read_bytes()


def test_an_interrupted_batch_leaves_nothing(library: Library, ledger: Ledger, card: Path) -> None:
    """A stop in the middle of a file ends with Stopped, and no half file is left under any name."""
    with copier(ledger) as hands, library.enter() as root:
        seen: list[int] = []

        def stop(size: int) -> None:
            seen.append(size)
            hands.interrupt()

        hands._progress = stop
        fates = hands.copy_batch(root, list_sources(card))
    assert seen
    assert all(isinstance(fate, Failed) and isinstance(fate.error, Stopped) for fate in fates)
    home = Path(os.fsdecode(library.path))
    assert list_originals(home) == {}
    assert os.listdir(home / ".ghostroll" / "incoming") == []


def change_while_reading(ledger: Ledger, library: Library, card: Path, change: str) -> list[Copied]:
    """Copy the card while its first file grows, shrinks, changes or vanishes between two chunks."""
    path = card / "a.bin"
    entry = path.stat()

    def meddle(_: int) -> None:
        if not ledger.notices:
            ledger.notices.append("meddled")
            match change:
                case "grows":
                    with path.open("ab") as file:
                        file.write(b"more")
                case "shrinks":
                    os.truncate(path, 70_000)
                case "changes":
                    with path.open("r+b") as file:
                        file.write(b"other")
                    os.utime(path, ns=(entry.st_mtime_ns, entry.st_mtime_ns + 1))
                case _:
                    path.unlink()

    return copy_all(library, ledger, list_sources(card), progress=meddle)


@pytest.mark.parametrize("change", ["grows", "shrinks", "changes"])
def test_a_source_that_changes_is_not_believed(
    change: str, library: Library, ledger: Ledger, card: Path
) -> None:
    """A file that is not the same at its end as at its beginning fails alone; the others are stored."""
    fates = change_while_reading(ledger, library, card, change)
    (failed,) = [fate for fate in fates if isinstance(fate, Failed)]
    assert failed.source.path == b"a.bin"
    assert isinstance(failed.error, SourceUnreadable)
    assert len(list_originals(Path(os.fsdecode(library.path)))) == 2
    assert os.listdir(Path(os.fsdecode(library.path)) / ".ghostroll" / "incoming") == []


def test_a_source_that_grows_for_ever_is_given_up(library: Library, ledger: Ledger, card: Path) -> None:
    """A file that grows as fast as it is read must not fill the disk: it is given up one chunk behind its size."""
    (source, *_) = list_sources(card)
    read: list[int] = []

    def feed(size: int) -> None:
        read.append(size)
        if sum(read) < 50 * source.size:
            with (card / "a.bin").open("ab") as file:
                file.write(bytes(64 << 10))

    (fate,) = copy_all(library, ledger, [source], progress=feed)
    assert isinstance(fate, Failed)
    assert "grew" in str(fate.error)
    assert sum(read) <= source.size + (64 << 10)


def test_a_source_that_ends_early_is_not_believed(library: Library) -> None:
    """A file that gives fewer bytes than its size without any error, as after a pull, is not stored."""
    path = Path("/sys/kernel/uevent_seqnum")  # says 4096 bytes and has a few
    entry = path.stat()
    source = Source(
        SourceId(1),
        JobId(1),
        os.fsencode(path.name),
        entry.st_size,
        entry.st_mtime_ns,
        Kind.OTHER,
        SourceState.PENDING,
        None,
        None,
    )
    (fate,) = copy_all(library, make_ledger(path.parent), [source])
    assert isinstance(fate, Failed)
    assert isinstance(fate.error, SourceUnreadable)
    assert "ended early" in str(fate.error)


@pytest.mark.parametrize("turned", ["folder", "file"])
def test_a_link_is_not_followed_after_the_scan(
    turned: str, library: Library, ledger: Ledger, card: Path, tmp_path: Path
) -> None:
    """Where a folder or a file of the card turns into a link between scan and copy, nothing outside is read."""
    (card / "DCIM").mkdir()
    (card / "DCIM" / "inner.bin").write_bytes(b"inner")
    sources = [source for source in list_sources(card) if source.path == b"DCIM/inner.bin"]
    (card / "DCIM").rename(tmp_path / "outside")
    if turned == "folder":
        (card / "DCIM").symlink_to(tmp_path / "outside")
    else:
        (card / "DCIM").mkdir()
        (card / "DCIM" / "inner.bin").symlink_to(tmp_path / "outside" / "inner.bin")
    (fate,) = copy_all(library, ledger, sources)
    assert isinstance(fate, Failed)
    assert isinstance(fate.error, SourceUnreadable)
    assert list_originals(Path(os.fsdecode(library.path))) == {}


def test_no_room_is_said_before_a_byte_is_read(library: Library, ledger: Ledger, card: Path) -> None:
    """A file that would not leave `keep_free` is not even opened on the card."""
    space = os.statvfs(os.fsdecode(library.path))
    fates = copy_all(library, ledger, list_sources(card), keep_free=space.f_bavail * space.f_frsize)
    assert all(isinstance(fate, Failed) and isinstance(fate.error, NoSpace) for fate in fates)
    assert ledger.opened == []


@pytest.mark.parametrize("depth", [1, 30])
def test_a_path_that_is_too_long_is_said_at_once(
    depth: int, library: Library, ledger: Ledger, card: Path
) -> None:
    """A name or path that the library's disk can't hold is named as such, and the card is read once at most."""
    (source, *_) = list_sources(card)
    long_name = b"n" * 300 if depth == 1 else b"/".join([b"n" * 200] * depth)
    ledger.place = lambda _: ledger.session.encode() + b"/originals/" + long_name  # type: ignore[method-assign,assignment]
    (fate,) = copy_all(library, ledger, [source])
    assert isinstance(fate, Failed)
    assert isinstance(fate.error, SourceUnreadable), "trying again can't help"
    assert "too long" in str(fate.error)


def test_many_files_in_a_batch_need_few_descriptors(library: Library, ledger: Ledger, card: Path) -> None:
    """A batch of a thousand files, the most that can be configured, fits the usual limit of open files."""
    for number in range(1000):
        (card / f"{number:04}.txt").write_text(str(number))
    fates = copy_all(library, ledger, list_sources(card))
    assert not [fate for fate in fates if isinstance(fate, Failed)]
