"""Whether what lies in the bucket is what the camera wrote: pure, but for the HEAD that asks."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ghostroll.model import Sha256
from ghostroll.publish.s3.line import Check, Declined, Line, ensure_store_answered

_ABSENT = frozenset({403, 404})  # 403 is the answer for what is absent where the bucket may not be listed


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether the store's own checksum says that the bytes there are the right ones; else why not."""

    confirmed: bool
    why: str = ""


CONFIRMED = Confirmation(confirmed=True)
NOTHING_TO_COMPARE = Confirmation(
    confirmed=False, why="The store keeps no SHA-256 of what it holds, so that nothing there can be compared."
)


PARROTED = Confirmation(
    confirmed=False,
    why="The store gives back whatever SHA-256 it was given without comparing it, so that it proves nothing.",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store says of an object. `checksum` as it was sent: base64, with "-3" for one of 3 parts."""

    size: int
    checksum: str | None
    is_parroted: bool = False


def look_at(line: Line, key: str, *, check: Check) -> Seen | None:
    """What is at a key; None for nothing, or where the credentials may not tell."""
    try:
        found = line.call("head_object", key, check=check, declines=_ABSENT, ChecksumMode="ENABLED")
        ensure_store_answered(found, line.place)
        checksum = found.get("ChecksumSHA256")
        if checksum is not None and line.parrots is None:
            # A store that knows checksums gives them when asked (S3 API Reference, HeadObject). One that takes
            # the header for a name and a value to keep gives it always: `rclone serve s3` keeps wrong ones.
            unasked = line.call("head_object", key, check=check, declines=_ABSENT)
            line.parrots = "ChecksumSHA256" in unasked
    except Declined:
        return None
    return Seen(int(found.get("ContentLength", 0)), checksum, is_parroted=bool(line.parrots))


def encode(digest: bytes) -> str:
    """A SHA-256 as S3 headers have it."""
    return base64.b64encode(digest).decode("ascii")


def compose(digests: Iterable[bytes]) -> str:
    """The checksum of an object of parts: the hash of their hashes, and how many they are (S3 User Guide)."""
    parts = list(digests)
    return f"{encode(hashlib.sha256(b''.join(parts)).digest())}-{len(parts)}"


def echoes(answer: Mapping[str, Any], expected: str) -> bool:
    """Whether a PUT's answer repeats the checksum, which a store does that verified it."""
    return answer.get("ChecksumSHA256") == expected


def judge(seen: Seen, *, size: int, sha256: Sha256, in_parts: Callable[[int], str | None]) -> Confirmation:  # noqa: PLR0911  # one answer per case
    """Compare an object with an asset.

    `in_parts(n)` is the asset's checksum if it is sent in n parts (0: as many as we send), None if it never is.
    Some stores leave the number out.
    """
    if seen.size != size:
        return Confirmation(confirmed=False, why="Under this original's name lies something of another size.")
    if seen.checksum is None:
        return NOTHING_TO_COMPARE
    if seen.is_parroted:
        return PARROTED
    if seen.checksum == encode(sha256):
        return CONFIRMED
    value, _, count = seen.checksum.partition("-")
    expected = in_parts(int(count) if count.isdigit() else 0)
    if expected is None:
        return Confirmation(
            confirmed=False,
            why="It was stored in parts of another size, so that its checksum can't be compared.",
        )
    if value != expected.partition("-")[0]:
        return Confirmation(confirmed=False, why="Under this original's name lies another content.")
    return CONFIRMED
