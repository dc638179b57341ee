"""A batcher applies what is submitted together in one call, and answers each caller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from servers.live_server import until

from robyn_server.concurrency.batcher import Batcher


class _Doubling:
    """Doubles numbers. `blocked`: each call waits for it. Refuses a batch that has a zero."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def apply(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.blocked.wait()
        if 0 in items:
            raise ValueError("zero")
        return [2 * each for each in items]


def _batcher(doubling: _Doubling, seconds: float = 0.0, max_size: int = 100) -> Batcher[int, int]:
    return Batcher("doubling", doubling.apply, seconds=seconds, max_size=max_size, closed=lambda: OSError("closed"))


async def test_items_of_one_moment_travel_together_and_in_order() -> None:
    doubling = _Doubling()
    batcher = _batcher(doubling)
    batcher.start()
    assert await asyncio.gather(*(batcher.submit(each) for each in (3, 1, 2))) == [6, 2, 4]
    assert doubling.batches == [[3, 1, 2]]
    await batcher.stop()


async def test_one_batch_is_applied_at_a_time_and_the_rest_with_the_next() -> None:
    doubling = _Doubling()
    doubling.blocked.clear()
    batcher = _batcher(doubling, max_size=2)
    batcher.start()
    first = asyncio.create_task(batcher.submit(1))
    await until(lambda: doubling.batches == [[1]])
    others = [asyncio.create_task(batcher.submit(each)) for each in (2, 3, 4)]
    await asyncio.sleep(0)
    assert doubling.batches == [[1]]
    doubling.blocked.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert doubling.batches == [[1], [2, 3], [4]]
    await batcher.stop()


async def test_an_error_is_that_of_its_batch_only() -> None:
    batcher = _batcher(_Doubling())
    batcher.start()
    answers = await asyncio.gather(batcher.submit(0), batcher.submit(1), return_exceptions=True)
    assert [type(each) for each in answers] == [ValueError, ValueError]
    assert await batcher.submit(1) == 2
    await batcher.stop()


async def test_a_caller_that_has_gone_is_left_out() -> None:
    doubling = _Doubling()
    doubling.blocked.clear()
    batcher = _batcher(doubling)
    batcher.start()
    first = asyncio.create_task(batcher.submit(1))
    await until(lambda: doubling.batches == [[1]])
    gone, stays = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    gone.cancel()
    doubling.blocked.set()
    assert (await first, await stays) == (2, 6)
    assert doubling.batches == [[1], [3]]
    await batcher.stop()


async def test_a_stop_applies_what_waits_and_refuses_what_comes() -> None:
    doubling = _Doubling()
    batcher = _batcher(doubling, seconds=3600)
    with pytest.raises(OSError, match="closed"):
        await batcher.submit(1)
    batcher.start()
    waiting = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0)
    await batcher.stop()
    with pytest.raises(OSError, match="closed"):
        await batcher.submit(2)
    assert await waiting == 2
