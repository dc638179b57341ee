"""A budget of requests that grows back with time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.access.rate_limit import RateLimit


def test_a_whole_budget_may_be_used_at_once() -> None:
    limit = RateLimit(3, 60)
    budgets = [limit.take("ann", 100.0) for _ in range(4)]
    assert [(each.is_accepted, each.remaining) for each in budgets] == [(True, 2), (True, 1), (True, 0), (False, 0)]
    assert budgets[3].wait == pytest.approx(20)
    assert budgets[2].full_after == pytest.approx(60)


def test_the_budget_grows_back_evenly() -> None:
    limit = RateLimit(3, 60)
    for _ in range(3):
        limit.take("ann", 0.0)
    assert not limit.take("ann", 19.9).is_accepted
    assert limit.take("ann", 20.0).is_accepted
    assert limit.take("ann", 200.0).remaining == 2


def test_each_key_has_a_budget_of_its_own() -> None:
    limit = RateLimit(1, 60)
    assert limit.take("ann", 0.0).is_accepted and limit.take("bob", 0.0).is_accepted


def test_a_request_that_is_given_back_costs_nothing() -> None:
    limit = RateLimit(1, 60)
    limit.take("ann", 0.0)
    limit.give_back("ann")
    assert limit.take("ann", 0.0).is_accepted


def test_keys_with_a_full_budget_are_forgotten() -> None:
    limit = RateLimit(10, 1)
    for number in range(50_000):
        limit.take(str(number), number / 1000)
    assert len(limit) < 11_000


STEPS = st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200)


@given(quota=st.integers(1, 20), pauses=STEPS)
def test_no_window_has_more_than_its_quota_and_what_grew_back(quota: int, pauses: list[float]) -> None:
    limit, now, accepted = RateLimit(quota, 10), 1000.0, list[float]()
    for pause in pauses:
        now += pause
        if limit.take("ann", now).is_accepted:
            accepted.append(now)
    for first, start in enumerate(accepted):
        for last in range(first, len(accepted)):
            assert last - first + 1 <= quota + (accepted[last] - start) * quota / 10 + 1e-6


@given(quota=st.integers(1, 20), pauses=STEPS)
def test_a_client_that_does_what_it_is_told_is_never_refused(quota: int, pauses: list[float]) -> None:
    limit, now = RateLimit(quota, 10), 1000.0
    for pause in pauses:
        now += pause
        budget = limit.take("ann", now)
        assert budget.is_accepted
        if budget.remaining == 0:
            now += budget.full_after
