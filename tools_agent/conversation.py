"""The agent's state: a list of messages in which every abandoned tool call has an answer.

A run can stop between a call and its result: it is cancelled, it reaches its limit of steps, or its worker dies.
Providers refuse a conversation with such a call, now and for ever. So when the conversation goes on with another
message, each open call gets a tool message that says it was not finished. A run that only continues runs its open
calls instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Required

from langchain.agents import AgentState
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage, convert_to_messages
from langgraph.graph.message import add_messages

from .errors import MessagesInvalid
from .notices import one_line

NOT_FINISHED = (
    "This call was not finished: the run was stopped before the result arrived. "
    "The tool may have run. Do not assume either."
)
_NOT_FINISHED_ID = "not-finished-"


def merge_messages(left: Any, right: Any) -> list[BaseMessage]:
    """Merge `right` into `left`, as LangGraph's `add_messages`, and close abandoned calls.

    Raises MessagesInvalid, which names the first message that cannot be used.
    """
    try:
        merged: Any = add_messages(left, right)
    except Exception as error:  # noqa: BLE001  LangChain raises several types
        raise _invalid(right, error) from None
    return close_abandoned_calls(merged)


class ConversationState(AgentState[Any]):
    messages: Required[Annotated[list[AnyMessage], merge_messages]]


def close_abandoned_calls(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Put a tool message behind each call that has no result and is followed by a message of another kind."""
    results = {message.tool_call_id: at for at, message in enumerate(messages) if isinstance(message, ToolMessage)}
    # Without a later message the calls are still running.
    last = max((at for at, message in enumerate(messages) if not isinstance(message, ToolMessage)), default=-1)
    closed: list[BaseMessage] = []
    for at, message in enumerate(messages):
        closed.append(message)
        if isinstance(message, AIMessage) and at < last:
            closed.extend(
                not_finished(call, message) for call in message.tool_calls if results.get(call["id"] or "", -1) < at
            )
    return closed


def not_finished(call: Any, message: BaseMessage) -> ToolMessage:
    """Return the answer to a call that has none. Its id is the same in each reading of the state."""
    return ToolMessage(
        content=NOT_FINISHED,
        name=call["name"],
        tool_call_id=call["id"] or "",
        status="error",
        id=f"{_NOT_FINISHED_ID}{message.id}-{call['id']}",
    )


def _invalid(right: Any, error: Exception) -> MessagesInvalid:
    for where, message in _each(right):
        try:
            convert_to_messages([message])
        except Exception as cause:  # noqa: BLE001  LangChain raises several types
            return MessagesInvalid(f"{where}: {_reason(cause)}", field=where)
    return MessagesInvalid(f"messages: {_reason(error)}", field="messages")


def _each(right: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(right, list):
        yield from ((f"messages.{index}", message) for index, message in enumerate(right))
    else:
        yield "messages", right


def _reason(error: Exception) -> str:
    return one_line(str(error).partition("\nFor troubleshooting, visit")[0])
