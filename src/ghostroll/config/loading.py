"""Find the file, lay the environment over it, and turn both into one Settings."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ghostroll.config.keys import PREFIX, Key, all_keys, all_sections
from ghostroll.config.lines import index_lines, line_of
from ghostroll.config.problems import (
    ConfigError,
    Problem,
    describe_syntax,
    describe_unknown_key,
    describe_unknown_section,
    describe_unknown_variable,
    describe_value,
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


Layer = dict[str, _Value]


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Return the settings from the file and the environment, which has the last word.

    `config` is the file that the command line names; without it, `find_config` decides. Raises
    ConfigError with every problem at once, or with the one that keeps the file from being read.
    """
    file = find_config(config, environ)
    place = _shown(file) if file else ""
    problems: list[Problem] = []
    from_file = _read_layer(file, problems) if file else {}
    from_environment = _environment_layer(environ, problems)
    default = {name: _Value(key.default, DEFAULT) for name, key in all_keys().items()}
    in_force = default | from_file | from_environment
    home = _home(environ)
    # The file is judged on its own too: a variable may not hide a mistake in it.
    if from_environment:
        _validate(default | from_file, home, problems)
    settings = _validate(in_force, home, problems)
    if problems:
        raise join_problems(problems, place)
    return Loaded(settings, {name: value.origin for name, value in in_force.items()}, file)


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


def _read_layer(file: Path, problems: list[Problem]) -> Layer:
    """Read the file's values with their lines. Unknown names go to `problems`."""
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
    lines = index_lines(text)
    values: Layer = {}
    for path, raw, sentence in _flatten(table, ()):
        line = line_of(path, lines) or 0
        if sentence:
            problems.append(Problem(place, line, sentence))
        else:
            values[".".join(path)] = _Value(raw, place, line)
    return values


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


def _flatten(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Yield (path, value, what is wrong with the name) for all that stands in a table."""
    sections = {tuple(section.split(".")) for section in all_sections()}
    keys = {tuple(name.split(".")) for name in all_keys()}
    for name, raw in table.items():
        path = (*above, name)
        if path in keys:
            yield path, raw, ""
        elif path in sections and isinstance(raw, dict):
            yield from _flatten(raw, path)
        elif path in sections:
            dotted = ".".join(path)
            yield path, raw, f"{dotted}: expected a section; write [{dotted}] and its keys below"
        elif isinstance(raw, dict):
            yield path, raw, describe_unknown_section(path)
        else:
            yield path, raw, describe_unknown_key(path)


def _environment_layer(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """Read the values that variables set. Unknown names go to `problems`."""
    known = {key.variable: key for key in all_keys().values()}
    values: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_KEYS:
            continue
        if key := known.get(variable):
            values[key.name] = _Value(_from_text(key, environ[variable]), variable, from_environment=True)
        else:
            problems.append(Problem(show_key((variable,)), 0, describe_unknown_variable(variable)))
    return values


def _from_text(key: Key, text: str) -> Any:
    """Turn a variable's text into the sort of value that TOML would give, or leave it as it is."""
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


def _validate(layer: Layer, home: str | None, problems: list[Problem]) -> Settings:
    """Return the settings that a layer makes. Where a value is refused, `problems` says so, and the default stands in."""
    from ghostroll.config.validating import build_settings  # noqa: PLC0415  # pydantic: 50 ms at start-up

    prepared: dict[str, Any] = {}
    for name, value in layer.items():
        with suppress(ValueError):
            prepared[name] = _prepare(all_keys()[name], value.raw, home)
    settings, refused = build_settings(prepared)
    wrong = refused | (layer.keys() - prepared.keys())
    problems.extend(
        _problem(layer[name], describe_value(all_keys()[name], layer[name].raw)) for name in wrong
    )
    for names, sentence in disagreements(settings):
        if wrong.isdisjoint(names):
            blamed = next((layer[name] for name in names if not layer[name].is_default), layer[names[0]])
            problems.append(_problem(blamed, f"{names[0]}: {sentence}"))
    return settings


def _prepare(key: Key, raw: Any, home: str | None) -> Any:
    """Return what the field's type takes. Raises ValueError where TOML's type is not the key's.

    Pydantic alone would take "yes" for true and 2.0 for 2; a file deserves a clear answer instead.
    """
    written_as: type = str if issubclass(key.type, str | Path) else key.type
    if written_as is tuple:
        if not isinstance(raw, list | tuple) or not all(type(one) is str for one in raw):
            raise ValueError(key.name)
        return tuple(raw)
    if type(raw) is not written_as:
        raise ValueError(key.name)
    return _full_path(key, str(raw), home) if key.type is Path else raw


def _full_path(key: Key, raw: str, home: str | None) -> Path | None:
    """Return the path with `~` replaced; None for the empty string where that is the default."""
    if raw == key.default == "":
        return None
    if home and (raw == "~" or raw.startswith("~/")):
        return Path(home, raw[2:])
    return Path(raw)


def _problem(value: _Value, sentence: str) -> Problem:
    return Problem(value.place, value.line, sentence)


def _shown(path: Path) -> str:
    """Return a path as text that any terminal and log takes."""
    return os.fsencode(path).decode("utf-8", "replace")
