"""The registrations of an instance follow from the entries of its history."""

from __future__ import annotations

from typing import Any

from robyn_server.core.registry.instance_history import HistoryEntry, InstanceHistory, registrations_of


def entry(at: str, kind: str, epoch: int = 1, **detail: Any) -> HistoryEntry:
    return HistoryEntry(at, kind, epoch, detail)


def test_a_registration_lasts_until_its_end_or_the_next_one() -> None:
    entries = [
        entry("t1", "registered", version="1.0"),
        entry("t2", "stale"),
        entry("t3", "reconnected", 2, version="1.1"),
        entry("t4", "deregistered", 2, reason="bye"),
        entry("t5", "reconnected", 3),
    ]
    assert [each.to_dict() for each in registrations_of(entries[::-1])] == [
        {"epoch": 3, "registered_at": "t5", "ended_at": None, "reason": None, "version": None},
        {"epoch": 2, "registered_at": "t3", "ended_at": "t4", "reason": "bye", "version": "1.1"},
        {"epoch": 1, "registered_at": "t1", "ended_at": "t3", "reason": "superseded", "version": "1.0"},
    ]


def test_an_end_without_a_reason_is_told_by_its_kind_and_one_whose_beginning_is_forgotten_is_left_out() -> None:
    entries = [entry("t1", "inactive"), entry("t2", "reconnected", 2), entry("t3", "inactive", 2)]
    assert [(each.epoch, each.reason) for each in registrations_of(entries[::-1])] == [(2, "inactive")]


def test_only_a_breaker_that_is_not_closed_has_opened_at_a_time() -> None:
    entries = [entry("t3", "breaker_half_open"), entry("t2", "breaker_opened"), entry("t1", "breaker_opened")]
    for state, opened_at in (("half_open", "t2"), ("open", "t2"), ("closed", None)):
        breaker = InstanceHistory(entries, {"state": state}, {}, None).to_dict()["breaker"]
        assert breaker == {"state": state, "opened_at": opened_at}
    assert InstanceHistory(entries, None, {}, None).to_dict()["breaker"] is None
