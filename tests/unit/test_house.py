"""The house rules that a machine can hold: walls between rooms, one home for SQL, tests that speak."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.cli import lint_imports as _configure  # noqa: F401  # importing it sets the linter up

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = 400  # lines of a module

_SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|PRAGMA\s|CREATE\s+\w+|BEGIN\b|COMMIT\b)"
)
_NEXT_SENTENCE = re.compile(r"[.!?]\s+[A-Z]")


def name_of(path: Path) -> str:
    """A file as it is called in a report."""
    return str(path.relative_to(ROOT))


def find_sleeps(tree: ast.AST) -> Iterator[str]:
    """Calls of anything named `sleep`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name == "sleep":
                yield f"line {node.lineno} sleeps"


def find_silent_tests(tree: ast.AST) -> Iterator[str]:
    """Test functions without a docstring of exactly one sentence."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            words = " ".join((ast.get_docstring(node) or "").split())
            if not words.endswith((".", "!", "?")) or _NEXT_SENTENCE.search(words):
                yield f"{node.name} is not described in one sentence: {words!r}"


def find_sql(tree: ast.AST) -> Iterator[str]:
    """Statements of SQL, and calls that would run one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value):
            yield f"line {node.lineno}: {node.value[:40]!r}"
        if isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany", "executescript"):
            yield f"line {node.lineno} runs a statement"


def find_crash_points(tree: ast.AST) -> Iterator[str]:
    """Names of crash points, as they stand there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "crash_point":
            (name,) = node.args
            yield str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name)


def complain(find: Callable[[ast.AST], Iterator[str]], paths: list[Path]) -> list[str]:
    """What a check finds in these files."""
    return [
        f"{name_of(path)}: {complaint}"
        for path in paths
        for complaint in find(ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_the_walls_between_the_rooms_stand() -> None:
    """Every contract about who may import whom is kept."""
    assert lint_imports(str(ROOT / "pyproject.toml"), cache_dir=None, no_logo=True)


def test_a_module_fits_in_a_head() -> None:
    """No module of the source is longer than 400 lines."""
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert len(lengths) > 40
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_sql_has_one_home() -> None:
    """Every statement of SQL stands in the room `state`, and nowhere else."""
    outside = [path for path in SOURCES if "state" not in path.parts]
    assert complain(find_sql, outside) == []
    assert complain(find_sql, [path for path in SOURCES if "state" in path.parts]) != []


def test_every_test_says_what_it_holds() -> None:
    """Each test function has a docstring of one sentence."""
    assert complain(find_silent_tests, TESTS) == []


def test_no_test_sleeps() -> None:
    """Tests wait for what they want, never for time to pass."""
    assert complain(find_sleeps, TESTS) == []


def test_crash_points_are_unique() -> None:
    """Each crash point stands at one place, so that a kill there means one thing."""
    names = Counter(
        name for path in SOURCES for name in find_crash_points(ast.parse(path.read_text(encoding="utf-8")))
    )
    assert len(names) > 30
    assert [name for name, number in names.items() if number > 1] == []
    assert [name for name in names if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name)] == []


def test_test_files_have_names_of_their_own() -> None:
    """No two test files share a name, wherever they stand."""
    assert [
        name
        for name, number in Counter(path.name for path in TESTS if path.name != "conftest.py").items()
        if number > 1
    ] == []


@pytest.mark.parametrize(
    ("find", "code"),
    [
        (find_sleeps, "time.sleep(1)"),
        (find_sleeps, "from time import sleep\nsleep(1)"),
        (find_silent_tests, "def test_a():\n    pass"),
        (find_silent_tests, "def test_a():\n    '''No full stop'''"),
        (find_silent_tests, "def test_a():\n    '''One. Two.'''"),
        (find_sql, "x = 'SELECT 1'"),
        (find_sql, "x = f'UPDATE task SET a = {b}'"),
        (find_sql, "db.executemany(x)"),
        (find_crash_points, "crash_point('a.b')"),
        (find_crash_points, "faults.crash_point('a.b')"),
    ],
)
def test_the_checks_see(find: Callable[[ast.AST], Iterator[str]], code: str) -> None:
    """Each check finds what it is there for."""
    assert list(find(ast.parse(code)))
