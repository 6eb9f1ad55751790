"""Hold prepared values to the types and ranges of the dataclasses. Imports pydantic: slow to load."""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ghostroll.config.keys import all_keys
from ghostroll.config.settings import Settings


def build_settings(values: dict[str, Any]) -> tuple[Settings, frozenset[str]]:
    """Return the settings and the dotted names of the values that were refused.

    `values` is flat, by dotted name. What is missing or refused stands at its default, and at the
    root folder where there is none, so that the rest can still be judged.
    """
    try:
        return _adapter().validate_python(_nest(values)), frozenset()
    except ValidationError as error:
        refused = frozenset(_key_of(one["loc"]) for one in error.errors(include_url=False))
    rest = {"library.path": Path("/")} | {
        name: value for name, value in values.items() if name not in refused
    }
    return _adapter().validate_python(_nest(rest)), refused


def _nest(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {"library": {}}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        table = nested
        for section in sections:
            table = table.setdefault(section, {})
        table[leaf] = value
    return nested


@cache
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)


def _key_of(location: tuple[int | str, ...]) -> str:
    """Return the key that an error's location is in: a list's item, a union's branch count as the key."""
    names = [".".join(map(str, location[:length])) for length in range(len(location), 0, -1)]
    return next(name for name in names if name in all_keys())
