"""A large original in parts: a killed upload goes on at its last part, and nothing is completed that is not whole.

Every part carries its own SHA-256, which the store verifies. The whole is hashed on the way, those parts
included that an earlier run sent: they are read from disk again and compared with what the store says of them.
"""

import hashlib

from ghostroll.errors import TransientError
from ghostroll.publish.s3.body import Damaged, read_descriptor
from ghostroll.publish.s3.confirming import Confirmation, compose, encode
from ghostroll.publish.s3.line import Check, Declined, Line, Progress
from ghostroll.publish.s3.operations import (
    Part,
    abort_upload,
    complete_upload,
    create_upload,
    put_part,
)
from ghostroll.publish.s3.originals import (
    TAKEN,
    Original,
    Upload,
    confirm_present,
    hash_etag,
    hash_range,
    settle_sent,
    settle_taken,
    tell_part_bytes,
)

_GONE = frozenset({404})
_NOT_TOLD = frozenset({403, 404, 501})  # the upload is gone, or its parts may not be listed
_UNKNOWN = 501


def put_in_parts(
    line: Line, original: Original, upload: Upload, *, part_bytes: int, check: Check, progress: Progress
) -> Confirmation:
    """Send an original in parts, if it is absent; on with the upload that is under way, where there is one.

    On return the upload is over. Raises Damaged (nothing stays of it) or what `Line.call` raises: then the
    upload stays as it is, for the next time.
    """
    size = tell_part_bytes(original.size, part_bytes)
    sending = _Sending(line, original, upload, part_bytes=size, check=check, progress=progress)
    found = (
        sending.look()
    )  # for one round trip: gigabytes are not sent to hear at their end that they are there
    if found is not None:
        sending.give_up()
        return found
    digests, parts = sending.send_parts()
    return sending.complete(digests, parts)


class _Sending:
    """One run over the parts of one original."""

    def __init__(
        self,
        line: Line,
        original: Original,
        upload: Upload,
        *,
        part_bytes: int,
        check: Check,
        progress: Progress,
    ) -> None:
        self._line = line
        self._original = original
        self._upload = upload
        self._part_bytes = part_bytes
        self._check = check
        self._progress = progress

    def look(self) -> Confirmation | None:
        """What lies under the key already."""
        return confirm_present(self._line, self._original, part_bytes=self._part_bytes, check=self._check)

    def send_parts(self) -> tuple[list[bytes], list[Part]]:
        """Bring every part into the store that is not there. Raises Damaged before the last one goes."""
        there = self._find_parts()
        if self._upload.id is None:
            original = self._original
            self._upload.remember(
                create_upload(self._line, original.key, original.headers, check=self._check)
            )
        whole = hashlib.sha256()
        digests: list[bytes] = []
        parts: list[Part] = []
        for number, start in enumerate(range(0, self._original.size, self._part_bytes), 1):
            size = min(self._part_bytes, self._original.size - start)
            digests.append(hash_range(self._original, start, size, whole, self._check))
            if start + size == self._original.size and whole.digest() != self._original.sha256:
                self.give_up()
                raise Damaged(
                    "A file in the library has changed since it was copied: `ghostroll verify` tells which."
                )
            part = there.get(number)
            if part is None or not self._is_the_same(part, start, size, digests[-1]):
                part = self._put_part(number, start, size, digests[-1])
            parts.append(part)
        return digests, parts

    def complete(self, digests: list[bytes], parts: list[Part]) -> Confirmation:
        """Make one object of the parts, if nothing lies there by now."""
        is_conditional = self._line.is_conditional
        try:
            answer = complete_upload(
                self._line,
                self._original.key,
                self._upload.id,
                parts,
                check=self._check,
                only_new=is_conditional,
                declines=TAKEN | _GONE | ({_UNKNOWN} if is_conditional else set()),
            )
        except Declined as declined:
            return self._settle_declined(declined.status, digests, parts)
        self._upload.remember(None)
        return settle_sent(self._line, self._original, answer, compose(digests), self.look)

    def give_up(self) -> None:
        """Leave nothing of an upload in the store, as far as it can be reached, and forget it."""
        if self._upload.id is None:
            return
        abort_upload(self._line, self._original.key, self._upload.id)
        self._upload.remember(None)

    def _settle_declined(self, status: int, digests: list[bytes], parts: list[Part]) -> Confirmation:
        if status == _UNKNOWN:
            self._line.is_conditional = False
            found = self.look()
            return self.complete(digests, parts) if found is None else self._end(found)
        found = self.look()  # 404 too: an answer was lost, and the object is there
        if found is None and status in _GONE:
            self._upload.remember(None)
            raise TransientError("The store has forgotten an upload under way; it starts again.")
        self.give_up()
        return settle_taken(status, found)

    def _end(self, found: Confirmation) -> Confirmation:
        self.give_up()
        return found

    def _find_parts(self) -> dict[int, Part]:
        """The parts that an earlier run brought into the store."""
        parts: dict[int, Part] = {}
        marker = 0
        while self._upload.id is not None:
            try:
                answer = self._line.call(
                    "list_parts",
                    self._original.key,
                    check=self._check,
                    declines=_NOT_TOLD,
                    UploadId=self._upload.id,
                    PartNumberMarker=marker,
                )
            except Declined:
                self.give_up()
                return {}
            for part in answer.get("Parts", ()):
                parts[part["PartNumber"]] = Part(
                    part["PartNumber"], part["ETag"], part.get("ChecksumSHA256"), part["Size"]
                )
            if not answer.get("IsTruncated"):
                break
            marker = int(answer["NextPartNumberMarker"])
        return parts

    def _is_the_same(self, part: Part, start: int, size: int, digest: bytes) -> bool:
        """Whether a part in the store has the bytes that are on disk.

        Where the store lists no SHA-256 its ETag may be the part's MD5, as it is by S3's habit. That is enough
        not to send it again, and confirms nothing: whether the whole is right is asked at its end.
        """
        if part.size != size or part.checksum is not None:
            return part.size == size and part.checksum == encode(digest)
        return part.etag.strip('"') == hash_etag(self._original, start, size, self._check)

    def _put_part(self, number: int, start: int, size: int, digest: bytes) -> Part:
        body = self._line.body(
            read_descriptor(self._original.descriptor, start),
            size,
            check=self._check,
            progress=self._progress,
        )
        try:
            return put_part(
                self._line,
                self._original.key,
                self._upload.id,
                number,
                body,
                sha256=digest,
                check=self._check,
                declines=_GONE,
            )
        except Declined:
            self._upload.remember(None)
            raise TransientError("The store has forgotten an upload under way; it starts again.") from None
