"""`ghostroll daemon`: what the systemd units start."""

import os

import typer

from ghostroll.cli.opening import find_witness, real_clock
from ghostroll.cli.options import ConfigOption, load
from ghostroll.daemon.daemon import Daemon, Surroundings
from ghostroll.daemon.notify import Notifier
from ghostroll.errors import GhostrollError
from ghostroll.observe.logs import open_log


def daemon(config: ConfigOption = None) -> None:
    """Wait for cards, and take each through every stage, until SIGTERM or Ctrl-C.

    Started by systemd: 'systemctl status ghostroll' says what is under way, 'journalctl -u ghostroll' what was.

    Example: ghostroll daemon --config /etc/ghostroll/config.toml
    """
    notifier = Notifier.from_environment(os.environ)
    settings = load(config)
    log = open_log(settings.log, quiet=False)
    around = Surroundings(settings, dict(os.environ), real_clock(), find_witness(os.environ), notifier, log)
    try:
        Daemon(around).run()
    except GhostrollError as error:
        log.error(str(error))  # noqa: TRY400  # a sentence for its owner, not a traceback
        raise typer.Exit(error.exit_code) from error
