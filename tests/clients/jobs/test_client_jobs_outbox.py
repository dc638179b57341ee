"""Numbered events that are not acknowledged."""

from __future__ import annotations

from agenthall_client.connection.json_text import JsonText, to_json
from agenthall_client.jobs.outbox import MAX_BYTES, MAX_EVENTS, EventOutbox


def filled(count: int, size: int = 1) -> EventOutbox:
    outbox = EventOutbox()
    for number in range(1, count + 1):
        outbox.append(JsonText(str(number).zfill(size)))
    return outbox


def test_events_are_repeated_until_they_are_acknowledged() -> None:
    outbox = filled(5)
    assert outbox.next_batch() == outbox.next_batch() == (1, ["1", "2", "3", "4", "5"])
    outbox.acknowledge(2)
    assert outbox.next_batch() == (3, ["3", "4", "5"])
    outbox.acknowledge(1)
    outbox.acknowledge(99)
    assert (len(outbox), outbox.applied_through) == (0, 5)


def test_a_batch_has_no_more_bytes_than_fit_into_a_message() -> None:
    outboxes = [filled(4, size) for size in (MAX_BYTES, MAX_BYTES // 2, MAX_BYTES // 3, 1)]
    assert [len(outbox.next_batch()[1]) for outbox in outboxes] == [1, 2, 3, 4]


def test_bytes_are_those_of_utf_8() -> None:
    assert [to_json(each).size for each in ("a", "ü", "語", "\ud800")] == [3, 4, 5, 8]


def test_the_window_has_a_number_of_events_and_of_bytes() -> None:
    assert not filled(MAX_EVENTS - 1).is_full and filled(MAX_EVENTS).is_full
    outbox = filled(3, size=100 * 1024)
    assert outbox.is_full
    outbox.acknowledge(1)
    assert not outbox.is_full
    outbox.drop()
    assert not outbox and outbox.next_batch() == (2, [])
