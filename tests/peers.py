"""How stores are tried, whatever stands in front of them: an odd key, checksums, refusals, and links without keys."""

import base64
import contextlib
import hashlib
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stores import Store

ODD = "sessions/p q/ä+&=%20'(1).jpg"


def hash_of(content: bytes) -> str:
    """A SHA-256 as S3 writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def refused(ask: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the refusal that this meets."""
    with pytest.raises(ClientError) as met:
        ask()
    return met.value.response["ResponseMetadata"]["HTTPStatusCode"], met.value.response["Error"]["Code"]


def open_address(url: str) -> tuple[int, bytes]:
    """Status and content, as a browser gets them: without keys."""
    place, path = url.removeprefix("http://").split("/", 1)
    with contextlib.closing(HTTPConnection(place, timeout=20)) as connection:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()


def sign(store: Store, key: str, **more: Any) -> str:
    """A link of a minute."""
    url: str = store.client().generate_presigned_url(
        "get_object", Params={"Bucket": store.bucket, "Key": key, **more}, ExpiresIn=60
    )
    return url
