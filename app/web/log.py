"""The application's log: the lines of config/log.py, each with the id of the request that it belongs to.

Takes   format and level
Gives   a configured root logger and structlog
Raises  nothing
Not     how a line looks (config/log.py), the line of each request (request_log.py)
"""

from typing import Any

import structlog
from flask import g, has_app_context

from config import log


def configure(log_format: str, log_level: str) -> None:
    """Configure the log of this process."""
    log.configure(log_format, log_level, _add_request_id)


def _add_request_id(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Every line that is written while a request runs names it, from whichever room it comes."""
    if "request_id" not in event and has_app_context():
        event["request_id"] = g.get("request_id")
    return event
