"""Replies of the offline model. A pure function of messages and tools: returns a text or one tool call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage

from tools_agent.notices import split_notices

from .requests import Tool, arguments, find_requested_tool, match_tool

SELF = "I am the offline model of Agenthall: deterministic, no LLM, no network"
QUOTE_CHARACTERS = 4000
ROLE_CHARACTERS = 160
QUESTION_CHARACTERS = 500
READ_CHARACTERS = 100_000
"""How much of a request is searched for a question about the past: the pattern is quadratic."""

_RECALL = re.compile(
    r"\b(?:what|which)\b.*\b(?:did i|have i|i)\s+(?:just\s+)?(?:say|said|ask|asked|tell|told|write|wrote|mention|mentioned)\b"
    r"|\b(?:do you|can you)\s+(?:still\s+)?remember\b",
    re.IGNORECASE | re.DOTALL,
)
_FIRST = re.compile(r"\b(?:first|at the beginning|initially|start)\b", re.IGNORECASE)
_LAST = re.compile(r"\b(?:last|just|previous(?:ly)?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: dict[str, Any]


def reply(messages: Sequence[BaseMessage], tools: Sequence[Tool]) -> str | Call:
    """Answer the conversation so far with a text or a call of one of `tools`."""
    prompt, missing = _system(messages)
    answer = _answer(messages, tools, prompt)
    if isinstance(answer, Call) or not missing:
        return answer
    return "\n\n".join([answer, "Please note: " + "; ".join(missing)])


def _answer(messages: Sequence[BaseMessage], tools: Sequence[Tool], prompt: str) -> str | Call:
    if results := _trailing_results(messages):
        return _from_results(results)
    user_texts = [_text(message) for message in messages if isinstance(message, HumanMessage)]
    request = user_texts[-1][:READ_CHARACTERS] if user_texts else ""
    if requested := find_requested_tool(request, tools):
        return (
            Call(requested.tool.name, arguments(requested.tool, requested.rest))
            if requested.tool
            else _no_tool(requested.name, tools)
        )
    if _RECALL.search(request[:QUESTION_CHARACTERS]):
        return _recall(request, user_texts[:-1])
    if tool := match_tool(request, tools):
        return Call(tool.name, arguments(tool, request))
    return _introduction(request, prompt, tools, turns=len(user_texts))


def _system(messages: Sequence[BaseMessage]) -> tuple[str, list[str]]:
    return split_notices("\n\n".join(_text(message) for message in messages if isinstance(message, SystemMessage)))


def _text(message: BaseMessage) -> str:
    return str(message.text).strip()


def _trailing_results(messages: Sequence[BaseMessage]) -> list[ToolMessage]:
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.insert(0, message)
    return results


def _from_results(results: Sequence[ToolMessage]) -> str:
    parts = [f"The tool {result.name or '?'} {_outcome(result)}:\n\n{_quotation(_text(result))}" for result in results]
    return "\n\n".join([*parts, "(Answered by the offline model of Agenthall from the tool's result alone.)"])


def _outcome(result: ToolMessage) -> str:
    return "failed" if result.status == "error" else "answered"


def _quotation(text: str) -> str:
    shown = text if len(text) <= QUOTE_CHARACTERS else text[:QUOTE_CHARACTERS] + " …"
    return "\n".join(f"> {line}" for line in (shown or "(nothing)").splitlines())


def _no_tool(name: str, tools: Sequence[Tool]) -> str:
    return f"I have no tool named {name}. {_inventory(tools)}"


def _inventory(tools: Sequence[Tool]) -> str:
    if not tools:
        return "I have no tools."
    return f"I have: {', '.join(tool.name for tool in tools)}."


def _recall(request: str, earlier: Sequence[str]) -> str:
    if not earlier:
        return "This is the first thing that you said in this conversation."
    if _FIRST.search(request):
        return f"The first thing that you said was:\n\n{_quotation(earlier[0])}"
    if _LAST.search(request):
        return f"Just before, you said:\n\n{_quotation(earlier[-1])}"
    return "Before, you said:\n\n" + "\n".join(f"{n}. {text}" for n, text in enumerate(earlier, start=1))


def _introduction(request: str, prompt: str, tools: Sequence[Tool], *, turns: int) -> str:
    lines = [f"{SELF}."]
    if prompt:
        lines.append(f"My role here: {_role(prompt)}")
    if request:
        lines.append(f"You said{' (turn ' + str(turns) + ')' if turns > 1 else ''}: “{_shortened(request)}”.")
    hint = f" Ask me, for example: use the tool {tools[0].name} …" if tools else ""
    lines.append(_inventory(tools) + hint)
    return "\n".join(lines)


def _role(prompt: str) -> str:
    sentence = re.split(r"(?<=[.!?])\s|\n", prompt.strip(), maxsplit=1)[0]
    return _shortened(sentence)


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= ROLE_CHARACTERS else flat[: ROLE_CHARACTERS - 1] + "…"
