"""Messages on the wire: our envelope, and JSON-RPC 2.0, on the same socket. Parses text, and builds replies as JSON
values.

    {"type": 0, "id": "msg-1", "method": "agent.status", "params": {}}         request
    {"type": 1, "id": "msg-1", "result": {…}}                                  response
    {"type": 2, "method": "agent.event", "params": {…}}                        notification
    {"type": 3, "id": "msg-1", "error": {"code", "message", "data", "retryable"}}
    {"type": 4, "id": "p-1"}  →  {"type": 5, "id": "p-1"}                      ping, pong
    {"type": 6, "id": "b-1", "messages": [envelope, …]}                        batch, answered by one

Type 7 (progress) is part of the envelope; no method sends it. Types that only the server sends (1, 3, 7) and unknown
members are refused by name. A reply has the dialect of its request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from robyn_server.core.json import exact_json
from robyn_server.core.json.duplicate_keys import find_duplicate_key
from robyn_server.core.json.nesting import is_deeper
from robyn_server.core.json.nul import path_to_nul

from .errors import ErrorCode, ProtocolError, invalid_message

MAX_ID_LENGTH = 128
MAX_ID = 2**53 - 1
"""RFC 8259, section 6: larger integers are not interoperable."""

MAX_DEPTH = 64
"""Levels of arrays and objects in a message. orjson reads 1,024 levels and writes 254."""

MAX_BATCH = 64


class Type(IntEnum):
    REQUEST = 0
    RESPONSE = 1
    NOTIFICATION = 2
    ERROR = 3
    PING = 4
    PONG = 5
    BATCH = 6
    PROGRESS = 7


class Dialect(Enum):
    ENVELOPE = "envelope"
    JSONRPC = "jsonrpc"


Id: TypeAlias = str | int | None


@dataclass(slots=True)
class Message:
    """REQUEST, NOTIFICATION (which has no reply), PING or PONG.

    `error`: the message could not be read; the reply says why.
    """

    type: Type
    id: Id = None
    method: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    dialect: Dialect = Dialect.ENVELOPE
    error: ProtocolError | None = None

    def __post_init__(self) -> None:
        # A traceback would keep the frames that keep this message.
        if self.error is not None:
            self.refuse(self.error)

    def refuse(self, error: ProtocolError) -> None:
        error.__traceback__ = error.__context__ = None
        self.error = error


@dataclass(slots=True)
class Batch:
    id: Id
    messages: list[Message]
    dialect: Dialect


def read(text: str) -> Message | Batch:
    """Parse a frame. Never raises: an unreadable message has an `error`."""
    try:
        value = exact_json.loads(text)
    except ValueError as reason:
        dialect = Dialect.JSONRPC if '"jsonrpc"' in text else Dialect.ENVELOPE
        error = invalid_message(f"The message is not JSON: {reason}", unreadable=True)
        return Message(Type.REQUEST, dialect=dialect, error=error)
    parsed = _read(value)
    messages = parsed.messages if isinstance(parsed, Batch) else [parsed]
    if (key := find_duplicate_key(text.encode(), value)) is not None:
        for message in messages:
            message.refuse(message.error or _has_twice(key))
    elif _needs_inspection(text):
        for message in messages:
            _refuse_unstorable(message)
    return parsed


def _has_twice(key: str) -> ProtocolError:
    detail = f"{key}: an object of the message has this key twice."
    return ProtocolError(ErrorCode.INVALID_MESSAGE, detail, reason="duplicate_key", field=key)


def _read(value: Any) -> Message | Batch:
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, dict) and "jsonrpc" not in value and value.get("type") == Type.BATCH:
        return _batch(value)
    return _message(value)


def _needs_inspection(text: str) -> bool:
    """Whether the text may hold NUL or be too deep.

    A cheap test with false alarms: strings may hold brackets and backslashes.
    """
    return "\\u0000" in text or text.count("[") + text.count("{") > MAX_DEPTH


def _refuse_unstorable(message: Message) -> None:
    """Refuse parameters that PostgreSQL cannot store. Depth is checked first: it bounds the search for NUL."""
    if message.error is not None:
        return
    if is_deeper(message.params, MAX_DEPTH - 1):
        message.refuse(invalid_message(f"The message is nested deeper than {MAX_DEPTH} levels.", reason="too_deep"))
    elif (path := path_to_nul(message.params)) is not None:
        message.refuse(_holds_nul(".".join(path)))


def _holds_nul(field: str) -> ProtocolError:
    # the message of the HTTP API
    detail = f"{field}: Text must not contain the character NUL (\\u0000)"
    return ProtocolError(ErrorCode.INVALID_PARAMS, detail, reason="nul", field=field)


def _array(values: list[Any]) -> Message | Batch:
    if not values:
        return Message(Type.REQUEST, dialect=Dialect.JSONRPC, error=invalid_message("The batch is empty."))
    if len(values) > MAX_BATCH:
        return Message(Type.REQUEST, dialect=Dialect.JSONRPC, error=_too_many_messages(len(values)))
    if not any(isinstance(each, dict) and "jsonrpc" in each for each in values):
        hint = invalid_message(
            'An array is a batch of JSON-RPC; envelopes go into {"type": 6, "id": …, "messages": […]}.'
        )
        return Message(Type.REQUEST, error=hint)
    return Batch(None, [_jsonrpc(each) for each in values], Dialect.JSONRPC)


def _too_many_messages(count: int) -> ProtocolError:
    return invalid_message(f"The batch has {count} messages; {MAX_BATCH} are the most.")


def _batch(value: dict[str, Any]) -> Message | Batch:
    given = value.get("id")
    identifier = given if _is_id(given) else None
    try:
        _refuse_unknown(value, {"type", "id", "messages"})
        if identifier is None:
            raise invalid_message(_ID_RULE)
        messages = value.get("messages")
        if not isinstance(messages, list) or not messages:
            raise invalid_message("messages: must be a list of envelopes, and not empty.")
        if len(messages) > MAX_BATCH:
            raise _too_many_messages(len(messages))
    except ProtocolError as error:
        return Message(Type.REQUEST, identifier, error=error)
    return Batch(identifier, [_envelope(each) for each in messages], Dialect.ENVELOPE)


def _message(value: Any) -> Message:
    return _jsonrpc(value) if isinstance(value, dict) and "jsonrpc" in value else _envelope(value)


_ID_RULE = f"id: must be a string of 1 to {MAX_ID_LENGTH} characters or an integer of up to 53 bits."
_MEMBERS = {
    Type.REQUEST: {"type", "id", "method", "params"},
    Type.NOTIFICATION: {"type", "method", "params"},
    Type.PING: {"type", "id"},
    Type.PONG: {"type", "id"},
}


def _envelope(value: Any) -> Message:
    given = value.get("id") if isinstance(value, dict) else None
    identifier = given if _is_id(given) else None
    try:
        if not isinstance(value, dict):
            raise invalid_message("A message is a JSON object.")
        kind = _type(value)
        _refuse_unknown(value, _MEMBERS[kind])
        if (given is None and kind is Type.REQUEST) or (given is not None and identifier is None):
            raise invalid_message(_ID_RULE)
        if kind in {Type.PING, Type.PONG}:
            return Message(kind, identifier)
        return Message(kind, identifier, _method(value), _params(value))
    except ProtocolError as error:
        return Message(Type.REQUEST, identifier, error=error)


def _type(value: dict[str, Any]) -> Type:
    number = value.get("type")
    if isinstance(number, bool) or not isinstance(number, int) or number not in set(Type):
        raise invalid_message("type: must be an integer from 0 to 7.")
    kind = Type(number)
    if kind is Type.BATCH:
        raise invalid_message("type: a batch cannot hold a batch.")
    if kind not in _MEMBERS:
        raise invalid_message(f"type: {number} is sent by the server only.")
    return kind


def _jsonrpc(value: Any) -> Message:
    given = value.get("id") if isinstance(value, dict) else None
    identifier = given if _is_id(given) else None
    try:
        if not isinstance(value, dict):
            raise invalid_message("A message is a JSON object.")
        if value.get("jsonrpc") != "2.0":
            raise invalid_message('jsonrpc: must be "2.0".')
        _refuse_unknown(value, {"jsonrpc", "id", "method", "params"})
        if given is not None and identifier is None:
            raise invalid_message(_ID_RULE)
        kind = Type.REQUEST if "id" in value else Type.NOTIFICATION
        return Message(kind, identifier, _method(value), _params(value), Dialect.JSONRPC)
    except ProtocolError as error:
        return Message(Type.REQUEST, identifier, dialect=Dialect.JSONRPC, error=error)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return 1 <= len(value) <= MAX_ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_ID


def _refuse_unknown(value: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(value) - known)
    if unknown:
        raise invalid_message(f"{unknown[0][:64]}: no such member here; there are {', '.join(sorted(known))}.")


def _method(value: dict[str, Any]) -> str:
    method = value.get("method")
    if not isinstance(method, str) or not method:
        raise invalid_message("method: must be a string.")
    return method


def _params(value: dict[str, Any]) -> dict[str, Any]:
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise invalid_message("params: must be an object (parameters go by name).")
    return params


def response(message: Message, result: Any) -> dict[str, Any] | None:
    """The reply to a request or a ping; None for a notification."""
    if message.type is Type.PING:
        return {"type": Type.PONG, "id": message.id}
    if message.type is not Type.REQUEST:
        return None
    if message.dialect is Dialect.JSONRPC:
        return {"jsonrpc": "2.0", "id": message.id, "result": result}
    return {"type": Type.RESPONSE, "id": message.id, "result": result}


def error_reply(message: Message, error: ProtocolError) -> dict[str, Any] | None:
    """The reply to a refused request or ping; None for a notification or a pong."""
    if message.type not in {Type.REQUEST, Type.PING}:
        return None
    data: dict[str, Any] = {"reason": error.code}
    if error.field is not None:
        data["field"] = error.field
    if message.dialect is Dialect.JSONRPC:
        data |= {"code": error.number, "retryable": error.retryable}
        body: dict[str, Any] = {"code": error.jsonrpc, "message": error.detail, "data": data}
        return {"jsonrpc": "2.0", "id": message.id, "error": body}
    body = {"code": error.number, "message": error.detail, "data": data, "retryable": error.retryable}
    return {"type": Type.ERROR, "id": message.id, "error": body}


def batch_response(batch: Batch, answers: list[dict[str, Any]]) -> Any:
    """The reply to a batch; None when it is JSON-RPC and holds only notifications."""
    if batch.dialect is Dialect.JSONRPC:
        return answers or None
    return {"type": Type.BATCH, "id": batch.id, "messages": answers}


def notification(dialect: Dialect, method: str, params: dict[str, Any]) -> dict[str, Any]:
    if dialect is Dialect.JSONRPC:
        return {"jsonrpc": "2.0", "method": method, "params": params}
    return {"type": Type.NOTIFICATION, "method": method, "params": params}
