"""What a benchmark runs on: made cards, and a fresh place for a library."""

import compileall
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Cost, give_up, measure
from PIL import Image

import ghostroll
from ghostroll.demo.photos import make_textured_jpeg

_BYTES_PER_PIXEL = 9_000_000 / 24e6  # of a camera's JPEG at its better quality


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder for one run, and the environment of a user who has nothing but a library in it."""

    folder: Path
    environment: dict[str, str]

    @property
    def library(self) -> Path:
        """Where the library of this run is."""
        return self.folder / "library"

    @property
    def state(self) -> Path:
        """Its database."""
        return self.library / ".ghostroll" / "state.db"

    def ingest(
        self,
        card: Path,
        *,
        enter: Callable[..., list[str | Path]] | None = None,
        watch_memory: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Any], Cost]:
        """Run `ghostroll ingest CARD --json`; its document and its cost. Ends the benchmark where it fails.

        `enter` may turn the command into another one that runs it; `settings` are added to its environment.
        """
        command: list[str | Path] = [sys.executable, "-m", "ghostroll", "ingest", card, "--json"]
        if enter is not None:
            command = enter(*command)
        cost = measure(command, {**self.environment, **(settings or {})}, watch_memory=watch_memory)
        if cost.code != 0:
            give_up(
                f"'ghostroll ingest' ended with exit code {cost.code}: a benchmark of a failure says nothing"
            )
        return json.loads(cost.out), cost


@contextlib.contextmanager
def open_stage(cache: Path) -> Iterator[Stage]:
    """A fresh stage on the cache's disk, removed at the end; ghostroll is compiled, as an installation is."""
    compileall.compile_dir(Path(ghostroll.__file__).parent, quiet=1)
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "library").mkdir()
        ours = ("GHOSTROLL_", "XDG_", "STATE_DIRECTORY")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        yield Stage(
            folder,
            clean
            | {
                "HOME": str(folder / "home"),
                "GHOSTROLL_LIBRARY__PATH": str(folder / "library"),
                "GHOSTROLL_LIBRARY__KEEP_FREE_MIB": "16",
                "GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM": "true",
            },
        )


def make_photo_card(cache: Path, folder: Path, *, photos: int, megapixels: float) -> Path:
    """A card of this many photos of this size, as links into the cache, which keeps them for the next run."""
    kept = cache / f"photos-{megapixels:g}mp"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    dcim = folder / "card" / "DCIM" / "100BENCH"
    dcim.mkdir(parents=True)
    for number in range(photos):
        name = f"IMG_{number + 1:04}.JPG"
        if not (kept / name).exists():
            data = make_textured_jpeg(number, megapixels, round(megapixels * 1e6 * _BYTES_PER_PIXEL))
            (kept / "making").write_bytes(data)
            (kept / "making").rename(kept / name)
        os.link(kept / name, dcim / name)
    os.sync()
    return folder / "card"


def make_small_card(folder: Path, *, files: int, size: int) -> Path:
    """A card of tiny pictures, each padded to `size` bytes behind its end, no two alike."""
    rng = random.Random(1)
    for number in range(files):
        dcim = folder / "card" / "DCIM" / f"{100 + number // 500}BENCH"
        dcim.mkdir(parents=True, exist_ok=True)
        picture = io.BytesIO()
        Image.new("RGB", (48, 32), (number % 256, number // 256 % 256, 128)).save(picture, "JPEG")
        padding = rng.randbytes(max(0, size - picture.tell()))
        (dcim / f"IMG_{number + 1:04}.JPG").write_bytes(picture.getvalue() + padding)
    os.sync()
    return folder / "card"


def list_files(card: Path) -> list[Path]:
    """All files of a card in a stable order."""
    return sorted(path for path in card.rglob("*") if path.is_file())


def drop_from_cache(files: Iterable[Path]) -> None:
    """Ask the kernel to forget these files' bytes. Advice only: a memory filesystem can't follow it."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def warm_cache(files: Iterable[Path]) -> None:
    """Have these files' bytes in the page cache."""
    for path in files:
        path.read_bytes()


def forget_run(stage: Stage) -> None:
    """Empty the library and what the user remembers of it, for a first ingest once more."""
    for folder in (stage.library, stage.folder / "home"):
        shutil.rmtree(folder)
        folder.mkdir()
