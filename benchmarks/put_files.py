"""Put files under a prefix of a bucket with so many threads: by ghostroll's own bucket, or by a bare loop of boto3.

A process of its own, so that its CPU seconds are those of a client and of nothing else. Prints the seconds from the
first request to the last answer.
"""

import argparse
import base64
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import boto3
from botocore.config import Config

_ALL_THREADS = 16  # that the station may have, where the bucket decides by itself how many work

Put = Callable[[str, Path], None]


def main() -> None:
    """Put every file of a folder, under its path in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("by", choices=("ghostroll", "boto3"))
    parser.add_argument("endpoint")
    parser.add_argument("bucket")
    parser.add_argument("prefix")
    parser.add_argument("threads", type=int, help="0: as many as it finds right by itself")
    parser.add_argument("folder", type=Path)
    told = parser.parse_args()
    make = _put_by_ghostroll if told.by == "ghostroll" else _put_by_boto3
    put = make(told.endpoint, told.bucket, told.threads)
    files = sorted(path for path in told.folder.rglob("*") if path.is_file())
    keys = [f"{told.prefix}/{path.relative_to(told.folder)}" for path in files]
    begun = time.perf_counter()
    with ThreadPoolExecutor(told.threads or _ALL_THREADS) as pool:
        list(pool.map(put, keys, files))
    print(time.perf_counter() - begun)


def _put_by_ghostroll(endpoint: str, bucket: str, threads: int) -> Put:
    from ghostroll.publish.s3.bucket import Bucket  # noqa: PLC0415  # the bare loop pays for nothing of ours
    from ghostroll.publish.s3.keys import rendition_headers  # noqa: PLC0415  # the same
    from ghostroll.publish.s3.place import Place  # noqa: PLC0415  # the same

    place = Place(
        bucket=bucket,
        prefix="",
        region=os.environ["AWS_DEFAULT_REGION"],
        endpoint_url=endpoint,
        base_url="",
        addressing="path",
        bandwidth_mbit=0,
        threads=threads,
    )
    target = Bucket(place, now=lambda: datetime.now(UTC))
    target.prepare()
    headers = rendition_headers(public=False)

    def put(key: str, path: Path) -> None:
        target.put(key, path.read_bytes(), headers)

    return put


def _put_by_boto3(endpoint: str, bucket: str, threads: int) -> Put:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            max_pool_connections=threads,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )

    def put(key: str, path: Path) -> None:
        content = path.read_bytes()
        client.put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentType="image/jpeg",
            ChecksumSHA256=base64.b64encode(hashlib.sha256(content).digest()).decode(),
        )

    return put


if __name__ == "__main__":
    main()
