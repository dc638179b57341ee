"""Stream mode `messages`: LangGraph yields (chunk, metadata); the wire wants each message's metadata once and then the message so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message


class MessageStream:
    """One for each run: remembers what it has said of each message."""

    def __init__(self) -> None:
        self._so_far: dict[str, BaseMessageChunk] = {}
        self._known: set[str] = set()

    def events(self, message: BaseMessage, metadata: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """(event name, payload) pairs for one item of the stream."""
        key = message.id or ""
        if key not in self._known:
            self._known.add(key)
            yield "messages/metadata", {key: {"metadata": metadata}}
        if isinstance(message, BaseMessageChunk):
            whole = self._so_far[key] + message if key in self._so_far else message
            self._so_far[key] = whole
            yield "messages/partial", [message_chunk_to_message(whole)]
        else:
            yield "messages/complete", [message]
