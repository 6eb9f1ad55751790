"""`ghostroll doctor`: what keeps this machine from working, and what mends it."""

import json
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ghostroll.cli.opening import find_witness
from ghostroll.cli.options import ConfigOption, JsonOption
from ghostroll.config import load_settings
from ghostroll.doctor.examination import examine
from ghostroll.doctor.finding import Finding, Level
from ghostroll.doctor.surroundings import look_around
from ghostroll.observe.wording import say_count

_SOME_FOUND = 3
_STYLES = {Level.OK: "green", Level.HINT: "yellow", Level.FINDING: "bold red"}
_MARKS = {Level.OK: "✓", Level.HINT: "!", Level.FINDING: "✗"}
_PLAIN_MARKS = {Level.OK: "+", Level.HINT: "!", Level.FINDING: "x"}  # where the terminal knows no others
_PATIENCE = 30.0  # seconds; a Pi takes some of them to try every picture format

PatienceOption = Annotated[
    float,
    typer.Option(
        "--patience", metavar="SECONDS", help="How long anything may take to answer.", min=1, max=3600
    ),
]


def doctor(
    config: ConfigOption = None, *, patience: PatienceOption = _PATIENCE, as_json: JsonOption = False
) -> None:
    """Look at everything that could keep ghostroll from working, and say what mends it.

    Nothing is changed; one file is made for trial in the library and removed, and in a bucket one small file,
    ghostroll-doctor.txt, which stays. Root sees more: what the service sees, and may. Ends with exit code 3 if something has to be mended.

    Example: ghostroll doctor
    """
    surroundings = look_around(load_settings(config, os.environ), os.environ, find_witness)
    console = Console(highlight=False)
    found: list[Finding] = []
    for theme in examine(surroundings, patience):
        found += theme
        if not as_json:
            _print_findings(console, theme)
    findings, hints = (sum(one.level is level for one in found) for level in (Level.FINDING, Level.HINT))
    if as_json:
        document = {"findings": findings, "hints": hints, "checks": [one.describe() for one in found]}
        typer.echo(json.dumps(document, indent=1))
    else:
        _print_sum(console, findings, hints)
    raise typer.Exit(_SOME_FOUND if findings else 0)


def _print_findings(console: Console, found: list[Finding]) -> None:
    marks = _MARKS if console.encoding.startswith("utf") else _PLAIN_MARKS
    for one in found:
        line = Text.assemble((marks[one.level], _STYLES[one.level]), " ", one.what)
        console.print(line, soft_wrap=True)
        for word, text in (("why", one.why), ("do", one.remedy)):
            if text:
                console.print(Text(f"    {word:<4} {text}"), soft_wrap=True)


def _print_sum(console: Console, findings: int, hints: int) -> None:
    if findings:
        words, style = f"{say_count(findings, 'thing')} to mend", "bold red"
    else:
        words, style = "nothing has to be mended", "bold green"
    if hints:
        words += f", {say_count(hints, 'hint')}"
    console.print(Text(words, style=style), soft_wrap=True)
