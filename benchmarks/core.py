"""The benchmarks of `make bench`: one after the other in about ten minutes on two cores, and what they came to.

Each writes its JSON into the folder of results; the stages over time are drawn beside them. At the end every figure
that ghostroll wants to reach stands beside its goal. A benchmark that can't run here says why, and the others go on.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_HERE = Path(__file__).parent
_NOT_HERE = 2  # the exit code of a benchmark that lacks something
_SECONDS = "secured, beside a plain read of the card"
_WHOLE = "whole process, beside the slower of that read and bare renders"
_RUNS = {
    "whole-90": ("whole.py", "--speed=90", "--photos=100"),
    "whole-20": ("whole.py", "--speed=20", "--photos=40"),
    "whole-unlimited": ("whole.py", "--speed=0", "--photos=100"),
    "card-reads": ("card_reads.py", "--photos=24", "--rounds=1"),
    "parts": ("parts.py", "--rounds=1"),
    "counts": ("counts.py", "--files=20000", "--photos=24"),
    "reinsert": ("reinsert.py", "--files=10000", "--rounds=3", "--assets=1000000"),
    "slow-medium": ("slow_medium.py", "--rounds=1"),
    "first-picture": ("first_picture.py", "--photos=60", "--rounds=1"),
    "narrow-line": ("first_picture.py", "--photos=60", "--rounds=1", "--megabits=10", "--pictures-alone"),
    "stages": ("stages.py", "--svg=stages.svg"),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a run, its value or its ratio, and what it is not to exceed or to fall short of."""

    run: str
    figure: str
    what: Literal["value", "ratio"]
    least: float | None = None
    most: float | None = None


_GOALS = (
    Goal("whole-90", _SECONDS, "ratio", most=1.05),
    Goal("whole-90", _WHOLE, "ratio", most=1.10),
    Goal("whole-90", "wall of the classic design, beside ghostroll's", "ratio", least=5),
    Goal("whole-90", "CPU of the classic design, beside ghostroll's", "ratio", least=4),
    Goal("whole-90", "peak memory, beside the classic design's", "ratio", most=1 / 3),
    Goal("whole-90", "CPU a photo, beside bare renders", "ratio", most=1.0),
    Goal("whole-90", "CPU a photo of all but the render workers", "value", most=0.05),
    Goal("whole-90", "first picture in the gallery, from the start of the process", "value", most=1.5),
    Goal("whole-90", "peak memory, beside the classic design's", "value", most=300),
    Goal("card-reads", "read from the card, of its files' bytes", "ratio", most=1.01),
    Goal("counts", "the last 1000 files stored, beside the first 1000", "ratio", most=1.2),
    Goal("counts", "the last 1000 files with a picture, beside the first 1000", "ratio", most=1.2),
    Goal("counts", "peak memory with 20000 files, beside 100", "ratio", most=1.2),
    Goal("reinsert", "cold: from the card to secured", "ratio", most=1.2),
    Goal("reinsert", "cold, with more assets: from the card to secured", "ratio", most=1.2),
    Goal("first-picture", "ingest: seconds until the link is out", "value", most=1),
    Goal("first-picture", "ingest: the line, from the first picture to the last", "ratio", least=0.95),
    Goal(
        "first-picture", "with originals: the line, from the first picture to the last", "ratio", least=0.95
    ),
    Goal("first-picture", "publish: the line, from the first picture to the last", "ratio", least=0.95),
    Goal("narrow-line", "ingest: the line, from the first picture to the last", "ratio", least=0.95),
)


def main() -> None:
    """Run them all, or those that are named."""
    parser = argparse.ArgumentParser(description="the benchmarks of `make bench`, and the goals beside them")
    parser.add_argument("runs", nargs="*", choices=[*_RUNS, []], help="only these")
    parser.add_argument(
        "--results", type=Path, default=_HERE / "results" / "here", help="where the JSON goes"
    )
    parser.add_argument("--show", action="store_true", help="run none, show what is kept there")
    options = parser.parse_args()
    if options.show:
        _tell_goals(options.results)
        return
    options.results.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    failed = [name for name in options.runs or _RUNS if not _run(name, options.results)]
    print(f"taken in {time.monotonic() - begun:.0f} s; the results are in {os.path.relpath(options.results)}")
    _tell_goals(options.results)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _run(name: str, results: Path) -> bool:
    """Whether a benchmark ran, or said what it lacks."""
    out = results / f"{name}.json"
    out.unlink(missing_ok=True)
    script, *arguments = _RUNS[name]
    command: list[str | Path] = [sys.executable, _HERE / script, *arguments, "--json", out.resolve()]
    done = subprocess.run(command, check=False, cwd=results)
    print(flush=True)
    return done.returncode in (0, _NOT_HERE)


def _tell_goals(results: Path) -> None:
    rows = [("run", "figure", "is", "goal", "")]
    for goal in _GOALS:
        found = _find(results / f"{goal.run}.json", goal.figure)
        if found is None:
            continue
        value = found[goal.what]
        bound = f"<= {goal.most:.3g}" if goal.least is None else f">= {goal.least:.3g}"
        reached = value <= goal.most if goal.most is not None else value >= (goal.least or 0)
        unit = found["unit"] if goal.what == "value" else "x"
        rows.append((goal.run, goal.figure, f"{value:.3f} {unit}", bound, "" if reached else "not reached"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _find(path: Path, figure: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    figures: list[dict[str, Any]] = json.loads(path.read_text())["figures"]
    return next((one for one in figures if one["name"] == figure), None)


if __name__ == "__main__":
    main()
