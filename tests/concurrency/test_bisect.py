"""Refused items are isolated, within a budget of refusals."""

from __future__ import annotations

from collections.abc import Sequence

from robyn_server.concurrency.bisect import bisect


class Table:
    """Refuses a batch that holds a bad number, and every batch after `breaks_after` statements."""

    def __init__(self, *bad: int, breaks_after: int = 1000) -> None:
        self.bad = set(bad)
        self.breaks_after = breaks_after
        self.applied: list[int] = []
        self.refused: list[int] = []
        self.statements = 0

    async def apply(self, numbers: Sequence[int]) -> None:
        self.statements += 1
        if self.statements > self.breaks_after:
            raise ConnectionError
        if self.bad & set(numbers):
            raise ValueError
        self.applied += numbers

    def refuse(self, numbers: Sequence[int], _error: Exception) -> None:
        self.refused += numbers

    async def bisect(self, count: int, max_refusals: int = 100) -> bool:
        return await bisect(range(count), self.apply, self.refuse, max_refusals=max_refusals, fatal=ConnectionError)


async def test_a_batch_without_bad_items_is_applied_at_once() -> None:
    table = Table()
    assert await table.bisect(100)
    assert (table.statements, table.applied, table.refused) == (1, [*range(100)], [])


async def test_bad_items_are_refused_alone_and_the_others_applied_in_order() -> None:
    table = Table(13, 70)
    assert await table.bisect(100)
    assert table.refused == [13, 70]
    assert table.applied == [each for each in range(100) if each not in table.refused]


async def test_after_too_many_refusals_the_rest_is_refused_in_order() -> None:
    table = Table(*range(100))
    assert not await table.bisect(100, max_refusals=10)
    assert table.statements == 11
    assert (table.applied, table.refused) == ([], [*range(100)])


async def test_a_fatal_error_ends_it() -> None:
    table = Table(3, breaks_after=2)
    assert not await table.bisect(8)
    assert (table.statements, table.applied, table.refused) == (3, [], [*range(8)])


async def test_nothing_applied_is_no_success() -> None:
    assert not await Table(0).bisect(1)
