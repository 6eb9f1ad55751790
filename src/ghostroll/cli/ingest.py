"""`ghostroll ingest PATH`: a card's folder into the library, with progress, to the end."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ghostroll.cli.ending import print_ending
from ghostroll.cli.opening import open_station
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.config import load_settings
from ghostroll.station.run import INTERRUPTED, run_ingest


def ingest(
    path: Annotated[Path, typer.Argument(help="The folder where the card is mounted.")],
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Fill the session of this name; made if there is none.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object and print nothing else.")
    ] = False,
) -> None:
    """Copy a card into the library, verify every byte, and make its gallery.

    Exit code 0: everything is safe; 3: some files failed, by name; 4: the card went away; 5: no space.

    Example: ghostroll ingest /media/me/EOS_DIGITAL
    """
    settings = load_settings(config, os.environ).settings
    console = Console(highlight=False)
    with (
        open_station(settings, f"ingest {path}", quiet=as_json, bars=console.is_terminal) as station,
        catch_stops(station.engine.bell.ring, quiet=as_json) as stopped,
    ):
        watcher = choose_watcher(station.wiring.meter, console, quiet=as_json)
        summary = run_ingest(station, os.fsencode(path), session=session, watcher=watcher, stopped=stopped)
    if as_json:
        typer.echo(json.dumps(summary.document, indent=1))
    else:
        print_ending(console, summary.document, stopped=stopped.is_set())
    raise typer.Exit(INTERRUPTED if stopped.is_set() else summary.exit_code)
