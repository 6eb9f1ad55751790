"""All commands of ghostroll, and the one place where an error ends the program."""

import sqlite3
import sys
from typing import Annotated

import typer

from ghostroll import __version__
from ghostroll.cli.config_commands import config_app
from ghostroll.cli.demo import demo
from ghostroll.cli.ingest import ingest
from ghostroll.cli.reports import jobs, show, status
from ghostroll.cli.upkeep import adopt, close, retry, verify
from ghostroll.errors import GhostrollError, StateUnusable

app = typer.Typer(
    name="ghostroll",
    help="Put a camera card in and walk away: every file safe and verified, every picture in one private gallery.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (ingest, demo, status, jobs, show, retry, close, verify, adopt):
    app.command()(command)
app.add_typer(config_app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ghostroll {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that belong to no command."""


def main() -> None:
    """Run the command line; every error that is not a bug is one sentence on stderr."""
    try:
        app()
    except GhostrollError as error:
        sys.stderr.write(f"ghostroll: {error}\n")
        sys.exit(error.exit_code)
    except sqlite3.DatabaseError as error:
        sys.stderr.write(
            f"ghostroll: the state can't be read or written ({error}); check its disk, then try again\n"
        )
        sys.exit(StateUnusable.exit_code)
