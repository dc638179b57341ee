"""A process counts waiting runs now and then, and for each run close to a limit."""

from __future__ import annotations

from robyn_server.core.queue.headroom import PendingHeadroom

ANN, BOB, ACME = "ann", "bob", "acme"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_sixteenth_of_what_is_left_needs_no_count() -> None:
    headroom = PendingHeadroom()
    assert not headroom.take((ANN, ACME))
    headroom.record((ANN, ACME), 32)
    assert [headroom.take((ANN, ACME)) for _ in range(3)] == [True, True, False]


def test_close_to_the_limit_each_run_is_counted() -> None:
    headroom = PendingHeadroom()
    headroom.record((ANN, ACME), 15)
    assert not headroom.take((ANN, ACME))


def test_members_share_the_allowance_of_their_organization() -> None:
    headroom = PendingHeadroom()
    headroom.record((ANN, ACME), 32)
    headroom.record((BOB, ACME), 32)
    assert [headroom.take((owner, ACME)) for owner in (ANN, BOB, ANN, BOB)] == [True, True, False, False]


def test_an_allowance_lapses() -> None:
    clock = Clock()
    headroom = PendingHeadroom(clock)
    headroom.record((ANN, ACME), 1000)
    clock.now += 6
    assert not headroom.take((ANN, ACME))


def test_without_a_limit_of_its_own_a_caller_is_counted_rarely() -> None:
    headroom = PendingHeadroom()
    headroom.record((ANN, None), None)
    assert all(headroom.take((ANN, None)) for _ in range(1000))
    assert not headroom.take((ANN, None))
