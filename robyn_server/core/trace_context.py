"""W3C Trace Context: the two headers with which a trace goes on in another process.
https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_STATE = 512
"""Characters of a tracestate that are kept; section 3.3.1.5 asks for at least as many."""

_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """`traceparent` names a trace and a span in it. `tracestate`: what tracing systems add to it, newest first."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def of(cls, traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
        """None for a traceparent that is none. Members of a long tracestate are left out, from the oldest."""
        if traceparent is None or _PARENT.fullmatch(traceparent) is None:
            return None
        return cls(traceparent, _shortened(tracestate))

    @property
    def headers(self) -> dict[str, str]:
        given = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in given.items() if value is not None}


def _shortened(tracestate: str | None) -> str | None:
    members = tracestate.split(",") if tracestate else []
    while len(",".join(members)) > LONGEST_STATE:
        members.pop()
    return ",".join(members) or None
