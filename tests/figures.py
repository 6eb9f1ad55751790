"""Running a benchmark as a person does, and reading what it found."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MACHINE = {"cores", "cpu", "memory_gib", "kernel", "filesystem", "python", "pillow", "libjpeg_turbo", "load"}


def run_benchmark(name: str, tmp_path: Path, **options: float | Path) -> dict[str, Any]:
    """Run a script as a person does; its JSON document, which agrees with the table it printed."""
    told = [f"--{key}={value}" for key, value in options.items()]
    out = tmp_path / "results" / "figures.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, *told, "--cache", tmp_path / "cache", "--json", out],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert str(tmp_path) not in text, "results can be published: whose machine it was is nobody's business"
    assert f'"{platform.node()}"' not in text
    document: dict[str, Any] = json.loads(text)
    assert document["parameters"] == {
        key: each for key, each in options.items() if not isinstance(each, Path)
    }
    assert set(document["machine"]) == MACHINE
    said, header, *rows = done.stdout.splitlines()
    assert said.startswith(f"{name}: ")
    assert header.split() == ["figure", "value", "floor", "ratio"]
    assert [row.partition("  ")[0] for row in rows] == [figure["name"] for figure in document["figures"]]
    return document


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """A document's figures by their names."""
    return {figure["name"]: figure for figure in document["figures"]}
