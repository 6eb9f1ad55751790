"""`status`, `jobs` and `show`: what is known, read beside whoever is at work."""

import contextlib
import json
import os
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ghostroll.cli.options import ConfigOption, JobArgument, JsonOption, load
from ghostroll.config import Settings
from ghostroll.errors import UsageError
from ghostroll.model import JobId, Safety
from ghostroll.observe.wording import say_bytes, say_count, say_name
from ghostroll.state.database import open_reader
from ghostroll.station import snapshot

_STYLES = {
    Safety.SECURED: "green",
    Safety.COPYING: "cyan",
    Safety.SCANNING: "cyan",
    Safety.INTERRUPTED: "bold red",
    Safety.ATTENTION: "bold red",
    Safety.CLOSED: "dim",
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
        _print_status(console, _take_status(settings))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_table(_take_status(settings)["unfinished"]), refresh=True)
            time.sleep(_WATCH_SECONDS)


def jobs(
    config: ConfigOption = None,
    *,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, newest first.

    Example: ghostroll jobs --limit 5
    """
    with contextlib.closing(open_reader(os.fspath(load(config).state_path))) as db:
        found = snapshot.list_jobs(db, limit=limit)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    elif found:
        Console(highlight=False).print(_table(found))
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
    with contextlib.closing(open_reader(os.fspath(load(config).state_path))) as db:
        found = snapshot.show_job(db, JobId(job), files=files)
    if found is None:
        raise UsageError(f"there is no job {job}: 'ghostroll jobs' lists them")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    console = Console(highlight=False)
    console.print(_table([found]))
    for failure in found["failed"]:
        _line(
            console,
            f"{say_name(failure['path'])}: {failure['state']}: {say_name(failure['error'])}",
            "yellow",
        )
    for source in found.get("sources", []):
        stored = f" -> {say_name(source['stored'])}" if "stored" in source else ""
        _line(console, f"{source['state']:<9} {say_name(source['path'])}{stored}")


def _take_status(settings: Settings) -> dict[str, Any]:
    with contextlib.closing(open_reader(os.fspath(settings.state_path))) as db:
        return {"library": os.fspath(settings.library.path), **snapshot.take_status(db)}


def _print_status(console: Console, found: dict[str, Any]) -> None:
    _line(
        console,
        f"library  {found['library']}: {say_count(found['assets'], 'file')}, {say_bytes(found['bytes'])}",
    )
    if found["unfinished"]:
        console.print(_table(found["unfinished"]))
    elif found["last"] is not None:
        _line(
            console, f"nothing under way; the last job was {found['last']['job']} ({found['last']['state']})"
        )


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("job", "card", "safety", "gallery", "files", "pictures", "session"):
        table.add_column(title, overflow="fold")
    for job in found:
        settled = job["stored"] + job["duplicate"] + job["known"]
        failed = f", {job['failed'] if isinstance(job['failed'], int) else len(job['failed'])} failed"
        pictures = job["pictures"]
        table.add_row(
            str(job["job"]),
            Text(say_name(job["card"])),
            Text(job["state"], style=_STYLES[Safety(job["state"])]),
            job["publication"],
            f"{settled} of {job['files']}{'' if failed == ', 0 failed' else failed}, {say_bytes(job['bytes'])}",
            f"{pictures['shown']} of {pictures['wanted']}",
            Text(job["session"] or "-"),
        )
    return table


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
