"""The bucket as the stages see it: put, sign, confirm. All threads share one of these."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ghostroll.model import Sha256
from ghostroll.publish.s3 import signing
from ghostroll.publish.s3.confirming import Confirmation
from ghostroll.publish.s3.fetching import fetch_object
from ghostroll.publish.s3.keys import Headers
from ghostroll.publish.s3.line import Check, Line, Progress
from ghostroll.publish.s3.multipart import put_in_parts
from ghostroll.publish.s3.originals import Original, Upload, put_whole
from ghostroll.publish.s3.place import Place
from ghostroll.publish.s3.refusals import refuse
from ghostroll.publish.s3.stream import STREAM_PART_BYTES, put_bytes, put_chunks

_T = TypeVar("_T")
PART_BYTES = 32 * 1024 * 1024  # fixed: stations with another one could not confirm each other's originals


def _never() -> None:
    """Nothing asks for a stop."""


def _uncounted(_sent: int) -> None:
    """Nobody counts."""


class Bucket:
    """Objects go in and come out as addresses; nothing is listed, nothing deleted.

    Every method may be called from many threads. Each raises TargetUnreachable (goes on by itself),
    TargetRefused (a person must change something), ClockUnset or TransientError, in one sentence that names
    which it is and holds no secret; and what `check` raises, at once, also from the middle of a transfer.
    """

    def __init__(
        self,
        place: Place,
        *,
        now: Callable[[], datetime],
        environ: Mapping[str, str] = os.environ,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.place = place
        self._now = now
        self._environ = environ
        self._part_bytes = part_bytes
        self._line = Line(place, environ)
        self._spot: signing.Spot | None = None

    def prepare(self) -> None:
        """Make the client and find the credentials, which takes a while, before anybody waits for it."""
        self._find_credentials()

    def put(
        self,
        key: str,
        content: bytes,
        headers: Headers,
        *,
        check: Check = _never,
        progress: Progress = _uncounted,
    ) -> Confirmation:
        """Store a small object over what is there. On return the store has it; confirmed if it repeats the checksum."""
        return put_bytes(self._line, key, content, headers, check=check, progress=progress)

    def put_original(
        self,
        key: str,
        descriptor: int,
        *,
        size: int,
        sha256: Sha256,
        headers: Headers,
        upload: Upload,
        check: Check = _never,
        progress: Progress = _uncounted,
    ) -> Confirmation:
        """Store an original, if it is absent, from an open descriptor, whose position stays as it is.

        On return it is in the bucket; `confirmed` only where the store's own checksum says that it holds the
        bytes of `sha256`, whoever put them there. Raises Damaged if the file has other bytes by now: then
        nothing of them stays in the bucket; and OSError as it comes if the file can't be read.
        """
        original = Original(key, descriptor, size, sha256, headers)
        if size <= self._part_bytes:
            return put_whole(
                self._line, original, part_bytes=self._part_bytes, check=check, progress=progress
            )
        return put_in_parts(
            self._line, original, upload, part_bytes=self._part_bytes, check=check, progress=progress
        )

    def put_stream(
        self,
        key: str,
        chunks: Iterator[bytes],
        headers: Headers,
        *,
        check: Check = _never,
        progress: Progress = _uncounted,
    ) -> int:
        """Store what `chunks` gives, over what is there, some 8 MiB of it in memory. On return the store has it.

        Returns its bytes. What `chunks` raises comes out, and nothing stays of what was sent.
        """
        return put_chunks(
            self._line, key, chunks, headers, part_bytes=STREAM_PART_BYTES, check=check, progress=progress
        )

    def fetch(
        self, key: str, size: int, sink: Callable[[memoryview], None], *, check: Check = _never
    ) -> None:
        """Hand the first `size` bytes of an object to `sink`, in order; fewer where there are no more.

        Raises NotThere too, and what `sink` raises.
        """
        fetch_object(self._line, key, size, sink, check=check)

    def sign(self, key: str, *, at: datetime, seconds: int, filename: str | None = None) -> str:
        """A presigned address to read an object, valid from `at` for `seconds`; to store it as `filename`, if given.

        The same key, moment, seconds and credentials give the same address, also after a restart.
        """
        _, credentials = self._find_credentials()
        if self._spot is None:
            self._spot = self._ask(lambda _, client: signing.find_spot(client, self.place.bucket))
        return signing.presign(self._spot, credentials, key, at=at, seconds=seconds, filename=filename)

    def address(self, key: str) -> str:
        """The public address of an object. Only where `place.is_public`."""
        assert self.place.is_public
        return signing.public_address(self.place.base_url, key)

    def tell_lifetime(self) -> timedelta:
        """How long an address signed now lives at most: 7 days, less with temporary credentials."""
        return self._lifetime()[0]

    @property
    def lifetime_is_assumed(self) -> bool:
        """Whether the session token doesn't say when it ends, so that `tell_lifetime` is a guess of one hour."""
        return self._lifetime()[1]

    def cut(self) -> None:
        """Make every request that waits for the store end soon with what its `check` raises, and no other begin."""
        self._line.cut()

    def close(self) -> None:
        """Close all connections."""
        self._line.close()

    def _lifetime(self) -> tuple[timedelta, bool]:
        credentials, frozen = self._find_credentials()
        ends = self._environ.get("AWS_CREDENTIAL_EXPIRATION")
        return signing.tell_lifetime(credentials, frozen, ends, self._now())

    def _find_credentials(self) -> tuple[Any, Any]:
        """The credentials, and as they are now. Raises TargetRefused or TargetUnreachable where there are none."""

        def find(session: Any, _: Any) -> tuple[Any, Any]:
            credentials = session.get_credentials()
            return credentials, credentials.get_frozen_credentials()

        return self._ask(find)

    def _ask(self, question: Callable[[Any, Any], _T]) -> _T:
        """What the session and its client answer without the store. Raises TargetRefused or TargetUnreachable."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # boto3 only once needed

        session, client = self._line.open()
        try:
            return question(session, client)
        except BotoCoreError as error:
            self._line.forget(client)
            failure = refuse(error, self.place)
        raise failure
