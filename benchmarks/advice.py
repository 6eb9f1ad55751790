"""What is commonly recommended for such a pipeline, each measured beside what ghostroll does instead.

Hash workers, chunk sizes, two decodes of one photo, batched inserts, presigning in parallel, `upload_file`, and a
client for each file. In every row the value is what is recommended, the floor what ghostroll does; a ratio above 1
says that the advice is dearer or slower here, for the unit is always time. Readers of one card and the number of
workers are in `adaptive.py`, ways to make a picture in `pictures.py`.
"""

import hashlib
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

# The store of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from measuring import Figure, give_up, option_parser, report
from PIL import Image
from staging import list_files, make_photo_card, open_stage, warm_cache
from stores import Store, serve_rclone

_MIB = 1 << 20
_ROWS = 3000
_ADDRESSES = 1000
_OBJECTS, _OBJECT_BYTES = 24, 250_000
_KEYS = {"aws_access_key_id": "A" * 20, "aws_secret_access_key": "s" * 40, "region_name": "us-east-1"}

Pairs = dict[str, tuple[float, float]]  # what is recommended, and what is done; seconds


def main() -> None:
    """Every piece of advice in each round."""
    parser = option_parser("what is commonly recommended, beside what is done")
    parser.add_argument("--photos", type=int, default=12, help="that are hashed and decoded")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.rounds, options.megapixels) <= 0:
        parser.error("photos, rounds and megapixels must be more than 0")
    with open_stage(options.cache) as stage:
        files = list_files(
            make_photo_card(options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels)
        )
        try:
            rounds = [dict(_take(files, stage.folder)) for _ in range(options.rounds)]
        except pytest.skip.Exception as obstacle:  # what the store of the tests lacks
            give_up(str(obstacle.msg))
    report(
        options,
        [
            Figure(name, "s", tuple(one[name][0] for one in rounds), tuple(one[name][1] for one in rounds))
            for name in rounds[0]
        ],
    )


def _take(files: Sequence[Path], folder: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    warm_cache(files)
    alone = _clock(lambda: _hash_all(files, 1, _MIB))
    for threads in (4, 8, 12):
        value = _clock(lambda: _hash_all(files, threads, _MIB))  # noqa: B023  # called at once
        yield f"hash all by {threads} threads, beside one", (value, alone)
    for chunk in (64, 256, 8192):
        value = _clock(lambda: _hash_all(files, 1, chunk << 10))  # noqa: B023  # called at once
        yield f"hash in chunks of {chunk} KiB, beside 1 MiB", (value, alone)
    once, twice = _decode_in_processes(files, once=True), _decode_in_processes(files, once=False)
    yield "CPU: two processes decode each photo, beside one", (twice, once)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        one = _clock(lambda: _insert(Path(place, "one.db"), 1))
        for batch in (10, 100):
            value = _clock(lambda: _insert(Path(place, f"{batch}.db"), batch))  # noqa: B023  # called at once
            yield f"insert {_ROWS} rows, {batch} in a transaction, beside one", (value, one)
    sign = boto3.client("s3", **_KEYS, config=Config(signature_version="s3v4"))
    alone = _clock(lambda: _sign(sign, 1))
    yield f"sign {_ADDRESSES} addresses by 8 threads, beside one", (_clock(lambda: _sign(sign, 8)), alone)
    with tempfile.TemporaryDirectory(dir=folder) as place, serve_rclone(Path(place)) as store:
        put = _clock(lambda: _put_all(store, shared=True, whole=True))
        yield (
            "send by upload_file, beside put_object",
            (
                _clock(lambda: _put_all(store, shared=True, whole=False)),
                put,
            ),
        )
        yield (
            "a client for each file, beside a shared one",
            (
                _clock(lambda: _put_all(store, shared=False, whole=True)),
                put,
            ),
        )


def _clock(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _hash_all(files: Sequence[Path], threads: int, chunk: int) -> None:
    def hash_one(path: Path) -> bytes:
        whole, buffer = hashlib.sha256(), bytearray(chunk)
        with path.open("rb", buffering=0) as file, memoryview(buffer) as view:
            while count := file.readinto(buffer):
                whole.update(view[:count])
        return whole.digest()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(hash_one, files))


def _decode_in_processes(files: Sequence[Path], *, once: bool) -> float:
    """CPU seconds to make both renditions of each photo, by one decode or by one for each."""
    jobs = [("2048", "512")] if once else [("2048",), ("512",)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for edges in jobs:
        command = [sys.executable, __file__, "--decode", ",".join(edges), *map(str, files)]
        subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _decode(edges: Sequence[int], files: Sequence[str]) -> None:
    for path in files:
        with Image.open(path) as image:
            image.draft("RGB", (edges[0], edges[0] * image.height // image.width))
            picture: Image.Image = image
            for edge in edges:
                picture = picture.resize((edge, edge * image.height // image.width), Image.Resampling.BICUBIC)
                picture.save(os.devnull, "JPEG", quality=85, optimize=True)


def _insert(path: Path, batch: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE file (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
        for start in range(0, _ROWS, batch):
            db.execute("BEGIN IMMEDIATE")
            for number in range(start, start + batch):
                db.execute("INSERT INTO file (name) VALUES (?)", (f"DCIM/100CANON/IMG_{number}.JPG",))
            db.execute("COMMIT")


def _sign(client: object, threads: int) -> None:
    def sign(number: int) -> str:
        told = {"Bucket": "photos", "Key": f"share/IMG_{number}.jpg"}
        address: str = client.generate_presigned_url("get_object", Params=told)  # type: ignore[attr-defined]  # boto3 makes it at run time
        return address

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(sign, range(_ADDRESSES)))


def _put_all(store: Store, *, shared: bool, whole: bool) -> None:
    keys = store.environ
    settings = {
        "endpoint_url": store.endpoint,
        "region_name": keys["AWS_DEFAULT_REGION"],
        "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
    }
    body = os.urandom(_OBJECT_BYTES)
    client = boto3.client("s3", **settings)

    def put(number: int) -> None:
        sender = client if shared else boto3.session.Session().client("s3", **settings)
        if whole:
            sender.put_object(Bucket=store.bucket, Key=f"{shared}{whole}{number}", Body=body)
        else:
            sender.upload_file(file.name, store.bucket, f"{shared}{whole}{number}")

    with tempfile.NamedTemporaryFile() as file, ThreadPoolExecutor(4) as pool:
        file.write(body)
        file.flush()
        list(pool.map(put, range(_OBJECTS)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--decode"]:
        _decode([int(edge) for edge in sys.argv[2].split(",")], sys.argv[3:])
    else:
        main()
