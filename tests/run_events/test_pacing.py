"""The pauses after a flush of events, and between the streams that get those of a read, are bounded."""

from __future__ import annotations

from robyn_server.run_events.pacing import PAUSE_BETWEEN_STREAMS, pause_after, streams_at_once


def test_a_larger_flush_is_followed_by_a_longer_pause() -> None:
    assert 0 < pause_after(1) < pause_after(50) < pause_after(1000) == pause_after(100_000) < 0.05


def test_a_read_for_any_number_of_streams_is_over_soon() -> None:
    assert streams_at_once(1) == streams_at_once(500) == 16
    for streams in (1, 16, 500, 10_000):
        assert PAUSE_BETWEEN_STREAMS * streams / streams_at_once(streams) < 0.25
