"""Copying a batch, with one step sabotaged at a time."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from keeping import NOW, Ledger, copier, copy_all, found_library, list_sources, make_ledger
from promises import hash_tree, list_originals

from ghostroll.errors import NoSpace, SourceUnreadable, Stopped, TransientError
from ghostroll.library import copying, durable
from ghostroll.library.copying import ContentClaims, Copied, Duplicate, Failed, Stored
from ghostroll.library.identity import Library
from ghostroll.model import JobId, Kind, Source, SourceId, SourceState

ORIGINALS = Path("2026-11-22_100000-CARD-aaaa") / "originals" / "CARD"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with three different files."""
    root = tmp_path / "CARD"
    root.mkdir()
    for name in ("a.bin", "b.bin", "c.bin"):
        (root / name).write_bytes(name.encode() + os.urandom(100_000))
    return root


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return found_library(tmp_path / "library")


@pytest.fixture
def ledger(card: Path) -> Ledger:
    """An empty ledger."""
    return make_ledger(card)


def check_all_stored(library: Library, card: Path) -> None:
    """Everything of the card is in the library, once, and nothing was left behind."""
    home = Path(os.fsdecode(library.path))
    assert sorted(list_originals(home).values()) == sorted(set(hash_tree(card).values()))
    assert os.listdir(home / ".ghostroll" / "incoming") == []


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> list[int]:
    """Let the next call of a step of copying fail as the disk would; returns how often it was called."""
    real = getattr(copying, name)
    calls: list[int] = []

    def step(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(copying, name, step)
    return calls


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


def test_a_duplicate_in_a_batch(library: Library, ledger: Ledger, card: Path) -> None:
    """Of two equal files in a batch one is stored, and the other is linked to it."""
    (card / "d.bin").write_bytes((card / "a.bin").read_bytes())
    fates = copy_all(library, ledger, list_sources(card))
    assert sum(isinstance(fate, Stored) for fate in fates) == 3
    (duplicate,) = [fate for fate in fates if isinstance(fate, Duplicate)]
    assert duplicate.asset is None
    check_all_stored(library, card)


@pytest.mark.parametrize("step", ["sync_data", "rename_into_place"])
def test_a_duplicate_of_a_failure_is_stored(
    step: str, library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first of two equal files fails, the second one is stored and never linked to nothing."""
    (card / "a2.bin").write_bytes((card / "a.bin").read_bytes())
    sources = [source for source in list_sources(card) if source.path.startswith(b"a")]
    fail_once(monkeypatch, step, errno.EIO)
    first, second = copy_all(library, ledger, sources)
    assert isinstance(first, Failed)
    assert isinstance(second, Stored)
    (again,) = copy_all(library, ledger, [first.source])
    assert isinstance(again, Duplicate)


def test_two_cards_with_one_photo(library: Library, card: Path, tmp_path: Path) -> None:
    """Of two cards with the same photos at the same time, one stores each, and neither loses any."""
    other = tmp_path / "OTHER"
    other.mkdir()
    for path in card.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    ledger = make_ledger(card)
    beside = make_ledger(other)
    beside.assets = ledger.assets  # one ledger for both, as in the station
    claims = ContentClaims()
    start = threading.Barrier(2)
    fates: list[Copied] = []

    def copy(records: Ledger, folder: Path, first_id: int) -> None:
        with copier(records, claims=claims) as hands, library.enter() as root:
            # Two jobs' sources never share a number, which their temporary files are named by.
            sources = [replace(source, id=SourceId(source.id + first_id)) for source in list_sources(folder)]
            start.wait()
            made = hands.copy_batch(root, sources)
            records.record(made)
            hands.release()
            fates.extend(made)

    threads = [
        threading.Thread(target=copy, args=(ledger, card, 0)),
        threading.Thread(target=copy, args=(beside, other, 1000)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(fate, Stored) for fate in fates) == 3
    assert sum(isinstance(fate, Duplicate) for fate in fates) == 3
    check_all_stored(library, card)


def test_a_content_is_kept_until_the_other_has_settled(library: Library, card: Path) -> None:
    """A second card waits with an equal photo until the first one's is recorded, or was given up."""
    claims = ContentClaims()
    ledger = make_ledger(card)
    source = list_sources(card)[0]
    done = threading.Event()
    fates: list[Copied] = []

    def follow() -> None:
        with copier(ledger, claims=claims) as hands, library.enter() as root:
            fates.extend(hands.copy_batch(root, [source]))
            done.set()

    with copier(ledger, claims=claims) as first, library.enter() as root:
        first.copy_batch(root, [source])
        follower = threading.Thread(target=follow)
        follower.start()
        while len(ledger.opened) < 2:
            os.sched_yield()
        assert not done.wait(0.2), "it went on before the first copy was recorded"
        # The first one's record is lost: the follower stores it itself.
        first.release()
        follower.join()
    assert isinstance(fates[0], Stored)


@pytest.mark.parametrize("damage", ["rotten", "shorter", "unreadable"])
def test_a_damaged_asset_is_healed(
    damage: str, library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored file that fails its re-read is moved aside, and the card's good copy takes its place."""
    (source, *_) = list_sources(card)
    copy_all(library, ledger, [source])
    home = Path(os.fsdecode(library.path))
    stored = home / ORIGINALS / "a.bin"
    bad = bytearray(stored.read_bytes())
    match damage:
        case "rotten":
            bad[1000] ^= 255
            stored.write_bytes(bad)
        case "shorter":
            stored.write_bytes(bad[:-1])
        case _:
            real = durable.read_content

            def fail(root: int, path: bytes, *arguments: object, **named: object) -> object:
                if path.endswith(b"originals/CARD/a.bin"):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real(root, path, *arguments, **named)  # type: ignore[arg-type]  # passed on as they are

            monkeypatch.setattr(copying, "read_content", fail)
    ledger.session = "2026-11-23_100000-CARD-bbbb"
    (fate,) = copy_all(library, ledger, [source], now=lambda: NOW + 86_400)
    assert isinstance(fate, Stored)
    assert fate.healed is not None
    assert stored.read_bytes() == (card / "a.bin").read_bytes()
    assert len(list((home / ".ghostroll" / "aside").iterdir())) == 1
    assert "damaged" in ledger.notices[0]


def test_a_missing_asset_is_stored_anew(library: Library, ledger: Ledger, card: Path) -> None:
    """A record without its file is not believed, however lately it was verified."""
    (source, *_) = list_sources(card)
    copy_all(library, ledger, [source])
    home = Path(os.fsdecode(library.path))
    (home / ORIGINALS / "a.bin").unlink()
    ledger.session = "2026-11-23_100000-CARD-bbbb"
    (fate,) = copy_all(library, ledger, [source])
    assert isinstance(fate, Stored)
    assert (home / os.fsdecode(fate.path)).read_bytes() == (card / "a.bin").read_bytes()
    assert fate.path.startswith(b"2026-11-23")


def test_a_stored_file_is_read_again_when_its_time_has_come(
    library: Library, ledger: Ledger, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified lately it is believed; after reverify_seconds it is read, and the ledger hears when."""
    (source, *_) = list_sources(card)
    copy_all(library, ledger, [source])
    read: list[bytes] = []
    real = durable.read_content

    def listen(root: int, path: bytes, *arguments: object, **named: object) -> object:
        read.append(path)
        return real(root, path, *arguments, **named)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(copying, "read_content", listen)
    (lately,) = copy_all(library, ledger, [source], now=lambda: NOW + 86_399)
    assert isinstance(lately, Duplicate)
    assert lately.verified_at is None
    assert read == []
    (later,) = copy_all(library, ledger, [source], now=lambda: NOW + 86_400)
    assert isinstance(later, Duplicate)
    assert later.verified_at == NOW + 86_400
    assert len(read) == 1
    (clockless,) = copy_all(library, ledger, [source], now=lambda: 0)
    assert isinstance(clockless, Duplicate)
    assert clockless.verified_at == 0, "a clock that went back proves nothing: read it"


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
