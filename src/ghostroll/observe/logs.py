"""Log lines: structlog, to the journal or to stderr. A sentence and a few fields; never a link, a key or a place."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import assert_never

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from ghostroll.config import Log, LogFormat
from ghostroll.observe.journal import JOURNAL_SOCKET, Journal, is_journal
from ghostroll.observe.wording import say_name

_STDERR = 2
_BOOKKEEPING = ("_record", "_from_structlog")  # structlog's own, taken out before a line is made
_MARGIN = "    "  # before every line of a traceback: none can be taken for a line of the log

# What only a signed address or a credential has: the signatures of S3's two versions, and of what is made like them.
_SECRET = re.compile(
    r"(?i:(?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId"
    r"|aws_secret_access_key|aws_session_token|(?:^|[?&;])(?:Signature|Credential))(?:=|%(?:25)*3D))"
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # the id of a key
)
_WORD = re.compile(r"[^\s\"'<>]+")


class _CurrentStderr(logging.Handler):
    """Writes to whatever stderr is at that moment: progress bars replace it while they are drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write what is to be said there. A stderr that is gone costs the line, never the program."""
        lines = self.format(record)
        if lines:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
                sys.stderr.write(lines + "\n")


def _say_value(key: str, value: object) -> object:
    if key == "exception":
        return "\n".join(_MARGIN + say_name(line) for line in str(value).split("\n"))
    return value if value is None or isinstance(value, bool | int | float) else say_name(str(value))


def _clean(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Names on a card are hostile: nothing in a line may start a new one or steer a terminal."""
    return {key: value if key in _BOOKKEEPING else _say_value(key, value) for key, value in event.items()}


def hide_secrets(text: str) -> str:
    """A text without the words that look like a signed address or a key.

    A net under the rope: no link, key or token is ever given to the log, and this promises nothing. It
    catches what an exception of somebody else's library carries in its message.
    """
    return _WORD.sub(lambda word: "[hidden]" if _SECRET.search(word[0]) else word[0], text)


def _hide(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: hide_secrets(value) if isinstance(value, str) else value for key, value in event.items()}


def _choose_renderer(settings: Log, environ: Mapping[str, str], journal: str) -> Processor:
    match settings.format:
        case LogFormat.JSON:
            return structlog.processors.JSONRenderer()
        case LogFormat.JOURNAL:
            return Journal(journal)
        case LogFormat.AUTO if is_journal(environ.get("JOURNAL_STREAM"), _STDERR):
            return Journal(journal)
        case LogFormat.AUTO | LogFormat.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
                pad_event_to=0,
            )
        case never:
            assert_never(never)


def _attach(formatter: logging.Formatter, level: int) -> None:
    ours, everybody = logging.getLogger("ghostroll"), logging.getLogger()
    for logger, least in (
        (ours, level),
        # The warnings of libraries would go to stderr as they are; here they pass the same net.
        (everybody, max(level, logging.WARNING)),
    ):
        for old in [one for one in logger.handlers if isinstance(one, _CurrentStderr)]:
            logger.removeHandler(old)
        handler = _CurrentStderr(least)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    ours.propagate = False
    ours.setLevel(level)


def open_log(
    settings: Log,
    *,
    quiet: bool,
    bars: bool = False,
    environ: Mapping[str, str] = os.environ,
    journal: str = JOURNAL_SOCKET,
) -> structlog.stdlib.BoundLogger:
    """The program's log. `quiet` leaves only errors: a machine reads; `bars` only warnings: the bars say the rest.

    The format `auto` is the journal's where stderr leads there, else lines for a person. No line raises, and none
    is lost while stderr is there: what the journal at the socket `journal` doesn't take goes to stderr.
    """
    level = max(
        getattr(logging, settings.level.upper()),
        logging.ERROR if quiet else logging.WARNING if bars else logging.DEBUG,
    )
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        _clean,
        _hide,
    ]
    formatter = ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _choose_renderer(settings, environ, journal),
        ],
    )
    _attach(formatter, level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger("ghostroll")
    return log
