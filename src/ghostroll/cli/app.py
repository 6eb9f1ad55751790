"""All commands of ghostroll, and the one place where an error ends the program."""

import gc
import importlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer import TyperException

from ghostroll import __version__
from ghostroll.cli.streams import open_streams
from ghostroll.errors import GhostrollError, MachineShort, StateUnusable, UsageError
from ghostroll.observe.wording import say_name

# In the order in which help lists them. Only the module of the command that is typed is loaded: a card's first
# picture waits for it.
_MODULES = {
    "ingest": "ingest",
    "daemon": "daemon",
    "demo": "demo",
    "status": "reports",
    "jobs": "reports",
    "show": "reports",
    "link": "sharing",
    "retry": "upkeep",
    "close": "upkeep",
    "publish": "sharing",
    "verify": "upkeep",
    "adopt": "upkeep",
    "doctor": "doctor",
    "config": "config_commands",
}


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The command line, with the one command that `arguments` name; with all where they name none."""
    app = typer.Typer(
        name="ghostroll",
        help="Put a camera card in and walk away: every file safe and verified, every picture in one private gallery.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    first = arguments[0] if arguments else ""
    for name in (first,) if first in _MODULES else _MODULES:
        module = importlib.import_module(f"ghostroll.cli.{_MODULES[name]}")
        if name == "config":
            app.add_typer(module.config_app, name=name)
        else:
            app.command()(getattr(module, name))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ghostroll {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that belong to no command."""


def main() -> None:
    """Run the command line; every error that is not a bug is one sentence on stderr."""
    open_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except GhostrollError as error:
        code = _tell(str(error), error.exit_code)
    sys.exit(code)


def _run() -> int:
    try:
        app = build_app(sys.argv[1:])
        gc.freeze()  # all that was imported stays: it need not be looked through ever again
        gc.enable()
        return app(prog_name="ghostroll", standalone_mode=False) or 0
    except TyperException as error:
        return _tell(_say_usage(error), UsageError.exit_code)
    except sqlite3.DatabaseError as error:
        return _tell(_say_trouble(error), StateUnusable.exit_code)
    except (OSError, MemoryError, RuntimeError) as error:
        short = MachineShort.find(error)
        if short is not None:
            return _tell(str(short), short.exit_code)
        if not isinstance(error, FileNotFoundError) or _is_somewhere():
            raise
        return _tell(
            "the folder that this was started in is gone: change to another one", UsageError.exit_code
        )


def _is_somewhere() -> bool:
    """Whether a path that is not absolute can mean anything."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _say_trouble(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, sqlite.org/rescode.html
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"the state is damaged ({error}): it is the file state.path in 'ghostroll config show';"
            " move it away, then run 'ghostroll adopt'"
        )
    return f"the state can't be read or written ({error}): check its disk, then try again"


def _tell(sentence: str, exit_code: int) -> int:
    shown = "\n".join(say_name(line) for line in sentence.splitlines())  # it may hold a card's names
    sys.stderr.write(f"{shown}\n" if shown.startswith("Usage:") else f"ghostroll: {shown}\n")
    return exit_code


def _say_usage(error: TyperException) -> str:
    """What is wrong with the command line, and where the right one stands; help stays as it is."""
    message = error.format_message()
    if message.startswith("Usage:"):
        return message + "\n"
    context: typer.Context | None = getattr(error, "ctx", None)
    where = "ghostroll" if context is None else context.command_path
    sentence = message[:1].lower() + message[1:].rstrip(".").replace("'. Did", "', did")
    return sentence if sentence.endswith("?") else f"{sentence}: see '{where} --help'"
