"""The command line: thin. Errors become one sentence and an exit code here."""

import gc
import sys


def main() -> None:
    """Run the command line. Ctrl-C before a command has begun to listen for it ends with 130, as a shell has it."""
    gc.disable()  # what is imported is no garbage, and looking for some takes a tenth of the start; see `app`
    try:
        from ghostroll.cli.app import main as run  # noqa: PLC0415  # Ctrl-C while the imports take their time

        run()
    except KeyboardInterrupt:
        sys.exit(130)
