"""What the daemon says of itself while it lives: one line for systemd, one snapshot for everybody else."""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ghostroll import __version__
from ghostroll.disk import replace_file
from ghostroll.model import Job, Safety, SourceState, Stage
from ghostroll.observe.wording import say_bytes, say_count
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.station import snapshot
from ghostroll.station.station import Station

IDLE = "waiting for a card"
_SETTLED = (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)


def say_status(station: Station) -> str:
    """What is under way, in one line: each card that is being read, else what is made of those that are safe."""
    at_work = station.list_at_work()
    if at_work:
        return "; ".join(_say_reading(station, job) for job in at_work)
    outage = station.wiring.outage
    if outage.cause is not None and not station.has_more_to_do():
        return f"{IDLE}; uploads wait: {outage.error}"
    if station.is_quiet():
        return IDLE
    with station.wiring.database.read() as db:
        unfinished = job_rows.list_unfinished(db)
        tallies = [picture_rows.tally_pictures(db, job.id) for job in unfinished]
        uploads = tasks.count_open(db, None, (Stage.UPLOAD,))
    done, wanted = sum(one.shown + one.failed for one in tallies), sum(one.wanted for one in tallies)
    under_way = [f"{done} of {say_count(wanted, 'picture')} made"] if done < wanted else []
    under_way += [f"{say_count(uploads, 'file')} to be uploaded"] if uploads else []
    return f"no card is being read; {', '.join(under_way) or 'a gallery is being written'}"


def _say_reading(station: Station, job: Job) -> str:
    if job.safety is Safety.SCANNING:
        return f"{job.volume.label}: looking what is on it"
    with station.wiring.database.read() as db:
        tally = assets.tally(db, job.id)
        waiting = [one for one in tasks.list_parked_stages(db, job.id) if one["stage"] == Stage.COPY]
        moving = tasks.has_open(db, job.id, (Stage.SCAN, Stage.COPY))
    settled = sum(tally.states.get(state, 0) for state in _SETTLED)
    if waiting and not moving:
        return (
            f"{job.volume.label}: NOT SAFE, {settled} of {say_count(tally.files, 'file')} copied, waiting:"
            f" {waiting[0]['error'] or waiting[0]['cause']}"
        )
    copied = station.wiring.meter.read(job.id)[Stage.COPY]
    rate = f", {say_bytes(copied.bytes / copied.seconds)}/s" if copied.seconds else ""
    return (
        f"{job.volume.label}: {settled} of {say_count(tally.files, 'file')},"
        f" {say_bytes(tally.bytes_done)} of {say_bytes(tally.bytes)}{rate}"
    )


def describe_daemon(station: Station | None, cards: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """The whole snapshot: what `ghostroll status --json` says, the cards that are in, and the line for systemd."""
    document: dict[str, Any] = {"version": __version__, "pid": os.getpid(), "status": status, "cards": cards}
    if station is None:
        return document
    cloud = station.wiring.cloud
    with station.wiring.database.read() as db:
        return document | snapshot.take_status(db, None if cloud is None else cloud.aim)


class StatusFile:
    """The snapshot at `path`, written only when it changed; None writes nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._written = ""

    def write(self, document: dict[str, Any]) -> None:
        """On return readers find this snapshot, whole. A place that can't be written stops nothing."""
        text = json.dumps(document, indent=1)
        if self._path is not None and text != self._written:
            with contextlib.suppress(OSError):
                replace_file(self._path, text.encode())
                self._written = text

    def remove(self) -> None:
        """Nobody is here any more who could keep it true."""
        if self._path is not None and self._written:  # what another daemon has written is its own
            with contextlib.suppress(OSError):
                os.unlink(self._path)


def find_runtime_folder(environ: Mapping[str, str], state_path: str) -> str:
    """Where the socket and the status lie: as systemd says, else the user's own, else beside the state."""
    given = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    if environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(environ["XDG_RUNTIME_DIR"], "ghostroll")
    return os.path.join(os.path.dirname(state_path), "daemon")
