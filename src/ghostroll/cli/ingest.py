"""`ghostroll ingest PATH`: a card's folder into the library, with progress, to the end."""

import json
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ghostroll.cli.ending import print_ending
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import ConfigOption, JsonOption, load
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.station.run import INTERRUPTED, run_ingest
from ghostroll.station.finding import find_card
from ghostroll.station.summary import Summary


def ingest(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder where the card is mounted.")],
    config: ConfigOption = None,
    *,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fill the session of this name; made if there is none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a card into the library, verify every byte, and make its gallery.

    Exit code 0: everything is safe; 3: some files failed, by name; 4: the card went away; 5: no space.

    Example: ghostroll ingest /media/me/EOS_DIGITAL
    """
    settings = load(config)
    find_card(os.fsencode(path), settings)  # told before a library is made, maybe on the card
    console = Console(highlight=False)
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(settings, f"ingest {path}", quiet=as_json, bars=console.is_terminal) as station,
    ):
        watcher = choose_watcher(station.wiring.meter, console, quiet=as_json)
        summary = run_ingest(station, os.fsencode(path), session=session, watcher=watcher, stopped=stopped)
    finish_ingest(console, summary, as_json=as_json, stopped=stopped.is_set())


def finish_ingest(console: Console, summary: Summary, *, as_json: bool, stopped: bool) -> NoReturn:
    """Print what an ingest came to and end with its exit code."""
    if as_json:
        typer.echo(json.dumps(summary.document, indent=1))
    else:
        print_ending(console, summary.document, stopped=stopped)
    raise typer.Exit(INTERRUPTED if stopped else summary.exit_code)
