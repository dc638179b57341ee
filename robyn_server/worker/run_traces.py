"""Traces of an attempt of a run: its log lines, its spans, and its run tree at LangSmith."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robyn_server.core.runs import ClaimedRun, RunEnd
from robyn_server.logs import log_fields
from robyn_server.tracing.langsmith.runs import langsmith_tracers

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

    from robyn_server.tracing.queue_spans import AttemptSpan, AttemptSpans


@dataclass(frozen=True, slots=True)
class AttemptTrace:
    """`callbacks`: for the graph.

    LangChain adds a tracer of LangSmith by itself, where the run asks for none in particular.
    """

    callbacks: Sequence[BaseCallbackHandler]
    span: AttemptSpan | None = None

    def end(self, end: RunEnd) -> None:
        if self.span is not None:
            self.span.end(end)


class RunTraces:
    """`spans`: None where OpenTelemetry is off."""

    def __init__(self, spans: AttemptSpans | None = None) -> None:
        self._spans = spans

    @contextmanager
    def attempt(self, run: ClaimedRun) -> Iterator[AttemptTrace]:
        """Trace the block, in a task of its own: each line that the task logs names the run."""
        log_fields.set({"run_id": str(run.run_id), "thread_id": str(run.thread_id), "attempt": run.attempt})
        tracers = langsmith_tracers(run)
        if self._spans is None:
            yield AttemptTrace(tracers)
            return
        with self._spans.attempt(run) as span:
            yield AttemptTrace((*span.callbacks, *tracers), span)
