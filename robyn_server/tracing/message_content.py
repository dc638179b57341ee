"""The content of messages, tool calls and results, as JSON of the GenAI conventions. Used only where it is captured.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-input-messages.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_TEXTS = frozenset({"text", "output_text", "input_text"})


def input_messages(batches: Sequence[Sequence[BaseMessage]]) -> str:
    return json_text([_message(each) for batch in batches for each in batch])


def output_messages(response: Any) -> str:
    """`response`: an LLMResult."""
    generations = [each for batch in getattr(response, "generations", None) or () for each in batch]
    return json_text([_answer(each) for each in generations])


def json_text(value: Any) -> str:
    """JSON; objects of other types as their text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _answer(generation: Any) -> dict[str, Any]:
    message = getattr(generation, "message", None)
    if message is None:
        return {"role": "assistant", "parts": [{"type": "text", "content": getattr(generation, "text", "")}]}
    details = getattr(message, "response_metadata", None) or {}
    return {**_message(message), "finish_reason": str(details.get("finish_reason") or details.get("stop_reason") or "")}


def _message(message: BaseMessage) -> dict[str, Any]:
    role = _ROLES.get(message.type, message.type)
    if role == "tool":
        call = getattr(message, "tool_call_id", None)
        return {
            "role": role,
            "parts": [{"type": "tool_call_response", "id": call, "response": _plain(message.content)}],
        }
    return {"role": role, "parts": [*_parts(message.content), *_calls(message)]}


def _parts(content: Any) -> Iterator[dict[str, Any]]:
    """Texts. Of an image, a file or audio only the kind is told: the bytes would be many times the size of a span."""
    for each in [content] if isinstance(content, str) else content:
        if isinstance(each, str):
            if each:
                yield {"type": "text", "content": each}
        elif isinstance(each, dict) and each.get("type") in _TEXTS:
            yield {"type": "text", "content": each.get("text", "")}
        elif isinstance(each, dict) and each.get("type") != "tool_use":
            yield {"type": str(each.get("type"))}


def _calls(message: BaseMessage) -> Iterator[dict[str, Any]]:
    for call in getattr(message, "tool_calls", None) or ():
        yield {"type": "tool_call", "id": call.get("id"), "name": call.get("name"), "arguments": call.get("args")}


def _plain(content: Any) -> Any:
    return content if isinstance(content, str) else list(_parts(content))
