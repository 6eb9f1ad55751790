"""What a child process costs, and how a figure is shown beside its floor.

A figure is only worth something beside its floor from the same run: the least that anybody could do
it with, on this machine, at this moment. CPU seconds are of the whole tree of processes, as the kernel
counts them (getrusage(2), RUSAGE_CHILDREN).
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import PIL
from memory import MemoryWatch
from PIL import features

from ghostroll.cards.volume import tell_filesystem

_BLOCK = 512  # bytes; the unit of ru_inblock


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took, its children's included. Seconds, bytes; `out` is its standard output.

    `own_cpu` is the command's process alone, with all its threads and without its children.
    """

    wall: float
    cpu: float
    own_cpu: float
    disk_read: int
    peak_memory: int
    code: int
    out: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table: rounds of a value and of its floor, taken in turns."""

    name: str
    unit: str
    values: tuple[float, ...]
    floors: tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """The median round."""
        return statistics.median(self.values)

    @property
    def floor(self) -> float | None:
        """The median round of the floor; None where there is none."""
        return statistics.median(self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of each round, so that noise common to a round drops out."""
        if not self.floors or not all(self.floors):
            return None
        return statistics.median(value / floor for value, floor in zip(self.values, self.floors, strict=True))


def measure(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    watch_memory: bool = False,
    keep_out: bool = True,
) -> Cost:
    """Run a command to its end, alone among this process's children, and tell what it took.

    Without `keep_out` what it prints goes nowhere, at no cost.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    out_to = subprocess.PIPE if keep_out else subprocess.DEVNULL
    with (
        subprocess.Popen(command, env=environment, stdout=out_to) as process,
        MemoryWatch(process.pid) if watch_memory else contextlib.nullcontext() as watch,
    ):
        out = b"" if process.stdout is None else process.stdout.read()
        own_cpu = _wait_for_own_cpu(process.pid)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        wall=wall,
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        own_cpu=own_cpu,
        disk_read=(after.ru_inblock - before.ru_inblock) * _BLOCK,
        peak_memory=0 if watch is None else watch.peak,
        code=process.returncode,
        out=out.decode(),
    )


def _wait_for_own_cpu(pid: int) -> float:
    """CPU seconds of a child's own threads, once it has ended and before it is reaped; in hundredths."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    # proc(5): the name in brackets may hold anything, so count from its end; utime and stime are in ticks.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def option_parser(what: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file as well")
    cache = Path(tempfile.gettempdir()) / f"ghostroll-benchmarks-{os.getuid()}"
    parser.add_argument(
        "--cache",
        type=Path,
        default=cache,
        metavar="FOLDER",
        help="where made pictures are kept for the next run, and libraries for the time of one",
    )
    return parser


def report(options: argparse.Namespace, figures: Sequence[Figure]) -> None:
    """Print the table; write the JSON document where one is wanted."""
    # Where something lies is nobody's business.
    parameters = {
        key: value
        for key, value in vars(options).items()
        if value is not None and value is not False and not isinstance(value, Path)
    }
    said = ", ".join(key if value is True else f"{value} {key}" for key, value in parameters.items())
    print(f"{Path(sys.argv[0]).name}: {said}")
    rows = [("figure", "value", "floor", "ratio")]
    for figure in figures:
        floor = "" if figure.floor is None else _say(figure.floor, figure.unit)
        ratio = "" if figure.ratio is None else f"{figure.ratio:.3f}"
        rows.append((figure.name, _say(figure.value, figure.unit), floor, ratio))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, *cells in rows:
        aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join((f"{name:<{widths[0]}}", *aligned)).rstrip())
    if options.json is not None:
        document = {
            "benchmark": Path(sys.argv[0]).stem,
            "parameters": parameters,
            "machine": describe_machine(options.cache),
            "figures": [_document(figure) for figure in figures],
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def describe_machine(folder: Path) -> dict[str, Any]:
    """What somebody else needs to judge the figures; nothing that tells whose machine it is."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "filesystem": tell_filesystem(os.fsencode(folder)),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def give_up(sentence: str) -> NoReturn:
    """End with what is missing and the exit code of a wrong use."""
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {sentence}\n")
    sys.exit(2)


def _say(value: float, unit: str) -> str:
    digits = 0 if value >= 1000 else 1 if value >= 100 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()


def _document(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "value": round(figure.value, 5),
        "floor": None if figure.floor is None else round(figure.floor, 5),
        "ratio": None if figure.ratio is None else round(figure.ratio, 4),
        "values": [round(value, 5) for value in figure.values],
        "floors": [round(floor, 5) for floor in figure.floors],
    }


def _cpu_model() -> str:
    """The first name that /proc/cpuinfo has: x86 says `model name`, a Pi says `Model` at the end."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    return fields.get("model name") or fields.get("hardware") or fields.get("model") or platform.machine()
