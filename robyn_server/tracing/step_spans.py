"""Spans of the steps of a graph: their parents, and where each is current.

Rules
  1. LangChain names the parent of each step. A span of the graph's own code between the two is the parent instead, if
     it is current.
  2. The span of a step is current while the step runs, in its threads and tasks: spans of libraries and of the graph's
     code join it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langgraph.errors import GraphBubbleUp
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context

from .running_step import RunningStep
from .span_errors import SpanErrors


@dataclass(slots=True)
class Step:
    """A step that runs. `span`: None for a chain that needs none, or not yet. `began`: nanoseconds since the epoch."""

    name: str
    parent_id: UUID | None
    before: Context
    began: int
    span: Span | None = None
    is_streaming: bool = False


class StepSpans:
    """The steps of one attempt of a run. Made where the attempt's own span is current."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._steps: dict[UUID, Step] = {}
        self._outside = contexts.get_current()
        self._ours = {trace.get_current_span().get_span_context().span_id}
        self._errors = SpanErrors()

    def find(self, run_id: UUID | None) -> Step | None:
        return None if run_id is None else self._steps.get(run_id)

    def add(self, run_id: UUID, parent_id: UUID | None, name: str) -> Step:
        """Note a step. It has no span yet."""
        step = self._steps[run_id] = Step(name, parent_id, contexts.get_current(), time.time_ns())
        return step

    def open(self, step: Step, name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> None:
        """Begin the span of a step, and make it current."""
        span = self.open_late(step, name, kind, attributes)
        current = RunningStep(span, trace.get_current_span(step.before))
        contexts.attach(set_span_in_context(current, step.before))

    def open_late(self, step: Step, name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> Span:
        """Begin the span of a step that runs already. It is not current in the code of the step."""
        span = self._tracer.start_span(name, self._parent(step), kind, dict(attributes), start_time=step.began)
        step.span = span
        self._ours.add(span.get_span_context().span_id)
        return span

    def close(self, run_id: UUID, attributes: Mapping[str, Any] | None = None) -> None:
        step = self._steps.pop(run_id, None)
        if step is not None and step.span is not None:
            step.span.set_attributes(attributes or {})
            step.span.end()

    def fail(self, run_id: UUID, error: BaseException, *, with_text: bool = True) -> None:
        step = self._steps.pop(run_id, None)
        if step is None or step.span is None:
            return
        if isinstance(error, GraphBubbleUp):  # an interrupt, or a command for the graph above
            step.span.set_attribute("agenthall.interrupted", True)
        else:
            self._errors.record(step.span, error, with_text=with_text)
        step.span.end()

    def close_all(self) -> None:
        """End the spans of steps that never reported their end, as those of a generator that was abandoned."""
        for step in reversed(list(self._steps.values())):
            if step.span is not None:
                step.span.end()
        self._steps.clear()

    def _parent(self, step: Step) -> Context:
        """Rule 1."""
        current = trace.get_current_span(step.before).get_span_context()
        if current.is_valid and current.span_id not in self._ours:
            return step.before
        above = self.find(step.parent_id)
        while above is not None and above.span is None:
            above = self.find(above.parent_id)
        return self._outside if above is None or above.span is None else set_span_in_context(above.span)
