"""`link` and `publish`: where a job's gallery is, and writing it now."""

import contextlib
import json
import os
import threading
from typing import Annotated, Any

import typer
from rich.console import Console

from ghostroll.cli.asking import ask_daemon
from ghostroll.cli.links import print_code, print_line, print_link
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import ConfigOption, JobArgument, JsonOption, load
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.config import Settings
from ghostroll.config.settings import PublishTarget
from ghostroll.daemon.wire import Link, Publish
from ghostroll.errors import StateHeld
from ghostroll.model import JobId, Publication
from ghostroll.observe.wording import say_name
from ghostroll.state.database import open_reader
from ghostroll.station.cloud import open_cloud
from ghostroll.station.run import INTERRUPTED, run_leftovers, run_until
from ghostroll.station.station import Station
from ghostroll.station.upkeep import (
    check_gallery,
    describe_link,
    is_link_settled,
    publish_job,
    want_link,
)

CodeOption = Annotated[
    bool | None,
    typer.Option(
        "--qr/--no-qr",
        help="Show the link's QR code, or don't. Without either: where the terminal has room for it.",
    ),
]


def link(
    job: JobArgument, config: ConfigOption = None, *, qr: CodeOption = None, as_json: JsonOption = False
) -> None:
    """Say where a job's gallery is. Of a gallery in a bucket this makes a new link, and tells until when it works.

    A link that was sent before ends at its own time and can't be prolonged: send the new one. Anybody who has the link sees the pictures. It lies in the session's folder as link.txt, and as a QR code for phones and prints as link.png. Exit code 6: the bucket refused or could not be reached.

    Example: ghostroll link 42
    """
    settings = load(config)
    console = Console(highlight=False)
    done = ask_daemon(settings, Link(JobId(job)), console, quiet=True)
    document = _link_alone(settings, JobId(job), quiet=as_json) if done is None else done.document
    _print_gallery(console, document, qr=qr, as_json=as_json)


def publish(
    job: JobArgument, config: ConfigOption = None, *, qr: CodeOption = None, as_json: JsonOption = False
) -> None:
    """Write a job's gallery now, with all the pictures that there are, and say where it is.

    Galleries are written by themselves; this is for one that waits because publish.auto is false, that was changed or deleted, or that could not be written. Exit code 6: the place that it goes to refused or could not be reached.

    Example: ghostroll publish 42
    """
    settings = load(config)
    console = Console(highlight=False)
    done = ask_daemon(settings, Publish(JobId(job)), console, quiet=True)
    document = _publish_alone(settings, JobId(job), quiet=as_json) if done is None else done.document
    _print_gallery(console, document, qr=qr, as_json=as_json)


def _link_alone(settings: Settings, job: JobId, *, quiet: bool) -> dict[str, Any]:
    """A new link; the one that there is where the gallery is a folder, or another command is at work."""
    if settings.publish.target is PublishTarget.FOLDER:
        return _look_up(settings, job)
    try:
        with (
            catch_stops(quiet=quiet) as stopped,
            open_station(settings, f"link {job}", quiet=True) as station,
        ):
            want_link(station.wiring, job)
            run_until(station, lambda: is_link_settled(station.wiring, job), stopped=stopped)
            return _tell_gallery(station, job, stopped)
    except StateHeld:
        return _look_up(settings, job)


def _look_up(settings: Settings, job: JobId) -> dict[str, Any]:
    """A reader is enough, beside whoever else is at work."""
    cloud = open_cloud(settings)
    with contextlib.ExitStack() as stack:
        if cloud is not None:
            stack.callback(cloud.bucket.close)
        db = stack.enter_context(contextlib.closing(open_reader(os.fspath(settings.state_path))))
        return describe_link(db, cloud, os.fsencode(settings.library.path), job)


def _publish_alone(settings: Settings, job: JobId, *, quiet: bool) -> dict[str, Any]:
    with (
        catch_stops(quiet=quiet) as stopped,
        open_station(settings, f"publish {job}", quiet=True) as station,
    ):
        publish_job(station.wiring, job)
        watcher = choose_watcher(station.wiring.meter, Console(stderr=True), quiet=quiet)
        try:
            run_leftovers(station, stopped=stopped, job=job, watcher=watcher)
        finally:
            watcher.close()
        return _tell_gallery(station, job, stopped)


def _tell_gallery(station: Station, job: JobId, stopped: threading.Event) -> dict[str, Any]:
    if stopped.is_set():
        raise typer.Exit(INTERRUPTED)
    check_gallery(station.wiring, job)
    with station.wiring.database.read() as db:
        return describe_link(db, station.wiring.cloud, station.wiring.library.path, job)


def _print_gallery(console: Console, document: dict[str, Any], *, qr: bool | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    growing = document["publication"] != Publication.COMPLETE
    if document.get("target", PublishTarget.FOLDER) == PublishTarget.FOLDER:
        print_line(console, f"gallery  {say_name(document['index'])}{'; it still grows' if growing else ''}")
        print_line(console, f"folder   {say_name(document['session_dir'])}")
        print_line(console, f"address  {document['link']}")
        return
    assumed = document.get("expires_assumed", False)  # a daemon from before an upgrade says less
    print_link(console, document["link"], document["expires"], is_assumed=assumed)
    if document["expires"] is not None:
        print_line(
            console, "         a link sent before ends at its own time and can't be prolonged: send this one"
        )
    print_line(console, f"gallery  {'still growing' if growing else 'complete'}")
    print_line(console, f"folder   {say_name(document['session_dir'])}")
    print_code(console, document, wanted=qr)
