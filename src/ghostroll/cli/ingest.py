"""`ghostroll ingest PATH`: a card's folder into the library, with progress, to the end."""

import json
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ghostroll.cli.asking import ask_daemon
from ghostroll.cli.ending import print_ending
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import ConfigOption, JsonOption, load
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.daemon.wire import Folder, Ingest
from ghostroll.station.finding import find_card
from ghostroll.station.run import INTERRUPTED, check_session_name, run_ingest
from ghostroll.station.summary import Summary


def ingest(
    path: Annotated[
        Path,
        # Whether it can be read is for the daemon to say: cards that are mounted for it are for it alone.
        typer.Argument(metavar="PATH", help="The folder where the card is mounted.", readable=False),
    ],
    config: ConfigOption = None,
    *,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fill the session of this name; made if there is none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a card into the library, verify every byte, and make its gallery.

    Where the daemon runs, it does the work, and Ctrl-C here only ends the watching. Exit code 0: everything is safe; 3: some files failed, by name; 4: the card went away, or can't be read at all; 5: no space.

    Example: ghostroll ingest /media/me/EOS_DIGITAL
    """
    settings = load(config)
    check_session_name(session)
    console = Console(highlight=False)
    done = ask_daemon(settings, _word(path, session), console, quiet=as_json)
    if done is not None:
        finish_ingest(console, Summary(done.document, done.code), as_json=as_json, stopped=False)
    find_card(os.fsencode(path), settings)  # told before a library is made, maybe on the card
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(settings, f"ingest {path}", quiet=as_json, bars=console.is_terminal) as station,
    ):
        watcher = choose_watcher(station.wiring.meter, console, quiet=as_json)
        summary = run_ingest(station, os.fsencode(path), session=session, watcher=watcher, stopped=stopped)
    finish_ingest(console, summary, as_json=as_json, stopped=stopped.is_set())


def _word(path: Path, session: str | None) -> Ingest:
    """The request, with the folder as it is seen here: a service may see another one at the same path, or none."""
    place = os.path.realpath(os.fsencode(path))
    try:
        found = os.stat(place)
    except OSError:
        return Ingest(place, session)
    return Ingest(place, session, Folder(found.st_dev, found.st_ino))


def finish_ingest(console: Console, summary: Summary, *, as_json: bool, stopped: bool) -> NoReturn:
    """Print what an ingest came to and end with its exit code."""
    if as_json:
        typer.echo(json.dumps(summary.document, indent=1))
    else:
        print_ending(console, summary.document, stopped=stopped)
    raise typer.Exit(INTERRUPTED if stopped else summary.exit_code)
