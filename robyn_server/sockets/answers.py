"""What the reader answers by itself, and the order in which it takes the messages of a batch."""

from __future__ import annotations

from typing import Any

from . import envelope
from .codes import Close, Code, Fault, invalid_message
from .envelope import Message, Type

BINARY = Message(Type.REQUEST, fault=invalid_message("Messages are text frames; this was a binary one."))


def refusal(message: Message, refused: Fault) -> tuple[dict[str, Any] | None, tuple[Close, str] | None]:
    """What is answered, and with what the socket closes, if it does."""
    return envelope.refusal(message, refused), None if refused.close is None else (refused.close, refused.detail)


def too_fast(rate: float, *, close: bool) -> Fault:
    return Fault(
        Code.RATE_LIMITED,
        f"Too many messages: {rate:g} a second are taken.",
        reason="rate_limited",
        retryable=True,
        close=Close.TOO_MANY if close else None,
    )


def took_too_long(seconds: float) -> Fault:
    return Fault(Code.CANCELLED, f"Cancelled: it took longer than {seconds:g} s.", reason="cancelled", retryable=True)


def grouped(messages: list[Message]) -> list[list[Message]]:
    groups: list[list[Message]] = []
    for message in messages:
        beats = message.method == "agent.heartbeat" and message.fault is None and "auth" not in message.params
        if beats and groups and groups[-1][-1].method == "agent.heartbeat" and groups[-1][-1].fault is None:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups
