"""Logs of a program that uses agent sync as a library: they go to `logging`, where the program decides what to show.

A program that has configured structlog, as the server has, keeps its own configuration.
"""

from __future__ import annotations

import structlog


def log_to_host() -> None:
    """Configure structlog unless it is configured already. The default of structlog prints to standard output."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
