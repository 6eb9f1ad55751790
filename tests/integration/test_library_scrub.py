"""Reading the library again finds what is damaged, missing, unreadable or foreign."""

import errno
import os
from pathlib import Path

import pytest
from keeping import copy_all, found_library, list_sources, make_ledger

from ghostroll.errors import Stopped
from ghostroll.library import durable, scrub
from ghostroll.library.scrub import Finding, check_assets, find_foreign

SESSION = "2026-11-22_100000-CARD-aaaa"


def test_each_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One good, one rotten, one short, one missing, one unreadable and one foreign file are told apart."""
    card = tmp_path / "CARD"
    card.mkdir()
    names = ("good", "missing", "replaced", "rotten", "short", "unreadable")
    for name in names:
        (card / name).write_bytes(name.encode() * 1000)
    library = found_library(tmp_path / "library")
    ledger = make_ledger(card)
    copy_all(library, ledger, list_sources(card))
    originals = tmp_path / "library" / SESSION / "originals" / "CARD"
    (originals / "missing").unlink()
    (originals / "rotten").write_bytes(b"ROTTEN" + b"rotten" * 999)
    os.truncate(originals / "short", 10)
    (originals / "replaced").unlink()
    (originals / "replaced").symlink_to("good")
    (originals / "foreign").write_bytes(b"?")
    real = durable.read_content

    def read(root: int, path: bytes, *arguments: object, **named: object) -> object:
        if path.endswith(b"unreadable"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(root, path, *arguments, **named)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(scrub, "read_content", read)
    assets = sorted(ledger.assets.values(), key=lambda asset: asset.path)
    with library.enter() as root:
        checked = list(check_assets(root, assets, check=lambda _: None))
        recorded = {asset.path for asset in assets}
        foreign = list(find_foreign(root, SESSION, lambda path: path in recorded))
        nothing = list(find_foreign(root, "2026-01-01_000000-GONE-aaaa", lambda _: False))
    assert {os.path.basename(item.path): item.finding for item in checked} == {
        b"good": None,
        b"missing": Finding.MISSING,
        b"replaced": Finding.DAMAGED,
        b"rotten": Finding.DAMAGED,
        b"short": Finding.DAMAGED,
        b"unreadable": Finding.UNREADABLE,
    }
    assert [(os.path.basename(item.path), item.finding) for item in foreign] == [
        (b"foreign", Finding.FOREIGN)
    ]
    assert nothing == []


def test_a_check_can_be_stopped(tmp_path: Path) -> None:
    """What `check` raises ends the reading."""
    card = tmp_path / "CARD"
    card.mkdir()
    (card / "file").write_bytes(b"x")
    library = found_library(tmp_path / "library")
    ledger = make_ledger(card)
    copy_all(library, ledger, list_sources(card))

    def stop(_: int) -> None:
        raise Stopped("stopped")

    with library.enter() as root, pytest.raises(Stopped):
        list(check_assets(root, ledger.assets.values(), check=stop))


def test_a_foreign_file_that_goes_meanwhile(tmp_path: Path) -> None:
    """A file that somebody takes away while it is looked at is no finding, and the rest is looked at."""
    library = found_library(tmp_path / "library")
    originals = tmp_path / "library" / SESSION / "originals"
    originals.mkdir(parents=True)
    for name in ("one", "two"):
        (originals / name).touch()

    def take_away(path: bytes) -> bool:
        if path.endswith(b"one"):
            (originals / "one").unlink()
        return False

    with library.enter() as root:
        (left,) = find_foreign(root, SESSION, take_away)
    assert left.path.endswith(b"two")
