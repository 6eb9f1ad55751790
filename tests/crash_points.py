"""The places in the source where a test may kill the program."""

import ast
from pathlib import Path

OF_HEALING = ("heal.",)  # reached only by `verify --heal`
OF_BUCKET = ("upload.", "stream.", "link.", "confirmed.", *OF_HEALING)  # reached only where there is one
SOURCE = Path(__file__).resolve().parents[1] / "src" / "ghostroll"


def find_points() -> list[str]:
    """Every crash point that stands in the source."""
    found = set()
    for module in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "crash_point":
                (name,) = node.args
                assert isinstance(name, ast.Constant), (
                    f"{module}: a crash point's name must stand there literally"
                )
                assert isinstance(name.value, str)
                found.add(name.value)
    return sorted(found)
