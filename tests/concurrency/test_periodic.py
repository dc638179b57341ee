"""The loop of everything that runs in the background."""

from __future__ import annotations

import asyncio

import pytest
from deadlines import DEADLINE
from servers.live_server import until

from robyn_server.concurrency.periodic import Periodic, backoff

LONG = 3600.0


class Work:
    """Fails as often as it is told to, then succeeds."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.failures = failures

    async def __call__(self) -> None:
        self.calls += 1
        if self.failures > 0:
            self.failures -= 1
            raise RuntimeError("not yet")


@pytest.mark.parametrize(("failures", "least", "most"), [(1, 0.75, 1.25), (3, 3.0, 5.0), (1000, 22.5, 37.5)])
def test_backoff_doubles_with_jitter_up_to_a_limit(failures: int, least: float, most: float) -> None:
    assert all(least <= backoff(failures, 1.0) <= most for _ in range(100))


async def test_work_is_done_at_once_and_again_when_woken() -> None:
    work = Work()
    periodic = Periodic("work", work, LONG)
    periodic.start()
    await until(lambda: work.calls == 1)
    periodic.wake()
    await until(lambda: work.calls == 2)
    await periodic.stop()
    assert (periodic.counts.runs, periodic.counts.failures) == (2, 0)


async def test_work_is_done_again_after_the_interval() -> None:
    work = Work()
    periodic = Periodic("work", work, 0.01)
    periodic.start()
    await until(lambda: work.calls >= 3)
    await periodic.stop()


async def test_failures_are_counted_and_outlived() -> None:
    work = Work(failures=3)
    periodic = Periodic("work", work, LONG, retry=0.01)
    periodic.start()
    await until(lambda: periodic.counts.runs == 1)
    await periodic.stop()
    assert periodic.counts.failures == 3


async def test_a_wake_does_not_shorten_the_wait_after_a_failure() -> None:
    work = Work(failures=100)
    periodic = Periodic("work", work, LONG)
    periodic.start()
    await until(lambda: work.calls == 1)
    for _ in range(100):
        periodic.wake()
        await asyncio.sleep(0)
    assert work.calls == 1
    await periodic.stop()


async def test_a_wake_during_the_work_is_not_forgotten() -> None:
    going, seen = asyncio.Event(), []

    async def work() -> None:
        seen.append(len(seen))
        await going.wait()

    periodic = Periodic("work", work, LONG)
    periodic.start()
    await until(lambda: seen)
    periodic.wake()
    going.set()
    await until(lambda: len(seen) == 2)
    await periodic.stop()


@pytest.mark.parametrize("ticks", range(5))
async def test_a_stop_together_with_a_wake_stops(ticks: int) -> None:
    """wait_for() of Python 3.11 loses a cancellation that comes with the result."""
    work = Work()
    periodic = Periodic("work", work, LONG)
    periodic.start()
    await until(lambda: work.calls == 1)
    await asyncio.sleep(0)
    periodic.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        await periodic.stop()


async def test_a_stop_ends_work_that_is_under_way() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    periodic = Periodic("work", work, LONG)
    periodic.start()
    await begun.wait()
    await periodic.stop()
    assert periodic.counts.runs == 0


async def test_what_never_started_stops() -> None:
    await Periodic("work", Work(), LONG).stop()
