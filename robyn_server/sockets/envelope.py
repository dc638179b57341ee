"""Messages on the wire: our envelope, and JSON-RPC 2.0 on the same socket. Text in, messages out; answers into JSON values.

    {"type": 0, "id": "msg-1", "method": "agent.status", "params": {}}         request
    {"type": 1, "id": "msg-1", "result": {…}}                                  response
    {"type": 2, "method": "agent.event", "params": {…}}                        notification
    {"type": 3, "id": "msg-1", "error": {"code", "message", "data", "retryable"}}
    {"type": 4, "id": "p-1"}  →  {"type": 5, "id": "p-1"}                      ping, pong
    {"type": 6, "id": "b-1", "messages": [envelope, …]}                        batch, answered by one

Type 7 (progress) belongs to the envelope; no method of ours takes long enough to send it. What a client may not send (1, 3, 7) and
members that do not exist are refused by name. An answer is of the same dialect as its question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, TypeAlias

import orjson

from robyn_server.core.nul import path_to_nul

from .codes import Code, Fault, invalid_message

LONGEST_ID = 128
LARGEST_ID = 2**53 - 1
"""RFC 8259, section 6: beyond it, numbers are not the same everywhere."""

DEEPEST = 64
"""Levels of arrays and objects in a message. orjson reads 1,024 of them and writes 254."""

MOST_IN_BATCH = 64


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
    """REQUEST, NOTIFICATION (nothing is answered), PING or PONG. Or `fault`: it could not be read, and that is its answer."""

    type: Type
    id: Id = None
    method: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    dialect: Dialect = Dialect.ENVELOPE
    fault: Fault | None = None

    def __post_init__(self) -> None:
        """A fault that is kept forgets how it came about, for it would keep the frames that keep this message."""
        if self.fault is not None:
            self.refuse(self.fault)

    def refuse(self, fault: Fault) -> None:
        fault.__traceback__ = fault.__context__ = None
        self.fault = fault


@dataclass(slots=True)
class Batch:
    id: Id
    messages: list[Message]
    dialect: Dialect


def read(text: str) -> Message | Batch:
    """Never raises: what cannot be read is a message with a fault."""
    try:
        value = orjson.loads(text)
    except ValueError as error:
        dialect = Dialect.JSONRPC if '"jsonrpc"' in text else Dialect.ENVELOPE
        fault = invalid_message(f"The message is not JSON: {error}", unreadable=True)
        return Message(Type.REQUEST, dialect=dialect, fault=fault)
    parsed = _read(value)
    if _is_suspicious(text):
        for message in parsed.messages if isinstance(parsed, Batch) else [parsed]:
            _refuse_unstorable(message)
    return parsed


def _read(value: Any) -> Message | Batch:
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, dict) and "jsonrpc" not in value and value.get("type") == Type.BATCH:
        return _batch(value)
    return _message(value)


def _is_suspicious(text: str) -> bool:
    """Whether it is worth looking closer, at each value: strings may hold brackets, and backslashes before a `u`."""
    return "\\u0000" in text or text.count("[") + text.count("{") > DEEPEST


def _refuse_unstorable(message: Message) -> None:
    """Parameters are all that is stored of a message. Depth first: it bounds the search for NUL."""
    if message.fault is not None:
        return
    if _is_deeper(message.params, DEEPEST - 1):
        message.refuse(invalid_message(f"The message is nested deeper than {DEEPEST} levels.", reason="too_deep"))
    elif (path := path_to_nul(message.params)) is not None:
        message.refuse(_holds_nul(".".join(path)))


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    within = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in within)


def _holds_nul(field: str) -> Fault:
    """In the words of REST."""
    detail = f"{field}: Text must not contain the character NUL (\\u0000)"
    return Fault(Code.INVALID_PARAMS, detail, reason="nul", field=field)


def _array(values: list[Any]) -> Message | Batch:
    if not values:
        return Message(Type.REQUEST, dialect=Dialect.JSONRPC, fault=invalid_message("The batch is empty."))
    if len(values) > MOST_IN_BATCH:
        return Message(Type.REQUEST, dialect=Dialect.JSONRPC, fault=_crowded(len(values)))
    if not any(isinstance(each, dict) and "jsonrpc" in each for each in values):
        hint = invalid_message(
            'An array is a batch of JSON-RPC; envelopes go into {"type": 6, "id": …, "messages": […]}.'
        )
        return Message(Type.REQUEST, fault=hint)
    return Batch(None, [_jsonrpc(each) for each in values], Dialect.JSONRPC)


def _crowded(count: int) -> Fault:
    return invalid_message(f"The batch has {count} messages; {MOST_IN_BATCH} are the most.")


def _batch(value: dict[str, Any]) -> Message | Batch:
    given = value.get("id")
    identifier = given if _is_id(given) else None
    try:
        _no_others(value, {"type", "id", "messages"})
        if identifier is None:
            raise invalid_message(_ID_RULE)
        messages = value.get("messages")
        if not isinstance(messages, list) or not messages:
            raise invalid_message("messages: must be a list of envelopes, and not empty.")
        if len(messages) > MOST_IN_BATCH:
            raise _crowded(len(messages))
    except Fault as fault:
        return Message(Type.REQUEST, identifier, fault=fault)
    return Batch(identifier, [_envelope(each) for each in messages], Dialect.ENVELOPE)


def _message(value: Any) -> Message:
    return _jsonrpc(value) if isinstance(value, dict) and "jsonrpc" in value else _envelope(value)


_ID_RULE = f"id: must be a string of 1 to {LONGEST_ID} characters or an integer of up to 53 bits."
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
        _no_others(value, _MEMBERS[kind])
        if (given is None and kind is Type.REQUEST) or (given is not None and identifier is None):
            raise invalid_message(_ID_RULE)
        if kind in {Type.PING, Type.PONG}:
            return Message(kind, identifier)
        return Message(kind, identifier, _method(value), _params(value))
    except Fault as fault:
        return Message(Type.REQUEST, identifier, fault=fault)


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
        _no_others(value, {"jsonrpc", "id", "method", "params"})
        if given is not None and identifier is None:
            raise invalid_message(_ID_RULE)
        kind = Type.REQUEST if "id" in value else Type.NOTIFICATION
        return Message(kind, identifier, _method(value), _params(value), Dialect.JSONRPC)
    except Fault as fault:
        return Message(Type.REQUEST, identifier, dialect=Dialect.JSONRPC, fault=fault)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return 1 <= len(value) <= LONGEST_ID
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID


def _no_others(value: dict[str, Any], known: set[str]) -> None:
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
    """The answer to a request or a ping; None for a notification."""
    if message.type is Type.PING:
        return {"type": Type.PONG, "id": message.id}
    if message.type is not Type.REQUEST:
        return None
    if message.dialect is Dialect.JSONRPC:
        return {"jsonrpc": "2.0", "id": message.id, "result": result}
    return {"type": Type.RESPONSE, "id": message.id, "result": result}


def refusal(message: Message, fault: Fault) -> dict[str, Any] | None:
    """None for a notification: what goes wrong with it is not answered."""
    if message.type is not Type.REQUEST:
        return None
    data: dict[str, Any] = {"reason": fault.code}
    if fault.field is not None:
        data["field"] = fault.field
    if message.dialect is Dialect.JSONRPC:
        data |= {"code": fault.number, "retryable": fault.retryable}
        error: dict[str, Any] = {"code": fault.jsonrpc, "message": fault.detail, "data": data}
        return {"jsonrpc": "2.0", "id": message.id, "error": error}
    error = {"code": fault.number, "message": fault.detail, "data": data, "retryable": fault.retryable}
    return {"type": Type.ERROR, "id": message.id, "error": error}


def batch_response(batch: Batch, answers: list[dict[str, Any]]) -> Any:
    """None when nothing in a batch of JSON-RPC was to be answered."""
    if batch.dialect is Dialect.JSONRPC:
        return answers or None
    return {"type": Type.BATCH, "id": batch.id, "messages": answers}


def notification(dialect: Dialect, method: str, params: dict[str, Any]) -> dict[str, Any]:
    if dialect is Dialect.JSONRPC:
        return {"jsonrpc": "2.0", "method": method, "params": params}
    return {"type": Type.NOTIFICATION, "method": method, "params": params}
