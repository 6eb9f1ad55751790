"""Presigned addresses: a pure function of what is signed, when, for how long, and of the credentials.

The same address comes out again after a restart, so that none is ever stored.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from ghostroll.publish.s3.keys import attachment

LONGEST = timedelta(days=7)  # what SigV4 allows
ASSUMED = timedelta(hours=1)  # for a session token that doesn't say when it ends
_STAMP = "%Y%m%dT%H%M%SZ"
_SAFE = "/~"  # of a key, beside letters, digits and "-._"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where presigned addresses point, and the region signed for.

    `origin` is `https://bucket.host` or `https://host`; `path` is `/` or `/bucket/`; `host` is the Host header
    that a browser sends, without the port that its scheme means anyway.
    """

    origin: str
    path: str
    host: str
    region: str


def find_spot(client: Any, bucket: str) -> Spot:
    """Ask boto3 once how it addresses this bucket, so that endpoints and addressing styles stay its business."""
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"}, ExpiresIn=60)
    parts = urlsplit(url)
    scope = dict(parse_qsl(parts.query))["X-Amz-Credential"]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else str(parts.hostname)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    if parts.port not in (None, usual):
        host = f"{host}:{parts.port}"
    return Spot(f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("x"), host, scope.split("/")[-3])


def presign(
    spot: Spot, credentials: Any, key: str, *, at: datetime, seconds: int, filename: str | None = None
) -> str:
    """The address of an object from `at` (aware) for `seconds`, byte for byte what boto3 makes at that moment.

    "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", Amazon S3 API Reference. Not
    botocore's signer: it signs for the present moment only, and takes five times as long.
    """
    stamp = at.astimezone(UTC).strftime(_STAMP)
    frame = _frame(
        credentials.access_key, credentials.secret_key, credentials.token, spot.region, stamp, seconds
    )
    path = spot.path + quote(key, safe=_SAFE)
    disposition = (
        "" if filename is None else f"response-content-disposition={quote(attachment(filename), safe='~')}"
    )
    in_order = f"{frame.in_order}&{disposition}" if disposition else frame.in_order
    canonical = f"GET\n{path}\n{in_order}\nhost:{spot.host}\n\nhost\nUNSIGNED-PAYLOAD"
    string = frame.string + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.digest(frame.key, string.encode(), "sha256").hex()
    query = f"{disposition}&{frame.query}" if disposition else frame.query
    return f"{spot.origin}{path}?{query}&X-Amz-Signature={signature}"


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the addresses of one moment have in common. `in_order` is the query as it is signed, sorted by name."""

    query: str
    in_order: str
    string: str
    key: bytes = field(repr=False)


@lru_cache(maxsize=64)
def _frame(access_key: str, secret: str, token: str | None, region: str, stamp: str, seconds: int) -> _Frame:  # noqa: PLR0917  # a cache's key
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    head = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{access_key}/{scope}', safe='~')}"
        f"&X-Amz-Date={stamp}&X-Amz-Expires={seconds}"
    )
    signed = "&X-Amz-SignedHeaders=host"
    given = "" if token is None else f"&X-Amz-Security-Token={quote(token, safe='~')}"
    return _Frame(
        head + signed + given,
        head + given + signed,
        f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n",
        _derive_key(secret, scope),
    )


@lru_cache(maxsize=16)
def _derive_key(secret: str, scope: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def tell_lifetime(
    credentials: Any, frozen: Any, expiration: str | None, now: datetime
) -> tuple[timedelta, bool]:
    """How long an address signed now with the `frozen` of `credentials` lives at most, and whether that is assumed.

    Keys of a user: 7 days. Temporary ones: until they expire, which those that refresh themselves know and
    others say in AWS_CREDENTIAL_EXPIRATION (`expiration`, ISO 8601); else an hour is assumed. Never below zero.
    """
    if frozen.token is None:
        return LONGEST, False
    ends = getattr(credentials, "_expiry_time", None) or _parse(expiration)
    if ends is None:
        return ASSUMED, True
    return max(timedelta(0), min(LONGEST, ends - now)), False


def public_address(base_url: str, key: str) -> str:
    """Where everybody finds an object of a public bucket."""
    return f"{base_url.rstrip('/')}/{quote(key, safe=_SAFE)}"


def _parse(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
