"""What is wrong with a configuration, in words for the person who wrote it."""

import datetime as dt
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ghostroll.config.keys import PREFIX, Key, all_keys, all_sections, key_at
from ghostroll.errors import UsageError

CREDENTIALS = (
    "credentials never stand in the configuration; give them as boto3 finds them "
    "(AWS_ACCESS_KEY_ID, ~/.aws/credentials) or as systemd credentials (LoadCredential=)"
)
_CREDENTIAL = re.compile(
    r"secret|token|passw|credential|a[ck]*cess.?key|api.?key|(^|[_.-])key([_-]?id)?$", re.IGNORECASE
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_SYNTAX = {
    "Invalid value": 'expected a value: "text" in quotes, a number, true, false or a [list]',
    "Invalid statement": "expected a key = value, a [section] or a # comment",
    "Invalid initial character for a key part": "expected the name of a key or section",
    "Cannot overwrite a value": "this key or section stands here a second time; keep one of them",
    "Expected newline or end of document after a statement": "expected the end of the line after the value",
    "Unterminated string": "expected a closing quote",
    "Illegal character '\\n'": "expected a closing quote on the same line",
    "Expected '=' after a key in a key/value pair": "expected = and a value after the key",
    "Invalid hex value": "expected \\\\ for a backslash, or the text in 'single quotes'",
    "Unescaped '\\' in a string": "expected \\\\ for a backslash, or the text in 'single quotes'",
    "Unclosed array": "expected , or ] in the list",
    "Unclosed inline table": "expected , or } in the inline table",
}


class ConfigError(UsageError):
    """The configuration can't be used. The message holds every problem, one per line."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence about one place: a line of the file (0 = the whole file) or a variable."""

    place: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line}: {self.sentence}" if self.line else f"{self.place}: {self.sentence}"


def join_problems(problems: Iterable[Problem], file: str) -> ConfigError:
    """Return one error that holds all problems: those of the file by line, then the others."""
    ordered = sorted(set(problems), key=lambda one: (one.place != file, one.place, one.line, one.sentence))
    return ConfigError("\n".join(map(str, ordered)))


def describe_syntax(error: tomllib.TOMLDecodeError, file: str, text: str) -> ConfigError:
    """Return what the TOML parser missed, with line and column, without a word of the file's content."""
    message = str(error)
    place = _PLACE.search(message)
    bare = message[: place.start()] if place else message
    if place and place[1]:
        line, column = int(place[1]), int(place[2])
    else:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if bare.startswith("Cannot declare"):
        bare = "Cannot overwrite a value"
    words = _SYNTAX.get(bare, bare[:1].lower() + bare[1:])
    return ConfigError(f"{file}:{line}:{column}: this is not TOML: {words}")


def describe_refused(path: tuple[str, ...], value: object) -> str:
    """Say what is wrong at a path whose name or value was refused."""
    if key := key_at(path):
        return describe_value(key, value)
    if path in all_sections():
        dotted = ".".join(path)
        return f"{dotted}: expected a section; write [{dotted}] and its keys below"
    return describe_unknown_section(path) if isinstance(value, dict) else describe_unknown_key(path)


def describe_unknown_key(path: tuple[str, ...]) -> str:
    """Say that there is no such key and which one may be meant. The value is never part of it."""
    if _CREDENTIAL.search(".".join(path)):
        return f"{show_key(path)}: {CREDENTIALS}"
    return f"{show_key(path)}: unknown key" + _suggest(_close_key(".".join(path)))


def describe_unknown_section(path: tuple[str, ...]) -> str:
    """Say that there is no such section and which one may be meant."""
    name = ".".join(path).lower()
    if _CREDENTIAL.search(name):
        return f"{show_key(path)}: {CREDENTIALS}"
    sections = list(map(".".join, all_sections()))
    same_end = [section for section in sections if section.rpartition(".")[2] == name]
    found = (get_close_matches(name, sections, n=1) or same_end or [""])[0]
    return f"[{show_key(path)}]: unknown section" + _suggest(f"[{found}]" if found else "")


def describe_unknown_variable(variable: str) -> str:
    """Say that an environment variable sets no key and which one may be meant."""
    name = variable.removeprefix(PREFIX)
    if _CREDENTIAL.search(name):
        return CREDENTIALS
    known = {key.variable.removeprefix(PREFIX): key.variable for key in all_keys().values()}
    close = get_close_matches(name.upper(), known, n=1)
    return "no key of the configuration has this name" + _suggest(known[close[0]] if close else "")


def describe_value(key: Key, value: object) -> str:
    """Say what a key expects and what it got instead. Under publish.s3 the value is not repeated."""
    got = "" if key.section == "publish.s3" else f", got {_show(value)}"
    return f"{key.name}: expected {key.expected}{got}"


def _suggest(name: str) -> str:
    return f"; did you mean {name}?" if name else ""


def _close_key(name: str) -> str:
    """Return the known key that looks like it: in its own section first, then by its last part anywhere."""
    section, _, leaf = name.lower().rpartition(".")
    at_home = [key.name for key in all_keys().values() if key.section == section]
    for names, cutoff in ((at_home, 0.6), (list(all_keys()), 0.75)):
        # "treads" is meant for "threads_per_card": the beginnings of a name count as well.
        spellings: dict[str, str] = {}
        for known in names:
            words = known.rpartition(".")[2].split("_")
            for count in range(len(words), 0, -1):
                spellings.setdefault("_".join(words[:count]), known)
        if close := get_close_matches(leaf, spellings, n=1, cutoff=cutoff):
            return spellings[close[0]]
    return ""


def _show(value: object) -> str:
    """Return a value as one short line, the way TOML writes it."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = json.dumps(value, ensure_ascii=not value.isprintable())
        case dict():
            text = "a section"
        case list() | tuple():
            text = "a list" if any(isinstance(one, dict | list) for one in value) else _show_list(value)
        case int() | float() | dt.date() | dt.time():
            text = _show_number(value)
        case _:
            text = str(value)
    return text if len(text) <= 60 else text[:56] + " ..."


def _show_list(values: list[object] | tuple[object, ...]) -> str:
    return "[" + ", ".join(_show(one) for one in values[:20]) + "]"


def _show_number(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes out
        return "a very long number"


def show_key(path: tuple[str, ...]) -> str:
    """Return a dotted name as TOML writes it, in quotes where a part needs them, and not too long."""
    name = ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in path)
    return name if len(name) <= 80 else name[:76] + " ..."
