"""Merge file and environment into one Settings by pydantic-settings. Slow to import."""

import typing
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ghostroll.config.keys import DEFAULT_LIBRARY, PREFIX, Key, all_sections, key_at
from ghostroll.config.lines import KeyPath
from ghostroll.config.settings import Settings


class _Sources(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", case_sensitive=True, extra="forbid"
    )

    def __init__(self, *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(sources=sources)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # made from os.environ, not from what is given
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # no such file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # secrets never come this way
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources that were given, the one with the last word first."""
        sources: tuple[PydanticBaseSettingsSource, ...] = init_settings()["sources"]
        return sources


_FIELDS: Any = {
    name: (section, Field(default_factory=section))
    for name, section in typing.get_type_hints(Settings, include_extras=True).items()
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # [copy] hides BaseModel.copy, which nobody calls here
    _SECTIONS = create_model("Sections", __base__=_Sources, **_FIELDS)


def build_settings(
    table: Mapping[str, Any], variables: Mapping[Key, Any], home: str | None, default: str = DEFAULT_LIBRARY
) -> tuple[Settings, frozenset[KeyPath]]:
    """Return the settings, and the path of each name or value that was refused.

    `table` is the file's and `variables` has the last word. What is refused is left out, so that
    the rest can still be judged; `default` is the library's path where neither gives one.
    """
    try:
        return _merge(table, variables, home, default), frozenset()
    except ValidationError as error:
        refused = frozenset(
            _path_of(one["loc"]) for one in error.errors(include_url=False, include_input=False)
        )
    kept = {key: value for key, value in variables.items() if key.path not in refused}
    # Again, not only once: a refused variable may have hidden a mistake in the file.
    default = "/" if ("library", "path") in refused else default
    settings, more = build_settings(_without(table, refused), kept, home, default)
    return settings, refused | more


def _merge(
    table: Mapping[str, Any], variables: Mapping[Key, Any], home: str | None, default: str
) -> Settings:
    """Return the settings that the sources make, or raise pydantic's error with all that is wrong."""
    environment = EnvSettingsSource(_SECTIONS, case_sensitive=False)
    environment.env_vars = {key.variable.lower(): value for key, value in variables.items()}
    layers = environment(), table, {"library": {"path": default}}
    merged = _SECTIONS(*(InitSettingsSource(_SECTIONS, _with_paths(layer, home)) for layer in layers))
    return Settings(**dict(merged))


def _with_paths(table: Mapping[str, Any], home: str | None, above: KeyPath = ()) -> dict[str, Any]:
    """Return a table with its paths made: pydantic knows no other HOME, and no text that is not UTF-8."""
    made = dict(table)
    for name, raw in table.items():
        key = key_at(path := (*above, name))
        if isinstance(raw, dict) and path in all_sections():
            made[name] = _with_paths(raw, home, path)
        elif isinstance(raw, str) and key and key.type is Path:
            made[name] = _full_path(key, raw, home)
    return made


def _full_path(key: Key, raw: str, home: str | None) -> Path | None:
    """Return the path with `~` replaced; None for the empty string where that is the default."""
    if raw == key.default == "":
        return None
    if home and (raw == "~" or raw.startswith("~/")):
        return Path(home, raw[2:])
    return Path(raw)


def _without(table: Mapping[str, Any], refused: frozenset[KeyPath], above: KeyPath = ()) -> dict[str, Any]:
    return {
        name: _without(raw, refused, path) if isinstance(raw, dict) else raw
        for name, raw in table.items()
        if (path := (*above, name)) not in refused
    }


def _path_of(location: tuple[int | str, ...]) -> KeyPath:
    """Return the path of what an error is about: a list's item, a union's branch count as their key."""
    path = tuple(map(str, location))
    return next((path[:end] for end in range(1, len(path)) if key_at(path[:end])), path)
