"""Spans of runs on their way from the web process, over the queue in PostgreSQL, to the attempts of workers.

The span of an attempt is a child of the one that enqueued the run, so that both are one trace. A run that is claimed
again has a span for each attempt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus
from robyn_server.core.trace_context import TraceContext

from .propagation import context_of, current_trace
from .redaction import redacted

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

_FAILED = frozenset({RunStatus.ERROR, RunStatus.TIMEOUT})
_QUEUE = {"messaging.system": "agenthall"}
"""The queue is not one of a message broker, but tools show it as such."""


class EnqueueSpans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def enqueue(self, graph_id: str, run_ids: Sequence[UUID], thread_id: UUID | None) -> Iterator[TraceContext | None]:
        """The span in which runs are enqueued, which their attempts continue. `thread_id`: None for several runs."""
        given = {
            **_QUEUE,
            "messaging.operation.type": "send",
            "messaging.destination.name": graph_id,
            "messaging.batch.message_count": len(run_ids) if thread_id is None else None,
            "agenthall.run.id": [str(each) for each in run_ids] if thread_id is None else str(run_ids[0]),
            "agenthall.thread.id": None if thread_id is None else str(thread_id),
            "agenthall.graph.id": graph_id,
        }
        attributes = _known(given)
        with self._tracer.start_as_current_span(f"enqueue {graph_id}", kind=SpanKind.PRODUCER, attributes=attributes):
            yield current_trace()


class AttemptSpan:
    """The span of one attempt of a run, and the handler that adds those of its graph."""

    def __init__(self, span: Span, callbacks: Sequence[BaseCallbackHandler]) -> None:
        self._span = span
        self.callbacks = callbacks
        self._has_ended = False

    def end(self, end: RunEnd) -> None:
        """Record how the run ended."""
        self._has_ended = True
        self._span.set_attribute("agenthall.run.status", str(end.status))
        if end.error is not None and end.status in _FAILED:
            kind, message = end.error["error"], redacted(end.error["message"])
            self._span.set_attribute("error.type", kind)
            self._span.add_event("exception", _exception(kind, message, end.traceback))
            self._span.set_status(Status(StatusCode.ERROR, message[:_LONGEST_STATUS]))
        elif end.error is not None:
            self._span.set_attribute("agenthall.cancelled", True)
            self._span.set_attribute("agenthall.run.cancel_reason", end.error["message"])

    def close(self) -> None:
        if not self._has_ended:  # the worker stops, or has lost the run: another attempt follows
            self._span.set_attribute("agenthall.run.status", "released")
        self._span.end()


class AttemptSpans:
    def __init__(self, tracer: Tracer, *, captures_content: bool) -> None:
        self._tracer = tracer
        self._captures_content = captures_content

    @contextmanager
    def attempt(self, run: ClaimedRun) -> Iterator[AttemptSpan]:
        """The span of an attempt. It is current in the block."""
        from .graph_spans import GraphSpans

        names = run_attributes(run)
        parent = Context() if run.trace is None else context_of(run.trace.headers)
        attributes = {
            **names,
            **_QUEUE,
            "messaging.operation.type": "process",
            "messaging.destination.name": run.graph_id,
            "messaging.message.id": str(run.run_id),
            "agenthall.run.waited": run.waited,
        }
        span = self._tracer.start_span(f"run {run.graph_id}", parent, SpanKind.CONSUMER, attributes)
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            graph = GraphSpans(self._tracer, run, names, captures_content=self._captures_content)
            attempt = AttemptSpan(span, (graph,))
            try:
                yield attempt
            finally:
                graph.close()
                attempt.close()


def run_attributes(run: ClaimedRun) -> dict[str, Any]:
    """The attributes by which spans of a run are found."""
    return _known(
        {
            "agenthall.run.id": str(run.run_id),
            "agenthall.run.attempt": run.attempt,
            "agenthall.thread.id": str(run.thread_id),
            "agenthall.assistant.id": str(run.assistant_id),
            "agenthall.graph.id": run.graph_id,
            "agenthall.organization.id": None if run.organization_id is None else str(run.organization_id),
            "session.id": str(run.thread_id),
        }
    )


_LONGEST_STATUS = 256


def _exception(kind: str, message: str, traceback: str | None) -> dict[str, str]:
    """https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/"""
    given = {"exception.type": kind, "exception.message": message, "exception.stacktrace": traceback}
    return {name: redacted(value) for name, value in given.items() if value is not None}


def _known(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
