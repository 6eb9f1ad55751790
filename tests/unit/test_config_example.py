"""The example file against the defaults."""

import re
import tomllib
from pathlib import Path

import pytest

from ghostroll.config import load_settings
from ghostroll.config.keys import Key, all_keys

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"
COMMENTED = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


def flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Return all values by their dotted names."""
    values: dict[str, object] = {}
    for name, value in table.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return values


def test_active_lines_are_the_defaults() -> None:
    """The example sets each key that has a default to write down, to exactly that, and no other."""
    written = flat(tomllib.loads(EXAMPLE.read_text("utf-8")))
    defaults = {
        name: list(key.default) if isinstance(key.default, tuple) else key.default
        for name, key in all_keys().items()
        if key.default != ""
    }
    assert written == defaults
    assert [type(value) for value in written.values()] == [type(defaults[name]) for name in written]


def test_every_key_stands_in_the_example_in_order() -> None:
    """With the commented lines there is every key, and none that doesn't exist, section by section."""
    everything = flat(tomllib.loads(COMMENTED.sub("", EXAMPLE.read_text("utf-8"))))
    assert list(everything) == list(all_keys())


def test_the_example_changes_nothing(tmp_path: Path) -> None:
    """Loading the example gives the settings that an empty file gives."""
    empty = tmp_path / "empty.toml"
    empty.touch()
    environ = {"HOME": "/home/ann"}
    assert load_settings(EXAMPLE, environ).settings == load_settings(empty, environ).settings


def test_commented_lines_are_valid_too(tmp_path: Path) -> None:
    """Whoever takes the # away gets a value that is accepted."""
    full = tmp_path / "full.toml"
    full.write_text(COMMENTED.sub("", EXAMPLE.read_text("utf-8")), "utf-8")
    assert load_settings(full, {"HOME": "/home/ann"}).settings.publish.s3.bucket == "my-photos"


@pytest.mark.parametrize("key", all_keys().values(), ids=all_keys())
def test_every_key_has_a_comment(key: Key) -> None:
    """Above each key, or above the pair that it belongs to, stands what it does."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    leaf = key.name.rpartition(".")[2]
    start = lines.index(f"[{key.section}]")
    number = next(
        n for n, line in enumerate(lines) if n > start and re.match(rf"(# )?{leaf} = ", line) is not None
    )
    above = [line for line in lines[start:number] if line.startswith("# ") and not COMMENTED.match(line)]
    assert above, f"{key.name} has no comment"
