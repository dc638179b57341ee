"""Starts the traces of a process, if the environment asks for them. Without, nothing of OpenTelemetry is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robyn_server import logs
from robyn_server.tracing.options import check_tracing

if TYPE_CHECKING:
    from robyn_server.tracing.provider import Tracing


def start_tracing(process: str) -> Tracing | None:
    """None: tracing is off. `process`: web or worker. Raises Misconfigured."""
    options = check_tracing()
    if options is None:
        return None
    from robyn_server.tracing.propagation import current_ids
    from robyn_server.tracing.provider import Tracing

    logs.add_to_each_line(current_ids)
    return Tracing(options, process)
