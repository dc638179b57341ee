"""The offline model: a rule-based chat model for demos and tests. Deterministic, without an API key, streaming.

`offline:<anything>` answers at once. `offline:slow` takes 20 ms for each token, so that a test can act during the
stream.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .replies import Call, reply
from .requests import Tool

PREFIX = "offline:"
SLOW_SECONDS = 0.02


def offline_model(name: str) -> OfflineChatModel:
    """Return the model for a name, with or without the prefix."""
    variant = name.removeprefix(PREFIX)
    return OfflineChatModel(model=name, token_seconds=SLOW_SECONDS if variant == "slow" else 0.0)


class OfflineChatModel(BaseChatModel):
    """Answers by rule, one word in each chunk. Ignores sampling keys."""

    model: str = "offline:demo"
    token_seconds: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "agenthall-offline"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,  # noqa: ARG002  it calls a tool exactly when the request asks for one
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  the base class's signature
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools") or ()):
            time.sleep(self.token_seconds)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  the base class's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools") or ()):
            await asyncio.sleep(self.token_seconds)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _chunks(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
    ) -> Iterator[ChatGenerationChunk]:
        answer = reply(messages, [_tool(tool) for tool in tools])
        pieces = _call_chunks(answer) if isinstance(answer, Call) else _word_chunks(answer)
        written = 0
        for piece in pieces:
            written += 1
            yield ChatGenerationChunk(message=piece)
        yield ChatGenerationChunk(message=self._last_chunk(_count(messages), written, answer))

    def _last_chunk(self, read: int, written: int, answer: str | Call) -> AIMessageChunk:
        return AIMessageChunk(
            content="",
            chunk_position="last",
            usage_metadata=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
            response_metadata={
                "model_name": self.model,
                "finish_reason": "tool_calls" if isinstance(answer, Call) else "stop",
            },
        )


def _tool(described: dict[str, Any]) -> Tool:
    function = described.get("function", {})
    return Tool(function.get("name", ""), function.get("description") or "", function.get("parameters"))


def _word_chunks(text: str) -> Iterator[AIMessageChunk]:
    return (AIMessageChunk(content=word) for word in re.findall(r"\S+\s*|\s+", text))


def _call_chunks(call: Call) -> Iterator[AIMessageChunk]:
    call_id = f"call_{uuid4().hex}"
    yield AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=call.name, args="", id=call_id, index=0)])
    yield AIMessageChunk(
        content="", tool_call_chunks=[tool_call_chunk(args=json.dumps(call.arguments, ensure_ascii=False), index=0)]
    )


def _count(messages: Sequence[BaseMessage]) -> int:
    return sum(len(str(message.text).split()) for message in messages)
