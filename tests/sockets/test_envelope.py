from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.sockets.protocol import envelope
from robyn_server.sockets.protocol.envelope import Batch, Dialect, Message, Type, read
from robyn_server.sockets.protocol.errors import ErrorCode, ProtocolError


def text(value: Any) -> str:
    return orjson.dumps(value).decode()


def refused(given: str | dict[str, Any] | list[Any]) -> ProtocolError:
    message = read(given if isinstance(given, str) else text(given))
    assert isinstance(message, Message) and message.error is not None, message
    return message.error


def test_the_seeds_message_is_a_request() -> None:
    message = read(text({"type": 0, "id": "msg-123", "method": "agent.register", "params": {"agent_id": "ide-agent"}}))
    assert message == Message(Type.REQUEST, "msg-123", "agent.register", {"agent_id": "ide-agent"})


def test_params_may_be_left_out() -> None:
    assert read('{"type":0,"id":7,"method":"ping"}') == Message(Type.REQUEST, 7, "ping", {})


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        "1",
        '"text"',
        "null",
        "{}",
        '{"type":0,"id":"1","method":"ping","params":{"x":NaN}}',
        '{"type":0,"id":"1","method":"ping","params":{"x":"\\ud800"}}',
        '{"type":0,"id":"1","method":"ping","params":' + "[" * 100 + "]" * 100 + "}",
        "[" * 60_000,
        '{"type":0,"method":"ping"}',
        '{"type":0,"id":"","method":"ping"}',
        '{"type":0,"id":1.5,"method":"ping"}',
        '{"type":0,"id":true,"method":"ping"}',
        '{"type":0,"id":99999999999999999999999999,"method":"ping"}',
        '{"type":0,"id":{},"method":"ping"}',
        '{"type":0,"id":"1"}',
        '{"type":0,"id":"1","method":""}',
        '{"type":0,"id":"1","method":7}',
        '{"type":0,"id":"1","method":"ping","params":[]}',
        '{"type":0,"id":"1","method":"ping","params":null}',
        '{"type":"0","id":"1","method":"ping"}',
        '{"type":true,"id":"1","method":"ping"}',
        '{"type":8,"id":"1","method":"ping"}',
        '{"type":1,"id":"1","result":{}}',
        '{"type":3,"id":"1","error":{}}',
        '{"type":7,"id":"1"}',
        '{"type":6,"id":"1","messages":[]}',
        '{"type":6,"messages":[{"type":4,"id":1}]}',
        '{"type":6,"id":"1","messages":{}}',
        '{"jsonrpc":"1.0","id":1,"method":"ping"}',
        '{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}',
        "[]",
        '[{"type":0,"id":"1","method":"ping"}]',
    ],
)
def test_what_is_no_message_is_refused_with_4000(wrong: str) -> None:
    assert refused(wrong).number is ErrorCode.INVALID_MESSAGE


def test_a_member_that_does_not_exist_is_named() -> None:
    assert "params_" in refused({"type": 0, "id": "1", "method": "ping", "params_": {}}).detail
    assert "result" in refused({"jsonrpc": "2.0", "id": "1", "method": "ping", "result": {}}).detail


def test_a_refusal_keeps_the_id_where_there_is_one() -> None:
    message = read('{"type":0,"id":"msg-1","method":7}')
    assert isinstance(message, Message) and message.error is not None
    assert envelope.error_reply(message, message.error) == {
        "type": 3,
        "id": "msg-1",
        "error": {
            "code": 4000,
            "message": "method: must be a string.",
            "data": {"reason": "invalid_message"},
            "retryable": False,
        },
    }


@pytest.mark.parametrize("value", ["[" * 65, "{[" * 200, "C:\\u0000dir", "\\\\u0000", '"[{'])
def test_what_stands_in_a_string_is_neither_nesting_nor_nul(value: str) -> None:
    asked = {"type": 0, "id": 1, "method": "agent.register", "params": {"name": value}}
    assert read(text(asked)) == Message(Type.REQUEST, 1, "agent.register", {"name": value})


@pytest.mark.parametrize("dialect", [{"type": 0}, {"jsonrpc": "2.0"}])
def test_nul_is_a_wrong_parameter_that_is_named(dialect: dict[str, Any]) -> None:
    asked = {**dialect, "id": "msg-1", "method": "agent.register", "params": {"runtime_config": {"a": ["x", "\0"]}}}
    message = read(text(asked))
    assert isinstance(message, Message) and message.error is not None and message.id == "msg-1"
    assert message.error.number is ErrorCode.INVALID_PARAMS
    assert (message.error.code, message.error.field) == ("nul", "runtime_config.a.1")
    assert message.error.__traceback__ is None


def nested(levels: int) -> dict[str, Any]:
    return {"x": nested(levels - 1)} if levels else {}


def test_a_message_has_64_levels_and_one_with_more_is_known_by_its_id() -> None:
    def asked(levels: int) -> Any:
        return read(text({"type": 0, "id": 7, "method": "ping", "params": nested(levels)}))

    assert asked(62).error is None
    refused = asked(63)
    assert (refused.id, refused.error.number, refused.error.code) == (7, ErrorCode.INVALID_MESSAGE, "too_deep")


def test_in_a_batch_only_the_message_that_holds_nul_or_is_too_deep_is_refused() -> None:
    params = [{"x": "\0"}, nested(100), nested(60), {"x": "["}]
    asked = [{"type": 0, "id": number, "method": "ping", "params": each} for number, each in enumerate(params)]
    batch = read(text({"type": 6, "id": "b", "messages": asked}))
    assert isinstance(batch, Batch)
    assert [each.error and each.error.code for each in batch.messages] == ["nul", "too_deep", None, None]
    assert [each.id for each in batch.messages] == [0, 1, 2, 3]


def test_a_batch_keeps_good_and_bad_messages_apart() -> None:
    batch = read(
        text({"type": 6, "id": "b", "messages": [{"type": 4, "id": 1}, {"type": 6, "id": 2, "messages": []}, 3]})
    )
    assert isinstance(batch, Batch) and batch.dialect is Dialect.ENVELOPE
    assert [each.error is None for each in batch.messages] == [True, False, False]


def test_a_batch_has_a_limit() -> None:
    ping = {"type": 4, "id": 1}
    assert isinstance(read(text({"type": 6, "id": "b", "messages": [ping] * envelope.MAX_BATCH})), Batch)
    assert "64" in refused({"type": 6, "id": "b", "messages": [ping] * (envelope.MAX_BATCH + 1)}).detail
    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert "64" in refused([call] * (envelope.MAX_BATCH + 1)).detail


def test_jsonrpc_is_told_by_its_member_also_when_it_cannot_be_read() -> None:
    message = read('{"jsonrpc": "2.0", "id": 1,')
    assert isinstance(message, Message) and message.error is not None and message.dialect is Dialect.JSONRPC
    answer = envelope.error_reply(message, message.error)
    assert answer is not None and answer["jsonrpc"] == "2.0" and answer["id"] is None
    assert answer["error"]["code"] == -32700 and answer["error"]["data"]["code"] == 4000


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (4000, -32600),
        (4001, -32000),
        (4002, -32000),
        (4003, -32603),
        (4004, -32601),
        (4005, -32602),
        (4006, -32000),
        (4008, -32000),
    ],
)
def test_every_code_has_one_of_jsonrpc(number: int, code: int) -> None:
    message = Message(Type.REQUEST, 1, "x", {}, Dialect.JSONRPC)
    answer = envelope.error_reply(
        message, ProtocolError(ErrorCode(number), "detail", reason="reason", field="f", retryable=True)
    )
    assert answer is not None
    assert answer["error"] == {
        "code": code,
        "message": "detail",
        "data": {"reason": "reason", "field": "f", "code": number, "retryable": True},
    }


def test_a_notification_of_jsonrpc_is_answered_by_nothing() -> None:
    message = read('{"jsonrpc":"2.0","method":"agent.heartbeat"}')
    assert isinstance(message, Message) and message.type is Type.NOTIFICATION
    assert envelope.response(message, {}) is None
    assert envelope.error_reply(message, ProtocolError(ErrorCode.SERVER, "x", reason="y")) is None
    assert envelope.batch_response(Batch(None, [message], Dialect.JSONRPC), []) is None


def test_an_id_of_null_is_a_request_in_jsonrpc() -> None:
    message = read('{"jsonrpc":"2.0","method":"ping","id":null}')
    assert isinstance(message, Message) and message.type is Type.REQUEST


@given(
    st.text(max_size=200)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "id", "method", "params", "messages", "jsonrpc", "x"]), inner, max_size=6
            )
        ),
        max_leaves=20,
    ).map(text)
)
def test_reading_never_raises(given_text: str) -> None:
    parsed = read(given_text)
    for message in parsed.messages if isinstance(parsed, Batch) else [parsed]:
        if message.error is not None:
            orjson.dumps(envelope.error_reply(message, message.error))
