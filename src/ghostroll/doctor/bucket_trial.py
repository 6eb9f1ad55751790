"""What a bucket is tried for: a small file in it, in the way in which pictures and originals get there.

Needs what docs/s3-policy.json allows and no more: nothing is listed, and nothing is deleted.
"""

import base64
import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ghostroll.errors import GhostrollError, TargetUnreachable
from ghostroll.publish.s3.place import Place
from ghostroll.publish.s3.refusals import refuse

NAME = "ghostroll-doctor.txt"
CONTENT = b"Written by `ghostroll doctor`, to see whether this bucket takes pictures. It may be deleted.\n"
SECONDS = 20.0  # less than the patience of the whole examination
_LINK_SECONDS = 300
_CHECKSUM, _WRONG_CHECKSUM = (
    base64.b64encode(hashlib.sha256(content).digest()).decode() for content in (CONTENT, CONTENT[::-1])
)
_SHA256 = {"ChecksumAlgorithm": "SHA256"}
_REGION = re.compile(r"[a-z0-9-]{2,30}")

# Fetches an address without credentials: its status and the beginning of its content. Raises OSError or
# botocore's errors.
Fetch = Callable[[str], tuple[int, bytes]]
Step = Callable[[], object]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request failed. `status` is 0 where no store answered, `code` what the store calls it."""

    error: GhostrollError
    status: int = 0
    code: str = ""

    @property
    def is_forbidden(self) -> bool:
        """Whether the credentials lack a permission."""
        return self.status in (401, 403)


class Confirmed(StrEnum):
    """What a store says about the bytes that it holds."""

    YES = "yes"
    SILENT = "silent"  # it knows no checksum
    OTHER = "other"  # another checksum than that of what was sent
    REFUSED = "refused"  # it doesn't let us ask


class IfAbsent(StrEnum):
    """What a store does when it is asked to write only what is not there yet."""

    KEPT = "kept"  # says that it is there
    OVERWRITTEN = "overwritten"  # writes it again
    UNKNOWN = "unknown"  # says that it can't


@dataclass(frozen=True, slots=True)
class Opened:
    """How an address answers: its status, 0 where nothing answered, and whether our file came."""

    status: int
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """How the trial went. With a refusal it ended there, and what follows says nothing.

    `link`, `bare` and `public` are the file by a link, without one, and at the address for everybody; `listed` is
    whether anybody may see the names of what is in the bucket.
    `ahead` is by how many seconds this machine's clock is ahead of the store's, `region` where the store says
    that the bucket is, where it says so. `parts` is why an upload in parts failed, with the step that did.
    """

    refusal: Refusal | None
    ahead: float | None = None
    region: str = ""
    takes_wrong: bool = False
    confirmed: Confirmed = Confirmed.YES
    asked: Refusal | None = None
    if_absent: IfAbsent = IfAbsent.KEPT
    parts: tuple[str, Refusal] | None = None
    link: Opened = Opened(0)
    bare: Opened = Opened(0)
    public: Opened = Opened(0)
    listed: bool = False


class _Answers:
    """What the headers of all answers say, those of refusals and redirections too."""

    def __init__(self, client: Any, now: Callable[[], datetime]) -> None:
        self.ahead: float | None = None
        self.region = ""
        self._now = now
        client.meta.events.register("needs-retry.s3", self._note)

    def _note(self, response: tuple[Any, Mapping[str, Any]] | None, **_: object) -> None:
        if response is None:
            return
        headers = response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {})
        error = response[1].get("Error", {})
        region = str(headers.get("x-amz-bucket-region") or error.get("Region") or "")
        if not self.region and _REGION.fullmatch(region):
            self.region = region
        if self.ahead is None and "date" in headers:
            with contextlib.suppress(ValueError, TypeError):  # of a store that writes dates of its own
                self.ahead = (self._now() - parsedate_to_datetime(headers["date"])).total_seconds()


class _Tried:
    """The file that is tried, and what is asked about it."""

    def __init__(self, client: Any, place: Place, key: str) -> None:
        self._client, self._place = client, place
        self._at = {"Bucket": place.bucket, "Key": key}

    def put(self, checksum: str, **more: str) -> Refusal | None:
        """Send the file under a checksum, as originals are sent: why the store refused it, if it did."""
        about = {"ContentType": "text/plain; charset=utf-8", "CacheControl": "no-store"}
        return self._attempt(
            lambda: self._client.put_object(
                **self._at, **about, Body=CONTENT, **_SHA256, ChecksumSHA256=checksum, **more
            )
        )

    def write(self) -> tuple[Refusal | None, bool, IfAbsent]:
        """Whether it can be written, whether with a wrong checksum too, and what comes of asking for it once more."""
        # The wrong one first: a store that takes it has the right one in its place afterwards.
        wrong = self.put(_WRONG_CHECKSUM)
        if wrong and isinstance(wrong.error, TargetUnreachable):
            return wrong, False, IfAbsent.UNKNOWN
        if refusal := self.put(_CHECKSUM):
            return refusal, False, IfAbsent.UNKNOWN
        again = self.put(_CHECKSUM, IfNoneMatch="*")
        if again is None:
            return None, wrong is None, IfAbsent.OVERWRITTEN
        kept = again.status in (409, 412)
        return None, wrong is None, IfAbsent.KEPT if kept else IfAbsent.UNKNOWN

    def sign(self) -> str:
        """A link to it."""
        link: str = self._client.generate_presigned_url(
            "get_object", Params=self._at, ExpiresIn=_LINK_SECONDS
        )
        return link

    def ask_checksum(self) -> tuple[Confirmed, Refusal | None]:
        """What the store says about its bytes."""
        answer: dict[str, Any] = {}
        if refusal := self._attempt(
            lambda: answer.update(self._client.head_object(**self._at, ChecksumMode="ENABLED"))
        ):
            return Confirmed.REFUSED, refusal
        match answer.get("ChecksumSHA256"):
            case None:
                return Confirmed.SILENT, None
            case checksum:
                return Confirmed.YES if checksum == _CHECKSUM else Confirmed.OTHER, None

    def try_parts(self) -> tuple[str, Refusal] | None:
        """Begin it in parts, send one, ask which are there, drop them: the first step that failed, and why."""
        client, begun = self._client, dict[str, Any]()
        if refusal := self._attempt(
            lambda: begun.update(client.create_multipart_upload(**self._at, **_SHA256))
        ):
            return "begun", refusal
        at = self._at | {"UploadId": begun["UploadId"]}
        part = {"PartNumber": 1, "Body": CONTENT, "ChecksumSHA256": _CHECKSUM} | _SHA256
        steps: tuple[tuple[str, Step], ...] = (
            ("sent", lambda: client.upload_part(**at, **part)),
            ("gone on with", lambda: client.list_parts(**at)),
            ("dropped", lambda: client.abort_multipart_upload(**at)),  # due in any case
        )
        results = [(name, self._attempt(step)) for name, step in steps]
        return next(((name, refusal) for name, refusal in results if refusal), None)

    def _attempt(self, request: Step) -> Refusal | None:
        try:
            request()
        except ClientError as error:
            answer = error.response
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return Refusal(refuse(error, self._place), status, str(answer.get("Error", {}).get("Code", "")))
        except (BotoCoreError, ResponseParserError) as error:
            return Refusal(refuse(error, self._place))
        return None


def try_bucket(
    client: Any, place: Place, *, now: Callable[[], datetime], fetch: Fetch, seconds: float = SECONDS
) -> Trial:
    """Write the file in every way there is, and read it by a link and without. It stays in the bucket.

    Takes about `seconds` at most, whatever the store does: requests that hang then are left behind in their
    threads. So only for a process of its own that ends by os._exit.
    """
    until = time.monotonic() + seconds
    crew = ThreadPoolExecutor(max_workers=6)
    answers = _Answers(client, now)
    key = "/".join(filter(None, (place.prefix.strip("/"), NAME)))
    tried = _Tried(client, place, key)
    late = Refusal(TargetUnreachable(f"{place.host} does not answer in time; uploads go on by themselves."))
    written = _wait(crew.submit(tried.write), until, (late, False, IfAbsent.UNKNOWN))
    refusal, takes_wrong, if_absent = written
    if refusal:
        return Trial(refusal, answers.ahead, answers.region)
    link = tried.sign()
    bare = link.partition("?")[0]
    public = f"{place.base_url.rstrip('/')}/{quote(key)}" if place.is_public else ""
    asked = crew.submit(tried.ask_checksum)
    parts = crew.submit(tried.try_parts)
    opened = [crew.submit(_open, fetch, one) for one in (link, bare, public)]
    listed = crew.submit(_is_listed, fetch, bare.removesuffix(quote(key)))
    confirmed, why = _wait(asked, until, (Confirmed.REFUSED, late))
    return Trial(
        None,
        answers.ahead,
        answers.region,
        takes_wrong=takes_wrong,
        confirmed=confirmed,
        asked=why,
        if_absent=if_absent,
        parts=_wait(parts, until, ("begun", late)),
        link=_wait(opened[0], until, Opened(0)),
        bare=_wait(opened[1], until, Opened(0)),
        public=_wait(opened[2], until, Opened(0)),
        listed=_wait(listed, until, False),
    )


def _wait(future: Future[_T], until: float, otherwise: _T) -> _T:
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return otherwise


def _open(fetch: Fetch, address: str) -> Opened:
    try:
        status, content = fetch(address) if address else (0, b"")
    except (OSError, BotoCoreError):
        return Opened(0)
    return Opened(status, is_ours=status == 200 and content == CONTENT)


def _is_listed(fetch: Fetch, bucket: str) -> bool:
    try:
        status, content = fetch(f"{bucket}?list-type=2&max-keys=1")
    except (OSError, BotoCoreError):
        return False
    return status == 200 and b"<ListBucketResult" in content
