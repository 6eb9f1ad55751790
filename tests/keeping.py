"""A copier with a ledger of its own in memory, for tests that sabotage one step of copying."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from promises import hash_tree, list_originals

from ghostroll.cards.reading import open_source
from ghostroll.cards.volume import Medium, identify_volume
from ghostroll.library import copying
from ghostroll.library.copying import ContentClaims as Claims
from ghostroll.library.copying import Copied, Copier, CopyRules, Duplicate, Stored
from ghostroll.library.durable import Folders
from ghostroll.library.identity import Library, open_library
from ghostroll.model import Asset, AssetId, JobId, Kind, SessionId, Sha256, Source, SourceId, SourceState

NOW = 1_800_000_000  # unix seconds, for tests that don't care
# Where a ledger's first session has them in a library.
ORIGINALS = Path("2026-11-22_100000-CARD-aaaa") / "originals" / "CARD"


@dataclass
class Ledger:
    """What was copied, as the records of one card; `beside` is called when a source is opened."""

    medium: Medium
    session: str = "2026-11-22_100000-CARD-aaaa"
    assets: dict[Sha256, Asset] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    opened: list[bytes] = field(default_factory=list)

    def find_asset(self, sha256: Sha256) -> Asset | None:
        """The recorded asset of a content."""
        return self.assets.get(sha256)

    def find_asset_at(self, path: bytes) -> Asset | None:
        """The asset recorded at a place."""
        return next((asset for asset in self.assets.values() if asset.path == path), None)

    def place(self, source: Source) -> bytes:
        """Where a source goes."""
        return self.session.encode() + b"/originals/CARD/" + source.path

    def find_place(self, source: Source) -> bytes | None:
        """Where a source goes."""
        return self.place(source)

    def open_source(
        self, source: Source, *, around_cache: bool = False
    ) -> contextlib.AbstractContextManager[int]:
        """The card's real file."""
        self.opened.append(source.path)
        return open_source(self.medium, source, around_cache=around_cache)

    def notice(self, sentence: str, path: bytes) -> None:
        """Keep what was said."""
        self.notices.append(f"{os.fsdecode(path)}: {sentence}")

    def record(self, fates: Sequence[Copied]) -> None:
        """Put down what was stored, as the station does."""
        for fate in fates:
            if isinstance(fate, Stored):
                content = fate.content
                self.assets[content.sha256] = Asset(
                    AssetId(len(self.assets) + 1),
                    content.sha256,
                    content.size,
                    content.head,
                    fate.path,
                    SessionId(1),
                    fate.verified_at,
                )
            elif isinstance(fate, Duplicate):
                assert fate.content.sha256 in self.assets, "linked to nothing"


def write_card(root: Path) -> Path:
    """A card with three different files."""
    root.mkdir()
    for name in ("a.bin", "b.bin", "c.bin"):
        (root / name).write_bytes(name.encode() + os.urandom(100_000))
    return root


def list_sources(card: Path) -> list[Source]:
    """The files of a card as a scan would record them, in the order of their names."""
    found = []
    for number, path in enumerate(sorted(path for path in card.rglob("*") if path.is_file()), start=1):
        entry = path.stat()
        name = os.fsencode(path.relative_to(card))
        found.append(
            Source(
                SourceId(number),
                JobId(1),
                name,
                entry.st_size,
                entry.st_mtime_ns,
                Kind.OTHER,
                SourceState.PENDING,
                None,
                None,
            )
        )
    return found


def found_library(path: Path) -> Library:
    """A new library in this folder."""
    return open_library(
        os.fsencode(path), new_id="1" * 32, expected=None, filesystem="ext4", allow_weak=False
    )


def make_ledger(card: Path) -> Ledger:
    """An empty ledger for a card's folder."""
    return Ledger(identify_volume(os.fsencode(card))[1])


@contextlib.contextmanager
def copier(
    ledger: Ledger,
    *,
    claims: Claims | None = None,
    now: Callable[[], int] = lambda: NOW,
    keep_free: int = 0,
    reverify_seconds: int = 86_400,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Copier]:
    """One thread's hands, closed afterwards."""
    hands = Copier(
        CopyRules(keep_free, reverify_seconds, 64 << 10),
        ledger,
        Folders(),
        claims or Claims(),
        threading.Lock(),
        now=now,
        progress=progress,
    )
    try:
        yield hands
    finally:
        hands.close()


def copy_all(library: Library, ledger: Ledger, sources: Sequence[Source], **options: object) -> list[Copied]:
    """Copy a batch and record it."""
    with copier(ledger, **options) as hands, library.enter() as root:  # type: ignore[arg-type]  # passed on as they are
        fates = hands.copy_batch(root, sources)
        ledger.record(fates)
    return fates


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


def check_all_stored(library: Library, card: Path) -> None:
    """Everything of the card is in the library, once, and nothing was left behind."""
    home = Path(os.fsdecode(library.path))
    assert sorted(list_originals(home).values()) == sorted(set(hash_tree(card).values()))
    assert os.listdir(home / ".ghostroll" / "incoming") == []
