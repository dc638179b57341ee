"""The conversation of a thread as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from robyn_server.cli.chat.parts import text_of, tool_calls
from robyn_server.terminal import printable, styled

_SPEAKERS = {"human": ("you", "bold green"), "ai": ("agent", "bold cyan"), "system": ("system", "dim")}
_BRIEF = 200
"""Characters of a tool's arguments or result."""


def transcript(values: Any) -> str:
    """Return the messages of a thread's values, or the values of a graph that has no messages."""
    if not values:
        return ""
    messages = values.get("messages") if isinstance(values, dict) else None
    if not isinstance(messages, list):
        return printable(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()) + "\n"
    return "".join(f"{line}\n" for message in messages if isinstance(message, dict) for line in _lines(message))


def _lines(message: dict[str, Any]) -> Iterator[str]:
    kind, text = str(message.get("type")), text_of(message.get("content"))
    if kind == "tool":
        style = "red" if message.get("status") == "error" else "dim"
        yield styled(f"  ← {message.get('name')}: {_brief(text)}", style)
        return
    speaker, style = _SPEAKERS.get(kind, (kind, "dim"))
    if text:
        yield f"{styled(printable(speaker) + ':', style)} {printable(text)}"
    for call in tool_calls(message):
        yield styled(f"  → {_brief(call.text)}", "cyan")


def _brief(text: str) -> str:
    return " ".join(printable(text[:_BRIEF]).split()) + (" …" if len(text) > _BRIEF else "")
