"""The requests that store something, each with its checksum and its crash points."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ghostroll.errors import GhostrollError
from ghostroll.faults import crash_point
from ghostroll.publish.s3.body import Body
from ghostroll.publish.s3.confirming import encode
from ghostroll.publish.s3.keys import Headers
from ghostroll.publish.s3.line import Check, Declined, Line, ensure_store_answered

_GONE = frozenset({404})
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is in the store. `checksum` is what the store says of it, None where it says nothing."""

    number: int
    etag: str
    checksum: str | None
    size: int


def put_object(
    line: Line,
    key: str,
    body: Body,
    headers: Headers,
    *,
    sha256: bytes,
    check: Check,
    only_new: bool = False,
    behind: bool = False,
    declines: frozenset[int] = _NONE,
) -> dict[str, Any]:
    """Store an object in one request; with `only_new` the store refuses (412) where there is one. Its answer.

    `behind`: it takes long, and must be in nobody's way who is quicker.
    """
    crash_point("upload.putting")
    answer = line.call(
        "put_object",
        key,
        check=check,
        declines=declines,
        weight=len(body),
        behind=behind,
        Body=body,
        ContentLength=len(body),
        ChecksumAlgorithm="SHA256",
        ChecksumSHA256=encode(sha256),
        **_name_headers(headers),
        **_condition(only_new=only_new),
    )
    crash_point("upload.put")
    ensure_store_answered(answer, line.place)
    return answer


def create_upload(line: Line, key: str, headers: Headers, *, check: Check) -> str:
    """Begin an upload in parts; the store's name of it."""
    crash_point("upload.creating")
    answer = line.call(
        "create_multipart_upload", key, check=check, ChecksumAlgorithm="SHA256", **_name_headers(headers)
    )
    crash_point("upload.created")
    ensure_store_answered(answer, line.place)
    return str(answer["UploadId"])


def put_part(
    line: Line,
    key: str,
    upload: str | None,
    number: int,
    body: Body,
    *,
    sha256: bytes,
    check: Check,
    declines: frozenset[int] = _NONE,
) -> Part:
    """Store one part."""
    crash_point("upload.part_putting")
    answer = line.call(
        "upload_part",
        key,
        check=check,
        declines=declines,
        weight=len(body),
        behind=True,
        UploadId=upload,
        PartNumber=number,
        Body=body,
        ContentLength=len(body),
        ChecksumAlgorithm="SHA256",
        ChecksumSHA256=encode(sha256),
    )
    crash_point("upload.part_put")
    ensure_store_answered(answer, line.place)
    return Part(number, answer["ETag"], answer.get("ChecksumSHA256"), len(body))


def complete_upload(
    line: Line,
    key: str,
    upload: str | None,
    parts: Sequence[Part],
    *,
    check: Check,
    only_new: bool = False,
    declines: frozenset[int] = _NONE,
) -> dict[str, Any]:
    """Make one object of the parts; with `only_new` the store refuses (412) where there is one. Its answer."""
    crash_point("upload.completing")
    answer = line.call(
        "complete_multipart_upload",
        key,
        check=check,
        declines=declines,
        UploadId=upload,
        MultipartUpload={"Parts": [_name_part(part) for part in parts]},
        **_condition(only_new=only_new),
    )
    crash_point("upload.completed")
    ensure_store_answered(answer, line.place)
    return answer


def abort_upload(line: Line, key: str, upload: str | None) -> None:
    """Leave nothing of an upload in the store, as far as it can be reached; also while everything stops."""
    with contextlib.suppress(GhostrollError, Declined):
        line.call("abort_multipart_upload", key, check=lambda: None, declines=_GONE, UploadId=upload)


def _condition(*, only_new: bool) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if only_new else {}


def _name_headers(headers: Headers) -> dict[str, Any]:
    """As boto3 names them."""
    names = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding")
    return {
        name: value for name, value in zip(names, asdict(headers).values(), strict=True) if value is not None
    }


def _name_part(part: Part) -> dict[str, Any]:
    """As boto3 names it; a store that keeps no checksums isn't asked to compare one."""
    named: dict[str, Any] = {"PartNumber": part.number, "ETag": part.etag}
    return named if part.checksum is None else named | {"ChecksumSHA256": part.checksum}
