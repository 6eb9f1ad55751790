"""`link` and `publish`: where a job's gallery is, and writing it now."""

import contextlib
import json
import os
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ghostroll.cli.asking import ask_daemon
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import ConfigOption, JobArgument, JsonOption, load
from ghostroll.cli.stopping import catch_stops
from ghostroll.config import Settings
from ghostroll.daemon.wire import Link, Publish
from ghostroll.model import JobId, Publication
from ghostroll.observe.wording import say_name
from ghostroll.state.database import open_reader
from ghostroll.station.run import INTERRUPTED, run_leftovers
from ghostroll.station.upkeep import check_gallery, describe_gallery, want_gallery


def link(job: JobArgument, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Say where a job's gallery is.

    Example: ghostroll link 42
    """
    settings = load(config)
    console = Console(highlight=False)
    done = ask_daemon(settings, Link(JobId(job)), console, quiet=True)
    _print_gallery(
        console, _look_up(settings, JobId(job)) if done is None else done.document, as_json=as_json
    )


def publish(job: JobArgument, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Write a job's gallery now, with all the pictures that there are.

    Galleries are written by themselves; this is for one that was changed or deleted, or that could not be written.

    Example: ghostroll publish 42
    """
    settings = load(config)
    console = Console(highlight=False)
    done = ask_daemon(settings, Publish(JobId(job)), console, quiet=True)
    document = _publish_alone(settings, JobId(job), quiet=as_json) if done is None else done.document
    _print_gallery(console, document, as_json=as_json)


def _look_up(settings: Settings, job: JobId) -> dict[str, Any]:
    """A reader is enough, beside whoever else is at work."""
    with contextlib.closing(open_reader(os.fspath(settings.state_path))) as db:
        return describe_gallery(db, os.fsencode(settings.library.path), job)


def _publish_alone(settings: Settings, job: JobId, *, quiet: bool) -> dict[str, Any]:
    with (
        catch_stops(quiet=quiet) as stopped,
        open_station(settings, f"publish {job}", quiet=True) as station,
    ):
        want_gallery(station.wiring, job)
        run_leftovers(station, stopped=stopped)
        if stopped.is_set():
            raise typer.Exit(INTERRUPTED)
        check_gallery(station.wiring, job)
        with station.wiring.database.read() as db:
            return describe_gallery(db, station.wiring.library.path, job)


def _print_gallery(console: Console, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    growing = "" if document["publication"] == Publication.COMPLETE else "; it still grows"
    _line(console, f"gallery  {say_name(document['index'])}{growing}")
    _line(console, f"folder   {say_name(document['session_dir'])}")
    _line(console, f"address  {document['link']}")


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
