"""What the log says of a card: one sentence per stage, made to be read from top to bottom by its owner."""

from collections.abc import Sequence
from datetime import datetime

from ghostroll.engine.settle import Settlement
from ghostroll.library.layout import show_path
from ghostroll.model import (
    Cause,
    GalleryId,
    Job,
    JobId,
    Publication,
    Safety,
    SessionId,
    SourceId,
    SourceState,
    Stage,
    TaskState,
)
from ghostroll.observe.meter import Reading
from ghostroll.observe.wording import say_bytes, say_count, say_seconds
from ghostroll.publish.link import say_end
from ghostroll.state import assets, galleries
from ghostroll.state import jobs as job_rows
from ghostroll.state import pictures as picture_rows
from ghostroll.state.assets import Tally
from ghostroll.state.galleries import PlacedGallery
from ghostroll.state.objects import Unconfirmed
from ghostroll.station.wiring import Slot, Wiring

_TOLD_CAUSES = frozenset(
    {
        Cause.NO_SPACE,
        Cause.LIBRARY_GONE,
        Cause.TARGET,
        Cause.NO_WORKER,
        Cause.NETWORK_DOWN,
        Cause.CLOCK_UNSET,
    }
)


def tell_scan(wiring: Wiring, slot: Slot) -> None:
    """What is on a card, and how much of it is to be copied."""
    with wiring.database.read() as db:
        job = job_rows.get_job(db, slot.job)
        tally = assets.tally(db, slot.job)
    if job is None:
        _tell_empty(wiring, slot)
        return
    there = say_count(tally.files, "file")
    pending = tally.states.get(SourceState.PENDING, 0)
    settled = tally.files - pending - tally.states.get(SourceState.FAILED, 0)
    what = f"{say_count(pending, 'file')} to copy" if settled else "all to copy"
    if not pending:
        what = "nothing new"
    wiring.log.info(
        f"{job.volume.label}: {there}, {say_bytes(tally.bytes)} on the card, {what}; this is job {job.id}",
        **_name(job),
        stage=Stage.SCAN,
        files=tally.files,
        bytes=tally.bytes,
        pending=pending,
    )


def _tell_empty(wiring: Wiring, slot: Slot) -> None:
    fields: dict[str, object] = {"job": slot.job, "card": slot.volume.label}
    if wiring.is_half_safe(slot.job):
        wiring.log.info(
            f"{slot.volume.label}: there is no file on it; another volume of this card is not safe yet, leave it in",
            **fields,
        )
    else:
        wiring.log.info(
            f"{slot.volume.label}: there is no file on the card: safe to remove", **fields, safe=True
        )


def tell_copied(wiring: Wiring, job: Job, tally: Tally) -> None:
    """What was copied in this run, and how fast."""
    reading = wiring.meter.read(job.id)[Stage.COPY]
    if not reading.items:
        return
    duplicates = tally.states.get(SourceState.DUPLICATE, 0)
    known = tally.states.get(SourceState.KNOWN, 0)
    beside = f", {say_count(duplicates, 'duplicate')}" if duplicates else ""
    beside += f", {known} known from before" if known else ""
    wiring.log.info(
        f"{job.volume.label}: copied and verified {say_count(reading.items, 'file')}, {_say_rate(reading)}{beside}",
        **_name(job),
        stage=Stage.COPY,
        files=reading.items,
        bytes=reading.bytes,
        seconds=round(reading.seconds, 3),
    )


def tell_secured(wiring: Wiring, job: Job) -> None:
    """That a card may be pulled, or which part of it is safe."""
    with wiring.database.read() as db:
        tally = assets.tally(db, job.id)
    tell_copied(wiring, job, tally)
    if wiring.is_half_safe(job.id):
        wiring.half_safe.add(job.id)
        wiring.log.info(
            f"{job.volume.label}: {say_count(tally.files, 'file')} verified; another volume of this card is not safe"
            " yet, leave it in",
            **_name(job),
            files=tally.files,
            bytes=tally.bytes,
        )
    else:
        tell_removable(wiring, job)


def tell_removable(wiring: Wiring, job: Job) -> None:
    """That a card may be pulled, all of it."""
    with wiring.database.read() as db:
        tally = assets.tally(db, job.id)
    wiring.log.info(
        f"{job.volume.label}: safe to remove, {say_count(tally.files, 'file')} verified",
        **_name(job),
        files=tally.files,
        bytes=tally.bytes,
        safe=True,
    )


def tell_unsafe(wiring: Wiring, job: Job, safety: Safety) -> None:
    """That a card must not be formatted, with every file that can't be read by name."""
    with wiring.database.read() as db:
        failed = assets.list_sources(db, job.id, (SourceState.FAILED,))
        tally = assets.tally(db, job.id)
    tell_copied(wiring, job, tally)
    for source in failed:
        wiring.log.error(f"NOT SAFE: {show_path(source.path)} {source.error}", **_name(job))
    if safety is Safety.INTERRUPTED:
        missing = tally.states.get(SourceState.PENDING, 0) + len(failed)
        sentence = (
            f"{job.volume.label}: NOT SAFE, it was removed too early: {missing} of {say_count(tally.files, 'file')}"
            " missing; put it back in and the copy goes on"
        )
    else:
        sentence = (
            f"{job.volume.label}: NOT SAFE, {say_count(len(failed), 'file')} can't be read and everything else is in"
            f" the library: clean the card's contacts, put it in again, or run 'ghostroll retry {job.id}'"
        )
    wiring.log.error(sentence, **_name(job), safe=False)


def tell_unread(wiring: Wiring, slot: Slot) -> None:
    """That a card left before anything was known of it."""
    wiring.log.error(
        f"{slot.volume.label}: NOT SAFE, it was removed before it was read: put it back in",
        job=slot.job,
        card=slot.volume.label,
        safe=False,
    )


def tell_settlement(wiring: Wiring, settlement: Settlement) -> None:
    """Say what a person should know of one task's end."""
    task = settlement.task
    if settlement.state is TaskState.DEAD and task.stage is Stage.RENDER:
        with wiring.database.read() as db:
            source = assets.get_source(db, SourceId(task.subject))
        wiring.log.warning(
            f"{show_path(source.path)} is safe but has no picture: {settlement.error}",
            job=task.job_id,
            stage=Stage.RENDER,
        )
    elif settlement.cause in _TOLD_CAUSES and _is_news(wiring, settlement.cause):
        wiring.log.warning(
            f"waiting: {settlement.error}", job=task.job_id, stage=task.stage, cause=settlement.cause
        )
    elif task.stage is Stage.PUBLISH and settlement.state is TaskState.DONE:
        with wiring.database.read() as db:
            gallery = galleries.get_gallery(db, GalleryId(task.subject))
        _tell_link(wiring, task.job_id, gallery)
        _tell_gallery(wiring, gallery.session_id)
    elif settlement.error is not None:
        wiring.log.debug(
            f"{task.stage} {task.subject}: {settlement.error}", job=task.job_id, stage=task.stage
        )


def _is_news(wiring: Wiring, cause: Cause) -> bool:
    """Whether nobody was told of this cause yet. Many threads meet one at once, and one of them tells it."""
    with wiring.telling_lock:
        known = cause in wiring.waiting
        wiring.waiting.add(cause)
    return not known


def tell_formattable(wiring: Wiring, job: Job) -> None:
    """That a card may be formatted: its originals are in two places."""
    with wiring.database.read() as db:
        tally = assets.tally(db, job.id)
    wiring.log.info(
        f"{job.volume.label}: safe to format, {say_count(tally.files, 'file')} in the library and what belongs in the"
        " bucket confirmed there",
        **_name(job),
        files=tally.files,
        safe=True,
    )


def tell_unconfirmed(wiring: Wiring, job: Job, unconfirmed: Sequence[Unconfirmed]) -> None:
    """That the originals are in the bucket, and why that alone does not make a card safe to format."""
    number = sum(one.number for one in unconfirmed)
    wiring.log.warning(
        f"{job.volume.label}: {say_count(number, 'original')} in the bucket, but not confirmed by checksum, so keep the"
        f" card until you have checked them yourself: {unconfirmed[0].why or 'the store tells no checksum'}",
        **_name(job),
        files=number,
    )


def _tell_link(wiring: Wiring, job_id: JobId, gallery: PlacedGallery) -> None:
    """That there is a link, and never the link."""
    if gallery.id not in wiring.linked:
        return
    wiring.linked.discard(gallery.id)
    with wiring.database.read() as db:
        job = job_rows.get_job(db, job_id)
    if job is not None:
        wiring.log.info(
            f"{job.volume.label}: Link ready: ghostroll link {job.id}", **_name(job), stage=Stage.PUBLISH
        )


def _tell_gallery(wiring: Wiring, session: SessionId) -> None:
    """What pictures there are, once a gallery is complete."""
    with wiring.database.read() as db:
        of_session = job_rows.list_jobs_of_session(db, session)
    for job in of_session:
        if job.publication is Publication.COMPLETE and job.id in wiring.growing:
            wiring.growing.discard(job.id)
            _tell_complete(wiring, job)


def _say_where(wiring: Wiring, job: Job) -> str:
    """How a person comes to see a gallery, or lets others see it."""
    cloud = wiring.cloud
    if cloud is not None and job.session_id is not None:
        with wiring.database.read() as db:
            gallery = galleries.find_gallery(db, job.session_id, cloud.place)
        if gallery is not None and not gallery.released:
            return f"it goes to the bucket once you say so: ghostroll publish {job.id}"
    return f"Link ready: ghostroll link {job.id}"


def _tell_complete(wiring: Wiring, job: Job) -> None:
    with wiring.database.read() as db:
        pictures = picture_rows.tally_pictures(db, job.id)
    made = wiring.meter.read(job.id)[Stage.RENDER]
    rate = f" in {say_seconds(made.seconds)} ({made.items / made.seconds:.1f}/s)" if made.seconds else ""
    failed = f", {say_count(pictures.failed, 'file')} without" if pictures.failed else ""
    if made.items or not pictures.shown:  # else all were made before a restart
        wiring.log.info(
            f"{job.volume.label}: {say_count(made.items, 'picture')} made{rate}{failed}",
            **_name(job),
            stage=Stage.RENDER,
            pictures=pictures.shown,
            failed=pictures.failed,
            seconds=round(made.seconds, 3),
        )
    sent = wiring.meter.read(job.id)[Stage.UPLOAD]
    if sent.items:
        wiring.log.info(
            f"{job.volume.label}: uploaded {say_count(sent.items, 'object')}, {_say_rate(sent)}",
            **_name(job),
            stage=Stage.UPLOAD,
            objects=sent.items,
            bytes=sent.bytes,
            seconds=round(sent.seconds, 3),
        )
    wiring.log.info(
        f"{job.volume.label}: gallery complete with {say_count(pictures.shown, 'picture')};"
        f" {_say_where(wiring, job)}",
        **_name(job),
        stage=Stage.PUBLISH,
        pictures=pictures.shown,
    )


def say_link_end(expires: datetime | None, job: JobId, *, is_assumed: bool) -> str:
    """The sentence beside a link, for whoever it is sent to and whoever sent it."""
    return (
        f"This link {say_end(expires, is_assumed=is_assumed)}. It can't be prolonged: 'ghostroll link {job}' makes a new one. Whoever has it"
        " sees the pictures."
    )


def _say_rate(reading: Reading) -> str:
    size = say_bytes(reading.bytes)
    if not reading.seconds:
        return size
    return f"{size} in {say_seconds(reading.seconds)} ({say_bytes(reading.bytes / reading.seconds)}/s)"


def _name(job: Job) -> dict[str, object]:
    return {"job": job.id, "card": job.volume.label}
