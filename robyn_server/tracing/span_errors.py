"""Records the exceptions of steps on their spans."""

from __future__ import annotations

import asyncio
import traceback

from opentelemetry.trace import Span, Status, StatusCode

from .redaction import redacted

_LONGEST_MESSAGE = 2_000
_LONGEST_TRACE = 20_000
"""Characters. The text of a validation error may repeat its input many times."""


class SpanErrors:
    """An exception passes through all steps above its own. Its text is recorded on the first one, the type on all."""

    def __init__(self) -> None:
        self._recorded: list[BaseException] = []

    def record(self, span: Span, error: BaseException, *, with_text: bool = True) -> None:
        """Mark the span as failed; as cancelled for a cancellation, which is nobody's failure.

        Without its text only the type is told.
        """
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            span.set_attribute("agenthall.cancelled", True)
            return
        kind = type(error).__qualname__
        span.set_attribute("error.type", kind)
        if not with_text:
            span.set_status(Status(StatusCode.ERROR))
            return
        message = redacted(str(error))[:_LONGEST_MESSAGE]
        span.set_status(Status(StatusCode.ERROR, message))
        if not any(error is each for each in self._recorded):
            self._recorded.append(error)
            span.add_event("exception", {"exception.type": kind, "exception.message": message, **_stack(error)})


def _stack(error: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(error))
    return {"exception.stacktrace": redacted(text[-_LONGEST_TRACE:])}
