"""Logs: one format, in order, and nobody waits for them."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from functools import partial

import pytest
import structlog

from robyn_server.log_writer import LogWriter
from robyn_server.logs import add_to_each_line, configure, log_fields
from robyn_server.settings import load_settings
from robyn_server.web.edge.access_log import PROBES, Entry, as_json, as_text, request_recorder

ENTRY = Entry(1_700_000_000.25, "GET", "/a\nb", 200, 0.00123, "r-1")


@pytest.fixture
def root_logger():
    """The root logger's own handlers, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that were logged so far."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capsys.readouterr().err.splitlines()


def test_our_events_and_other_libraries_lines_are_json(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(load_settings(log_format="json"))
    logging.basicConfig(level="DEBUG")  # as Robyn does
    structlog.get_logger("robyn_server.x").info("ours", a=1)
    logging.getLogger("library").warning("theirs %s", 2)
    logging.getLogger("library").debug("not shown")
    ours, theirs = (json.loads(line) for line in lines(capsys))
    assert (ours["event"], ours["a"], ours["level"]) == ("ours", 1, "info")
    assert (theirs["event"], theirs["logger"]) == ("theirs 2", "library")


def test_another_configuration_ends_the_writer_that_it_replaces(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    first = configure(load_settings(log_format="json"))
    structlog.get_logger("robyn_server.x").info("to the first")
    second = configure(load_settings(log_format="json"))
    assert (first.is_running, second.is_running) == (False, True)
    assert "to the first" in capsys.readouterr().err


def test_debug_is_for_our_own_loggers_only(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(load_settings(log_format="console", log_level="DEBUG"))
    assert root_logger.level == logging.INFO
    structlog.get_logger("robyn_server.x").debug("ours")
    assert "ours" in "".join(lines(capsys))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_all_lines_are_written_in_the_order_in_which_they_were_logged(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    writer = configure(load_settings(log_format=log_format))
    record = request_recorder(writer, as_json if log_format == "json" else as_text)
    for number in range(300):
        structlog.get_logger("robyn_server.x").info(f"event {number}.0")
        record(ENTRY._replace(path=f"/{number}.1"))
        logging.getLogger("library").warning("event %s.2", number)
    found = lines(capsys)
    assert len(found) == 900
    assert all(f"{n // 3}.{n % 3}" in line for n, line in enumerate(found))
    shapes = {line[:5] if log_format == "json" else line[10:11] + line[23:26] for line in found}
    assert len(shapes) == 1 or log_format == "json"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_written_by_the_thread_in_plain_text(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure(load_settings(log_format=log_format))
    try:
        raise KeyError("topic")  # noqa: TRY301
    except KeyError:
        structlog.get_logger("robyn_server.x").exception("failed")
    text = "\n".join(lines(capsys))
    assert "KeyError: 'topic'" in text
    assert "test_logs.py" in text
    assert "│" not in text


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
    assert as_text(ENTRY) == "2023-11-14T22:13:20.250Z [info     ] GET '/a\\nb'                    status=200 ms=1.2"
    failed = ENTRY._replace(path="/threads", status=404)
    assert as_text(failed).endswith("GET /threads                   status=404 ms=1.2 request_id=r-1")


def test_a_request_has_the_form_of_an_event(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(load_settings(log_format="console"))
    structlog.get_logger("robyn_server.x").info("GET /threads", status=200, ms=1.2)
    (line,) = lines(capsys)
    assert line[24:] == as_text(ENTRY._replace(path="/threads"))[24:]


@pytest.mark.parametrize("path", sorted(PROBES))
def test_a_probe_is_logged_when_it_fails(path: str) -> None:
    text = io.StringIO()
    writer = LogWriter(text)
    record = request_recorder(writer, as_text)
    record(ENTRY._replace(path=path))
    record(ENTRY._replace(path=path, status=503))
    writer.flush()
    assert [line.split("status=")[1][:3] for line in text.getvalue().splitlines()] == ["503"]


def test_what_is_left_is_written_at_the_stop() -> None:
    text = io.StringIO()
    writer = LogWriter(text)
    writer.start()
    for _ in range(1000):
        writer.write(partial(as_json, ENTRY), may_wait=True)
    writer.stop()
    assert len(text.getvalue().splitlines()) == 1000


def test_a_closed_pipe_does_no_harm() -> None:
    text = io.StringIO()
    writer = LogWriter(text)
    writer.write(partial(as_json, ENTRY))
    text.close()
    writer.flush()


def test_a_line_that_cannot_be_rendered_ends_no_other() -> None:
    text = io.StringIO()
    writer = LogWriter(text)

    def fail() -> str:
        raise ValueError("no repr")

    render: Callable[[], str]
    for render in (fail, lambda: "after"):
        writer.write(render)
    writer.flush()
    assert text.getvalue().splitlines() == ["a log line could not be rendered: ValueError('no repr')", "after"]


class _BlockedPipe(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.released.wait()
        return super().write(text)


def test_a_blocked_pipe_delays_the_log_alone() -> None:
    pipe = _BlockedPipe()
    writer = LogWriter(pipe)
    writer.start()
    writer.write(lambda: "first")
    assert pipe.reached.wait(60)
    for _ in range(1000):
        writer.write(lambda: "later")  # returns although the pipe is blocked
    pipe.released.set()
    writer.stop(60)
    assert pipe.getvalue().splitlines() == ["first", *["later"] * 1000]


def test_a_line_has_the_fields_of_the_context_that_logged_it(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is rendered later, by another thread."""
    configure(load_settings(log_format="json"))
    token = log_fields.set({"request_id": "r-1"})
    logging.getLogger("library").warning("theirs")
    structlog.get_logger("robyn_server.x").info("ours")
    log_fields.reset(token)
    logging.getLogger("library").warning("after")
    theirs, ours, after = (json.loads(line) for line in lines(capsys))
    assert theirs["request_id"] == ours["request_id"] == "r-1"
    assert "request_id" not in after


def test_more_fields_are_read_where_the_line_is_logged(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robyn_server.logs._more_fields", [])
    now = {"trace_id": "first"}
    add_to_each_line(lambda: dict(now))
    configure(load_settings(log_format="json"))
    logging.getLogger("library").warning("theirs")
    structlog.get_logger("robyn_server.x").info("ours")
    now["trace_id"] = "second"
    found = [json.loads(line) for line in lines(capsys)]
    assert [line["trace_id"] for line in found] == ["first", "first"]
