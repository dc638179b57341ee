from __future__ import annotations

from robyn_server.sockets.limits import REFUSALS, Bucket, Seats


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(4, 0.0)
    assert [bucket.take(1, 0.0, 2, 4) for _ in range(5)] == [True, True, True, True, False]
    assert [bucket.take(1, 1.0, 2, 4) for _ in range(3)] == [True, True, False]


def test_a_batch_larger_than_the_burst_takes_all_there_is() -> None:
    bucket = Bucket(4, 0.0)
    assert bucket.take(64, 0.0, 2, 4)
    assert not bucket.take(1, 0.0, 2, 4)
    assert bucket.take(64, 2.0, 2, 4)


def test_who_goes_on_after_refusals_is_spent_and_who_stops_is_forgiven() -> None:
    bucket = Bucket(2, 0.0)
    bucket.take(2, 0.0, 1, 2)
    refused = 0
    while not bucket.is_spent(2):
        assert not bucket.take(1, 0.0, 1, 2)
        refused += 1
    assert refused == 2 * REFUSALS + 1
    assert bucket.take(1, 5.0, 1, 2) and not bucket.is_spent(2)


def test_seats_are_counted_by_principal() -> None:
    seats = Seats(2)
    assert [seats.take("a"), seats.take("a"), seats.take("a"), seats.take("b")] == [True, True, False, True]
    seats.leave("a")
    assert seats.take("a")
