"""Structured logs on standard error: for people on a terminal, JSON elsewhere.

One handler on the root logger renders both our events and other libraries' lines. Robyn's `basicConfig` does nothing once the root
has a handler. The root never goes below INFO: Robyn's Rust side calls into Python for each of its debug lines.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from robyn_server.settings import LogFormat, Settings

OURS = ("robyn_server", "tools_agent")
CHATTY = ("httpx", "httpcore", "mcp", "robyn", "actix_server", "asyncio")
"""Libraries whose INFO lines tell an operator nothing."""


def wants_json(settings: Settings) -> bool:
    if settings.log_format is LogFormat.AUTO:
        return not sys.stderr.isatty()
    return settings.log_format is LogFormat.JSON


def configure(settings: Settings) -> None:
    """Set up structlog and logging for this process. May be called again; the last call holds."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    shared = _shared_processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _install(_formatter(shared, json=wants_json(settings)), level)


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(shared: list[Any], *, json: bool) -> logging.Formatter:
    renderer: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if json:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def _install(formatter: logging.Formatter, level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
