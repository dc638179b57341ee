"""What was answered `ok` is written; nobody's heartbeat spoils another's; the keeper tells the truth of itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from leased import T1, T2, Leased, beat_of, cuttable
from live_server import until

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.registry import Beat, HealthStatus, Outcome
from robyn_server.runtime.lease_keeper import REFUSALS, LeaseKeeper
from robyn_server.storage.database import Pool, Role, open_pool
from robyn_server.storage.leases import Beaten, Leases

MINUTE = timedelta(minutes=1)


class CountingLeases(Leases):
    """Remembers each statement's heartbeats."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.flushes: list[list[Beat]] = []

    async def beat_many(self, beats: Sequence[Beat], keeper_id: UUID) -> Beaten:
        self.flushes.append(list(beats))
        return await super().beat_many(beats, keeper_id)


@pytest.fixture
async def counting(leased: Leased) -> CountingLeases:
    return CountingLeases(leased.system)


@pytest.fixture
async def keeper(counting: CountingLeases) -> AsyncIterator[LeaseKeeper]:
    keeper = LeaseKeeper(counting, "tests")
    keeper.start()
    yield keeper
    await keeper.stop()


async def _row(leased: Leased, keeper: LeaseKeeper) -> object:
    return await leased.owner.fetchrow("select * from mcp.lease_keepers where id = $1", keeper.id)


async def test_what_comes_together_is_written_by_one_statement_in_key_order(
    leased: Leased, counting: CountingLeases, keeper: LeaseKeeper
) -> None:
    registered = await leased.fill(40)
    before = await leased.now()
    answers = await asyncio.gather(*(keeper.beat(beat_of(each)) for each in registered))
    assert {answer.outcome for answer in answers} == {Outcome.OK}
    assert [len(flush) for flush in counting.flushes] == [40]
    ids = [beat.registration_id for beat in counting.flushes[0]]
    assert ids == sorted(ids)
    for each in registered:
        lease = await leased.lease(each)
        assert (lease["last_health_check"] > before, lease["keeper_id"]) == (True, keeper.id)


async def test_the_interval_is_the_database_s_with_jitter(leased: Leased, keeper: LeaseKeeper) -> None:
    registered = await leased.register()
    answer = await keeper.beat(beat_of(registered))
    assert 4.5 <= answer.heartbeat_interval_seconds <= 5.5
    assert answer.lease_ttl_seconds == 15


async def test_a_full_batch_does_not_wait_and_the_rest_goes_with_the_next(
    leased: Leased, counting: CountingLeases
) -> None:
    keeper = LeaseKeeper(counting, "tests", gather_seconds=3600)
    keeper.start()
    registered = await leased.register()
    beats = [Beat(T1, uuid4(), 1) for _ in range(2000)]
    answers = await asyncio.gather(*map(keeper.beat, beats))
    assert {answer.outcome for answer in answers} == {Outcome.MUST_REGISTER}
    last = asyncio.create_task(keeper.beat(beat_of(registered)))
    await asyncio.sleep(0)
    await keeper.stop()
    assert (await last).outcome is Outcome.OK
    assert [len(flush) for flush in counting.flushes] == [2000, 1]


async def test_repeated_heartbeats_collapse_and_all_callers_are_answered(
    leased: Leased, counting: CountingLeases, keeper: LeaseKeeper
) -> None:
    registered = await leased.register()
    answers = await asyncio.gather(
        keeper.beat(beat_of(registered, load={"workload": 3}, health=HealthStatus.DEGRADED)),
        keeper.beat(beat_of(registered, metrics={"cpu": 1})),
        keeper.beat(beat_of(registered, health=HealthStatus.HEALTHY)),
    )
    assert [answer.outcome for answer in answers] == [Outcome.OK] * 3
    assert [len(flush) for flush in counting.flushes] == [1]
    lease = await leased.lease(registered)
    assert (lease["workload"], lease["metrics"], lease["health_status"]) == (3, '{"cpu": 1}', "healthy")


async def test_an_older_life_and_the_present_one_are_answered_each_for_itself(
    leased: Leased, keeper: LeaseKeeper
) -> None:
    await leased.register()
    again = await leased.register()
    old, new = await asyncio.gather(
        keeper.beat(beat_of(again, epoch=1, load={"workload": 9})), keeper.beat(beat_of(again, load={"workload": 1}))
    )
    assert (old.outcome, new.outcome) == (Outcome.SUPERSEDED, Outcome.OK)
    assert (await leased.lease(again))["workload"] == 1


async def test_another_tenant_s_registration_is_not_there(leased: Leased, keeper: LeaseKeeper) -> None:
    registered = await leased.register()
    before = await leased.lease(registered)
    stranger = await keeper.beat(beat_of(registered, tenant=T2, load={"workload": 99}))
    assert stranger.outcome is Outcome.MUST_REGISTER
    assert await leased.lease(registered) == before
    own, stranger = await asyncio.gather(keeper.beat(beat_of(registered)), keeper.beat(beat_of(registered, tenant=T2)))
    assert (own.outcome, stranger.outcome) == (Outcome.OK, Outcome.MUST_REGISTER)


BAD: list[dict[str, Any]] = [
    {"load": {"workload": -1}},
    {"load": {"workload": "many"}},
    {"load": {"text": "x" * 70_000}},
    {"load": {"text": "x" * 9_000}},
    {"metrics": {"text": "a\0b"}},
    {"metrics": {"text": "\ud800"}},
    {"metrics": {"number": 2**70}},
    {"health": HealthStatus.STALE},
    {"epoch": 2**63},
    {"epoch": -1},
]


async def test_what_is_impossible_is_refused_and_spoils_nothing(leased: Leased, keeper: LeaseKeeper) -> None:
    good = await leased.fill(2)
    others = [await leased.register(f"bad{number}") for number in range(len(BAD))]
    bad = [beat_of(each, **more) for each, more in zip(others, BAD, strict=True)]
    results = await asyncio.gather(
        keeper.beat(beat_of(good[0])), *map(keeper.beat, bad), keeper.beat(beat_of(good[1])), return_exceptions=True
    )
    assert [getattr(results[at], "outcome", None) for at in (0, -1)] == [Outcome.OK, Outcome.OK]
    assert [type(result) for result in results[1:-1]] == [Invalid] * len(BAD)


@pytest.mark.parametrize("workload", [1.0, 1e3, -0.0, 5])
async def test_a_whole_number_may_be_written_as_a_float(leased: Leased, keeper: LeaseKeeper, workload: float) -> None:
    (registered,) = await leased.fill(1)
    assert (await keeper.beat(beat_of(registered, load={"workload": workload}))).outcome is Outcome.OK
    stored = await leased.owner.fetchval(
        "select workload from mcp.agent_leases where registration_id = $1", registered.registration_id
    )
    assert stored == int(workload)


async def test_what_the_database_cannot_write_fails_its_caller_only(leased: Leased) -> None:
    poison = 13

    class Poisoned(Leases):
        async def beat_many(self, beats: Sequence[Beat], keeper_id: UUID) -> Beaten:
            if any((beat.load or {}).get("workload") == poison for beat in beats):
                raise ArithmeticError("a row that no check foresaw")
            return await super().beat_many(beats, keeper_id)

    keeper = LeaseKeeper(Poisoned(leased.system), "tests")
    keeper.start()
    try:
        some = await leased.fill(7)
        beats = [beat_of(each, load={"workload": at + 10}) for at, each in enumerate(some)]
        results = await asyncio.gather(*map(keeper.beat, beats), return_exceptions=True)
        assert [isinstance(result, ArithmeticError) for result in results] == [at + 10 == poison for at in range(7)]
        assert await keeper.vouch() is not None, "one bad row is no outage of ours"
    finally:
        await keeper.stop()


@pytest.mark.parametrize("how_many", [1, 100], ids=["one alone", "a hundred"])
async def test_when_nothing_can_be_written_all_hear_of_it_and_the_keeper_does_not_vouch(
    leased: Leased, how_many: int
) -> None:
    """Whatever the reason: it could not see who is alive, so nobody may be evicted for it."""

    class Broken(Leases):
        statements = 0
        is_mended = False

        async def beat_many(self, beats: Sequence[Beat], keeper_id: UUID) -> Beaten:
            self.statements += 1
            if self.is_mended:
                return await super().beat_many(beats, keeper_id)
            raise ArithmeticError("none is written")

    broken = Broken(leased.system)
    keeper = LeaseKeeper(broken, "tests")
    keeper.start()
    try:
        beats = [beat_of(each) for each in await leased.fill(how_many)]
        results = await asyncio.gather(*map(keeper.beat, beats), return_exceptions=True)
        assert {type(result) for result in results} == {ArithmeticError}
        assert broken.statements <= REFUSALS + 1, "not one statement a row"
        assert await keeper.vouch() is None
        broken.is_mended = True
        await asyncio.gather(*map(keeper.beat, beats))
        assert await keeper.vouch() is not None
    finally:
        await keeper.stop()


async def test_a_caller_that_goes_away_takes_nobody_with_it(leased: Leased, keeper: LeaseKeeper) -> None:
    registered = await leased.register()
    leaving = asyncio.create_task(keeper.beat(beat_of(registered)))
    staying = asyncio.create_task(keeper.beat(beat_of(registered)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).outcome is Outcome.OK


async def test_one_flush_is_in_flight_and_what_comes_meanwhile_goes_with_the_next(
    leased: Leased, counting: CountingLeases, keeper: LeaseKeeper
) -> None:
    first, *rest = await leased.fill(5)
    async with leased.owner.acquire() as connection, connection.transaction():
        await connection.execute("select from mcp.agent_leases for update")
        tasks = [asyncio.create_task(keeper.beat(beat_of(first)))]
        await until(lambda: len(counting.flushes) == 1)
        tasks += [asyncio.create_task(keeper.beat(beat_of(each))) for each in rest]
        await asyncio.sleep(0.1)
        assert len(counting.flushes) == 1
    assert {answer.outcome for answer in await asyncio.gather(*tasks)} == {Outcome.OK}
    assert [len(flush) for flush in counting.flushes] == [1, 4]


async def test_a_keeper_whose_heartbeats_cannot_be_written_does_not_vouch_for_itself(
    leased: Leased, keeper: LeaseKeeper
) -> None:
    """Somebody holds the table; the keeper's row could be written all the while."""
    (registered,) = await leased.fill(1, keeper.id)
    await keeper.beat(beat_of(registered))
    async with leased.owner.acquire() as connection, connection.transaction():
        await connection.execute("lock table mcp.agent_leases in access exclusive mode")
        waiting = asyncio.create_task(keeper.beat(beat_of(registered)))
        await until(lambda: _is_silent(leased, keeper))
    assert (await waiting).outcome is Outcome.OK
    await until(lambda: _has_outage(leased, keeper))


async def _is_silent(leased: Leased, keeper: LeaseKeeper) -> bool:
    seconds = await leased.owner.fetchval(
        "select extract(epoch from clock_timestamp() - last_beat) from mcp.lease_keepers where id = $1", keeper.id
    )
    return float(seconds) > 3.1


async def _has_outage(leased: Leased, keeper: LeaseKeeper) -> bool:
    row = await leased.owner.fetchrow("select * from mcp.lease_keepers where id = $1", keeper.id)
    return (
        row is not None
        and row["outage_ended"] is not None
        and row["outage_ended"] - row["outage_began"] > timedelta(seconds=3)
    )


async def test_while_the_database_is_away_callers_hear_it_and_afterwards_the_outage_is_on_record(
    leased: Leased,
) -> None:
    async with cuttable(leased.url) as way:
        pool = await open_pool(way.url, Role.SYSTEM, size=2, name="tests keeper", timeout=3)
        keeper = LeaseKeeper(Leases(pool), "tests")
        keeper.start()
        try:
            await until(lambda: _row(leased, keeper))
            (registered,) = await leased.fill(1, keeper.id)
            assert (await keeper.beat(beat_of(registered))).outcome is Outcome.OK
            way.cut()
            with pytest.raises(Unavailable):
                await keeper.beat(beat_of(registered))
            await until(lambda: _is_silent(leased, keeper))
            assert await leased.living(await leased.later(60)) == 1
            way.mend()
            await until(lambda: _has_outage(leased, keeper))
            assert (await keeper.beat(beat_of(registered))).outcome is Outcome.OK
        finally:
            await keeper.stop()
            pool.terminate()


async def test_who_stops_says_so_and_takes_no_more(leased: Leased, counting: CountingLeases) -> None:
    keeper = LeaseKeeper(counting, "tests")
    keeper.start()
    (registered,) = await leased.fill(1, keeper.id)
    await keeper.beat(beat_of(registered))
    await until(lambda: _row(leased, keeper))
    await keeper.stop()
    assert (
        await leased.owner.fetchval("select stopped_at from mcp.lease_keepers where id = $1", keeper.id)
    ) is not None
    with pytest.raises(Unavailable):
        await keeper.beat(beat_of(registered))


async def test_who_stops_while_nothing_can_be_written_leaves_no_caller_waiting(
    leased: Leased, counting: CountingLeases
) -> None:
    keeper = LeaseKeeper(counting, "tests")
    keeper.start()
    first, second = await leased.fill(2, keeper.id)
    async with leased.owner.acquire() as connection, connection.transaction():
        await connection.execute("lock table mcp.agent_leases in access exclusive mode")
        waiting = [asyncio.create_task(keeper.beat(beat_of(first)))]
        await until(lambda: counting.flushes)
        waiting.append(asyncio.create_task(keeper.beat(beat_of(second))))
        await asyncio.sleep(0)
        await keeper.stop()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]


_PROGRAM = """
import asyncio, sys
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.leases import Leases

async def main():
    keeper = LeaseKeeper(Leases(await open_pool(sys.argv[1], Role.SYSTEM, size=2, name="paused")), "tests")
    keeper.start()
    await keeper.vouch()
    print(keeper.id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_that_stood_still_records_its_outage_when_it_goes_on(leased: Leased) -> None:
    child = subprocess.Popen([sys.executable, "-c", _PROGRAM, leased.url], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        keeper_id = UUID((await asyncio.to_thread(child.stdout.readline)).strip())
        registered = await leased.register(keeper=keeper_id)
        os.kill(child.pid, signal.SIGSTOP)
        stopped = LeaseKeeper(leased.leases, "tests", keeper_id)
        await until(lambda: _is_silent(leased, stopped))
        assert await leased.living(await leased.later(60)) == 1
        os.kill(child.pid, signal.SIGCONT)
        await until(lambda: _has_outage(leased, stopped))
        assert await leased.living((await leased.lease(registered))["lease_expires_at"] + timedelta(seconds=5)) == 1
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("is_successor", "alive"), [(True, 0), (False, 1)], ids=["in its place", "beside it"])
async def test_a_silent_instance_of_a_dead_keeper_goes_sooner_when_another_takes_its_place(
    leased: Leased, is_successor: bool, alive: int
) -> None:
    dead = new_id()
    await leased.leases.beat_keeper(dead, "tests")
    await leased.register(keeper=dead)
    after = LeaseKeeper(leased.leases, "tests", dead if is_successor else None)
    for seconds in range(10, 46, 2):
        await leased.leases.beat_keeper(after.id, "tests", now=await leased.later(seconds))
    assert await leased.living(await leased.later(20)) == 1, "it may have been heard of in the gap"
    assert await leased.living(await leased.later(45)) == alive
