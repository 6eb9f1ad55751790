"""One part of ghostroll over files, by a process of its own: a copier or two, or a render lane.

Usage: one_part.py copy|copy-by-two|render INTO FILE... Prints the seconds of the work alone.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ghostroll.library.copying import ContentClaims, Copier, CopyRules, Stored
from ghostroll.library.durable import Folders
from ghostroll.library.identity import INCOMING
from ghostroll.model import Asset, JobId, Kind, Sha256, Source, SourceId, SourceState
from ghostroll.render.lane import Lane, RenderLimits

_BATCH_BYTES, _BATCH_FILES = 16 << 20, 32  # as copy.batch_mib and copy.batch_files are by default


class _NoRecords:
    """A ledger that knows nothing, and a card that is a folder."""

    def find_asset(self, sha256: Sha256) -> Asset | None:  # noqa: ARG002  # as the protocol has it
        """None is known."""
        return None

    def find_asset_at(self, path: bytes) -> Asset | None:  # noqa: ARG002  # as the protocol has it
        """None is known."""
        return None

    def place(self, source: Source) -> bytes:
        """One folder for all."""
        return b"session/originals/" + os.path.basename(source.path)

    def find_place(self, source: Source) -> bytes | None:
        """One folder for all."""
        return b"session/originals/" + os.path.basename(source.path)

    @contextlib.contextmanager
    def open_source(self, source: Source, *, around_cache: bool = False) -> Iterator[int]:  # noqa: ARG002  # never asked for
        """The file itself."""
        descriptor = os.open(source.path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def notice(self, sentence: str, path: bytes) -> None:
        """Nothing is unusual here."""
        raise AssertionError(sentence, path)


def copy(into: str, files: Sequence[str], threads: int = 1) -> None:
    """Copy, verify and place every file, as the copiers of one card do."""
    Path(into, os.fsdecode(INCOMING)).mkdir(parents=True)
    root = os.open(into, os.O_RDONLY)
    folders, claims, reader = Folders(), ContentClaims(), threading.Lock()
    batches = list(_make_batches(files))
    taking = threading.Lock()

    def work() -> None:
        copier = Copier(
            CopyRules(keep_free=0, reverify_seconds=0),
            _NoRecords(),
            folders,
            claims,
            reader,
            now=lambda: int(time.time()),
            progress=lambda _: None,
        )
        while True:
            with taking:
                if not batches:
                    break
                batch = batches.pop(0)
            assert all(isinstance(fate, Stored) for fate in copier.copy_batch(root, batch))
            copier.release()
        copier.close()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()


def render(_into: str, files: Sequence[str]) -> None:
    """Make the pictures of every file in one lane."""
    lane = Lane(RenderLimits())
    for path in files:
        lane.render(os.fsencode(path), Kind.JPEG)
    lane.close()


def _make_batches(files: Sequence[str]) -> Iterator[list[Source]]:
    batch: list[Source] = []
    total = 0
    for number, path in enumerate(files):
        size = os.stat(path).st_size
        if batch and (total + size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, total = [], 0
        batch.append(_describe(number, path, size))
        total += size
    if batch:
        yield batch


def _describe(number: int, path: str, size: int) -> Source:
    return Source(
        id=SourceId(number),
        job_id=JobId(1),
        path=os.fsencode(path),
        size=size,
        mtime_ns=0,
        kind=Kind.JPEG,
        state=SourceState.PENDING,
        asset_id=None,
        error=None,
    )


if __name__ == "__main__":
    begun = time.perf_counter()
    what, into, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    if what == "render":
        render(into, files)
    else:
        copy(into, files, threads=2 if what == "copy-by-two" else 1)
    print(time.perf_counter() - begun)
