"""The parts that `agenthall chat` reads from the events of a run, and its questions with their answers."""

from __future__ import annotations

from typing import Any

import pytest

from robyn_server.cli.chat.parts import Failure, PartReader, Repeated, Text, ToolCall, ToolResult, text_of
from robyn_server.cli.chat.questions import questions, resume


def _ai(text: Any, message_id: str, **more: Any) -> list[Any]:
    return [{"type": "AIMessageChunk", "id": message_id, "content": text, **more}, {}]


def _piece(args: str, **more: Any) -> dict[str, Any]:
    return {"name": None, "id": None, "index": None, "args": args, **more}


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    reader = PartReader()
    events = [
        _ai("I ", "1", tool_call_chunks=[_piece("", name="one", id="a", index=0)]),
        _ai("", "1", tool_call_chunks=[_piece('{"x"', index=0), _piece("", name="two", id="b", index=1)]),
        _ai("", "1", tool_call_chunks=[_piece(": 1}", index=0), _piece("{oops", index=1)]),
        [{"type": "tool", "id": "2", "name": "one", "content": [{"type": "text", "text": "done"}]}, {}],
        _ai([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "end"}], "3"),
    ]
    parts = [part for event in events for part in reader.read("messages", event)]
    calls = [ToolCall("one", {"x": 1}), ToolCall("two", "{oops")]
    assert parts == [Text("I ", "1"), *calls, ToolResult("one", "done", failed=False), Text("end", "3")]


def test_pieces_without_an_index_belong_to_the_call_before() -> None:
    reader = PartReader()
    chunks = [_piece('{"a":', name="one", id="a"), _piece("2}"), _piece("{}", name="two", id="b")]
    assert list(reader.read("messages", _ai("", "1", tool_call_chunks=chunks, chunk_position="last"))) == [
        ToolCall("one", {"a": 2}),
        ToolCall("two", {}),
    ]


def test_a_message_that_was_streamed_is_not_shown_again() -> None:
    reader = PartReader()
    list(reader.read("messages", _ai("hello", "1")))
    assert list(reader.read("messages", [{"type": "ai", "id": "1", "content": "hello"}, {}])) == []
    assert list(reader.read("messages", [{"type": "human", "id": "2", "content": "me"}, {}])) == []
    assert list(reader.read("messages", [{"type": "ai", "id": "3", "content": "more"}, {}])) == [Text("more", "3")]


def test_a_repeated_attempt_and_an_error_are_parts() -> None:
    reader = PartReader()
    assert list(reader.read("metadata", {"run_id": "x", "attempt": 1})) == []
    assert list(reader.read("metadata", {"run_id": "x", "attempt": 2})) == [Repeated()]
    assert list(reader.read("error", {"error": "E", "message": "a\nb"})) == [Failure("E: a b")]


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ("a", "a"), (["a", {"type": "text", "text": "b"}], "ab"), ([{"type": "image"}], "[image]"), (3, "3")],
)
def test_content_of_any_shape_has_a_text(content: Any, text: str) -> None:
    assert text_of(content) == text


def test_the_answers_to_several_interrupts_are_told_apart() -> None:
    action = {"name": "send", "args": {"to": "x"}}
    interrupts = {
        "t1": [{"id": "i1", "value": {"action_requests": [action, action]}}],
        "t2": [{"id": "i2", "value": 7}],
    }
    asked = questions(interrupts)
    answers = [question.parse(given) for question, given in zip(asked, ("", "no", "forty"), strict=True)]
    decisions = {"decisions": [{"type": "approve"}, {"type": "reject"}]}
    assert [question.text for question in asked][2] == "7"
    assert resume(asked, answers) == {"i1": decisions, "i2": "forty"}
