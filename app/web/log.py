"""How the log is written: one line of JSON for machines, a readable one for people; both from structlog and stdlib.

Takes   format and level
Gives   a configured root logger and structlog
Raises  nothing
Not     what is logged: no room puts a token, a claim's value or a body into a log call
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from flask import g, has_app_context

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(log_format: str, log_level: str) -> None:
    """Send structlog's and the standard library's lines to standard error, in one format."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    renderers = _console() if log_format == "console" else _json()
    structlog.configure(
        processors=[*_SHARED, _add_request_id, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StandardError(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name, _add_request_id],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Alembic tells at every /readyz which database it found.
    logging.getLogger("alembic").setLevel(logging.WARNING)


class _StandardError:
    """Writes to whatever standard error is at that moment: tests and gunicorn replace it after a logger was made."""

    def __call__(self, *_names: Any) -> "_StandardError":
        """Serve as structlog's logger factory too: there is nothing to keep for each logger."""
        return self

    def msg(self, message: str) -> None:
        # One write for the line and its end: lines of two threads must not mix.
        sys.stderr.write(message + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


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


def _as_text(document: Any, **_options: Any) -> str:
    return orjson.dumps(document, default=str).decode()


def _drop_absent(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in event.items() if value is not None}


def _add_request_id(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Every line that is written while a request runs names it, from whichever room it comes."""
    if "request_id" not in event and has_app_context():
        event["request_id"] = g.get("request_id")
    return event
