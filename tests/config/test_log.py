"""A line of the log has one shape: structlog's in one step, the library's through the processors."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from config import log

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("info", {"event": "request", "status": 200, "code": None, "ms": 0.25}),
    ("error", {"event": "unexpected", "exc_info": ValueError("boom")}),
    ("exception", {"event": "unexpected", "exc_info": None}),
    ("warning", {"event": "odd", "what": {1, 2}}),
]


@pytest.mark.parametrize(("level", "event"), EVENTS)
def test_line_when_written_in_one_step_then_as_the_processors_write_it(level: str, event: dict[str, Any]):
    slow: Any = dict(event)
    for step in (*log._SHARED, *log._json()):
        slow = step(None, level, slow)
    quick, slow = json.loads(log._line(None, level, dict(event))), json.loads(slow)
    assert quick.keys() == slow.keys()
    assert len(quick.pop("timestamp")) == len(slow.pop("timestamp"))
    assert quick == slow


@pytest.fixture
def kept() -> Iterator[None]:
    """Afterwards the log is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("kept")
def test_log_when_written_by_either_library_then_one_shape(capsys: pytest.CaptureFixture[str]):
    log.configure("json", "info")
    structlog.get_logger().info("one", number=1, nothing=None)
    logging.getLogger("postern.test").info("two")
    structlog.get_logger().debug("three")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["number"], "nothing" in first) == ("one", "info", 1, False)
    assert (second["event"], second["level"], second["logger"]) == ("two", "info", "postern.test")
    assert first["timestamp"].endswith("Z")
    assert second["timestamp"].endswith("Z")


@pytest.mark.usefixtures("kept")
def test_log_when_a_fault_is_written_then_its_traceback_too(capsys: pytest.CaptureFixture[str]):
    log.configure("json", "info")
    try:
        int("boom")
    except ValueError:
        structlog.get_logger().exception("unexpected")
    (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["level"], "ValueError: invalid literal" in line["exception"]) == ("error", True)
    assert "test_log.py" in line["exception"]
