"""`ghostroll config check` and `ghostroll config show`."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ghostroll.config import ConfigError, Loaded, load_settings, value_of

config_app = typer.Typer(
    name="config",
    help="Check the configuration, or show what is in force.",
    no_args_is_help=True,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read this file, not the first of $GHOSTROLL_CONFIG, ~/.config/ghostroll/config.toml "
        "and /etc/ghostroll/config.toml.",
    ),
]


@config_app.command()
def check(config: ConfigOption = None) -> None:
    """Read the configuration through and name every problem, by line.

    Ends with 0 if it is fine and with 2 if not.

    Example: ghostroll config check --config new.toml
    """
    loaded = _load(config)
    if loaded.file is None:
        typer.echo("There is no configuration file; the defaults are fine.")
    else:
        typer.echo(f"{_text(loaded.file)} is fine.")


@config_app.command()
def show(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")] = False,
) -> None:
    """Show every value that is in force and where it came from.

    Example: ghostroll config show | grep render
    """
    loaded = _load(config)
    typer.echo(format_json(loaded) if as_json else format_table(loaded))


def format_table(loaded: Loaded) -> str:
    """Return one line per key, valid TOML, with the origin of the value as a comment."""
    lines = [f"{name} = {_toml(value_of(loaded.settings, name))}" for name in loaded.origins]
    width = min(max(map(len, lines)), 60)
    return "\n".join(
        f"{line:<{width}}  # {origin}{_meaning(loaded, name)}"
        for line, (name, origin) in zip(lines, loaded.origins.items(), strict=True)
    )


def format_json(loaded: Loaded) -> str:
    """Return `{"file": ..., "values": {"library.path": {"value": ..., "from": ...}, ...}}`."""
    values = {
        name: {"value": _plain(value_of(loaded.settings, name)), "from": origin}
        for name, origin in loaded.origins.items()
    }
    file = None if loaded.file is None else _text(loaded.file)
    return json.dumps({"file": file, "values": values}, indent=2, ensure_ascii=False)


def _load(config: Path | None) -> Loaded:
    try:
        return load_settings(config, os.environ)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error


def _meaning(loaded: Loaded, name: str) -> str:
    """Say what an empty value stands for."""
    if value_of(loaded.settings, name):
        return ""
    match name:
        case "station.name":
            return ": the host's name"
        case "state.path":
            return f": {_text(loaded.settings.state_path)}"
        case "status.path":
            return ": status.json in the runtime directory"
        case _:
            return ""


def _toml(value: Any) -> str:
    # JSON's strings, numbers, booleans and lists of strings are TOML's as well.
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case None:
            return ""
        case Path():
            return _text(value)
        case StrEnum():
            return value.value
        case tuple():
            return list(value)
        case _:
            return value


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
