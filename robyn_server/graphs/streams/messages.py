"""Stream mode `messages`: LangGraph yields (chunk, metadata); clients expect the metadata once, then the accumulated
message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message


class MessageStream:
    """The accumulated messages of one run."""

    def __init__(self) -> None:
        self._accumulated: dict[str, BaseMessageChunk] = {}
        self._announced: set[str] = set()

    def events(self, message: BaseMessage, metadata: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield (event name, payload) pairs for one item of the stream."""
        key = message.id or ""
        if key not in self._announced:
            self._announced.add(key)
            yield "messages/metadata", {key: {"metadata": metadata}}
        if isinstance(message, BaseMessageChunk):
            whole = self._accumulated[key] + message if key in self._accumulated else message
            self._accumulated[key] = whole
            yield "messages/partial", [message_chunk_to_message(whole)]
        else:
            yield "messages/complete", [message]
