"""Options and arguments that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ghostroll.config import Settings, load_settings

MOST = 2**63 - 1  # what SQLite's integers hold

ConfigOption = Annotated[Path | None, typer.Option(metavar="FILE", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
JobArgument = Annotated[
    int,
    typer.Argument(metavar="JOB", help="The job's number, as 'ghostroll jobs' shows it.", min=1, max=MOST),
]


def load(config: Path | None) -> Settings:
    """The settings in force for this command. Raises ConfigError."""
    return load_settings(config, os.environ).settings
