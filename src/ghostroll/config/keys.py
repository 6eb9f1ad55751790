"""The list of all keys, read from the dataclasses, with what a person is told about each."""

import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from ghostroll.config.settings import Settings
from ghostroll.config.values import Expected

DEFAULT_LIBRARY = "~/Pictures/ghostroll"
PREFIX = "GHOSTROLL_"

KeyType = type[bool] | type[int] | type[str] | type[Path] | type[StrEnum] | type[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration.

    `default` is what one would write in TOML. `expected` completes the sentence "expected ...".
    """

    name: str
    type: KeyType
    default: bool | int | str | tuple[str, ...]
    expected: str

    @property
    def variable(self) -> str:
        """The environment variable that sets this key."""
        return PREFIX + self.name.replace(".", "__").upper()

    @property
    def path(self) -> tuple[str, ...]:
        """The names that lead to this key in the file."""
        return tuple(self.name.split("."))

    @property
    def section(self) -> str:
        """The name of the table that the key stands in."""
        return self.name.rpartition(".")[0]


@cache
def all_keys() -> dict[str, Key]:
    """Return every key by its dotted name, in the order of the sections."""
    return {key.name: key for key in _keys_of(Settings, "")}


@cache
def all_sections() -> tuple[tuple[str, ...], ...]:
    """Return the path of every section."""
    return tuple(dict.fromkeys(key.path[:-1] for key in all_keys().values()))


def key_at(path: tuple[str, ...]) -> Key | None:
    """Return the key that a path in the file leads to; a quoted "library.path" is none."""
    key = all_keys().get(".".join(path))
    return key if key and key.path == path else None


def _keys_of(section: type, prefix: str) -> Iterator[Key]:
    hints = typing.get_type_hints(section, include_extras=True)
    for item in fields(section):
        name, hint = prefix + item.name, hints[item.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _keys_of(hint, name + ".")
        else:
            kind, marks = _unwrap(hint)
            default = DEFAULT_LIBRARY if item.default is MISSING else item.default
            if default is None or isinstance(default, StrEnum):
                default = str(default or "")
            yield Key(name, kind, default, _expected(kind, marks))


def _unwrap(hint: Any) -> tuple[KeyType, tuple[object, ...]]:
    """Split a field's annotation into its plain type and its marks; `X | None` counts as X."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(one for one in typing.get_args(hint) if one is not types.NoneType)
    marks: tuple[object, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        marks = tuple(rest)
    return typing.get_origin(hint) or hint, marks


def _expected(kind: KeyType, marks: tuple[object, ...]) -> str:
    for mark in reversed(marks):  # the outermost says it best
        if isinstance(mark, Expected):
            return mark.words
        if isinstance(mark, Interval):
            return f"a whole number from {mark.ge} to {mark.le}"
    if issubclass(kind, StrEnum):
        return "one of: " + ", ".join(kind)
    assert kind is bool, kind  # a new sort of key needs its words
    return "true or false"


def value_of(settings: Settings, name: str) -> Any:
    """Return the value of a key by its dotted name."""
    return attrgetter(name)(settings)
