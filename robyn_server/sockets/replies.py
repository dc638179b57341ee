"""Replies that no method makes, and how the messages of a batch are grouped."""

from __future__ import annotations

from typing import Any

from robyn_server.sockets.protocol.envelope import Batch, Dialect, Message, Type
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError, invalid_message

from .protocol import envelope

Closing = tuple[CloseCode, str] | None
"""The code and reason that the socket is closed with after the reply, if it is."""

BINARY_FRAME = Message(Type.REQUEST, error=invalid_message("Messages are text frames; this was a binary one."))


def error_reply(message: Message, error: ProtocolError) -> tuple[dict[str, Any] | None, Closing]:
    """The reply to a refused message, and the close code and reason, if the error closes the socket."""
    return envelope.error_reply(message, error), _closing(error)


def _closing(error: ProtocolError) -> Closing:
    return None if error.close is None else (error.close, error.detail)


def refusal(parsed: Message | Batch, error: ProtocolError) -> tuple[Any, Closing]:
    """The reply to a frame that is refused as a whole. Every message that has an id is answered."""
    if isinstance(parsed, Message):
        return error_reply(parsed, error)
    if parsed.dialect is Dialect.ENVELOPE:
        return error_reply(Message(Type.REQUEST, parsed.id), error)
    answers = [answer for each in parsed.messages if (answer := envelope.error_reply(each, error)) is not None]
    return envelope.batch_response(parsed, answers), _closing(error)


def rate_limited(rate: float, *, close: bool) -> ProtocolError:
    return ProtocolError(
        ErrorCode.RATE_LIMITED,
        f"Too many messages: {rate:g} a second are taken.",
        reason="rate_limited",
        retryable=True,
        close=CloseCode.TOO_MANY if close else None,
    )


def too_large(most: int) -> ProtocolError:
    detail = f"A message has at most {most} bytes, unless it is about a job."
    return ProtocolError(ErrorCode.INVALID_MESSAGE, detail, reason="message_too_large")


def too_many_unanswered(count: int) -> ProtocolError:
    return ProtocolError(
        ErrorCode.RATE_LIMITED,
        f"{count} messages about jobs are not answered yet. Wait for an answer.",
        reason="too_many_unanswered",
        retryable=True,
    )


def timed_out(seconds: float) -> ProtocolError:
    return ProtocolError(
        ErrorCode.CANCELLED, f"Cancelled: it took longer than {seconds:g} s.", reason="cancelled", retryable=True
    )


def group_heartbeats(messages: list[Message]) -> list[list[Message]]:
    """Messages in their order, with consecutive heartbeats in one group. One with credentials is on its own."""
    groups: list[list[Message]] = []
    for message in messages:
        is_heartbeat = message.method == "agent.heartbeat" and message.error is None and "auth" not in message.params
        if is_heartbeat and groups and groups[-1][-1].method == "agent.heartbeat" and groups[-1][-1].error is None:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups
