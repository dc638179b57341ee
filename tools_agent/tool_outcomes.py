"""What becomes of tool calls: no tool ends a run, and what needs the user reaches the user.

Rules
- A tool's error is the model's to read: a ToolMessage with status "error".
- A tool that needs the user first (JSON-RPC -32003) says so in its result, with the URL, and the run's last message
  carries the URL too: the model's own answer if it repeats it, else a message of ours after it.
- Results that are only text become one string.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from .errors import InteractionRequired, ToolsAgentError
from .notices import METADATA_KEY, Notice, collect, interaction_required, one_line

logger = logging.getLogger(__name__)


class ToolOutcomes(AgentMiddleware[Any, Any, Any]):
    """Always part of the agent, with tools or without, so that every agent has the same nodes."""

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        try:
            outcome = await handler(request)
        except GraphBubbleUp:
            raise
        except InteractionRequired as needed:
            return _needs_user(request, needed)
        except Exception as error:  # noqa: BLE001  whatever a tool dies of, the run goes on and the model is told
            return _failed(request, error)
        return _as_text(outcome) if isinstance(outcome, ToolMessage) else outcome

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        response = await handler(request)
        unsaid = _unsaid(_this_turn(request.messages), response.result)
        if unsaid:
            response.result = [*response.result, _reminder(unsaid)]
        return response


def _needs_user(request: ToolCallRequest, needed: InteractionRequired) -> ToolMessage:
    name = request.tool_call["name"]
    notices = [interaction_required(name, needed.detail, url) for url in needed.urls or (None,)]
    text = f"The tool {name} needs the user first. {_steps(notices)}"
    return _error_message(request, text, {METADATA_KEY: notices})


def _failed(request: ToolCallRequest, error: Exception) -> ToolMessage:
    name = request.tool_call["name"]
    if isinstance(error, ToolsAgentError):
        server = ((request.tool.metadata if request.tool else None) or {}).get("mcp_server", "?")
        return _error_message(request, f"The tool {name} of MCP server {server} failed: {error.detail}")
    logger.warning("tool %s crashed", name, exc_info=error)
    return _error_message(request, one_line(f"The tool {name} failed: {type(error).__name__}: {error}"))


def _error_message(request: ToolCallRequest, text: str, extra: dict[str, Any] | None = None) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(
        content=text, name=call["name"], tool_call_id=call["id"] or "", status="error", additional_kwargs=extra or {}
    )


def _as_text(message: ToolMessage) -> ToolMessage:
    blocks = message.content
    if isinstance(blocks, list) and all(isinstance(block, dict) and block.get("type") == "text" for block in blocks):
        message.content = "\n".join(str(block["text"]) for block in blocks if isinstance(block, dict))
    return message


def _this_turn(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    start = max((index for index, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    return messages[start + 1 :]


def _unsaid(turn: Sequence[BaseMessage], answer: Sequence[BaseMessage]) -> list[Notice]:
    """What the user must hear and the final answer does not say. Nothing while the model still calls tools."""
    if any(isinstance(message, AIMessage) and message.tool_calls for message in answer):
        return []
    said = "\n".join(str(message.text) for message in answer)
    return [notice for notice in collect(turn) if notice.get("url", notice["detail"]) not in said]


def _reminder(notices: list[Notice]) -> AIMessage:
    return AIMessage(content=_steps(notices), id=f"notice-{uuid4()}", additional_kwargs={METADATA_KEY: notices})


def _steps(notices: Sequence[Notice]) -> str:
    return "\n".join(
        f"{notice['detail']} Open {notice['url']} and then ask again." if "url" in notice else notice["detail"]
        for notice in notices
    )
