"""S3 stores on this machine: real servers on 127.0.0.1, each with a bucket of a test's own and keys that are known.

A server ends with the process that started it, whatever becomes of that process.
"""

import contextlib
import functools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from running import do_without

REGION = "eu-central-1"
LOCALSTACK = Path(__file__).resolve().parent.parent / ".venv-localstack"
# Made up, and refused everywhere else. rclone knows them; moto takes any, unless it enforces permissions.
_KEY_ID, _SECRET = "AKIAGHOSTROLLTESTS01", "only-for-a-store-on-this-machine-000000"
_EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_SLOW_START = 60  # seconds; localstack takes several where two cores are busy


@dataclass(frozen=True, slots=True)
class Store:
    """One bucket of one server. `environ` is all that a process needs to reach it, and nothing of the user's."""

    name: str  # "moto", "rclone" or "localstack"
    endpoint: str
    bucket: str
    environ: Mapping[str, str]
    region: str = REGION
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server, for a proxy in front of it."""
        host, port = self.endpoint.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a ghostroll that publishes here, its keys included."""
        return {
            **self.environ,
            "GHOSTROLL_PUBLISH__TARGET": "s3",
            "GHOSTROLL_PUBLISH__S3__BUCKET": self.bucket,
            "GHOSTROLL_PUBLISH__S3__REGION": self.region,
            "GHOSTROLL_PUBLISH__S3__ENDPOINT_URL": self.endpoint,
            "GHOSTROLL_PUBLISH__S3__ADDRESSING": "path",
        }

    def client(self, service: str = "s3", **more: Any) -> Any:
        """A boto3 client for looking in: one try, path addressing, and botocore's defaults for the rest."""
        settings = (
            {"signature_version": "s3v4", "s3": {"addressing_style": "path"}} if service == "s3" else {}
        )
        return _session(self.environ).client(
            service,
            endpoint_url=self.endpoint,
            config=Config(retries={"total_max_attempts": 1}, proxies={}, **{**settings, **more}),
        )

    def at(self, endpoint: str) -> "Store":
        """The same bucket, reached through a proxy."""
        return replace(self, endpoint=endpoint)

    def with_new_bucket(self) -> "Store":
        """A private bucket of its own on the same server, empty."""
        made = replace(self, bucket=f"test-{uuid.uuid4().hex[:16]}")
        made.client().create_bucket(
            Bucket=made.bucket, CreateBucketConfiguration={"LocationConstraint": self.region}
        )
        return made

    def list_keys(self, prefix: str = "") -> list[str]:
        """Every key under a prefix, in order."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", ()))

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        content: bytes = self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def restrict(self, policy: Mapping[str, Any]) -> dict[str, str]:
        """A new user who may do what this policy says; the environment with their keys. Only moto, enforcing."""
        assert self.name == "moto"
        return _environ(*_add_user(self.client("iam"), policy))


def _environ(key_id: str, secret: str) -> dict[str, str]:
    """Keys for a process, and nothing read from the user's folder or from a cloud's metadata service."""
    return {
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _session(environ: Mapping[str, str]) -> boto3.Session:
    return _make_session(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])


@functools.cache
def _make_session(key_id: str, secret: str) -> boto3.Session:
    """Reading botocore's descriptions takes long: once for each pair of keys."""
    return boto3.Session(aws_access_key_id=key_id, aws_secret_access_key=secret, region_name=REGION)


def _add_user(iam: Any, policy: Mapping[str, Any]) -> tuple[str, str]:
    name = f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="given", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@contextlib.contextmanager
def serve_moto(*, enforcing: bool = False) -> Iterator[Store]:
    """Moto's server. `enforcing`: it checks signatures and what a user may do; `environ` may do everything."""
    with _serve(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
        rb"Running on (http://127\.0\.0\.1:\d+)",
    ) as (process, endpoint):
        store = Store("moto", endpoint, "", _environ(_KEY_ID, _SECRET), process=process)
        if enforcing:
            keys = _add_user(store.client("iam"), _EVERYTHING)
            _post(store.address, "/moto-api/reset-auth", b"0")
            store = replace(store, environ=_environ(*keys))
        yield store.with_new_bucket()


@contextlib.contextmanager
def serve_rclone(folder: Path) -> Iterator[Store]:
    """`rclone serve s3` with credentials. A bucket is a folder in `folder`, an object a file.

    It doesn't see what another process changes there: without its cache of directories it is thirty times slower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _serve(
        [
            find_rclone(),
            *("serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{_KEY_ID},{_SECRET}"),
            *("--config", os.devnull, folder),
        ],
        rb"s3 server on \[(http://127\.0\.0\.1:\d+)/\]",
    ) as (process, endpoint):
        yield Store("rclone", endpoint, "", _environ(_KEY_ID, _SECRET), process=process).with_new_bucket()


@contextlib.contextmanager
def serve_localstack() -> Iterator[Store]:
    """Localstack's S3 alone: it checks checksums, conditions and the expiry of links. It never leaves this machine."""
    python = LOCALSTACK / "bin" / "python"
    if not python.exists():
        do_without("no localstack here: make peers")
    with tempfile.TemporaryDirectory(prefix="ghostroll-localstack-") as files:
        kept, cache = LOCALSTACK / "cache", Path(files) / "var" / "lib" / "localstack" / "cache"
        if kept.exists():
            shutil.copytree(kept, cache)
        with _serve(
            [python, "-W", "ignore", "-c", _LOCALSTACK],
            rb"listens on (http://127\.0\.0\.1:\d+)\n(?s:.*)Ready\.",
            {**_LOCALSTACK_SETTINGS, "FILESYSTEM_ROOT": files},
        ) as (process, endpoint):
            yield Store(
                "localstack", endpoint, "", _environ("test", "test"), process=process
            ).with_new_bucket()
        if not kept.exists():
            _keep_cache(cache, kept)


def _keep_cache(cache: Path, kept: Path) -> None:
    """What it has worked out about S3 saves the next start three seconds and 300 MB of memory."""
    own = kept.with_name(f"cache-{os.getpid()}")
    shutil.copytree(cache, own)
    try:
        own.rename(kept)
    except OSError:  # another test process was first
        shutil.rmtree(own)


_LOCALSTACK_SETTINGS = {
    "GATEWAY_LISTEN": "127.0.0.1:0",
    "SERVICES": "s3",
    "STRICT_SERVICE_LOADING": "1",
    "DISABLE_EVENTS": "1",  # tells nobody that it runs
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",  # no server of names
    "S3_SKIP_SIGNATURE_VALIDATION": "0",  # of links; it never checks those of other requests
    "OVERRIDE_IN_DOCKER": "0",  # in a container it would write to the root folder
}
# Its server listens on every address, whatever it is told, and can't tell which port it got.
_LOCALSTACK = """
from localstack import config
from twisted.internet import endpoints

class Local(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port):
        super().__init__(reactor, port, interface="127.0.0.1")

    def listen(self, factory):
        def tell(port):
            config.GATEWAY_LISTEN[0].port = port.getHost().port
            print(f"listens on http://127.0.0.1:{port.getHost().port}", flush=True)
            return port
        return super().listen(factory).addCallback(tell)

endpoints.TCP4ServerEndpoint = Local
from localstack.runtime.main import main
main()
"""


def find_rclone() -> Path:
    """The rclone that came with the development dependencies."""
    found = Path(sys.executable).with_name("rclone")
    if not found.exists():
        do_without("no rclone here: make setup")
    return found


@contextlib.contextmanager
def _serve(
    line: Sequence[str | Path], says: bytes, more: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that has said where it listens; it ends with this process, and leaves no file."""
    with tempfile.TemporaryDirectory(prefix="ghostroll-store-") as home:
        log = Path(home) / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        with log.open("wb") as end:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *line],
                stdin=subprocess.DEVNULL,
                stdout=end,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={**clean, "HOME": home, "TMPDIR": home, **(more or {})},
            )
        try:
            yield process, _wait_for_line(process, log, re.compile(says))
        finally:
            process.kill()
            process.wait()


# A server takes nothing from the environment of whoever tests: no keys, no settings, no proxy.
_FOREIGN = (
    *("AWS_", "RCLONE_", "MOTO_", "LOCALSTACK_", "INITIAL_NO_AUTH"),
    *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
)


def _wait_for_line(process: subprocess.Popen[bytes], log: Path, says: re.Pattern[bytes]) -> str:
    until = time.monotonic() + _SLOW_START
    while True:
        said = log.read_bytes()
        if found := says.search(said):
            return found.group(1).decode()
        assert process.poll() is None, f"the store ended: {said.decode(errors='replace')}"
        assert time.monotonic() < until, f"the store didn't start: {said.decode(errors='replace')}"
        select.select([], [], [], 0.02)


def _post(address: tuple[str, int], path: str, body: bytes) -> None:
    with contextlib.closing(HTTPConnection(*address, timeout=10)) as connection:
        connection.request("POST", path, body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        assert answer.status == HTTPStatus.OK, answer.read()
