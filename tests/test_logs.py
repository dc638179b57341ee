from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from robyn_server.logs import configure
from robyn_server.settings import load_settings
from robyn_server.web.access_log import AccessLog, Entry, as_json, as_text

ENTRY = Entry(1_700_000_000.25, "GET", "/a\nb", 200, 0.00123, "r-1")


@pytest.fixture
def root_logger():
    """The root logger's own handlers, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_our_events_and_other_libraries_lines_are_json(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(load_settings(log_format="json"))
    logging.basicConfig(level="DEBUG")  # what Robyn does
    structlog.get_logger("robyn_server.x").info("ours", a=1)
    logging.getLogger("library").warning("theirs %s", 2)
    logging.getLogger("library").debug("not shown")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["a"], ours["level"]) == ("ours", 1, "info")
    assert (theirs["event"], theirs["logger"]) == ("theirs 2", "library")


def test_debug_is_for_our_own_loggers_only(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(load_settings(log_format="console", log_level="DEBUG"))
    assert root_logger.level == logging.INFO
    structlog.get_logger("robyn_server.x").debug("ours")
    assert "ours" in capsys.readouterr().err


def test_a_request_is_one_line_in_both_formats() -> None:
    assert json.loads(as_json(ENTRY)) == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": "/a\nb",
        "status": 200,
        "ms": 1.23,
        "request_id": "r-1",
        "timestamp": "2023-11-14T22:13:20.250Z",
    }
    assert as_text(ENTRY) == "2023-11-14T22:13:20.250Z [info] GET '/a\\nb' 200 1.2 ms r-1"


def test_what_is_left_is_written_at_the_stop() -> None:
    text = io.StringIO()
    log = AccessLog(text, as_json)
    log.start()
    for _ in range(1000):
        log.record(ENTRY)
    log.stop()
    assert len(text.getvalue().splitlines()) == 1000


def test_a_closed_pipe_does_no_harm() -> None:
    text = io.StringIO()
    log = AccessLog(text, as_json)
    log.record(ENTRY)
    text.close()
    log.flush(10)
