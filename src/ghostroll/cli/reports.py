"""`status`, `jobs` and `show`: what is known, read beside whoever is at work."""

import contextlib
import json
import os
import time
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ghostroll.cli.ending import say_format, say_unpublished, say_waiting
from ghostroll.cli.options import MOST, ConfigOption, JobArgument, JsonOption, load
from ghostroll.config import Settings
from ghostroll.errors import UsageError
from ghostroll.library.manifest import describe_path
from ghostroll.model import JobId, Publication, Safety
from ghostroll.observe.wording import say_bytes, say_count, say_name
from ghostroll.state.database import open_reader
from ghostroll.station import snapshot
from ghostroll.station.cloud import find_aim

_STYLES = {
    Safety.SECURED: "green",
    Safety.COPYING: "cyan",
    Safety.SCANNING: "cyan",
    Safety.INTERRUPTED: "bold red",
    Safety.ATTENTION: "bold red",
    Safety.CLOSED: "dim",
}
_GALLERIES = {
    Publication.NONE: "not made yet",
    Publication.LIVE: "growing",
    Publication.COMPLETE: "complete",
}
_WATCH_SECONDS = 1.0


def status(
    config: ConfigOption = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show every change, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is under way or needs attention.

    Example: ghostroll status --watch
    """
    settings = load(config)
    console = Console(highlight=False)
    if as_json:
        typer.echo(json.dumps(_take_status(settings), indent=1))
        return
    if not watch:
        console.print(_draw_status(_take_status(settings), console.width), soft_wrap=True)
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_draw_status(_take_status(settings), console.width), refresh=True)
            time.sleep(_WATCH_SECONDS)


def jobs(
    config: ConfigOption = None,
    *,
    limit: Annotated[int, typer.Option(metavar="N", help="How many, newest first.", min=1, max=MOST)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, newest first.

    Example: ghostroll jobs --limit 5
    """
    settings = load(config)
    with contextlib.closing(open_reader(os.fspath(settings.state_path))) as db:
        found = snapshot.list_jobs(db, find_aim(settings), limit=limit)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    elif found:
        console = Console(highlight=False)
        console.print(_table(found, console.width))
    else:
        typer.echo("no jobs yet: ghostroll ingest PATH")


def show(
    job: JobArgument,
    config: ConfigOption = None,
    *,
    files: Annotated[bool, typer.Option("--files", help="List every file and where it is stored.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job: its counts, its failures, its files.

    Example: ghostroll show 42 --files
    """
    settings = load(config)
    with contextlib.closing(open_reader(os.fspath(settings.state_path))) as db:
        library = os.fsencode(settings.library.path)
        found = snapshot.show_job(db, JobId(job), library, find_aim(settings), files=files)
    if found is None:
        raise UsageError(f"there is no job {job}: 'ghostroll jobs' lists them")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    _print_job(Console(highlight=False), found)


def _take_status(settings: Settings) -> dict[str, Any]:
    with contextlib.closing(open_reader(os.fspath(settings.state_path))) as db:
        status = snapshot.take_status(db, find_aim(settings))
    return describe_path("library", os.fsencode(settings.library.path)) | status


def _draw_status(found: dict[str, Any], width: int) -> RenderableType:
    sums = f"{say_count(found['assets'], 'file')}, {say_bytes(found['bytes'])}"
    library = Text(f"library  {say_name(found['library'])}: {sums}")
    last = found["last"]
    unpublished = (
        [Text(say_unpublished(found["unpublished"]), style="yellow")] if found["unpublished"] else []
    )
    if found["unfinished"]:
        sent = [Text(line) for job in found["unfinished"] if (line := _say_sent(job))]
        return Group(
            library,
            _table(found["unfinished"], width),
            *sent,
            *_say_waits(found["unfinished"]),
            *unpublished,
        )
    if last is None:
        return Group(library, Text("no jobs yet: ghostroll ingest PATH"))
    idle = Text(f"nothing under way; the last job was {last['job']} ({last['state']})")
    return Group(library, idle, *unpublished)


def _say_sent(job: dict[str, Any]) -> str:
    """How much of a job is in the bucket, while that is not all; else empty."""
    uploads = job["uploads"]
    if uploads["there"] == uploads["wanted"]:
        return ""
    return f"uploads  {uploads['there']} of {say_count(uploads['wanted'], 'file')} of job {job['job']} in the bucket"


def _say_waits(unfinished: list[dict[str, Any]]) -> list[Text]:
    """What waits, and for what: an outage is the same for many jobs, and is told once."""
    causes: dict[tuple[str, str, str], int] = {}
    for waiting in (waiting for job in unfinished for waiting in job["waiting"]):
        what = (waiting["stage"], waiting["cause"], waiting["error"])
        causes[what] = causes.get(what, 0) + waiting["tasks"]
    return [
        Text(say_waiting({"stage": stage, "cause": cause, "error": error, "tasks": tasks}), style="yellow")
        for (stage, cause, error), tasks in causes.items()
    ]


def _print_job(console: Console, found: dict[str, Any]) -> None:
    style = _STYLES[Safety(found["state"])]
    _line(console, f"job {found['job']}: {say_name(found['card'])}, {found['state']}", style)
    new, duplicates, known = found["stored"], found["duplicate"], found["known"]
    counts = f"{new} new, {say_count(duplicates, 'duplicate')}, {known} known"
    _line(console, f"files    {_say_files(found)}: {counts}; {say_bytes(found['bytes'])}")
    if found["session_dir"] is not None:
        _line(console, f"pictures {_say_pictures(found)}, the gallery is {_GALLERIES[found['publication']]}")
        _line(console, f"folder   {found['session_dir']}")
    if found["uploads"]["wanted"]:
        _line(
            console,
            f"uploads  {found['uploads']['there']} of {say_count(found['uploads']['wanted'], 'file')} in the bucket",
        )
    if found["released"] is False:
        _line(console, say_unpublished([found["job"]]), "yellow")
    for line, style in say_format(found):
        _line(console, line, style)
    for waiting in found["waiting"]:
        _line(console, say_waiting(waiting), "yellow")
    for failure in found["failed"]:
        error = say_name(failure["error"])
        _line(console, f"failed   {say_name(failure['path'])} ({failure['state']}): {error}", "yellow")
    for source in found.get("sources", []):
        stored = f" -> {say_name(source['stored'])}" if "stored" in source else ""
        _line(console, f"{source['state']:<9} {say_name(source['path'])}{stored}")


def _table(found: list[dict[str, Any]], width: int) -> Table:
    """One row per job; a narrow terminal is told less, so that each row stays one line."""
    table = Table(box=None, pad_edge=False)
    titles = ["job", "card", "safety", "files"]
    titles[1:1] = ["begun"] if width >= 76 else []
    titles += ["size", "pictures"] if width >= 60 else []
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title != "card")
    for job in found:
        row = {
            "job": str(job["job"]),
            "begun": job["created"][:10],
            "card": Text(say_name(job["card"])),
            "safety": Text(job["state"], style=_STYLES[Safety(job["state"])]),
            "files": _say_files(job),
            "size": say_bytes(job["bytes"]),
            "pictures": _say_pictures(job),
        }
        table.add_row(*(row[title] for title in titles))
    return table


def _say_files(job: dict[str, Any]) -> str:
    return f"{job['stored'] + job['duplicate'] + job['known']} of {job['files']}"


def _say_pictures(job: dict[str, Any]) -> str:
    pictures = job["pictures"]
    return f"{pictures['shown']} of {pictures['wanted']}" if pictures["wanted"] else "-"


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
