"""One original into the bucket: only if it is absent, whole or in parts, and confirmed by the store's checksum."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ghostroll.errors import TransientError
from ghostroll.model import Sha256
from ghostroll.publish.s3.body import Damaged, read_descriptor
from ghostroll.publish.s3.confirming import (
    CONFIRMED,
    NOTHING_TO_COMPARE,
    PARROTED,
    Confirmation,
    compose,
    echoes,
    encode,
    judge,
    look_at,
)
from ghostroll.publish.s3.keys import Headers
from ghostroll.publish.s3.line import Check, Declined, Line, Progress
from ghostroll.publish.s3.operations import put_object

# From here on a round trip costs less than sending what is there already. Not by `Expect: 100-continue`: botocore
# reads the whole body all the same after a 412, and waits a second for a store that doesn't know it.
LOOK_FIRST_BYTES = 4 * 1024 * 1024
_CONFLICT = 409
_UNKNOWN = 501
TAKEN = frozenset({_CONFLICT, 412})
_MOST_PARTS = 10_000  # S3's
_BLOCK = 1024 * 1024


class Upload(Protocol):
    """Where an upload in parts stands, kept by the caller so that a killed one goes on."""

    @property
    def id(self) -> str | None:
        """The store's name of the upload under way."""

    def remember(self, id: str | None) -> None:  # noqa: A002  # it is one
        """Keep the name before this returns; None: there is no upload any more."""


@dataclass(frozen=True, slots=True)
class Original:
    """An asset on its way: an open descriptor of its file, and what the card's bytes hashed to."""

    key: str
    descriptor: int
    size: int
    sha256: Sha256
    headers: Headers


def tell_part_bytes(size: int, part_bytes: int) -> int:
    """The part size for a file: fixed, so that every station computes one checksum; more beyond 10,000 parts."""
    least = -(-size // _MOST_PARTS)
    return part_bytes * -(-least // part_bytes) if least > part_bytes else part_bytes


def confirm_present(line: Line, original: Original, *, part_bytes: int, check: Check) -> Confirmation | None:
    """Look what lies under an original's key and compare it; None where nothing is to be seen."""
    seen = look_at(line, original.key, check=check)
    if seen is None:
        return None

    def in_parts(count: int) -> str | None:
        ours = tell_part_bytes(original.size, part_bytes)
        size = max(1, original.size) if count == 1 else ours
        if count and -(-original.size // size) != count:
            return None
        return compose(hash_parts(original, size, check))

    return judge(seen, size=original.size, sha256=original.sha256, in_parts=in_parts)


def hash_parts(original: Original, part_bytes: int, check: Check) -> list[bytes]:
    """The SHA-256 of each part of a file on disk."""
    whole = hashlib.sha256()
    return [
        hash_range(original, start, min(part_bytes, original.size - start), whole, check)
        for start in range(0, max(1, original.size), max(1, part_bytes))
    ]


def hash_range(original: Original, start: int, size: int, whole: Any, check: Check) -> bytes:
    """The SHA-256 of a range of the file, which is added to `whole` on the way."""
    part = hashlib.sha256()
    for offset in range(start, start + size, _BLOCK):
        check()
        block = os.pread(original.descriptor, min(_BLOCK, start + size - offset), offset)
        part.update(block)
        whole.update(block)
    return part.digest()


def hash_etag(original: Original, start: int, size: int, check: Check) -> str:
    """The MD5 of a range of the file, as an ETag has it."""
    part = hashlib.md5(usedforsecurity=False)
    for offset in range(start, start + size, _BLOCK):
        check()
        part.update(os.pread(original.descriptor, min(_BLOCK, start + size - offset), offset))
    return part.hexdigest()


def put_whole(
    line: Line, original: Original, *, part_bytes: int, check: Check, progress: Progress
) -> Confirmation:
    """Send an original in one request, if it is absent."""

    def look() -> Confirmation | None:
        return confirm_present(line, original, part_bytes=part_bytes, check=check)

    looks_first = not line.is_conditional or original.size >= LOOK_FIRST_BYTES
    if looks_first and (found := look()) is not None:
        return found
    try:
        answer = _send(line, original, check=check, progress=progress)
    except Declined as declined:
        if declined.status == _UNKNOWN:
            line.is_conditional = False
            return put_whole(line, original, part_bytes=part_bytes, check=check, progress=progress)
        return settle_taken(declined.status, look())
    return settle_sent(line, original, answer, encode(original.sha256), look)


def _send(line: Line, original: Original, *, check: Check, progress: Progress) -> dict[str, Any]:
    if not original.size and original.sha256 != hashlib.sha256().digest():
        raise Damaged("A file in the library is empty and was not: `ghostroll verify` tells which.")
    body = line.body(
        read_descriptor(original.descriptor),
        original.size,
        check=check,
        progress=progress,
        sha256=original.sha256,
    )
    return put_object(
        line,
        original.key,
        body,
        original.headers,
        sha256=original.sha256,
        check=check,
        only_new=line.is_conditional,
        behind=True,
        declines=TAKEN | {_UNKNOWN} if line.is_conditional else TAKEN,
    )


def settle_taken(status: int, found: Confirmation | None) -> Confirmation:
    """What counts after the store said that something is there: only what a look at it gave.

    Raises TransientError where another station was writing the same one just then.
    """
    if found is None and status == _CONFLICT:
        raise TransientError("Another upload of the same original was under way; it is looked at again.")
    if found is None:
        return Confirmation(
            confirmed=False,
            why="It is in the bucket, but these credentials may not look at it (s3:GetObject).",
        )
    return found


def settle_sent(
    line: Line,
    original: Original,
    answer: dict[str, Any],
    expected: str,
    look: Callable[[], Confirmation | None],
) -> Confirmation:
    """What counts after a store took the bytes: the checksum it repeats, else what it says when it is asked."""
    if echoes(answer, expected):
        return CONFIRMED
    if not line.keeps_checksums:
        return PARROTED if line.parrots else NOTHING_TO_COMPARE
    found = look()
    if found is None:
        return Confirmation(
            confirmed=False, why="The store took it, but these credentials may not look at it (s3:GetObject)."
        )
    if original.size and found in (NOTHING_TO_COMPARE, PARROTED):  # some keep none of what is empty
        line.keeps_checksums = False
    return found
