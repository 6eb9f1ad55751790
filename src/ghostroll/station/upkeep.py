"""What a person does to jobs and the library afterwards: close, verify."""

import os
from collections.abc import Callable, Iterator

from ghostroll.errors import UsageError
from ghostroll.library.scrub import Checked, Finding, check_assets, find_foreign
from ghostroll.model import Asset, Cause, Job, JobId, Safety, Stage
from ghostroll.state import assets, tasks
from ghostroll.state import jobs as job_rows
from ghostroll.station.copy import want_renders
from ghostroll.station.review import review_job, write_records
from ghostroll.station.wiring import Wiring


def require_job(wiring: Wiring, job_id: JobId) -> Job:
    """The job of this number. Raises UsageError where there is none."""
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
    if job is None:
        raise UsageError(f"there is no job {job_id}: 'ghostroll jobs' lists them")
    return job


def close_job(wiring: Wiring, job_id: JobId) -> int:
    """Give a job's missing files up; they are named in the manifest, and it is never secured.

    Returns how many files are missing. Raises UsageError where the job is secured or closed already.
    """
    job = require_job(wiring, job_id)
    if job.safety in (Safety.SECURED, Safety.CLOSED):
        raise UsageError(f"job {job_id} is {job.safety} already: there is nothing to close")
    with wiring.database.promise() as db:
        tasks.drop_open(db, job_id, (Stage.SCAN, Stage.COPY))
        job_rows.set_safety(db, job_id, Safety.CLOSED)
        given_up = assets.list_open_sources(db, job_id)
        for source in given_up:
            want_renders(db, source)  # a RAW whose JPEG never came is shown by itself
    write_records(wiring, job.session_id)
    review_job(wiring, job_id)
    return len(given_up)


def revive_job(wiring: Wiring, job_id: JobId) -> tuple[Job, int]:
    """Whatever of a job was given up or waits is tried again; returns it, and how many tasks these are.

    Raises UsageError for a job that was closed.
    """
    job = require_job(wiring, job_id)
    if job.safety is Safety.CLOSED:
        raise UsageError(f"job {job_id} was closed: ingest the card again")
    with wiring.database.write() as db:
        revived = tasks.revive(db, job_id)
        revived += tasks.unpark(db, [cause for cause in Cause if cause is not Cause.CARD_GONE], job_id)
        if job.safety in (Safety.INTERRUPTED, Safety.ATTENTION):
            tasks.park(db, job_id, (Stage.COPY,), Cause.CARD_GONE)
    return job, revived


def verify_library(
    wiring: Wiring,
    job_id: JobId | None,
    *,
    progress: Callable[[int, int], None],
    check: Callable[[int], None],
) -> Iterator[Checked]:
    """Read the library (or what one job needs of it) again; yields every file looked at, with what is wrong.

    What matched is recorded as verified now. What is damaged is recorded as not believed any more, so
    that the card's next visit heals it. `progress(bytes done, bytes in all)` is told after each file.
    """
    with wiring.database.read() as db:
        wanted = list(assets.list_assets(db)) if job_id is None else assets.list_assets_of_job(db, job_id)
        sessions = [session.name for session in job_rows.list_sessions(db)]
    total = sum(asset.size for asset in wanted)
    done = 0
    with wiring.library.enter() as root:
        for checked in check_assets(root, wanted, check=check):
            done += checked.size
            _remember(wiring, checked.asset, checked.finding)
            progress(done, total)
            yield checked
        if job_id is None:
            for session in sessions:
                yield from find_foreign(root, session, lambda path: _is_recorded(wiring, path))
            yield from _find_unknown_sessions(root, frozenset(sessions))


def _remember(wiring: Wiring, asset: Asset | None, finding: Finding | None) -> None:
    if asset is not None:
        with wiring.database.write() as db:
            assets.set_verified(db, asset.id, wiring.now_seconds() if finding is None else 0)


def _is_recorded(wiring: Wiring, path: bytes) -> bool:
    with wiring.database.read() as db:
        return assets.find_asset_at(db, path) is not None


def _find_unknown_sessions(root: int, recorded: frozenset[str]) -> Iterator[Checked]:
    """Folders in the library that no record knows: `ghostroll adopt` takes sessions in."""
    for name in sorted(os.listdir(os.fsencode(f"/proc/self/fd/{root}"))):
        if name in (b".ghostroll", b"lost+found") or os.fsdecode(name) in recorded:
            continue
        yield Checked(name, 0, Finding.FOREIGN, None)
