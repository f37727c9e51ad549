"""How lines are written: one of JSON for machines, a readable one for people; structlog's and the library's alike.

Takes   format and level; what is to be added to each line
Gives   a configured root logger and structlog; GunicornLog, so that gunicorn's own lines have the same shape
Raises  nothing
Not     when it is written (lines.py), what is logged: no room puts a token, a claim's value or a body into a log call
Source  structlog "Standard Library Logging"
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from gunicorn.glogging import Logger

from config.lines import LINES
from config.settings import Settings

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(log_format: str, log_level: str, *added: structlog.typing.Processor) -> None:
    """Send structlog's and the standard library's lines to standard error, in one format."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    renderers = _console() if log_format == "console" else _json()
    structlog.configure(
        processors=[*_SHARED, *added, *renderers] if log_format == "console" else [*added, _line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Written(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(LINES)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name, *added],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Alembic tells at every /readyz which database it found.
    logging.getLogger("alembic").setLevel(logging.WARNING)


class GunicornLog(Logger):
    """gunicorn's log, through the same formatter: its start, its workers' ends, its time-outs."""

    def setup(self, cfg: Any) -> None:
        """Give gunicorn's loggers no handler of their own: what they say goes to the root logger."""
        settings = Settings.from_env_or_exit()
        configure(settings.log_format, settings.log_level)
        self.cfg = cfg
        for logger in (self.error_log, self.access_log):
            logger.handlers = []
            logger.propagate = True
        self.error_log.setLevel(logging.getLevelNamesMapping()[settings.log_level.upper()])

    def reopen_files(self) -> None:
        """Do nothing: standard error is no file of ours."""

    def close_on_exec(self) -> None:
        """Do nothing, for the same reason."""


class _Written:
    """Gives structlog's lines to those who write them."""

    def __call__(self, *_names: Any) -> "_Written":
        """Serve as structlog's logger factory too: there is nothing to keep for each logger."""
        return self

    def soon(self, message: str) -> None:
        LINES.later(message + "\n")

    def at_once(self, message: str) -> None:
        LINES.write(message + "\n")

    msg = debug = info = soon
    warning = error = critical = exception = at_once


def _json() -> list[structlog.typing.Processor]:
    return [
        _drop_absent,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_as_text),
    ]


def _console() -> list[structlog.typing.Processor]:
    # NOTE: where rich is installed, structlog's own choice shows each frame's variables: tokens, claims, passwords.
    plain = structlog.dev.plain_traceback
    return [_drop_absent, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _line(logger: Any, level: str, event: structlog.typing.EventDict) -> str:
    """Do what _SHARED and _json() do, in one step: every request writes a line."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    document = {name: value for name, value in event.items() if value is not None}
    document["level"] = "error" if level == "exception" else level
    document["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _as_text(document)


def _as_text(document: Any, **_options: Any) -> str:
    return orjson.dumps(document, default=str).decode()


def _drop_absent(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in event.items() if value is not None}
