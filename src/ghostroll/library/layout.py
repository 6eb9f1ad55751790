"""Names and places in the library: pure."""

import os
import re
from collections.abc import Iterator

from ghostroll.model import Sha256

ORIGINALS = b"originals"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: people read names aloud
_LABEL_BYTES = 32
_NAME_BYTES = 255  # what Linux filesystems take


def clean_label(text: str, *, fallback: str = "CARD") -> str:
    """A volume's label as a folder name: `[A-Za-z0-9._-]`, 32 bytes, no leading dot or dash."""
    label = _UNSAFE.sub("_", text).strip("._- ")[:_LABEL_BYTES].strip("._-")
    return label or fallback


def name_session(*, when: str, label: str, randomness: int) -> str:
    """`2026-11-22_143015-EOS_DIGITAL-k3f7`, from an ISO 8601 local time, a label and 20 random bits."""
    day, _, rest = when.partition("T")
    letters = "".join(_ALPHABET[(randomness >> (5 * place)) % 32] for place in range(4))
    return f"{day}_{rest[:8].replace(':', '')}-{clean_label(label)}-{letters}"


def place_original(session: str, folder: str, path: bytes) -> bytes:
    """Where a card's file goes, below the library."""
    return b"/".join((session.encode(), ORIGINALS, folder.encode(), path))


def vary_place(place: bytes) -> Iterator[bytes]:
    """The place itself, then `name~2.ext`, `name~3.ext`, …: for a name that another content has taken."""
    yield place
    folder, name = os.path.split(place)
    stem, ext = os.path.splitext(name)
    for number in range(2, 1_000_000):
        suffix = b"~%d" % number + ext[:64]
        yield os.path.join(folder, stem[: _NAME_BYTES - len(suffix)] + suffix)


def name_rendition(path: bytes, sha256: Sha256) -> str:
    """`IMG_0001-3fa9c1d2e4.jpg`: told apart by content, so that IMG_1.JPG and IMG_1.jpeg don't collide."""
    stem = os.path.splitext(os.path.basename(path))[0].decode("utf-8", "replace")
    clean = _UNSAFE.sub("_", stem).strip("._-")[:60] or "picture"
    return f"{clean}-{sha256.hex()[:10]}.jpg"


def show_path(path: bytes) -> str:
    """A card's path for people and JSON: not UTF-8 becomes U+FFFD."""
    return path.decode("utf-8", "replace")
