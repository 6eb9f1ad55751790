"""The command line: thin. Errors become one sentence and an exit code here."""

from ghostroll.cli.app import main

__all__ = ["main"]
