"""What a library has promised so far, and that it keeps all of it: for tests that look at it again and again."""

from collections.abc import Iterable
from pathlib import Path

from promises import ask, check_unharmed, has_records, hash_tree, list_lost, list_originals


class Pledges:
    """Of one library and its cards. Each look checks what holds at every moment, and all that was promised before."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._given: set[str] = set()
        self._verified: set[str] = set()

    def look(self, cards: Iterable[Path]) -> None:
        """No half file, nothing twice, no record without its file; no content lost that was ever called verified."""
        for card in cards:
            self._given.update(hash_tree(card).values())
        if not has_records(self._library):
            check_unharmed(self._library, self._given)
            return
        check_unharmed(self._library, self._given, lost=list_lost(self._library))
        recorded = {checksum for (checksum,) in ask(self._library, "SELECT lower(hex(sha256)) FROM asset")}
        assert self._verified <= recorded, "a content that was called verified is forgotten"
        self._verified = recorded
        check_secured(self._library)


def check_secured(library: Path) -> None:
    """Of every job that is called secured each file of the card is in the library, as far as it still is on the card."""
    originals = set(list_originals(library).values())
    rows = ask(library, "SELECT root, path, state FROM source JOIN job ON job.id = source.job_id"
                        " WHERE safety = 'secured' AND state <> 'skipped'")  # fmt: skip
    cards: dict[bytes, dict[bytes, str]] = {}
    for root, path, state in rows:
        assert state in ("stored", "duplicate", "known"), (
            f"called secured, and {path!r} of {root!r} is {state}"
        )
        if root not in cards:
            cards[root] = hash_tree(Path(root.decode()))
        checksum = cards[root].get(path)
        assert checksum is None or checksum in originals, f"called secured without {path!r} of {root!r}"


def list_pictures(library: Path) -> dict[str, tuple[str, str]]:
    """What is shown of each content: the checksums of its two renditions, the same for the same content."""
    rows = ask(library, "SELECT lower(hex(sha256)), session.name, share FROM picture"
                        " JOIN session ON session.id = picture.session_id JOIN source ON source.id = source_id"
                        " JOIN asset ON asset.id = asset_id WHERE share IS NOT NULL")  # fmt: skip
    files = hash_tree(library)
    shown: dict[str, tuple[str, str]] = {}
    for content, session, share in rows:
        share_file, thumb_file = (
            files[f"{session}/{folder}/{share}".encode()] for folder in ("share", "thumbs")
        )
        assert shown.setdefault(content, (share_file, thumb_file)) == (share_file, thumb_file)
    return shown
