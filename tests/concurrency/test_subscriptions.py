"""Ids are read when a notification names them, and all of them once per interval."""

from __future__ import annotations

from uuid import UUID

import pytest

from robyn_server.concurrency.subscriptions import DueIds, Subscriptions

ONE, TWO, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)


class Wakes:
    def __init__(self) -> None:
        self.count = 0
        self.polls = 0

    def wake(self) -> None:
        self.count += 1

    def poll(self) -> None:
        self.polls += 1


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def subscriptions(wakes: Wakes) -> Subscriptions[str]:
    return Subscriptions(wakes.wake, 3600, wakes.poll)


def test_everything_is_due_first_and_after_notifications_were_missed(wakes: Wakes) -> None:
    due = DueIds(3600, wakes.poll)
    assert due.take([ONE, TWO]) == {ONE, TWO}
    assert due.take([ONE, TWO]) == set()
    due.add_all()
    assert due.take([ONE, TWO]) == {ONE, TWO}
    assert wakes.polls == 2


def test_everything_is_due_once_per_interval() -> None:
    due = DueIds(0)
    assert [due.take([ONE]), due.take([ONE])] == [{ONE}, {ONE}]


def test_what_was_woken_is_due_once_and_only_while_it_is_known() -> None:
    due = DueIds(3600)
    due.take([])
    due.add([ONE, OTHER])
    assert due.take([ONE, TWO]) == {ONE}
    assert due.take([ONE, TWO, OTHER]) == set()


def test_a_notification_wakes_for_subscriptions_alone(wakes: Wakes, subscriptions: Subscriptions[str]) -> None:
    with subscriptions.holding(ONE, "a"), subscriptions.holding(TWO, "b"):
        subscriptions.due()
        before = wakes.count
        subscriptions.wake_ids([OTHER])
        assert wakes.count == before and subscriptions.due() == set()
        subscriptions.wake_ids([OTHER, ONE])
        assert wakes.count == before + 1 and subscriptions.due() == {ONE}


def test_a_subscription_is_read_when_it_begins_and_forgotten_when_it_ends(subscriptions: Subscriptions[str]) -> None:
    subscriptions.due()
    with subscriptions.holding(ONE, "a"):
        assert subscriptions.due() == {ONE}
        with subscriptions.holding(ONE, "b"):
            assert set(subscriptions.of(ONE)) == {"a", "b"}
        assert set(subscriptions.of(ONE)) == {"a"}
    assert not subscriptions.of(ONE)
    subscriptions.wake_all()
    assert subscriptions.due() == set()
