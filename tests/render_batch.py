"""Rendering many spoilt files in a process of its own, as a station does: one lane, one file at a time.

`python tests/render_batch.py` reads JSON of a `Batch`: ten thousand names are too long for a command line. It prints a
`Harvest` as JSON.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mutants import make_mutant, read_stock
from processes import Belongings, count_belongings
from waiting import wait_for

from ghostroll.errors import InnocentError, PermanentError, TransientError
from ghostroll.model import Kind
from ghostroll.render.lane import Lane, RenderLimits


@dataclass(frozen=True, slots=True)
class Batch:
    """What to render: seeds of a family, and how; `files` are given by path and kind instead."""

    samples: str
    place: str
    family: str = ""
    first: int = 0
    count: int = 0
    files: Sequence[tuple[str, str]] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    lanes: int = 1  # that share the files
    faults: str = ""  # which workers fail, as ghostroll.render.worker has it


@dataclass(slots=True)
class Harvest:
    """How each file ended, and what it cost."""

    rendered: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)  # what was said of a file
    innocent: dict[str, str] = field(default_factory=dict)  # said though no file was at fault
    seconds: dict[str, float] = field(default_factory=dict)  # of those that took longer than one
    largest_worker: int = 0  # bytes of memory, resident at most
    growth: int = 0  # bytes that this process grew by
    before: Belongings | None = None
    after: Belongings | None = None
    during: list[Belongings] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How often each sentence was said."""
        return Counter(self.named.values())


def run_batch(batch: Batch, before: Sequence[str | Path] = (), timeout: float = 3000) -> Harvest:
    """Render a batch to its end; `before` is what the process is started by."""
    done = subprocess.run(
        [*before, sys.executable, __file__],
        input=json.dumps(asdict(batch)).encode(),
        capture_output=True,
        check=False,
        timeout=timeout,
        env={name: value for name, value in os.environ.items() if not name.startswith("GHOSTROLL_")}
        | {"PYTHONPATH": str(Path(__file__).parent), "GHOSTROLL_RENDER_FAULT": batch.faults},
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    found = json.loads(done.stdout)
    for when in ("before", "after"):
        found[when] = Belongings(**found[when])
    found["during"] = [Belongings(**held) for held in found["during"]]
    return Harvest(**found)


def render_batch(batch: Batch) -> Harvest:
    """Render everything, here."""
    harvest = Harvest()
    harvest.before = count_belongings(os.getpid())
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    threads = [threading.Thread(target=_work, args=(batch, harvest, number)) for number in range(batch.lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    harvest.largest_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    harvest.growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - own) << 10
    # A thread that was joined is gone for the kernel a moment later.
    with contextlib.suppress(AssertionError):
        wait_for(lambda: count_belongings(os.getpid()) == harvest.before, "something is left", 5)
    harvest.after = count_belongings(os.getpid())
    return harvest


def _work(batch: Batch, harvest: Harvest, number: int) -> None:
    """One lane's share, in the thread that owns it."""
    lane = Lane(RenderLimits(**batch.limits))  # type: ignore[arg-type]  # whole numbers where they must be
    try:
        if batch.family:
            _render_mutants(lane, batch, harvest)
        share = batch.files[number :: batch.lanes]
        for done, (name, kind) in enumerate(share):
            _render(lane, harvest, name, Path(batch.place, name), Kind(kind))
            if number == 0 and done % max(1, len(share) // 10) == 0 and done < len(share) * 9 // 10:
                harvest.during.append(count_belongings(os.getpid()))
    finally:
        lane.close()


def _render_mutants(lane: Lane, batch: Batch, harvest: Harvest) -> None:
    stock = read_stock(Path(batch.samples), batch.family)
    for seed in range(batch.first, batch.first + batch.count):
        mutant = make_mutant(stock, seed)
        path = Path(batch.place, mutant.name.replace(":", "-"))
        path.write_bytes(mutant.data)
        _render(lane, harvest, mutant.name, path, mutant.kind)
        path.unlink()


def _render(lane: Lane, harvest: Harvest, name: str, path: Path, kind: Kind) -> None:
    began = time.monotonic()
    try:
        lane.render(bytes(path), kind)
        harvest.rendered.append(name)
    except InnocentError as error:
        harvest.innocent[name] = str(error)
    except (PermanentError, TransientError) as error:
        harvest.named[name] = str(error)
    took = time.monotonic() - began
    if took > 1:
        harvest.seconds[name] = round(took, 1)


if __name__ == "__main__":
    json.dump(asdict(render_batch(Batch(**json.load(sys.stdin)))), sys.stdout)
