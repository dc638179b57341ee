"""Server-Sent Events as commands read them."""

from __future__ import annotations

import pytest

from robyn_server.cli.http.sse import COMMENT, ServerSentEvent, split_lines, sse_events

_STREAM = (
    ': heartbeat\r\n\r\nevent: a\r\ndata: {"text":"one\u2028two\x85thrée"}\r\nid: 1-1\r\n\r\ndata: [1,\ndata: 2]\n\n'
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_whatever_the_chunks_and_the_characters(size: int) -> None:
    given = _STREAM.encode()
    chunks = [given[at : at + size] for at in range(0, len(given), size)]
    assert list(sse_events(split_lines(chunks))) == [
        ServerSentEvent("a", {"text": "one\u2028two\x85thrée"}, "1-1"),
        ServerSentEvent("message", [1, 2], None),
    ]


def test_comments_are_events_on_request() -> None:
    lines = [": heartbeat", "", "data: 1", "", ":", ""]
    assert [event.event for event in sse_events(lines, comments=True)] == [COMMENT, "message", COMMENT]
    assert [event.event for event in sse_events(lines)] == ["message"]


def test_an_event_that_was_cut_off_is_none() -> None:
    assert list(sse_events(split_lines([b"event: a\ndata: {}\n"]))) == []
