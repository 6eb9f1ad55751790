"""A bucket of ours in front of a real store, and originals to put into it."""

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from stores import Store

from ghostroll.model import Sha256
from ghostroll.publish.s3 import keys
from ghostroll.publish.s3.bucket import Bucket
from ghostroll.publish.s3.confirming import Confirmation
from ghostroll.publish.s3.line import Check
from ghostroll.publish.s3.place import Place

PART = 5 * 1024 * 1024  # the least that stores take
RENDITION = keys.rendition_headers(public=False)


@dataclass
class Kept:
    """Where an upload stands, as the ledger would keep it."""

    id: str | None = None
    said: list[str | None] = field(default_factory=list)

    def remember(self, id: str | None) -> None:  # noqa: A002  # as the protocol has it
        self.id = id
        self.said.append(id)


@dataclass(frozen=True)
class File:
    """An original on disk."""

    descriptor: int
    size: int
    sha256: Sha256
    key: str


@contextlib.contextmanager
def open_bucket(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    *,
    threads: int = 0,
    bandwidth_mbit: int = 0,
    part_bytes: int = PART,
) -> Iterator[Bucket]:
    """A bucket with the store's credentials in the environment, as a process has them."""
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    place = Place(
        store.bucket,
        prefix="p",
        region=store.region,
        endpoint_url=store.endpoint,
        threads=threads,
        bandwidth_mbit=bandwidth_mbit,
    )
    bucket = Bucket(place, now=lambda: datetime.now(UTC), part_bytes=part_bytes)
    with contextlib.closing(bucket):
        yield bucket


@contextlib.contextmanager
def make_original(size: int, seed: int = 1) -> Iterator[File]:
    """A file of random bytes, which nobody else has, without a name."""
    content = random.Random(seed * 1_000_003 + size).randbytes(size)
    descriptor = os.memfd_create("original")
    try:
        os.write(descriptor, content)
        digest = Sha256(hashlib.sha256(content).digest())
        yield File(descriptor, size, digest, keys.original_key("p", digest, "IMG_1.CR3"))
    finally:
        os.close(descriptor)


def never() -> None:
    """Nothing asks for a stop."""


def put(
    bucket: Bucket, file: File, kept: Kept | None = None, check: Check = never, sent: list[int] | None = None
) -> Confirmation:
    """Put an original; `sent` gets the sizes of what leaves."""
    return bucket.put_original(
        file.key,
        file.descriptor,
        size=file.size,
        sha256=file.sha256,
        headers=keys.original_headers("IMG_1.CR3", public=False),
        upload=kept or Kept(),
        check=check,
        progress=(sent if sent is not None else []).append,
    )
