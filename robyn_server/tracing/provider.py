"""Starts and stops OpenTelemetry in a process. The only module that sets up its SDK."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from robyn_server import __version__
from robyn_server.concurrency.daemon_thread import finishes

from .http_spans import HttpSpans
from .queue_spans import AttemptSpans, EnqueueSpans

if TYPE_CHECKING:
    from .options import TraceOptions

STOP_SECONDS = 3.0
"""How long a process that stops waits for its last spans to be sent."""

_log = structlog.get_logger(__name__)


class Tracing:
    """The spans of this process, by where they begin. `start_tracing` makes it."""

    def __init__(self, options: TraceOptions, process: str) -> None:
        """`process`: web or worker.

        A provider that somebody else has set, as `opentelemetry-instrument` does, is used and left alone.
        """
        self._options = options
        self._provider = _own_provider(process) if _is_free() else None
        tracer = trace.get_tracer("agenthall", __version__)
        self.http = HttpSpans(tracer)
        self.enqueue = EnqueueSpans(tracer)
        self.attempts = AttemptSpans(tracer, captures_content=options.captures_content)

    def announce(self) -> None:
        _log.info("traces are sent", to=self._options.shown_endpoint, content=self._options.captures_content)

    async def stop(self) -> None:
        """Send the spans that are left, within STOP_SECONDS. A collector that hangs does not hold the process."""
        if self._provider is None:
            return
        if not await finishes(self._provider.shutdown, STOP_SECONDS, "last spans"):
            _log.warning("the last spans were not sent", seconds=STOP_SECONDS, to=self._options.shown_endpoint)


def _is_free() -> bool:
    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _own_provider(process: str) -> TracerProvider:
    """Set the provider of the process, so that spans of graphs join ours.

    The SDK reads the sampler and limits from the environment.
    """
    provider = TracerProvider(resource=_resource(process), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def _resource(process: str) -> Resource:
    ours: dict[str, Any] = {
        "service.name": "agenthall",
        "service.version": __version__,
        "process.pid": os.getpid(),
        "agenthall.process": process,
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
