"""What an ingest prints at its end: what was secured, what failed and why, and where the pictures are."""

import os
from typing import Any

from rich.console import Console
from rich.text import Text

from ghostroll.model import Safety, Stage
from ghostroll.observe.wording import say_bytes, say_count, say_name, say_seconds

_MOST_FAILURES = 20  # named on the terminal; all of them stand in the manifest


def print_ending(console: Console, document: dict[str, Any], *, stopped: bool) -> None:
    """Print the summary for people."""
    _print_safety(console, document, stopped=stopped)
    _print_counts(console, document)
    _print_failures(console, document)
    for waiting in document["waiting"]:
        sentence = f"waiting ({waiting['cause']}): {say_count(waiting['tasks'], waiting['stage'])}"
        _line(console, f"{sentence}: {waiting['error']}" if waiting["error"] else sentence, "yellow")
    if document["session_dir"] is not None and document["publication"] != "none":
        _line(console, "gallery  " + os.path.join(document["session_dir"], "index.html"), "bold")


def _print_safety(console: Console, document: dict[str, Any], *, stopped: bool) -> None:
    match Safety(document["state"]):
        case Safety.SECURED:
            _line(
                console,
                f"SECURED: {say_count(document['files'], 'file')} safe and verified; the card may be removed",
                "bold green",
            )
        case Safety.ATTENTION:
            _line(
                console, "NOT SAFE: some files can't be read; everything else is in the library", "bold red"
            )
        case Safety.INTERRUPTED:
            _line(
                console,
                "NOT SAFE: the card went away; put it back in and run the same command again",
                "bold red",
            )
        case _ if stopped:
            _line(console, "NOT SAFE: stopped; run the same command again to go on", "bold red")
        case _:
            _line(console, "NOT SAFE: not everything is in the library yet", "bold red")


def _print_counts(console: Console, document: dict[str, Any]) -> None:
    counts = [f"{document['new']} new", f"{document['duplicates']} duplicates", f"{document['known']} known"]
    line = f"files    {', '.join(counts)}; {say_bytes(document['bytes'])}"
    seconds = document["seconds"]
    if seconds["secured"] is not None:
        line += f", secured after {say_seconds(seconds['secured'])}"
    _line(console, line)
    pictures = document["renditions"] // 2
    if pictures:
        line = f"pictures {pictures}"
        if seconds["first_picture"] is not None:
            line += f", the first after {say_seconds(seconds['first_picture'])}"
        if seconds["published"] is not None:
            line += f", all after {say_seconds(seconds['published'])}"
        _line(console, line)
    elif document["session_dir"] is None and document["secured"]:
        _line(console, "pictures nothing new on this card, so there is no new gallery")


def _print_failures(console: Console, document: dict[str, Any]) -> None:
    failed = document["failed"]
    words = {Stage.RENDER: "stored, but has no picture", Stage.COPY: "NOT stored", Stage.SCAN: "NOT stored"}
    for failure in failed[:_MOST_FAILURES]:
        _line(
            console,
            f"failed   {say_name(failure['path'])} ({words[failure['stage']]}): {say_name(failure['error'])}",
            "yellow",
        )
    if len(failed) > _MOST_FAILURES:
        _line(
            console,
            f"failed   and {len(failed) - _MOST_FAILURES} more: see manifest.json and 'ghostroll show {document['job']}'",
            "yellow",
        )


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
