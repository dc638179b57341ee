"""The conversations of docs/reference/websocket.md, for a test that repeats them with a server."""

from __future__ import annotations

import re
from typing import Any

from doc_pages import DOCS
from network.websocket_client import WebSocketClient

PAGE = DOCS / "reference" / "websocket.md"


def conversations() -> list[tuple[str, list[str]]]:
    """Return the fenced blocks that are conversations, with their headings."""
    text = PAGE.read_text(encoding="utf-8")
    found = []
    for heading, body in re.findall(r"^##+ (.+?)$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        for block in re.findall(r"```text\n(.*?)```", body, re.DOTALL):
            lines = [line for line in block.splitlines() if line[:2] in {"→ ", "← "}]
            if lines:
                found.append((heading, lines))
    return found


def matches(expected: Any, got: Any) -> bool:
    """Compare with placeholders: `…` matches anything, and a member `…` matches further members."""
    if expected == "…":
        return True
    if isinstance(expected, dict) and isinstance(got, dict):
        return (set(expected) == set(got) or "…" in expected) and all(
            name in got and matches(value, got[name]) for name, value in expected.items() if name != "…"
        )
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(matches, expected, got))
    return bool(expected == got)


def fill_placeholders(value: Any, known: dict[str, Any]) -> Any:
    """Replace `<name>` by that member of an earlier result."""
    if isinstance(value, dict):
        return {name: fill_placeholders(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(each, known) for each in value]
    return known[value[1:-1]] if isinstance(value, str) and value.startswith("<") and value.endswith(">") else value


async def next_message(socket: WebSocketClient, expected: Any, early: list[Any]) -> Any:
    """Read the next message. Notifications that arrive before the answer that the page expects wait in `early`."""
    expected_method = expected.get("method") if isinstance(expected, dict) and expected.get("type") == 2 else None
    while True:
        got = next((each for each in early if each["method"] == expected_method), None)
        if got is not None:
            early.remove(got)
            return got
        got = await socket.read()
        if not (isinstance(got, dict) and got.get("type") == 2):
            return got
        early.append(got)
