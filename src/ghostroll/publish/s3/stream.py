"""Something of unknown length into the bucket, without a copy on disk."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ghostroll.publish.s3.body import read_bytes
from ghostroll.publish.s3.confirming import CONFIRMED, NOTHING_TO_COMPARE, Confirmation, echoes, encode
from ghostroll.publish.s3.keys import Headers
from ghostroll.publish.s3.line import Check, Line, Progress
from ghostroll.publish.s3.operations import (
    Part,
    abort_upload,
    complete_upload,
    create_upload,
    put_object,
    put_part,
)

STREAM_PART_BYTES = 8 * 1024 * 1024  # what is held in memory
_GROWS_AFTER = 1000  # parts of one size, so that 10,000 parts are enough for anything


def fill_parts(chunks: Iterator[bytes], part_bytes: int) -> Iterator[tuple[bytearray, bool]]:
    """Chunks gathered into parts of this size, each with whether it is the last one, which may be shorter.

    The size doubles after each 1,000 parts.
    """
    part = bytearray()
    count = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(part) + len(rest) > (size := part_bytes << (count // _GROWS_AFTER)):
            taken = size - len(part)
            part += rest[:taken]
            rest = rest[taken:]
            yield part, False
            part = bytearray()
            count += 1
        part += rest
    yield part, True


def put_chunks(
    line: Line,
    key: str,
    chunks: Iterator[bytes],
    headers: Headers,
    *,
    part_bytes: int,
    check: Check,
    progress: Progress,
) -> int:
    """Send chunks as they come: one small object whole, a large one in parts. On return it is there; its bytes.

    Whatever `chunks` or `check` raises comes out, and nothing stays of what was sent.
    """
    parts = fill_parts(chunks, part_bytes)
    first, is_all = next(parts)
    if is_all:
        put_bytes(line, key, first, headers, check=check, progress=progress)
        return len(first)
    sending = _Sending(line, key, create_upload(line, key, headers, check=check), check, progress)
    is_there = False
    try:
        sending.put_part(first)
        del first  # one part is held at a time
        for part, _ in parts:
            sending.put_part(part)
            del part
        sending.complete()
        is_there = True
    finally:
        if not is_there:
            sending.abort()
    return sending.size


def put_bytes(
    line: Line, key: str, content: bytes | bytearray, headers: Headers, *, check: Check, progress: Progress
) -> Confirmation:
    """Send a small object, over what is there."""
    sha256 = hashlib.sha256(content).digest()
    body = line.body(read_bytes(content), len(content), check=check, progress=progress)
    answer = put_object(line, key, body, headers, sha256=sha256, check=check)
    return CONFIRMED if echoes(answer, encode(sha256)) else NOTHING_TO_COMPARE


@dataclass(slots=True)
class _Sending:
    """An upload under way."""

    line: Line
    key: str
    upload: str
    check: Check
    progress: Progress
    parts: list[Part] = field(default_factory=list)

    @property
    def size(self) -> int:
        """What is in the store, in bytes."""
        return sum(part.size for part in self.parts)

    def put_part(self, content: bytearray) -> None:
        body = self.line.body(read_bytes(content), len(content), check=self.check, progress=self.progress)
        sha256 = hashlib.sha256(content).digest()
        number = len(self.parts) + 1
        self.parts.append(
            put_part(self.line, self.key, self.upload, number, body, sha256=sha256, check=self.check)
        )

    def complete(self) -> None:
        complete_upload(self.line, self.key, self.upload, self.parts, check=self.check)

    def abort(self) -> None:
        abort_upload(self.line, self.key, self.upload)
