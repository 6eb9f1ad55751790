"""Find the file, lay the environment over it, and turn both into one Settings."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ghostroll.config.keys import PREFIX, Key, all_keys, key_at
from ghostroll.config.lines import KeyPath, index_lines, line_of
from ghostroll.config.problems import (
    ConfigError,
    Problem,
    describe_refused,
    describe_syntax,
    describe_unknown_variable,
    join_problems,
    show_key,
)
from ghostroll.config.settings import Settings, disagreements

SYSTEM_FILE = Path("/etc/ghostroll/config.toml")
DEFAULT = "default"
MAX_BYTES = 64 * 1024  # the example, with all its comments, has a tenth of it
MAX_DOTS = 500  # in a line; the parser's memory grows with the square of a dotted key's parts
# Names that begin like a key and are none: the file itself, and what only tests use.
NOT_KEYS = frozenset(PREFIX + name for name in ("CONFIG", "CRASH_AT", "CRASH_LOG", "SAMPLES", "RENDER_FAULT"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and for every key where its value came from.

    `origins` maps dotted names to "default", "/path/config.toml:12" or "environment GHOSTROLL_X__Y".
    `file` is None where no file was found.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


@dataclass(frozen=True, slots=True)
class _Value:
    """A raw value, and the place and line it was written in."""

    raw: Any
    place: str
    line: int = 0
    from_environment: bool = False

    @property
    def is_default(self) -> bool:
        return self.place == DEFAULT

    @property
    def origin(self) -> str:
        if self.from_environment:
            return f"environment {self.place}"
        return f"{self.place}:{self.line}" if self.line else self.place


@dataclass(frozen=True, slots=True)
class _Written:
    """What stands in the file and in the environment, as it was written."""

    place: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[Key, Any] = field(default_factory=dict)

    def find(self, path: KeyPath) -> _Value:
        """Return the value in force at a path, as it was written."""
        key = key_at(path)
        if key and key in self.variables:
            return _Value(self.variables[key], key.variable, from_environment=True)
        raw: Any = self.table
        for name in path:
            if not isinstance(raw, dict) or name not in raw:
                return _Value(key and key.default, DEFAULT)
            raw = raw[name]
        return _Value(raw, self.place, line_of(path, self.lines) or 0)


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Return the settings from the file and the environment, which has the last word.

    `config` is the file that the command line names; without it, `find_config` decides. Raises
    ConfigError with every problem at once, or with the one that keeps the file from being read.
    """
    file = find_config(config, environ)
    written = _read_file(file) if file else _Written()
    problems: list[Problem] = []
    variables = _read_variables(environ, problems)
    home = _home(environ)
    # The file is judged on its own too: a variable may not hide a mistake in it.
    if variables:
        _judge(written, home, problems, frozenset(key.path for key in variables))
    written = replace(written, variables=variables)
    settings = _judge(written, home, problems)
    if problems:
        raise join_problems(problems, written.place)
    origins = {name: written.find(key.path).origin for name, key in all_keys().items()}
    return Loaded(settings, origins, file)


def find_config(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the first named one, else the first that exists, else None.

    A file named by `config` or by GHOSTROLL_CONFIG that isn't there is a ConfigError.
    """
    named = config or (Path(variable) if (variable := environ.get("GHOSTROLL_CONFIG")) else None)
    if named is not None:
        return named
    return next((path for path in _usual_places(environ) if _is_there(path)), None)


def _usual_places(environ: Mapping[str, str]) -> Iterator[Path]:
    base = environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(base):  # the XDG specification says to ignore any other
        yield Path(base, "ghostroll", "config.toml")
    elif home := _home(environ):
        yield Path(home, ".config", "ghostroll", "config.toml")
    yield SYSTEM_FILE


def _is_there(path: Path) -> bool:
    """Whether a file is there, readable or not: one that can't be read must not be passed over."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"{_shown(path)}: can't be read: {error.strerror}") from error
    return True


def _home(environ: Mapping[str, str]) -> str | None:
    if os.path.isabs(home := environ.get("HOME", "")):
        return home
    home = os.path.expanduser("~")
    return home if os.path.isabs(home) else None


def _read_file(file: Path) -> _Written:
    """Return the file's values with their lines."""
    # Not by TomlConfigSettingsSource: it passes over a file that is missing, has no limits, keeps no lines.
    text = _read_text(file)
    place = _shown(file)
    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
        raise _too_deep(place)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise describe_syntax(error, place, text) from error
    except RecursionError as error:
        raise _too_deep(place) from error
    except ValueError as error:  # int() refuses thousands of digits
        raise ConfigError(f"{place}: this is not a configuration: a number in it is far too long") from error
    return _Written(place, table, index_lines(text))


def _too_deep(place: str) -> ConfigError:
    return ConfigError(f"{place}: this is not a configuration: things stand too deep in each other")


def _read_text(file: Path) -> str:
    """Return the file's text with plain line ends and without a byte order mark."""
    place = _shown(file)
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{place}: there is no such file; name an existing one or leave it out") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{place}: this is a folder; name the file in it") from error
    except PermissionError as error:
        raise ConfigError(f"{place}: not readable for this user; change its owner or mode") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"{place}: can't be read: {getattr(error, 'strerror', error)}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{place}: larger than {MAX_BYTES // 1024} KiB: this can't be a configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place}:{line}: not UTF-8 text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n")


def _read_variables(environ: Mapping[str, str], problems: list[Problem]) -> dict[Key, Any]:
    """Return the values that variables set. Unknown names go to `problems`: EnvSettingsSource ignores them."""
    known = {key.variable: key for key in all_keys().values()}
    values: dict[Key, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_KEYS:
            continue
        if key := known.get(variable):
            values[key] = _from_text(key, environ[variable])
        else:
            problems.append(Problem(show_key((variable,)), 0, describe_unknown_variable(variable)))
    return values


def _from_text(key: Key, text: str) -> Any:
    """Turn a variable's text into the sort of value that TOML would give, or leave it as it is."""
    # Not by EnvSettingsSource: it does not look into plain dataclasses for the type, and knows JSON, not TOML.
    if key.type is bool and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if key.type is int and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if key.type is tuple:
        try:
            parsed = tomllib.loads(f"value = {text}")
        except (ValueError, RecursionError):
            return text
        return parsed["value"] if len(parsed) == 1 else text
    return text


def _judge(
    written: _Written,
    home: str | None,
    problems: list[Problem],
    still_to_come: frozenset[KeyPath] = frozenset(),
) -> Settings:
    """Return the settings that all this makes. What is refused goes to `problems`, and its default stands in.

    How a key that is `still_to_come` goes together with others is not judged.
    """
    from ghostroll.config.merging import build_settings  # noqa: PLC0415  # pydantic-settings: slow to import

    settings, refused = build_settings(written.table, written.variables, home)
    for path in refused:
        value = written.find(path)
        problems.append(_problem(value, describe_refused(path, value.raw)))
    for names, sentence in disagreements(settings):
        paths = [all_keys()[name].path for name in names]
        if (refused | still_to_come).isdisjoint(paths):
            values = [written.find(path) for path in paths]
            blamed = next((value for value in values if not value.is_default), values[0])
            problems.append(_problem(blamed, f"{names[0]}: {sentence}"))
    return settings


def _problem(value: _Value, sentence: str) -> Problem:
    return Problem(value.place, value.line, sentence)


def _shown(path: Path) -> str:
    """Return a path as text that any terminal and log takes."""
    return os.fsencode(path).decode("utf-8", "replace")
