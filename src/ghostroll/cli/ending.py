"""What an ingest prints at its end: what was secured, what failed and why, and where the pictures are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_never

from rich.console import Console

from ghostroll.cli.links import print_line, print_link
from ghostroll.model import Cause, Safety, Stage
from ghostroll.observe.wording import say_bytes, say_count, say_name, say_seconds
from ghostroll.state.objects import ObjectState

NOTHING_TOLD = "the store tells no checksum"
_MOST_FAILURES = 20  # named on the terminal; all of them stand in the manifest
_WORK = {
    Stage.SCAN: ("card to scan", "cards to scan"),
    Stage.COPY: ("file to copy", "files to copy"),
    Stage.RENDER: ("picture to make", "pictures to make"),
    Stage.UPLOAD: ("file to upload", "files to upload"),
    Stage.PUBLISH: ("gallery to write", "galleries to write"),
}


def print_ending(console: Console, document: dict[str, Any], *, stopped: bool) -> None:
    """Print the summary for people. It may come from a daemon that was started before an upgrade, and say less."""
    _print_safety(console, document, stopped=stopped)
    _print_counts(console, document)
    _print_failures(console, document)
    _print_uploads(console, document)
    for waiting in document["waiting"]:
        print_line(console, say_waiting(waiting), "yellow")
    if any(waiting["stage"] == Stage.UPLOAD for waiting in document["waiting"]):
        hint = f"the daemon goes on by itself; where none runs, 'ghostroll retry {document['job']}' does"
        print_line(console, f"         {hint}")
    if document["session_dir"] is not None and document["publication"] != "none":
        print_line(console, "gallery  " + os.path.join(document["session_dir"], "index.html"), "bold")
    elif document["known_in"] is not None:
        print_line(console, "gallery  nothing new on this card; its pictures are already in")
        print_line(console, "         " + os.path.join(document["known_in"], "index.html"), "bold")
    if document.get("released") is False:
        print_line(console, say_unpublished([document["job"]]))
    if document.get("link_trouble") is not None:
        trouble = say_name(document["link_trouble"])
        print_line(
            console,
            f"link     can't be told now, 'ghostroll link {document['job']}' will: {trouble}",
            "yellow",
        )
    if document["link"] is not None:
        assumed = document.get("link_expires_assumed", False)
        print_link(console, document["link"], document.get("link_expires"), is_assumed=assumed)
        print_line(console, f"QR code  link.png beside the gallery, and 'ghostroll link {document['job']}'")


def say_waiting(waiting: dict[str, Any]) -> str:
    """What of a job waits, and for what: `waiting  3 files to copy, for the card`."""
    one, many = _WORK[Stage(waiting["stage"])]
    number = waiting["tasks"]
    cause = _say_cause(Cause(waiting["cause"]), Stage(waiting["stage"]))
    line = f"waiting  {number} {one if number == 1 else many}, for {cause}"
    return f"{line}: {say_name(waiting['error'])}" if waiting["error"] else line


def say_unpublished(jobs: Sequence[int]) -> str:
    """That jobs wait for a person, newest first, and for which word."""
    others = f"; so do {say_count(len(jobs) - 1, 'other job')}" if len(jobs) > 1 else ""
    return f"link     none yet: 'ghostroll publish {jobs[0]}' sends the pictures to the bucket{others}"


def say_format(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whether a card may be formatted, and what is in the way: lines with their style; none where nobody asked."""
    match document.get("formattable"):
        case None:
            return
        case True:
            yield "FORMAT   safe: the bucket has confirmed every original by its checksum", "bold green"
        case _:
            reasons = [_say_unconfirmed(one, document["job"]) for one in document.get("unconfirmed", ())]
            for reason in reasons or ["not every original is confirmed in the bucket"]:
                yield f"format   not yet: {reason}", "yellow"


def _say_unconfirmed(one: Mapping[str, Any], job: int) -> str:
    originals = say_count(one["number"], "original")
    match one["state"]:
        case ObjectState.PRESENT:
            return f"{originals} in the bucket, but not confirmed by checksum: {one['why'] or NOTHING_TOLD}"
        case ObjectState.WANTED:
            return f"{originals} still to be sent"
        case _:
            return f"{originals} not in the bucket: 'ghostroll publish {job}' sends them"


def _say_cause(cause: Cause, stage: Stage) -> str:
    match cause:
        case Cause.CARD_GONE:
            words = "the card"
        case Cause.UNREADABLE:
            words = "'ghostroll retry' with the card in"
        case Cause.NO_SPACE:
            words = "room on the library's disk"
        case Cause.LIBRARY_GONE:
            words = "the library's disk"
        case Cause.NO_WORKER:
            words = "a render worker that starts"
        case Cause.TARGET:
            words = "a bucket that takes them" if stage is Stage.UPLOAD else "a place that takes it"
        case Cause.NETWORK_DOWN:
            words = "the network"
        case Cause.CLOCK_UNSET:
            words = "the clock to be set"
        case _:
            assert_never(cause)
    return words


def _print_safety(console: Console, document: dict[str, Any], *, stopped: bool) -> None:
    match Safety(document["state"]):
        case Safety.SECURED:
            print_line(
                console,
                f"SECURED: {say_count(document['files'], 'file')} safe and verified; the card may be removed",
                "bold green",
            )
            if stopped:
                print_line(
                    console, "stopped  run the same command again for the pictures that are left", "yellow"
                )
        case Safety.ATTENTION:
            print_line(
                console, "NOT SAFE: some files can't be read; everything else is in the library", "bold red"
            )
        case Safety.INTERRUPTED:
            print_line(
                console,
                "NOT SAFE: the card went away; put it back in and run the same command again",
                "bold red",
            )
        case _ if stopped:
            print_line(console, "NOT SAFE: stopped; run the same command again to go on", "bold red")
        case _:
            print_line(console, "NOT SAFE: not everything is in the library yet", "bold red")


def _print_counts(console: Console, document: dict[str, Any]) -> None:
    new, duplicates, known = document["new"], document["duplicates"], document["known"]
    settled = "" if document["secured"] else f"{new + duplicates + known} of {document['files']}: "
    counts = f"{settled}{new} new, {say_count(duplicates, 'duplicate')}, {known} known"
    line = f"files    {counts}; {say_bytes(document['bytes'])}"
    seconds = document["seconds"]
    if seconds["secured"] is not None:
        line += f", secured after {say_seconds(seconds['secured'])}"
    print_line(console, line)
    pictures = document["renditions"] // 2
    if pictures:
        line = f"pictures {pictures}"
        if seconds["first_picture"] is not None:
            line += f", the first after {say_seconds(seconds['first_picture'])}"
        if seconds["published"] is not None:
            line += f", all after {say_seconds(seconds['published'])}"
        print_line(console, line)


def _print_uploads(console: Console, document: dict[str, Any]) -> None:
    sent = document["stages"].get(Stage.UPLOAD)
    if sent is not None:
        print_line(console, f"uploaded {say_count(sent['items'], 'file')}, {say_bytes(sent['bytes'])}")
    if document["secured"]:
        for line, style in say_format(document):
            print_line(console, line, style)


def _print_failures(console: Console, document: dict[str, Any]) -> None:
    failed = document["failed"]
    words = {Stage.RENDER: "stored, but has no picture", Stage.COPY: "NOT stored", Stage.SCAN: "NOT stored"}
    for failure in failed[:_MOST_FAILURES]:
        print_line(
            console,
            f"failed   {say_name(failure['path'])} ({words[failure['stage']]}): {say_name(failure['error'])}",
            "yellow",
        )
    if len(failed) > _MOST_FAILURES:
        print_line(
            console,
            f"failed   and {len(failed) - _MOST_FAILURES} more: see manifest.json and 'ghostroll show {document['job']}'",
            "yellow",
        )
