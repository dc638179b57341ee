"""Structured logs on standard error: text in a terminal, JSON elsewhere.

One handler on the root logger renders the server's events and the lines of other libraries. Robyn's `basicConfig` does
nothing once the root has a handler. The level of the root is never below INFO: Robyn's Rust side calls into Python for
each of its debug lines.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import structlog

from .log_writer import LogWriter
from .settings import LogFormat, Settings
from .terminal import has_colour

OURS = ("robyn_server", "tools_agent")
CHATTY = ("httpx", "httpcore", "mcp", "robyn", "actix_server", "asyncio")
"""Libraries whose INFO lines do not help an operator."""

Event = MutableMapping[str, Any]

log_fields: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default=MappingProxyType({}))
"""Fields of each line that the current task logs, and the tasks and threads that it starts: of its request, or its
run."""

_more_fields: list[Callable[[], Mapping[str, str]]] = []


def add_to_each_line(read: Callable[[], Mapping[str, str]]) -> None:
    """Add the fields that `read` returns, in the thread and the context that log, to each line.

    For the whole process.
    """
    if read not in _more_fields:
        _more_fields.append(read)


def wants_json(settings: Settings) -> bool:
    if settings.log_format is LogFormat.AUTO:
        return not sys.stderr.isatty()
    return settings.log_format is LogFormat.JSON


def configure(settings: Settings) -> LogWriter:
    """Configure structlog and logging for this process, and return the writer of its lines.

    A later call replaces an earlier one.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    json = wants_json(settings)
    shared = _shared_processors(json=json)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            _hold_exception,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    writer = LogWriter(sys.stderr)
    writer.start()
    _install(_Handler(writer, _formatter(shared, json=json)), level)
    return writer


class _Handler(logging.Handler):
    """Leaves rendering and writing to the writer, which renders in the context that logged."""

    def __init__(self, writer: LogWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        context = contextvars.copy_context()
        if _more_fields and not isinstance(record.msg, dict):  # the line of another library; ours have the fields
            context.run(structlog.contextvars.bind_contextvars, **_add_more_fields(None, "", {}))
        self._writer.write(functools.partial(context.run, self.format, record))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and end the writer's thread: at the exit, and when another configuration replaces this
        one."""
        self._writer.stop()
        super().close()


def _shared_processors(*, json: bool) -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_log_fields,
        _add_more_fields,
        *([structlog.stdlib.add_logger_name] if json else []),
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _add_timestamp,
    ]


def _add_log_fields(_logger: Any, _method: str, event: Event) -> Event:
    return {**log_fields.get(), **event}


def _add_more_fields(_logger: Any, _method: str, event: Event) -> Event:
    for read in _more_fields:
        for name, value in read().items():
            event.setdefault(name, value)
    return event


def _add_timestamp(_logger: Any, _method: str, event: Event) -> Event:
    """Add the time of the event; for the line of another library, that of its record, which is rendered later."""
    record = event.get("_record")
    event["timestamp"] = timestamp(datetime.now(UTC).timestamp() if record is None else record.created)
    return event


def timestamp(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hold_exception(_logger: Any, _method: str, event: Event) -> Event:
    """Replace `exc_info=True` by the exception: another thread renders the event."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


def _formatter(shared: list[Any], *, json: bool) -> logging.Formatter:
    if json:
        renderer: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # the boxed tracebacks of rich take 50 times as long
        plain = structlog.dev.plain_traceback
        renderer = [
            structlog.dev.ConsoleRenderer(colors=has_colour(sys.stderr), exception_formatter=plain, sort_keys=False)
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def _install(handler: logging.Handler, level: int) -> None:
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
