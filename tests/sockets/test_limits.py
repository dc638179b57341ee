from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robyn_server.sockets.limits import REFUSED_BURSTS, TokenBucket


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(4, 0.0)
    assert [bucket.take(1, 0.0, 2, 4) for _ in range(5)] == [True, True, True, True, False]
    assert [bucket.take(1, 1.0, 2, 4) for _ in range(3)] == [True, True, False]


def test_a_batch_larger_than_the_burst_takes_all_there_is() -> None:
    bucket = TokenBucket(4, 0.0)
    assert bucket.take(64, 0.0, 2, 4)
    assert not bucket.take(1, 0.0, 2, 4)
    assert bucket.take(64, 2.0, 2, 4)


def test_refused_messages_exhaust_a_bucket_and_a_pause_restores_it() -> None:
    bucket = TokenBucket(2, 0.0)
    bucket.take(2, 0.0, 1, 2)
    refused = 0
    while not bucket.is_exhausted(2):
        assert not bucket.take(1, 0.0, 1, 2)
        refused += 1
    assert refused == 2 * REFUSED_BURSTS + 1
    assert bucket.take(1, 5.0, 1, 2) and not bucket.is_exhausted(2)


def flood(messages_per_second: float, seconds: float, rate: float, burst: float) -> tuple[int, bool]:
    """Send at an even pace. Return how many were taken, and whether the socket would be closed."""
    bucket, taken, number = TokenBucket(burst, 0.0), 0, 0
    while (now := number / messages_per_second) < seconds:
        number += 1
        taken += bucket.take(1, now, rate, burst)
        if bucket.is_exhausted(burst):
            return taken, True
    return taken, False


def test_a_flood_exhausts_a_bucket_although_messages_are_taken_in_between() -> None:
    taken, is_closed = flood(560, 8, rate=50, burst=100)
    assert is_closed and taken < 200


def test_a_client_that_is_a_little_too_fast_is_refused_now_and_then_and_stays() -> None:
    taken, is_closed = flood(80, 60, rate=50, burst=100)
    assert not is_closed and 3000 <= taken <= 3101


_STEPS = st.lists(st.tuples(st.integers(1, 80), st.floats(0, 5, allow_nan=False)), max_size=60)
_RATES = st.floats(0.5, 200)
_BURSTS = st.floats(1, 300)


@given(_STEPS, _RATES, _BURSTS)
def test_no_client_gets_more_than_its_burst_and_the_rate(
    steps: list[tuple[int, float]], rate: float, burst: float
) -> None:
    bucket, now, paid = TokenBucket(burst, 0.0), 0.0, 0.0
    for count, pause in steps:
        now += pause
        if bucket.take(count, now, rate, burst):
            paid += min(count, burst)
        assert paid <= burst + now * rate + 1e-6


@given(_STEPS, _RATES, _BURSTS)
def test_after_a_pause_any_bucket_takes_messages_and_closes_nothing(
    steps: list[tuple[int, float]], rate: float, burst: float
) -> None:
    bucket, now = TokenBucket(burst, 0.0), 0.0
    for count, pause in steps:
        now += pause
        bucket.take(count, now, rate, burst)
    now += (burst + burst * len(steps)) / rate + 1
    assert bucket.take(64, now, rate, burst) and not bucket.is_exhausted(burst)


@given(st.floats(1, 200), st.floats(2.2, 50), _BURSTS)
def test_more_than_twice_the_rate_ends_in_a_close_whatever_is_taken_in_between(
    rate: float, factor: float, burst: float
) -> None:
    _, is_closed = flood(rate * factor, (REFUSED_BURSTS + 3) * burst / (rate * (factor - 2)) + 2, rate, burst)
    assert is_closed


@given(_RATES, _BURSTS)
def test_a_client_within_the_rate_is_never_refused(rate: float, burst: float) -> None:
    bucket = TokenBucket(burst, 0.0)
    assert all(bucket.take(1, number / rate * 1.000001, rate, burst) for number in range(1, 200))
