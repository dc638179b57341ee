"""Delays between attempts to connect."""

from __future__ import annotations

from agenthall_client.connection.backoff import Backoff


def test_delays_grow_to_a_limit_and_start_again_after_a_reset() -> None:
    for _ in range(50):
        backoff = Backoff(initial=1.0, maximum=8.0)
        delays = [backoff.next_delay() for _ in range(8)]
        assert all(0 <= delay <= ceiling for delay, ceiling in zip(delays, (1, 2, 4, 8, 8, 8, 8, 8), strict=True))
        backoff.reset()
        assert backoff.next_delay() <= 1.0
