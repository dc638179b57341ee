from __future__ import annotations

from robyn_server.core.access.quota import ConcurrencyQuota


def test_slots_are_counted_by_key() -> None:
    quota = ConcurrencyQuota(2)
    assert [quota.acquire("a"), quota.acquire("a"), quota.acquire("a"), quota.acquire("b")] == [True, True, False, True]
    quota.release("a")
    assert quota.acquire("a")
    assert len(quota) == 3


def test_a_quota_without_a_limit_refuses_nothing() -> None:
    quota = ConcurrencyQuota(None)
    assert all(quota.acquire("a") for _ in range(100))
