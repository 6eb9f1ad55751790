"""Log lines: structlog, to stderr. A sentence and a few fields; never a link, a key or a place."""

import logging
import sys

import structlog

from ghostroll.config import Log, LogFormat
from ghostroll.observe.wording import say_name


class _CurrentStderr(logging.Handler):
    """Writes to whatever stderr is at that moment: progress bars replace it while they are drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(self.format(record) + "\n")


def _clean(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Names on a card are hostile: nothing in a line may start a new one or steer a terminal."""
    return {key: say_name(value) if isinstance(value, str) else value for key, value in event.items()}


def open_log(settings: Log, *, quiet: bool, bars: bool = False) -> structlog.stdlib.BoundLogger:
    """The program's log. `quiet` leaves only errors: a machine reads; `bars` only warnings: the bars say the rest."""
    level = max(
        getattr(logging, settings.level.upper()),
        logging.ERROR if quiet else logging.WARNING if bars else logging.DEBUG,
    )
    renderer: structlog.typing.Processor
    if settings.format is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    shared: list[structlog.typing.Processor] = [
        _clean,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = _CurrentStderr()
    handler.setFormatter(formatter)
    root = logging.getLogger("ghostroll")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger("ghostroll")
    return log
