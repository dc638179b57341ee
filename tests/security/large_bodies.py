"""Bodies of four megabytes that are refused: the path, which may name a thread, and the body."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson

BODY = 3_980_000
ECHO = {"assistant_id": "echo"}


def _many(element: Any, size: int = BODY) -> list[Any]:
    return [element] * (size // (len(orjson.dumps(element)) + 1))


REFUSED: dict[str, tuple[str, Any]] = {
    "goto": ("/runs", ECHO | {"command": {"goto": _many(5)}}),
    "goto, as many as a body may hold": ("/runs", ECHO | {"command": {"goto": _many("x" * 25)}}),
    "update": ("/runs", ECHO | {"command": {"update": _many([])}}),
    "stream_mode": ("/runs", ECHO | {"stream_mode": _many(5, 290_000)}),
    "interrupt_before": ("/threads/{thread}/runs", ECHO | {"interrupt_before": _many(5, 290_000)}),
    "interrupt_after": ("/threads/{thread}/runs", ECHO | {"interrupt_after": _many("x" * 2000)}),
    "feedback_keys": ("/runs", ECHO | {"feedback_keys": _many({}, 400_000)}),
    "supersteps": ("/threads", {"supersteps": _many(5, 290_000)}),
    "select": ("/threads/search", {"select": _many("x", 400_000)}),
    "select of assistants": ("/assistants/search", {"select": _many("name", 1_000_000)}),
    "ids": ("/threads/search", {"ids": [str(uuid4()) for _ in range(100_000)]}),
    "ids that are none": ("/threads/search", {"ids": _many(5, 290_000)}),
    "tags": ("/runs", ECHO | {"config": {"tags": _many(5, 290_000)}}),
    "capabilities": ("/agents/instances", {"agent_id": "a", "instance_id": "b", "capabilities": _many(5, 290_000)}),
    "checkpoint_map": (
        "/threads/{thread}/state/checkpoint",
        {"checkpoint": {"checkpoint_map": dict.fromkeys(map(str, range(100_000)), 5)}},
    ),
    "unknown fields": ("/agents/instances", dict.fromkeys(map(str, range(140_000)), 1)),
    "lists in lists": ("/threads", {"metadata": {"a": _many([])}}),
    "empty texts": ("/threads", {"metadata": {"a": _many("")}}),
    "NUL at the end": ("/threads", {"metadata": {"a": ["x" * 20] * 140_000 + ["\0"]}}),
    "metadata with many members": ("/threads", {"metadata": dict.fromkeys(map(str, range(140_000)), 1)}),
    "a long name": ("/assistants", {"graph_id": "echo", "name": "x" * BODY}),
    "a long assistant_id": ("/runs", {"assistant_id": "x" * BODY}),
}
