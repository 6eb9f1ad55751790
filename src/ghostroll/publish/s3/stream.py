"""Something of unknown length into the bucket, without a copy on disk."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ghostroll.errors import GhostrollError
from ghostroll.faults import crash_point
from ghostroll.publish.s3.body import read_bytes
from ghostroll.publish.s3.confirming import CONFIRMED, NOTHING_TO_COMPARE, Confirmation, echoes, encode
from ghostroll.publish.s3.keys import Headers
from ghostroll.publish.s3.line import Check, Declined, Line, Progress, ensure_store_answered
from ghostroll.publish.s3.originals import name_headers

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
    crash_point("upload.creating")
    answer = line.call(
        "create_multipart_upload", key, check=check, ChecksumAlgorithm="SHA256", **name_headers(headers)
    )
    crash_point("upload.created")
    ensure_store_answered(answer, line.place)
    sending = _Sending(line, key, answer["UploadId"], check, progress)
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
    checksum = encode(hashlib.sha256(content).digest())
    body = line.body(read_bytes(content), len(content), check=check, progress=progress)
    crash_point("upload.putting")
    answer = line.call(
        "put_object",
        key,
        check=check,
        weight=len(content),
        Body=body,
        ContentLength=len(content),
        ChecksumAlgorithm="SHA256",
        ChecksumSHA256=checksum,
        **name_headers(headers),
    )
    crash_point("upload.put")
    ensure_store_answered(answer, line.place)
    return CONFIRMED if echoes(answer, checksum) else NOTHING_TO_COMPARE


@dataclass(slots=True)
class _Sending:
    """An upload under way."""

    line: Line
    key: str
    upload: str
    check: Check
    progress: Progress
    named: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    def put_part(self, part: bytearray) -> None:
        body = self.line.body(read_bytes(part), len(part), check=self.check, progress=self.progress)
        number = len(self.named) + 1
        crash_point("upload.part_putting")
        answer = self.line.call(
            "upload_part",
            self.key,
            check=self.check,
            weight=len(part),
            UploadId=self.upload,
            PartNumber=number,
            Body=body,
            ContentLength=len(part),
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=encode(hashlib.sha256(part).digest()),
        )
        crash_point("upload.part_put")
        ensure_store_answered(answer, self.line.place)
        checksum = answer.get("ChecksumSHA256")
        self.named.append(
            {"PartNumber": number, "ETag": answer["ETag"]}
            | ({"ChecksumSHA256": checksum} if checksum else {})
        )
        self.size += len(part)

    def complete(self) -> None:
        crash_point("upload.completing")
        answer = self.line.call(
            "complete_multipart_upload",
            self.key,
            check=self.check,
            UploadId=self.upload,
            MultipartUpload={"Parts": self.named},
        )
        crash_point("upload.completed")
        ensure_store_answered(answer, self.line.place)

    def abort(self) -> None:
        with contextlib.suppress(GhostrollError, Declined):
            self.line.call("abort_multipart_upload", self.key, check=lambda: None, UploadId=self.upload)
