"""The parts of an answer, read from the events of a run in stream mode `messages-tuple`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of an agent's message. `message_id` tells messages apart."""

    text: str
    message_id: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments`: an object, or text if the model wrote no valid JSON."""

    name: str
    arguments: Any

    @property
    def text(self) -> str:
        """The call as one writes it: `search(query="rent", limit=3)`."""
        if not isinstance(self.arguments, dict):
            return f"{self.name}({self.arguments})"
        given = (f"{name}={orjson.dumps(value).decode()}" for name, value in self.arguments.items())
        return f"{self.name}({', '.join(given)})"


@dataclass(frozen=True, slots=True)
class ToolResult:
    name: str
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Failure:
    text: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """Another worker executes the run again, from its last checkpoint."""


@dataclass(frozen=True, slots=True)
class Queued:
    """No worker has taken the run yet."""


Part: TypeAlias = Text | ToolCall | ToolResult | Failure | Repeated | Queued


@dataclass(slots=True)
class _Pieces:
    """A tool call that arrives in pieces."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def call(self) -> ToolCall:
        text = "".join(self.arguments)
        try:
            return ToolCall(self.name, orjson.loads(text or "{}"))
        except orjson.JSONDecodeError:
            return ToolCall(self.name, text)


class PartReader:
    """Turns events into parts. A tool call is a part when it is complete."""

    def __init__(self) -> None:
        self._message_id = ""
        self._calls: dict[Any, _Pieces] = {}
        self._streamed: set[str] = set()

    def read(self, event: str, data: Any) -> Iterator[Part]:
        match event:
            case "messages" if isinstance(data, list) and data and isinstance(data[0], dict):
                yield from self._message(data[0])
            case "metadata" if int(data.get("attempt") or 1) > 1:
                yield from self.rest()
                yield Repeated()
            case "error":
                yield from self.rest()
                yield Failure(error_text(data))

    def rest(self) -> Iterator[Part]:
        """Yield tool calls whose end no event has marked."""
        calls, self._calls = self._calls, {}
        for pieces in calls.values():
            yield pieces.call()

    def _message(self, message: dict[str, Any]) -> Iterator[Part]:
        message_id = str(message.get("id") or "")
        if message_id != self._message_id:
            yield from self.rest()
            self._message_id = message_id
        match message.get("type"):
            case "AIMessageChunk":
                self._streamed.add(message_id)
                yield from self._chunk(message, message_id)
            case "ai" if message_id not in self._streamed:
                yield from _text(message, message_id)
                yield from tool_calls(message)
            case "tool":
                text = text_of(message.get("content"))
                yield ToolResult(str(message.get("name") or "tool"), text, message.get("status") == "error")

    def _chunk(self, message: dict[str, Any], message_id: str) -> Iterator[Part]:
        yield from _text(message, message_id)
        for chunk in message.get("tool_call_chunks") or ():
            pieces = self._calls.setdefault(self._key(chunk), _Pieces())
            pieces.name += chunk.get("name") or ""
            pieces.arguments.append(chunk.get("args") or "")
        if message.get("chunk_position") == "last":
            yield from self.rest()

    def _key(self, chunk: dict[str, Any]) -> Any:
        """Return the key of the call that the chunk belongs to: its index, its id, or those of the call before."""
        if chunk.get("index") is not None:
            return chunk["index"]
        return chunk.get("id") or next(reversed(self._calls), None)


def tool_calls(message: dict[str, Any]) -> Iterator[ToolCall]:
    """Yield the tool calls of a complete message."""
    for call in message.get("tool_calls") or ():
        yield ToolCall(str(call.get("name")), call.get("args"))


def text_of(content: Any) -> str:
    """Return the text of a message's content, which is text or a list of blocks. Other blocks than text are named."""
    if isinstance(content, str) or content is None:
        return content or ""
    blocks = content if isinstance(content, list) else [content]
    return "".join(_block(block) for block in blocks)


def error_text(error: Any) -> str:
    """Return an error of a run, `{"error", "message"}`, as one line."""
    if not isinstance(error, dict):
        return str(error)
    kind, message = str(error.get("error") or "Error"), " ".join(str(error.get("message") or "").split())
    return f"{kind}: {message}" if message else kind


def _text(message: dict[str, Any], message_id: str) -> Iterator[Text]:
    if text := text_of(message.get("content")):
        yield Text(text, message_id)


_SILENT = frozenset({"tool_use", "tool_call", "tool_call_chunk", "input_json_delta", "thinking", "reasoning"})
"""Blocks that are no part of what the agent says."""


def _block(block: Any) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict):
        return orjson.dumps(block).decode()
    if isinstance(block.get("text"), str):
        return str(block["text"])
    kind = str(block.get("type"))
    return "" if kind in _SILENT else f"[{kind}]"
