"""The parts of an ingest one by one, each beside a bare loop that does the same and nothing else.

hash: ghostroll's reader over cached files, beside hashlib's own loop. copy: one copier and the two that a card
has, beside read, hash, write, fdatasync, read back. render: one lane with its worker, beside Pillow in a loop. state:
the claim and the settlement of one task in one transaction, beside the least SQL that does the same to the same rows.
uploads: the bucket's client with eight threads, beside put_object in a loop, into a server on this machine.
"""

import argparse
import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

# The ledger and the store of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ledger import add_files, add_job, open_ledger
from measuring import Cost, Figure, give_up, measure, option_parser, report
from staging import Stage, list_files, make_photo_card, open_stage, warm_cache
from stores import serve_rclone

from ghostroll.library.durable import ContentReader
from ghostroll.model import Stage as TaskStage
from ghostroll.model import TaskState
from ghostroll.state import tasks

_HERE = Path(__file__).parent
_BARE, _OURS, _PUT_FILES = _HERE / "bare_ingest.py", _HERE / "one_part.py", _HERE / "put_files.py"
_MB = 1_000_000
_CHUNK = 1 << 20  # bytes
_UPLOAD_THREADS = 8
_UPLOAD_BYTES = 250_000  # of a rendition, about

Pair = tuple[float, float]  # ours, and the floor


def main() -> None:
    """Every part in each round."""
    options = _read_options()
    with open_stage(options.cache) as stage:
        card = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        parts = _Parts(stage, list_files(card), options.transactions, options.uploads)
        try:
            rounds = [parts.take() for _ in range(options.rounds)]
        except pytest.skip.Exception as obstacle:  # what the store of the tests lacks
            give_up(str(obstacle.msg))
    report(options, [*_tell(rounds)])


def _read_options() -> argparse.Namespace:
    parser = option_parser("the parts of an ingest, each beside a bare loop")
    parser.add_argument("--photos", type=int, default=24, help="that are hashed, copied and rendered")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--transactions", type=int, default=5000, help="of the state")
    parser.add_argument("--uploads", type=int, default=400, help="files of 250 kB")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if min(vars(options)[key] for key in ("photos", "megapixels", "transactions", "uploads", "rounds")) <= 0:
        parser.error("photos, megapixels, transactions, uploads and rounds must be more than 0")
    return options


class _Parts:
    """What the parts work on."""

    def __init__(self, stage: Stage, files: Sequence[Path], transactions: int, uploads: int) -> None:
        self._stage, self._files = stage, files
        self._megabytes = sum(path.stat().st_size for path in files) / _MB
        self._transactions, self._uploads = transactions, uploads

    def take(self) -> dict[tuple[str, str], Pair]:
        """One round: every part by its name and unit."""
        warm_cache(self._files)
        bare_copy = self._rate(_BARE, "copy")
        taken = {
            ("hash", "MB/s"): (self._time(_hash_by_ours), self._time(_hash_barely)),
            ("durable copy by one copier", "MB/s"): (self._rate(_OURS, "copy"), bare_copy),
            ("durable copy by the two of a card", "MB/s"): (self._rate(_OURS, "copy-by-two"), bare_copy),
        }
        ours, bare = self._render(_OURS), self._render(_BARE)
        return taken | {
            ("photos a second in one lane", ""): (ours[0], bare[0]),
            ("CPU seconds a photo in one lane", "s"): (ours[1], bare[1]),
            ("state transactions a second", ""): self._commit(),
            ("uploads a second", ""): self._upload(),
        }

    def _time(self, work: Callable[[Path], None]) -> float:
        """Megabytes a second over all files."""
        begun = time.perf_counter()
        for path in self._files:
            work(path)
        return self._megabytes / (time.perf_counter() - begun)

    def _rate(self, script: Path, what: str) -> float:
        """Megabytes a second of a script's work over all files."""
        return self._megabytes / float(self._run(script, what, self._files).out)

    def _render(self, script: Path) -> Pair:
        """Photos a second, and CPU seconds of each but the first, which has the start in it."""
        one, every = (self._run(script, "render", files) for files in (self._files[:1], self._files))
        cpu = (every.cpu - one.cpu) / max(1, len(self._files) - 1)
        return len(self._files) / float(every.out), cpu

    def _run(self, script: Path, what: str, files: Sequence[Path]) -> Cost:
        with tempfile.TemporaryDirectory(dir=self._stage.folder) as into:
            return _succeed(measure([sys.executable, script, what, into, *files], self._stage.environment))

    def _commit(self) -> Pair:
        return self._commit_by(_settle_by_ours), self._commit_by(_settle_barely)

    def _commit_by(self, settle_all: Callable[[Path], int]) -> float:
        """Transactions a second over a queue of that many copies, each claimed while the last one is settled."""
        with tempfile.TemporaryDirectory(dir=self._stage.folder) as folder:
            with open_ledger(Path(folder)) as database:
                add_files(database, add_job(database), self._transactions)
            begun = time.perf_counter()
            done = settle_all(Path(folder, "state.db"))
            return done / (time.perf_counter() - begun)

    def _upload(self) -> Pair:
        with tempfile.TemporaryDirectory(dir=self._stage.folder) as place:
            folder = Path(place, "files")
            folder.mkdir()
            for number in range(self._uploads):
                (folder / f"{number}.jpg").write_bytes(os.urandom(_UPLOAD_BYTES))
            with serve_rclone(Path(place, "store")) as store:
                rates = []
                for by in ("ghostroll", "boto3"):
                    told = [by, store.endpoint, store.bucket, by, str(_UPLOAD_THREADS), folder]
                    command = [sys.executable, _PUT_FILES, *told]
                    cost = _succeed(measure(command, {**self._stage.environment, **store.environ}))
                    rates.append(self._uploads / float(cost.out))
        return rates[0], rates[1]


def _hash_by_ours(path: Path) -> None:
    reader = ContentReader(_CHUNK)
    descriptor = os.open(path, os.O_RDONLY)
    reader.read(descriptor, sink=None, check=lambda _: None)
    os.close(descriptor)
    reader.close()


def _hash_barely(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "sha256")


def _settle_by_ours(path: Path) -> int:
    done = 0
    with open_ledger(path.parent) as database:
        with database.write() as db:
            taken = tasks.claim(db, TaskStage.COPY, job=None, limit=1, now=0)
        while taken:
            with database.write() as db:
                tasks.settle(db, taken[0], TaskState.DONE, charged=False)
                taken = tasks.claim(db, TaskStage.COPY, job=None, limit=1, now=0)
            done += 1
    return done


def _settle_barely(path: Path) -> int:
    done = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=NORMAL")
        settle = "UPDATE task SET state = 'done' WHERE id = ?"
        find = (
            "SELECT id FROM task WHERE state = 'ready' AND stage = 'copy' ORDER BY priority DESC, id LIMIT 1"
        )
        take = "UPDATE task SET state = 'running', claim = claim + 1 WHERE id = ?"
        found = db.execute(find).fetchone()
        db.execute(take, found)
        while found:
            db.execute("BEGIN IMMEDIATE")
            db.execute(settle, found)
            found = db.execute(find).fetchone()
            if found:
                db.execute(take, found)
            db.execute("COMMIT")
            done += 1
    return done


def _succeed(cost: Cost) -> Cost:
    if cost.code != 0:
        give_up(f"a part failed with exit code {cost.code}")
    return cost


def _tell(rounds: Sequence[dict[tuple[str, str], Pair]]) -> Iterator[Figure]:
    for name, unit in rounds[0]:
        ours, floors = zip(*(one[name, unit] for one in rounds), strict=True)
        yield Figure(name, unit, ours, floors)


if __name__ == "__main__":
    main()
