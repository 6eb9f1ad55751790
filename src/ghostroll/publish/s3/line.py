"""What every request goes through: one shared client, a turn at the gate, a way to cut it, a sentence for its failure."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ghostroll.errors import GhostrollError, TargetRefused
from ghostroll.model import Sha256
from ghostroll.publish.s3.bandwidth import Bandwidth
from ghostroll.publish.s3.body import PIECE, Body, Cut, Reader
from ghostroll.publish.s3.client import make_client, make_session
from ghostroll.publish.s3.connections import Connections
from ghostroll.publish.s3.pace import Gate, start_pace
from ghostroll.publish.s3.place import Place
from ghostroll.publish.s3.refusals import (
    concerns_credentials,
    means_overload,
    refuse,
    refuse_answer,
    say_no_store,
)

Check = Callable[[], None]
Progress = Callable[[int], None]


class Declined(Exception):
    """The store answered with a status that the caller asked to hear of."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Line:
    """One place, one client, all threads."""

    def __init__(self, place: Place, environ: Mapping[str, str] = os.environ) -> None:
        self.place = place
        pace = start_pace(place.threads, place.most_threads)
        self.gate = Gate(pace)
        self.gate_behind = Gate(pace)  # originals and archives may take minutes: they are in no picture's way
        self.bandwidth = Bandwidth(place.bandwidth_mbit)
        self.is_conditional = True  # until the store answers 501 to If-None-Match
        self.parrots: bool | None = None  # whether the store gives back checksums that it never compared
        self.keeps_checksums = True  # until an object that was sent with one is seen without
        self._environ = environ
        self._making = threading.Lock()
        self._client: Any = None
        self._session: Any = None
        self._here = threading.local()
        self._connections = Connections()

    def open(self) -> tuple[Any, Any]:
        """The session and its client, made when first needed and again after wrong credentials.

        Both have the same credentials. Raises TargetRefused where there are none, and for a configuration that
        boto3 can't use; TargetUnreachable where whoever gives them out doesn't answer.
        """
        with self._making:
            if self._client is None:
                self._session, self._client = self._make()
            return self._session, self._client

    def cut(self) -> None:
        """End every request that waits for the store, for good: what its `check` raises comes out of it soon."""
        self._connections.cut()

    def close(self) -> None:
        """Close the connections. A later request would open new ones."""
        with self._making:
            client, self._client, self._session = self._client, None, None
        if client is not None:
            client.close()

    def call(
        self,
        operation: str,
        key: str,
        *,
        check: Check,
        declines: frozenset[int] = frozenset(),
        weight: int = 0,
        behind: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        """One request of the client. Raises Declined for an error status in `declines`.

        Raises what `check` raised, at once and as it is, also from the middle of a body; else TargetUnreachable,
        TargetRefused, ClockUnset or TransientError, in one sentence.
        """
        check()
        with (self.gate_behind if behind else self.gate).turn(weight, check):
            return self._attempt(
                operation, check, declines, {"Bucket": self.place.bucket, "Key": key, **more}
            )

    def body(
        self,
        reader: Reader,
        size: int,
        *,
        check: Check,
        progress: Progress,
        sha256: Sha256 | None = None,
    ) -> Body:
        """What is sent, at the line's bandwidth and cut by `check`."""
        return Body(
            reader,
            size,
            before=lambda amount: self.bandwidth.take(amount, check),
            progress=progress,
            sha256=sha256,
            piece=min(PIECE, self.bandwidth.piece or PIECE),
        )

    def _attempt(
        self, operation: str, check: Check, declines: frozenset[int], parameters: dict[str, Any]
    ) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # boto3 is only there once it is needed
        from botocore.parsers import ResponseParserError  # noqa: PLC0415  # as above

        client = self.open()[1]
        failure: BaseException
        try:
            with self._checking(check):
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
                if operation == "get_object":  # read here, where a line that fails gets its sentence
                    answer["Body"] = answer["Body"].read()
        except Cut as cut:
            failure = cut.reason
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            failure = self._judge(error, client, declines)
        else:
            if answer["ResponseMetadata"].get("RetryAttempts"):
                self._ease()
            return answer
        # Outside the handler: nothing of botocore, which holds keys and addresses, hangs on what is raised.
        raise failure

    def _judge(self, error: Exception, client: Any, declines: frozenset[int]) -> Exception:
        response = getattr(error, "response", None) or {}
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(response.get("Error", {}).get("Code", ""))
        if status in declines and code != "NoSuchBucket":
            return Declined(status)
        if means_overload(error):
            self._ease()
        failure = refuse(error, self.place)
        # What no store has answered is about this machine's own configuration, which a person corrects in its files.
        if concerns_credentials(error) or (isinstance(failure, TargetRefused) and not response):
            self.forget(client)
        return failure

    def _ease(self) -> None:
        self.gate.ease()
        self.gate_behind.ease()

    @contextmanager
    def _checking(self, check: Check) -> Iterator[None]:
        """While it lasts, `check` is also asked before each attempt of botocore on this thread."""
        self._here.check = check
        try:
            yield
        finally:
            self._here.check = None

    def _before_attempt(self, **_: Any) -> None:
        check = getattr(self._here, "check", None)
        if check is None:
            return
        try:
            check()
        except BaseException as reason:  # noqa: BLE001  # whatever it is has to get through botocore as it is
            raise Cut(reason) from None

    def _before_wait(self, response: Any = None, **_: Any) -> None:
        """Between a failed attempt and the next one botocore sleeps; what has arrived is not thrown away."""
        if response is None or response[0].status_code >= 300:
            self._before_attempt()

    def _make(self) -> tuple[Any, Any]:
        from botocore.exceptions import BotoCoreError, NoCredentialsError  # noqa: PLC0415  # as above

        failure: GhostrollError
        try:
            session = make_session(self.place, self._environ)
            # A client keeps what it found when it was made. Without this look, keys that a person gives a moment
            # later are the session's and never the client's.
            if session.get_credentials() is None:
                raise NoCredentialsError
            client = make_client(session, self.place)
        except BotoCoreError as error:
            failure = refuse(error, self.place)
        else:
            client.meta.events.register_first("before-send.s3", self._before_attempt)
            client.meta.events.register_first("needs-retry.s3", self._stop_at_other_region)
            client.meta.events.register_first("needs-retry.s3", self._before_wait)
            self._connections.watch(client)
            return session, client
        raise failure

    def _stop_at_other_region(self, response: Any = None, **_: Any) -> None:
        """Don't follow a bucket to another region: uploads would arrive, and every presigned address be refused."""
        if response is None:
            return
        code = response[1].get("Error", {}).get("Code", "")
        if response[0].status_code in (301, 302, 307) or code in (
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
        ):
            raise Cut(refuse_answer(response[1], self.place))

    def forget(self, client: Any) -> None:
        """The next request reads the credentials anew: a person may have given others."""
        with self._making:
            if self._client is client:
                self._client = self._session = None


def ensure_store_answered(answer: Mapping[str, Any], place: Place) -> None:
    """Raise TargetUnreachable where what answered is no store: it knows no ETag and has begun no upload."""
    if not answer.get("ETag") and not answer.get("UploadId"):
        raise say_no_store(place)
