"""Copying what is there already, in the batch, on another card or in the library: linked only to what is whole."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from keeping import (
    NOW,
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

from ghostroll.library import copying, durable
from ghostroll.library.copying import ContentClaims, Copied, Duplicate, Failed, Stored
from ghostroll.library.identity import Library
from ghostroll.model import SourceId


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
