"""The conversations of docs/websocket.md, to be held with a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dialled import Dialled

DOCS = Path(__file__).parents[2] / "docs" / "websocket.md"


def conversations() -> list[tuple[str, list[str]]]:
    """Each fenced block of the page that is a conversation, by the heading that it stands under."""
    text = DOCS.read_text(encoding="utf-8")
    found = []
    for heading, body in re.findall(r"^##+ (.+?)$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        for block in re.findall(r"```text\n(.*?)```", body, re.DOTALL):
            lines = [line for line in block.splitlines() if line[:2] in {"→ ", "← "}]
            if lines:
                found.append((heading, lines))
    return found


def agrees(wanted: Any, got: Any) -> bool:
    """`…` stands for anything; a member `…` for further members."""
    if wanted == "…":
        return True
    if isinstance(wanted, dict) and isinstance(got, dict):
        return (set(wanted) == set(got) or "…" in wanted) and all(
            name in got and agrees(value, got[name]) for name, value in wanted.items() if name != "…"
        )
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(agrees, wanted, got))
    return bool(wanted == got)


def filled(value: Any, known: dict[str, Any]) -> Any:
    """`<name>` in what is sent is that member of an earlier result."""
    if isinstance(value, dict):
        return {name: filled(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, known) for each in value]
    return known[value[1:-1]] if isinstance(value, str) and value.startswith("<") and value.endswith(">") else value


async def next_message(socket: Dialled, wanted: Any, early: list[Any]) -> Any:
    """What comes next. A notification may come before the answer that the page has first: those wait in `early`."""
    notice = wanted.get("method") if isinstance(wanted, dict) and wanted.get("type") == 2 else None
    while True:
        got = next((each for each in early if each["method"] == notice), None)
        if got is not None:
            early.remove(got)
            return got
        got = await socket.read()
        if not (isinstance(got, dict) and got.get("type") == 2):
            return got
        early.append(got)
