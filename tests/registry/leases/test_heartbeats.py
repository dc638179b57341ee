"""Heartbeats answered `ok` are written, never affect each other, and keepers report only while they can write."""

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
from lease_database import ORG_1, ORG_2, LeaseDatabase, heartbeat_of
from network.faulty_proxy import PostgresProxy
from servers.live_server import until

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.registry.instances import HealthStatus, Heartbeat, Outcome
from robyn_server.registry.leases.heartbeats import MAX_REFUSALS, HeartbeatBatcher
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.registry.instances.leases import BatchResult, Leases

MINUTE = timedelta(minutes=1)


class CountingLeases(Leases):
    """Records the heartbeats of each statement."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.flushes: list[list[Heartbeat]] = []

    async def record_heartbeats(self, beats: Sequence[Heartbeat], keeper_id: UUID) -> BatchResult:
        self.flushes.append(list(beats))
        return await super().record_heartbeats(beats, keeper_id)


@pytest.fixture
async def counting(lease_db: LeaseDatabase) -> CountingLeases:
    return CountingLeases(lease_db.system)


@pytest.fixture
async def keeper(counting: CountingLeases) -> AsyncIterator[HeartbeatBatcher]:
    keeper = HeartbeatBatcher(counting, "tests")
    keeper.start()
    yield keeper
    await keeper.stop()


async def _row(lease_db: LeaseDatabase, keeper: HeartbeatBatcher) -> object:
    return await lease_db.owner.fetchrow("select * from mcp.lease_keepers where id = $1", keeper.keeper_id)


async def test_concurrent_heartbeats_are_written_by_one_statement_in_key_order(
    lease_db: LeaseDatabase, counting: CountingLeases, keeper: HeartbeatBatcher
) -> None:
    registered = await lease_db.register_many(40)
    before = await lease_db.now()
    answers = await asyncio.gather(*(keeper.submit(heartbeat_of(each)) for each in registered))
    assert {answer.outcome for answer in answers} == {Outcome.OK}
    assert [len(flush) for flush in counting.flushes] == [40]
    ids = [beat.registration_id for beat in counting.flushes[0]]
    assert ids == sorted(ids)
    for each in registered:
        lease = await lease_db.get_lease(each)
        assert (lease["last_health_check"] > before, lease["keeper_id"]) == (True, keeper.keeper_id)


async def test_the_interval_is_that_of_the_database_with_jitter(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher
) -> None:
    registered = await lease_db.register()
    answer = await keeper.submit(heartbeat_of(registered))
    assert 4.5 <= answer.heartbeat_interval_seconds <= 5.5
    assert answer.lease_ttl_seconds == 15


async def test_a_full_batch_is_written_at_once_and_the_rest_with_the_next(
    lease_db: LeaseDatabase, counting: CountingLeases
) -> None:
    keeper = HeartbeatBatcher(counting, "tests", batch_seconds=3600)
    keeper.start()
    registered = await lease_db.register()
    beats = [Heartbeat(ORG_1, uuid4(), 1) for _ in range(2000)]
    answers = await asyncio.gather(*map(keeper.submit, beats))
    assert {answer.outcome for answer in answers} == {Outcome.MUST_REGISTER}
    last = asyncio.create_task(keeper.submit(heartbeat_of(registered)))
    await asyncio.sleep(0)
    await keeper.stop()
    assert (await last).outcome is Outcome.OK
    assert [len(flush) for flush in counting.flushes] == [2000, 1]


async def test_repeated_heartbeats_collapse_and_all_callers_are_answered(
    lease_db: LeaseDatabase, counting: CountingLeases, keeper: HeartbeatBatcher
) -> None:
    registered = await lease_db.register()
    answers = await asyncio.gather(
        keeper.submit(heartbeat_of(registered, load={"workload": 3}, health=HealthStatus.DEGRADED)),
        keeper.submit(heartbeat_of(registered, metrics={"cpu": 1})),
        keeper.submit(heartbeat_of(registered, health=HealthStatus.HEALTHY)),
    )
    assert [answer.outcome for answer in answers] == [Outcome.OK] * 3
    assert [len(flush) for flush in counting.flushes] == [1]
    lease = await lease_db.get_lease(registered)
    assert (lease["workload"], lease["metrics"], lease["health_status"]) == (3, '{"cpu": 1}', "healthy")


async def test_heartbeats_of_an_older_and_the_current_epoch_are_answered_separately(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher
) -> None:
    await lease_db.register()
    again = await lease_db.register()
    old, new = await asyncio.gather(
        keeper.submit(heartbeat_of(again, epoch=1, load={"workload": 9})),
        keeper.submit(heartbeat_of(again, load={"workload": 1})),
    )
    assert (old.outcome, new.outcome) == (Outcome.SUPERSEDED, Outcome.OK)
    assert (await lease_db.get_lease(again))["workload"] == 1


async def test_a_registration_of_another_organization_must_register(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher
) -> None:
    registered = await lease_db.register()
    before = await lease_db.get_lease(registered)
    stranger = await keeper.submit(heartbeat_of(registered, tenant=ORG_2, load={"workload": 99}))
    assert stranger.outcome is Outcome.MUST_REGISTER
    assert await lease_db.get_lease(registered) == before
    own, stranger = await asyncio.gather(
        keeper.submit(heartbeat_of(registered)), keeper.submit(heartbeat_of(registered, tenant=ORG_2))
    )
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


async def test_invalid_heartbeats_are_refused_and_affect_no_others(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher
) -> None:
    good = await lease_db.register_many(2)
    others = [await lease_db.register(f"bad{number}") for number in range(len(BAD))]
    bad = [heartbeat_of(each, **more) for each, more in zip(others, BAD, strict=True)]
    results = await asyncio.gather(
        keeper.submit(heartbeat_of(good[0])),
        *map(keeper.submit, bad),
        keeper.submit(heartbeat_of(good[1])),
        return_exceptions=True,
    )
    assert [getattr(results[at], "outcome", None) for at in (0, -1)] == [Outcome.OK, Outcome.OK]
    assert [type(result) for result in results[1:-1]] == [Invalid] * len(BAD)


@pytest.mark.parametrize("workload", [1.0, 1e3, -0.0, 5])
async def test_a_whole_number_may_be_written_as_a_float(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher, workload: float
) -> None:
    (registered,) = await lease_db.register_many(1)
    assert (await keeper.submit(heartbeat_of(registered, load={"workload": workload}))).outcome is Outcome.OK
    stored = await lease_db.owner.fetchval(
        "select workload from mcp.agent_leases where registration_id = $1", registered.registration_id
    )
    assert stored == int(workload)


async def test_a_row_that_the_database_refuses_fails_its_caller_only(lease_db: LeaseDatabase) -> None:
    poison = 13

    class Poisoned(Leases):
        async def record_heartbeats(self, beats: Sequence[Heartbeat], keeper_id: UUID) -> BatchResult:
            if any((beat.load or {}).get("workload") == poison for beat in beats):
                raise ArithmeticError("a row that no check refuses")
            return await super().record_heartbeats(beats, keeper_id)

    keeper = HeartbeatBatcher(Poisoned(lease_db.system), "tests")
    keeper.start()
    try:
        some = await lease_db.register_many(7)
        beats = [heartbeat_of(each, load={"workload": at + 10}) for at, each in enumerate(some)]
        results = await asyncio.gather(*map(keeper.submit, beats), return_exceptions=True)
        assert [isinstance(result, ArithmeticError) for result in results] == [at + 10 == poison for at in range(7)]
        assert await keeper.report_alive() is not None, "one bad row is no outage of ours"
    finally:
        await keeper.stop()


@pytest.mark.parametrize("how_many", [1, 100], ids=["one alone", "a hundred"])
async def test_when_nothing_can_be_written_all_callers_fail_and_the_keeper_does_not_report(
    lease_db: LeaseDatabase, how_many: int
) -> None:
    """The process could not see which instances are alive, so none may be evicted for it."""

    class Broken(Leases):
        statements = 0
        is_mended = False

        async def record_heartbeats(self, beats: Sequence[Heartbeat], keeper_id: UUID) -> BatchResult:
            self.statements += 1
            if self.is_mended:
                return await super().record_heartbeats(beats, keeper_id)
            raise ArithmeticError("none is written")

    broken = Broken(lease_db.system)
    keeper = HeartbeatBatcher(broken, "tests")
    keeper.start()
    try:
        beats = [heartbeat_of(each) for each in await lease_db.register_many(how_many)]
        results = await asyncio.gather(*map(keeper.submit, beats), return_exceptions=True)
        assert {type(result) for result in results} == {ArithmeticError}
        assert broken.statements <= MAX_REFUSALS + 1, "not one statement a row"
        assert await keeper.report_alive() is None
        broken.is_mended = True
        await asyncio.gather(*map(keeper.submit, beats))
        assert await keeper.report_alive() is not None
    finally:
        await keeper.stop()


async def test_a_cancelled_caller_does_not_affect_others(lease_db: LeaseDatabase, keeper: HeartbeatBatcher) -> None:
    registered = await lease_db.register()
    leaving = asyncio.create_task(keeper.submit(heartbeat_of(registered)))
    staying = asyncio.create_task(keeper.submit(heartbeat_of(registered)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).outcome is Outcome.OK


async def test_one_batch_is_in_flight_and_later_heartbeats_go_into_the_next(
    lease_db: LeaseDatabase, counting: CountingLeases, keeper: HeartbeatBatcher
) -> None:
    first, *rest = await lease_db.register_many(5)
    async with lease_db.owner.acquire() as connection, connection.transaction():
        await connection.execute("select from mcp.agent_leases for update")
        tasks = [asyncio.create_task(keeper.submit(heartbeat_of(first)))]
        await until(lambda: len(counting.flushes) == 1)
        tasks += [asyncio.create_task(keeper.submit(heartbeat_of(each))) for each in rest]
        await asyncio.sleep(0.1)
        assert len(counting.flushes) == 1
    assert {answer.outcome for answer in await asyncio.gather(*tasks)} == {Outcome.OK}
    assert [len(flush) for flush in counting.flushes] == [1, 4]


async def test_a_keeper_does_not_report_while_heartbeats_cannot_be_written(
    lease_db: LeaseDatabase, keeper: HeartbeatBatcher
) -> None:
    """The table is locked. The keeper's own row could be written all the time."""
    (registered,) = await lease_db.register_many(1, keeper.keeper_id)
    await keeper.submit(heartbeat_of(registered))
    async with lease_db.owner.acquire() as connection, connection.transaction():
        await connection.execute("lock table mcp.agent_leases in access exclusive mode")
        waiting = asyncio.create_task(keeper.submit(heartbeat_of(registered)))
        await until(lambda: _is_silent(lease_db, keeper))
    assert (await waiting).outcome is Outcome.OK
    await until(lambda: _has_outage(lease_db, keeper))


async def _is_silent(lease_db: LeaseDatabase, keeper: HeartbeatBatcher) -> bool:
    seconds = await lease_db.owner.fetchval(
        "select extract(epoch from clock_timestamp() - last_heartbeat) from mcp.lease_keepers where id = $1",
        keeper.keeper_id,
    )
    return float(seconds) > 3.1


async def _has_outage(lease_db: LeaseDatabase, keeper: HeartbeatBatcher) -> bool:
    row = await lease_db.owner.fetchrow("select * from mcp.lease_keepers where id = $1", keeper.keeper_id)
    return (
        row is not None
        and row["outage_ended"] is not None
        and row["outage_ended"] - row["outage_began"] > timedelta(seconds=3)
    )


async def test_without_the_database_callers_fail_and_the_outage_is_recorded_afterwards(
    lease_db: LeaseDatabase,
) -> None:
    async with PostgresProxy(lease_db.url).serving() as proxy:
        pool = await open_pool(proxy.url, Role.SYSTEM, size=2, name="tests keeper", timeout=3)
        keeper = HeartbeatBatcher(Leases(pool), "tests")
        keeper.start()
        try:
            await until(lambda: _row(lease_db, keeper))
            (registered,) = await lease_db.register_many(1, keeper.keeper_id)
            assert (await keeper.submit(heartbeat_of(registered))).outcome is Outcome.OK
            proxy.is_refusing = True
            proxy.cut()
            with pytest.raises(Unavailable):
                await keeper.submit(heartbeat_of(registered))
            await until(lambda: _is_silent(lease_db, keeper))
            assert await lease_db.count_active(await lease_db.later(60)) == 1
            proxy.is_refusing = False
            await until(lambda: _has_outage(lease_db, keeper))
            assert (await keeper.submit(heartbeat_of(registered))).outcome is Outcome.OK
        finally:
            await keeper.stop()
            pool.terminate()


async def test_a_stopped_batcher_records_its_stop_and_refuses_heartbeats(
    lease_db: LeaseDatabase, counting: CountingLeases
) -> None:
    keeper = HeartbeatBatcher(counting, "tests")
    keeper.start()
    (registered,) = await lease_db.register_many(1, keeper.keeper_id)
    await keeper.submit(heartbeat_of(registered))
    await until(lambda: _row(lease_db, keeper))
    await keeper.stop()
    assert (
        await lease_db.owner.fetchval("select stopped_at from mcp.lease_keepers where id = $1", keeper.keeper_id)
    ) is not None
    with pytest.raises(Unavailable):
        await keeper.submit(heartbeat_of(registered))


async def test_stopping_while_nothing_can_be_written_fails_all_callers(
    lease_db: LeaseDatabase, counting: CountingLeases
) -> None:
    keeper = HeartbeatBatcher(counting, "tests")
    keeper.start()
    first, second = await lease_db.register_many(2, keeper.keeper_id)
    async with lease_db.owner.acquire() as connection, connection.transaction():
        await connection.execute("lock table mcp.agent_leases in access exclusive mode")
        waiting = [asyncio.create_task(keeper.submit(heartbeat_of(first)))]
        await until(lambda: counting.flushes)
        waiting.append(asyncio.create_task(keeper.submit(heartbeat_of(second))))
        await asyncio.sleep(0)
        await keeper.stop()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]


_PROGRAM = """
import asyncio, sys
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.registry.instances.leases import Leases

async def main():
    keeper = HeartbeatBatcher(Leases(await open_pool(sys.argv[1], Role.SYSTEM, size=2, name="paused")), "tests")
    keeper.start()
    await keeper.report_alive()
    print(keeper.keeper_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_paused_process_records_its_outage_when_it_resumes(lease_db: LeaseDatabase) -> None:
    child = subprocess.Popen([sys.executable, "-c", _PROGRAM, lease_db.url], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        keeper_id = UUID((await asyncio.to_thread(child.stdout.readline)).strip())
        registered = await lease_db.register(keeper=keeper_id)
        os.kill(child.pid, signal.SIGSTOP)
        stopped = HeartbeatBatcher(lease_db.leases, "tests", keeper_id)
        await until(lambda: _is_silent(lease_db, stopped))
        assert await lease_db.count_active(await lease_db.later(60)) == 1
        os.kill(child.pid, signal.SIGCONT)
        await until(lambda: _has_outage(lease_db, stopped))
        assert (
            await lease_db.count_active(
                (await lease_db.get_lease(registered))["lease_expires_at"] + timedelta(seconds=5)
            )
            == 1
        )
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("is_successor", "alive"), [(True, 0), (False, 1)], ids=["in its place", "beside it"])
async def test_a_silent_instance_of_a_dead_keeper_is_evicted_sooner_by_a_successor(
    lease_db: LeaseDatabase, is_successor: bool, alive: int
) -> None:
    dead = new_id()
    await lease_db.leases.touch_keeper(dead, "tests")
    await lease_db.register(keeper=dead)
    after = HeartbeatBatcher(lease_db.leases, "tests", dead if is_successor else None)
    for seconds in range(10, 46, 2):
        await lease_db.leases.touch_keeper(after.keeper_id, "tests", now=await lease_db.later(seconds))
    assert await lease_db.count_active(await lease_db.later(20)) == 1, "it may have been heard of in the gap"
    assert await lease_db.count_active(await lease_db.later(45)) == alive
