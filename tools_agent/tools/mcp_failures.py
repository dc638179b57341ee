"""Translate failures of MCP servers into errors of this package and into messages for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from mcp.shared.exceptions import McpError

from tools_agent.errors import (
    AnswerUnreadable,
    InteractionRequired,
    SessionGone,
    SessionLost,
    ToolFailed,
    ToolsAgentError,
    ToolTimedOut,
)
from tools_agent.notices import one_line

from .mcp_transport import ANSWER_TOO_LARGE

INTERACTION_REQUIRED = -32003
"""Error code of servers that need the user to act first: data holds {message: text | {text}, url}."""
URL_ELICITATION_REQUIRED = -32042
"""The same in the specification of 2025-11-25: data holds {elicitations: [{message, url}]}."""
SESSION_TERMINATED = 32600
"""The SDK's own (positive) code for HTTP 404: the server does not know the session, so nothing ran."""
CONNECTION_CLOSED = -32000
UNREADABLE_ANSWER = 32700
"""Our own (positive) code, as SESSION_TERMINATED: the answer of the server was no JSON-RPC. See `mcp_answers.py`."""


def tool_error(error: McpError) -> ToolsAgentError:
    """Translate the JSON-RPC error of one call."""
    code, message = error.error.code, error.error.message
    if code in {INTERACTION_REQUIRED, URL_ELICITATION_REQUIRED}:
        return _interaction(message, error.error.data)
    if code in {UNREADABLE_ANSWER, ANSWER_TOO_LARGE}:
        return AnswerUnreadable(one_line(message))
    if code == SESSION_TERMINATED and message == "Session terminated":
        return SessionGone("the server ended the session")
    if code == CONNECTION_CLOSED and message == "Connection closed":
        return SessionLost("the connection was closed")
    if code == httpx.codes.REQUEST_TIMEOUT and message.startswith("Timed out while waiting"):
        return ToolTimedOut("no answer within the read timeout")
    return ToolFailed(one_line(f"{message} (code {code})"))


def _interaction(message: str, data: Any) -> InteractionRequired:
    details = data if isinstance(data, Mapping) else {}
    asked = [item for item in details.get("elicitations") or () if isinstance(item, Mapping)] or [details]
    texts = [text for item in asked if (text := _message(item.get("message")))]
    urls = tuple(item["url"] for item in asked if isinstance(item.get("url"), str) and _openable(item["url"]))
    return InteractionRequired(one_line("; ".join(texts) or message), urls)


def _message(value: Any) -> str | None:
    text = value.get("text") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) and text.strip() else None


def _openable(url: str) -> bool:
    """Whether a browser may open the URL.

    A tool server must not hand out javascript: URLs, nor text that cannot be stored.
    """
    return url.startswith(("https://", "http://")) and url.isprintable()


def reason(error: BaseException | None) -> str:
    """Describe why a session ended or never began. Of nested groups, the first cause is the most specific."""
    match cause := next(_leaves(error), None):
        case None:
            return "the connection was closed"
        case ToolsAgentError():
            return cause.detail
        case McpError():
            return tool_error(cause).detail
        case httpx.HTTPStatusError():
            return f"it answered {cause.response.status_code} {cause.response.reason_phrase}"
        case httpx.ConnectTimeout() | TimeoutError():
            return "it did not answer in time"
        case httpx.ConnectError():
            return one_line(f"no connection: {cause}")
        case _:
            return one_line(f"{type(cause).__name__}: {cause}")


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    elif error is not None:
        yield error
