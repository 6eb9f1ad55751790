"""Who sends a folder of pictures to a bucket: ghostroll's own client, and those it is measured beside."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stores import Store, find_rclone

OURS, ADAPTING, BOTO3 = "ghostroll", "ghostroll adapting", "a bare boto3 loop"
RCLONE, RCLONE_TUNED, AWS = "rclone copy", "rclone copy, tuned", "aws s3 sync"
_AWS = Path(sys.prefix) / "aws" / "bin" / "aws"  # its own environment, from requirements/bench.lock
_PUT_FILES = Path(__file__).with_name("put_files.py")
# Nothing is looked at before it is sent, and nothing after.
_TUNED = ("--s3-no-head", "--s3-no-check-bucket", "--s3-disable-checksum", "--ignore-times", "--no-traverse")


@dataclass(frozen=True, slots=True)
class Sending:
    """One folder that goes under a prefix of a store's bucket, with so many transfers at once."""

    folder: Path
    store: Store
    prefix: str
    threads: int


Line = tuple[list[str | Path], dict[str, str]]  # a command and its environment


@dataclass(frozen=True, slots=True)
class Sender:
    """A program that can do it: `tell` gives its command and environment."""

    name: str
    tell: Callable[[Sending], Line]


def find_senders(home: Path) -> list[Sender]:
    """All that there are here; ghostroll is the first. `home` is where a program may keep what it is told."""
    rclone = find_rclone()
    senders = [
        Sender(OURS, lambda sending: _tell_put_files("ghostroll", sending)),
        Sender(ADAPTING, lambda sending: _tell_put_files("ghostroll", replace(sending, threads=0))),
        Sender(BOTO3, lambda sending: _tell_put_files("boto3", sending)),
        Sender(RCLONE, lambda sending: _tell_rclone(rclone, sending)),
        Sender(RCLONE_TUNED, lambda sending: _tell_rclone(rclone, sending, *_TUNED)),
    ]
    if _AWS.exists():
        senders.append(Sender(AWS, lambda sending: _tell_aws(home, sending)))
    else:
        sys.stderr.write("uploads.py: there are no figures beside aws: `make bench-more` installs it\n")
    return senders


def _tell_put_files(by: str, sending: Sending) -> Line:
    store = sending.store
    told: list[str | Path] = [
        by,
        store.endpoint,
        store.bucket,
        sending.prefix,
        str(sending.threads),
        sending.folder,
    ]
    return [sys.executable, _PUT_FILES, *told], _clean(store.environ)


def _tell_rclone(rclone: Path, sending: Sending, *flags: str) -> Line:
    store = sending.store
    remote = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
        "RCLONE_CONFIG_STORE_REGION": store.region,
        "RCLONE_CONFIG_STORE_ENDPOINT": store.endpoint,
    }
    into = f"store:{store.bucket}/{sending.prefix}"
    told: list[str | Path] = ["copy", sending.folder, into, "--transfers", str(sending.threads), *flags]
    return [rclone, *told], _clean(store.environ) | remote


def _tell_aws(home: Path, sending: Sending) -> Line:
    store = sending.store
    told = home / f"aws-{sending.threads}.ini"
    told.write_text(
        f"[default]\ns3 =\n  max_concurrent_requests = {sending.threads}\n  addressing_style = path\n"
    )
    into = f"s3://{store.bucket}/{sending.prefix}"
    line: list[str | Path] = [
        _AWS,
        "s3",
        "sync",
        sending.folder,
        into,
        "--endpoint-url",
        store.endpoint,
        "--only-show-errors",
    ]
    return line, _clean(store.environ) | {"AWS_CONFIG_FILE": str(told)}


def _clean(more: Mapping[str, str]) -> dict[str, str]:
    foreign = ("AWS_", "RCLONE_", "GHOSTROLL_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)} | dict(more)
