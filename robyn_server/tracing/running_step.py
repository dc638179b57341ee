"""The current span inside a graph.

LangChain tells when a step begins, in the context that its code inherits, but may tell the end in another task. So the
context cannot be set back. Instead the current span is one that stands for the step while it runs, and then for what
was current before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, SpanContext


class RunningStep(Span):
    """Stands for `span` until that ends, and then for `before`."""

    def __init__(self, span: Span, before: Span) -> None:
        self._span = span
        self._before = _running(before)  # or a loop would make a chain of all its steps

    @property
    def running(self) -> Span:
        """The span that this one stands for now."""
        step = _running(self)
        return step._span if isinstance(step, RunningStep) else step  # noqa: SLF001 - of the same class

    @property
    def has_ended(self) -> bool:
        return not self._span.is_recording()

    @property
    def before(self) -> Span:
        return self._before

    def __getattr__(self, name: str) -> Any:
        """Attributes that the spans of the SDK have beyond the interface, such as `name`."""
        return getattr(self.running, name)

    def get_span_context(self) -> SpanContext:
        return self.running.get_span_context()

    def is_recording(self) -> bool:
        return self.running.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Nothing: the step ends its own span."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.running.set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.running.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self.running.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        self.running.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self.running.update_name(name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.running.set_status(status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        self.running.record_exception(exception, attributes, timestamp, escaped)


def _running(span: Span) -> Span:
    """`span`, or what was current before it, if it is a step that has ended."""
    while isinstance(span, RunningStep) and span.has_ended:
        span = span.before
    return span
