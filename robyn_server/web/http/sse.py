"""Frames of Server-Sent Events (WHATWG HTML, section 9.2), in the form of LangGraph's server: CRLF; event, data, id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from robyn_server.core.json import exact_json
from robyn_server.core.runs import RunEvent

HEARTBEAT = b": heartbeat\r\n\r\n"
WAIT_HEARTBEAT = b"\n"
"""For a JSON body that is not ready yet: white space before JSON text is allowed (RFC 8259, section 2)."""


def frame(event: str, data: Any, event_id: str | None = None) -> bytes:
    """One event. `data` is JSON text (bytes) or a value to serialize; `event_id` only on resumable streams."""
    text = data if isinstance(data, bytes) else exact_json.dumps(data)
    lines = [b"event: " + _one_line(event), *_data_lines(text)]
    if event_id is not None:
        lines.append(b"id: " + _one_line(event_id))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def missing_events(note: RunEvent, run_id: UUID) -> dict[str, Any]:
    """The data of a `metadata` event in the place of events that are lost: between which numbers they were."""
    return {"run_id": str(run_id), **exact_json.loads(note.data)}


def _data_lines(text: bytes) -> list[bytes]:
    # JSON written by PostgreSQL may hold line ends between tokens; each line needs its own `data:`
    if b"\n" not in text and b"\r" not in text:
        return [b"data: " + text]
    return [b"data: " + line for line in text.splitlines()]


def _one_line(text: str) -> bytes:
    return text.replace("\r", " ").replace("\n", " ").encode()
