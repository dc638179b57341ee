"""Handle the results of tool calls: no tool ends a run, and the user sees what the user has to do.

Rules
- The model reads a tool's error as a ToolMessage with status "error". If the tool may have run all the same, the
  message says so and never asks for a repetition.
- When a tool needs the user first (JSON-RPC -32003), its result contains the URL. If the model's answer does not repeat
  the URL, a further message does.
- A request to the model contains the conversation in the form that its provider takes (`models/request_messages.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, interrupt

from .credentials import ConnectionRequired
from .errors import AgentFailed, InteractionRequired, ToolFailed, ToolReportedError, ToolsAgentError
from .models.providers import ProviderRules
from .models.request_messages import request_messages
from .notices import METADATA_KEY, Notice, collect, interaction_required, one_line

CONNECT = "mcp_connection_required"
"""`kind` of the interrupt that asks the user to connect to servers."""
CONNECT_DETAIL = "Open each authorization_url, allow the access, and resume the run. Or resume it without these tools."
MAY_HAVE_RUN = "The tool may have run. Do not call it again for an effect that it may have had."

logger = logging.getLogger(__name__)


class ToolOutcomes(AgentMiddleware[Any, Any, Any]):
    """Middleware of every agent, even without tools, so that all agents have the same nodes."""

    def __init__(self, rules: ProviderRules, connections: Sequence[ConnectionRequired] = ()) -> None:
        """`connections`: servers that the user has to connect to."""
        super().__init__()
        self._rules = rules
        self._connections = list(connections)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        try:
            return await handler(request)
        except GraphBubbleUp:
            raise
        except ToolReportedError as reported:
            return _reported_message(request, reported)
        except InteractionRequired as needed:
            return _interaction_message(request, needed)
        except Exception as error:  # noqa: BLE001  a tool may raise anything; the run continues
            return _failure_message(request, error)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        if self._connections and not _current_turn(request.messages):
            _ask_to_connect(self._connections)
        messages = request_messages(request.messages, self._rules, has_tools=bool(request.tools))
        response = await handler(request.override(messages=messages))
        unmentioned = _unmentioned_notices(_current_turn(request.messages), response.result)
        if unmentioned:
            response.result = [*response.result, _reminder(unmentioned)]
        return response


def _ask_to_connect(connections: list[ConnectionRequired]) -> None:
    """Interrupt the run once in a turn. A resumed run builds its agent again, with the tools of what is connected then.

    A run without checkpoints cannot be resumed. Its notices name the servers.
    """
    if get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER):
        interrupt({"kind": CONNECT, "detail": CONNECT_DETAIL, "connections": connections})


def _interaction_message(request: ToolCallRequest, needed: InteractionRequired) -> ToolMessage:
    name = request.tool_call["name"]
    notices = [interaction_required(name, needed.detail, url) for url in needed.urls or (None,)]
    text = f"The tool {name} needs the user first. {_instructions(notices)}"
    return _error_message(request, text, {METADATA_KEY: notices})


def _failure_message(request: ToolCallRequest, error: Exception) -> ToolMessage:
    name = request.tool_call["name"]
    metadata = (request.tool.metadata if request.tool else None) or {}
    if isinstance(error, AgentFailed):
        return _error_message(request, one_line(f"The agent {metadata.get('agent', name)} failed: {error.detail}"))
    if isinstance(error, ToolsAgentError):
        server = metadata.get("mcp_server", "?")
        tool = f"The tool {name} of MCP server {server}"
        if isinstance(error, ToolFailed) and error.may_have_run:
            return _error_message(
                request, f"{tool} was called, but its result is not known: {error.detail}. {MAY_HAVE_RUN}"
            )
        return _error_message(request, f"{tool} failed: {error.detail}")
    logger.warning("tool %s crashed", name, exc_info=error)
    return _error_message(request, one_line(f"The tool {name} failed: {type(error).__name__}: {error}"))


def _reported_message(request: ToolCallRequest, reported: ToolReportedError) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(
        content=reported.content,
        artifact=reported.artifact,
        name=call["name"],
        tool_call_id=call["id"] or "",
        status="error",
    )


def _error_message(request: ToolCallRequest, text: str, extra: dict[str, Any] | None = None) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(
        content=text, name=call["name"], tool_call_id=call["id"] or "", status="error", additional_kwargs=extra or {}
    )


def _current_turn(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    start = max((index for index, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    return messages[start + 1 :]


def _unmentioned_notices(turn: Sequence[BaseMessage], answer: Sequence[BaseMessage]) -> list[Notice]:
    """Notices that the final answer does not mention. None while the model still calls tools."""
    if any(isinstance(message, AIMessage) and message.tool_calls for message in answer):
        return []
    text = "\n".join(str(message.text) for message in answer)
    return [notice for notice in collect(turn) if notice.get("url", notice["detail"]) not in text]


def _reminder(notices: list[Notice]) -> AIMessage:
    return AIMessage(content=_instructions(notices), id=f"notice-{uuid4()}", additional_kwargs={METADATA_KEY: notices})


def _instructions(notices: Sequence[Notice]) -> str:
    return "\n".join(
        f"{notice['detail']} Open {notice['url']} and then ask again." if "url" in notice else notice["detail"]
        for notice in notices
    )
