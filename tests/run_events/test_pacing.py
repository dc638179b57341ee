"""The pause after a flush of events grows with its size, within bounds."""

from __future__ import annotations

from robyn_server.run_events.pacing import pause_after


def test_a_larger_flush_is_followed_by_a_longer_pause() -> None:
    assert 0 < pause_after(1) < pause_after(50) < pause_after(1000) == pause_after(100_000) < 0.05
