"""The headers of W3C Trace Context."""

from __future__ import annotations

import pytest

from robyn_server.core.trace_context import LONGEST_STATE, TraceContext

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_headers_are_those_that_are_known() -> None:
    assert TraceContext(PARENT).headers == {"traceparent": PARENT}
    assert TraceContext(PARENT, "a=1").headers == {"traceparent": PARENT, "tracestate": "a=1"}


@pytest.mark.parametrize("text", [None, "", "00-1-2-01", PARENT.upper(), PARENT + "-x", "x" * 5000])
def test_another_text_is_no_context(text: str | None) -> None:
    assert TraceContext.of(text, "a=1") is None


def test_the_oldest_members_of_a_long_state_are_left_out() -> None:
    members = [f"vendor{number}={'x' * 90}" for number in range(20)]
    context = TraceContext.of(PARENT, ",".join(members))
    assert context is not None
    assert context.tracestate == ",".join(members[:5])
    assert len(context.tracestate) <= LONGEST_STATE


def test_a_state_without_a_member_that_fits_is_none() -> None:
    assert TraceContext.of(PARENT, "a=" + "x" * 5000) == TraceContext(PARENT)
