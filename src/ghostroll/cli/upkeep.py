"""`retry`, `close`, `verify` and `adopt`: what a person does afterwards."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from ghostroll.cli.asking import ask_daemon
from ghostroll.cli.ingest import finish_ingest
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import MOST, ConfigOption, JobArgument, JsonOption, load
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.config import Settings
from ghostroll.daemon.wire import Close, Retry
from ghostroll.errors import Stopped, UsageError
from ghostroll.library.layout import show_path
from ghostroll.library.manifest import describe_path
from ghostroll.model import Job, JobId, Safety
from ghostroll.observe.wording import say_bytes, say_count, say_name
from ghostroll.station.adopt import adopt_sessions
from ghostroll.station.finding import is_card_at
from ghostroll.station.healing import Healing
from ghostroll.station.run import INTERRUPTED, run_ingest, run_leftovers
from ghostroll.station.summary import Moments, Summary, summarize
from ghostroll.station.upkeep import close_job, require_job, revive_job, verify_library

_SOME_FAILED = 3


def retry(job: JobArgument, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Try again what a job could not read or render. Put its card in first, if files are missing.

    Example: ghostroll retry 42
    """
    console = Console(highlight=False)
    settings = load(config)
    done = ask_daemon(settings, Retry(JobId(job)), console, quiet=as_json)
    if done is not None:
        finish_ingest(console, Summary(done.document, done.code), as_json=as_json, stopped=False)
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(settings, f"retry {job}", quiet=as_json, bars=console.is_terminal) as station,
    ):
        _check_card(require_job(station.wiring, JobId(job)))
        revived, number = revive_job(station.wiring, JobId(job))
        if revived.secured_at is None:
            watcher = choose_watcher(station.wiring.meter, console, quiet=as_json)
            summary = run_ingest(
                station, revived.root, session=None, watcher=watcher, stopped=stopped, resume=JobId(job)
            )
        else:
            if not number and not as_json:
                console.print(f"nothing of job {job} waits for a retry")
            run_leftovers(station, stopped=stopped)
            summary = summarize(station.wiring, JobId(job), Moments(None, None, None))
    finish_ingest(console, summary, as_json=as_json, stopped=stopped.is_set())


def _check_card(job: Job) -> None:
    """Raise UsageError where a job's missing files can't be tried again: its card is not where it was.

    Raises CardFailing where it is there, and can't be read at all.
    """
    if job.safety in (Safety.SECURED, Safety.CLOSED) or is_card_at(job.root):
        return
    where = f"not at {say_name(show_path(job.root))}" if job.root else "not where anyone remembers"
    raise UsageError(
        f"the card of job {job.id} is {where}: put it in, or run 'ghostroll ingest PATH' with the folder where it is"
    )


def close(job: JobArgument, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Give up what is missing of a job. It is named in the manifest; the job is never called secured.

    Example: ghostroll close 42
    """
    settings = load(config)
    done = ask_daemon(settings, Close(JobId(job)), Console(), quiet=True)
    document = _close_alone(settings, JobId(job), quiet=as_json) if done is None else done.document
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        missing = document["missing"]
        verb = "is" if missing == 1 else "are"
        typer.echo(f"job {job} is closed; {say_count(missing, 'file')} of the card {verb} not in the library")


def _close_alone(settings: Settings, job: JobId, *, quiet: bool) -> dict[str, Any]:
    with (
        catch_stops(quiet=quiet) as stopped,
        open_station(settings, f"close {job}", quiet=True) as station,
    ):
        missing = close_job(station.wiring, job)
        run_leftovers(station, stopped=stopped)
    return {"job": job, "state": Safety.CLOSED, "missing": missing}


def verify(
    job: Annotated[
        int | None,
        typer.Argument(
            metavar="JOB", help="Only what this job needs; everything without it.", min=1, max=MOST
        ),
    ] = None,
    config: ConfigOption = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole library; so without a job, too.")
    ] = False,
    heal: Annotated[
        bool,
        typer.Option(
            "--heal", help="Bring damaged and missing files back from the bucket, where it has them."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read the library again and compare every byte with its checksum.

    Finds damaged, missing, unreadable and foreign files, and ends with exit code 3 if there are any. With --heal the originals that are in the bucket take the place of what is damaged or missing, each only if it has the very bytes that were secured; what was damaged is kept in .ghostroll/aside. Then exit code 3 is for what is left, 6 for a bucket that refused or could not be reached.

    Example: ghostroll verify --all
    """
    console = Console(highlight=False)
    found: list[dict[str, Any]] = []
    files = size = 0
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(load(config), "verify", quiet=True) as station,
        _bar(console, quiet=as_json) as bar,
    ):
        if job is not None:
            require_job(station.wiring, JobId(job))
        row = bar.add_task("verify", total=None)

        def check(_size: int) -> None:
            if stopped.is_set():
                raise Stopped("stopped before everything was read")

        healing = Healing(station.wiring, check) if heal else None
        try:
            for checked in verify_library(
                station.wiring,
                JobId(job) if job is not None and not everything else None,
                progress=lambda done, total: bar.update(row, completed=done, total=total),
                check=check,
            ):
                files += 1
                size += checked.size
                if checked.finding is not None:
                    finding: dict[str, Any] = {
                        **describe_path("path", checked.path),
                        "finding": checked.finding,
                    }
                    found.append(finding)
                    if healing is not None and checked.asset is not None:
                        why = healing.heal(checked.asset)
                        finding |= {"healed": why is None, "why": why}
        except Stopped:
            pass
        cloud = station.wiring.cloud
        offer = not heal and cloud is not None and bool(cloud.original_kinds)
    _print_findings(console, found, files, size, as_json=as_json, stopped=stopped.is_set(), offer=offer)
    raise typer.Exit(INTERRUPTED if stopped.is_set() else _choose_exit_code(found, healing))


def _choose_exit_code(found: list[dict[str, Any]], healing: Healing | None) -> int:
    """0 where nothing is left, the bucket's own where it was in the way, else 3."""
    if all(finding.get("healed", False) for finding in found):
        return 0
    trouble = None if healing is None else healing.trouble
    return _SOME_FAILED if trouble is None else trouble.exit_code


def adopt(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Take sessions in that no record knows, from their manifests: after the state was lost, or a library moved.

    Example: ghostroll adopt
    """
    console = Console(highlight=False)
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(load(config), "adopt", quiet=as_json) as station,
    ):
        adopted = adopt_sessions(station.wiring)
        run_leftovers(station, stopped=stopped)
    if as_json:
        typer.echo(json.dumps(adopted.document, indent=1))
    else:
        for line in adopted.lines:
            console.print(Text(line), soft_wrap=True)
    raise typer.Exit(_SOME_FAILED if adopted.troubles else 0)


def _bar(console: Console, *, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


def _print_findings(
    console: Console,
    found: list[dict[str, Any]],
    files: int,
    size: int,
    *,
    as_json: bool,
    stopped: bool,
    offer: bool,
) -> None:
    if as_json:
        typer.echo(
            json.dumps({"files": files, "bytes": size, "findings": found, "complete": not stopped}, indent=1)
        )
        return
    for finding in found:
        is_healed = finding.get("healed", False)
        end = ": healed from the bucket" if is_healed else ""
        if finding.get("why"):
            end = f": not healed: {say_name(finding['why'])}"
        line = f"{finding['finding']:<10} {say_name(finding['path'])}{end}"
        console.print(Text(line, style="green" if is_healed else "bold red"), soft_wrap=True)
    left = [finding for finding in found if not finding.get("healed", False)]
    verdict = say_count(len(found), "finding") if found else "every one as it was secured"
    if len(left) < len(found):
        verdict += f", {len(found) - len(left)} healed from the bucket"
    if any(finding["finding"] in ("damaged", "missing") for finding in left):
        verdict += ": put the card in again, and what is damaged or missing is copied anew"
        verdict += "; 'ghostroll verify --heal' brings back what is in the bucket" if offer else ""
    if stopped:
        verdict += "; stopped before the end"
    console.print(Text(f"{say_count(files, 'file')}, {say_bytes(size)} looked at: {verdict}"), soft_wrap=True)
