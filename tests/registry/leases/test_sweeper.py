"""Lapsed leases are marked once, by any process, and never because of an outage of the server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from deadlines import DEADLINE
from lease_database import ORG_1, LeaseDatabase, heartbeat_of
from servers.live_server import until
from structlog.testing import capture_logs

from robyn_server.core.registry.instances import Outcome
from robyn_server.metrics.definitions import BRAKES_ENGAGED, DETECTION_SECONDS, LEASES_EXPIRED, LEASES_SWEPT
from robyn_server.metrics.exposition import samples
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.registry.leases.sweeper import Retention, Sweeper, SweepTurn
from robyn_server.storage.registry.instances.leases import Leases

SECOND = timedelta(seconds=1)


@pytest.fixture
def sweeper(lease_db: LeaseDatabase) -> Sweeper:
    return Sweeper(lease_db.leases)


async def _touch_keeper(lease_db: LeaseDatabase, keeper: UUID, *moments: datetime) -> None:
    for moment in moments:
        await lease_db.leases.touch_keeper(keeper, "tests", now=moment)


async def _lapsed(lease_db: LeaseDatabase) -> int:
    return int(await lease_db.owner.fetchval("select count(*) from mcp.agent_leases where lapsed_at is not null"))


async def test_lapsed_instances_are_marked_ended_and_deleted_each_once(
    lease_db: LeaseDatabase, sweeper: Sweeper
) -> None:
    await lease_db.register_many(3)
    steps = []
    for seconds in (0, 20, 21, 85, 86_500):
        assert await sweeper.run_once(await lease_db.later(seconds)) is SweepTurn.SWEPT
        assert sweeper.last_result is not None
        steps.append((sweeper.last_result.stale, sweeper.last_result.inactive, sweeper.last_result.deleted))
    assert steps == [(0, 0, 0), (3, 0, 0), (0, 0, 0), (0, 3, 0), (0, 0, 3)]


async def test_a_running_sweeper_marks_a_lapsed_lease_within_two_seconds(lease_db: LeaseDatabase) -> None:
    sweeper = Sweeper(lease_db.leases)
    registered = await lease_db.register()
    await lease_db.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '500 ms'")
    sweeper.start()
    try:
        await until(lambda: _lapsed(lease_db))
        lease = await lease_db.get_lease(registered)
        assert lease["lapsed_at"] - lease["lease_expires_at"] < 2 * SECOND
    finally:
        await sweeper.stop()


async def test_of_several_concurrent_sweepers_one_sweeps(lease_db: LeaseDatabase) -> None:
    await lease_db.register_many(4)
    at = await lease_db.later(20)
    sweepers = [Sweeper(lease_db.leases) for _ in range(8)]
    turns = await asyncio.gather(*(each.run_once(at) for each in sweepers))
    assert set(turns) <= {SweepTurn.SWEPT, SweepTurn.SKIPPED}
    assert sum(each.last_result.stale for each in sweepers if each.last_result is not None) == 4
    assert (await lease_db.event_kinds()).count("stale") == 4


@pytest.mark.parametrize(("live", "recent"), [(0, [True, False, False]), (30_000, [True, True, False])])
async def test_many_instances_with_a_long_interval_are_swept_less_often(
    lease_db: LeaseDatabase, live: int, recent: list[bool]
) -> None:
    at = await lease_db.now()
    pace = "update mcp.lease_pace set live = $1::int, interval_seconds = $1::int / 1000.0, updated_at = $2"
    await lease_db.owner.execute(pace, live, at)
    looks = [
        await lease_db.leases.status(now=at + timedelta(seconds=each), within=timedelta(seconds=0.7))
        for each in (0.5, 1.5, 2.5)
    ]
    assert [look.is_recent for look in looks] == recent


async def test_a_full_sweep_is_followed_by_another(lease_db: LeaseDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robyn_server.registry.leases.sweeper.MAX_MARKED", 3)
    sweeper = Sweeper(lease_db.leases)
    await lease_db.register_many(3)
    await lease_db.owner.execute("update mcp.agent_leases set lease_expires_at = now() - interval '1 s'")
    assert [await sweeper.run_once() for _ in range(3)] == [SweepTurn.SWEPT, SweepTurn.SWEPT, SweepTurn.RECENT]


async def test_several_processes_sweep_about_as_often_as_one(lease_db: LeaseDatabase) -> None:
    first, second = Sweeper(lease_db.leases), Sweeper(lease_db.leases)
    assert [await first.run_once(), await second.run_once(), await first.run_once()] == [
        SweepTurn.SWEPT,
        SweepTurn.RECENT,
        SweepTurn.RECENT,
    ]
    at_once = Sweeper(lease_db.leases, every=0)
    assert await at_once.run_once() is SweepTurn.SWEPT


async def test_a_failed_sweep_is_retried(lease_db: LeaseDatabase) -> None:
    class Failing(Leases):
        failures = 0

        async def status(self, **given: object) -> object:  # type: ignore[override]
            if self.failures < 1:
                self.failures += 1
                raise OSError("no")
            return await super().status(**given)  # type: ignore[arg-type]

    failing = Failing(lease_db.system)
    sweeper = Sweeper(failing, every=0.05)
    sweeper.start()
    try:
        await until(lambda: sweeper.last_result)
    finally:
        await sweeper.stop()
    assert failing.failures == 1


class TestOutages:
    """Keepers A and B beat once a second; then the database is away. All moments are given."""

    @pytest.fixture
    async def began(self, lease_db: LeaseDatabase) -> datetime:
        return await lease_db.now()

    async def _lives(self, lease_db: LeaseDatabase, began: datetime) -> tuple[UUID, UUID]:
        """Ten instances of each keeper, the last sign of whose life was just before the outage, as was the last
        sweep."""
        a, b = uuid4(), uuid4()
        for number, keeper in enumerate((a, b)):
            for each in range(10):
                await lease_db.register(f"i{number}-{each}", keeper=keeper)
            await _touch_keeper(lease_db, keeper, began - 100 * SECOND)
            await lease_db.owner.execute(
                "update mcp.lease_keepers set last_heartbeat = $2 where id = $1", keeper, began
            )
        assert await Sweeper(lease_db.leases).run_once(began) is SweepTurn.SWEPT
        return a, b

    async def _steadily(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, keeper: UUID, began: datetime, *moments: int
    ) -> None:
        """The keeper beats, and its process sweeps."""
        for n in moments:
            await _touch_keeper(lease_db, keeper, began + n * SECOND)
            assert await sweeper.run_once(began + n * SECOND) is SweepTurn.SWEPT

    @pytest.mark.parametrize("seconds", [60, 110, 200, 4000])
    async def test_after_a_global_outage_nobody_is_evicted_whichever_process_returns_first(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime, seconds: int
    ) -> None:
        a, b = await self._lives(lease_db, began)
        back = began + seconds * SECOND
        await sweeper.run_once(back)  # before anybody beat
        assert await _lapsed(lease_db) == 0
        await _touch_keeper(lease_db, a, *(back + n * SECOND for n in range(1, 11)))
        for n in range(1, 11):  # B is slow to come back
            await sweeper.run_once(back + n * SECOND)
        assert await _lapsed(lease_db) == 0
        await _touch_keeper(lease_db, b, back + 11 * SECOND)
        assert await lease_db.count_active(back + 12 * SECOND) == 20
        await sweeper.run_once(back + 12 * SECOND)
        assert await _lapsed(lease_db) == 0

    async def test_after_a_global_outage_all_are_in_routing_before_any_keeper_is_back(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime
    ) -> None:
        await self._lives(lease_db, began)
        back = began + 200 * SECOND
        assert await sweeper.run_once(back) is SweepTurn.SWEPT
        assert await lease_db.count_active(back) == 20

    async def test_after_the_grace_instances_that_did_not_return_are_evicted(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime
    ) -> None:
        a, _ = await self._lives(lease_db, began)
        await self._steadily(lease_db, sweeper, a, began, *range(200, 230))
        assert await _lapsed(lease_db) == 0
        await self._steadily(lease_db, sweeper, a, began, *range(230, 235))
        assert await _lapsed(lease_db) == 20

    async def test_one_dead_process_among_others_is_no_global_outage(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime
    ) -> None:
        a, b = await self._lives(lease_db, began)
        await self._steadily(lease_db, sweeper, a, began, *range(0, 120, 2))
        of_b = "select count(*) from mcp.agent_leases where lapsed_at is not null and keeper_id = $1"
        assert await lease_db.owner.fetchval(of_b, b) == 0
        await self._steadily(lease_db, sweeper, a, began, 121)
        assert await lease_db.owner.fetchval(of_b, b) == 10

    async def test_a_whole_server_that_was_killed_and_started_again_gives_its_instances_the_grace(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime
    ) -> None:
        await self._lives(lease_db, began)
        fresh = uuid4()
        await self._steadily(lease_db, sweeper, fresh, began, 600, 615, 629)
        assert await _lapsed(lease_db) == 0
        await self._steadily(lease_db, sweeper, fresh, began, 631)
        assert await _lapsed(lease_db) == 20

    async def test_a_keeper_that_had_stopped_before_is_not_waited_for(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, began: datetime
    ) -> None:
        for keeper in await self._lives(lease_db, began):
            await lease_db.leases.stop_keeper(keeper)
        assert await sweeper.run_once(began + 200 * SECOND) is SweepTurn.SWEPT
        assert await _lapsed(lease_db) == 20


async def test_a_paused_sweeper_evicts_nobody_when_it_resumes(lease_db: LeaseDatabase, sweeper: Sweeper) -> None:
    """Its own process stood still for 60 s, and it sweeps before the keeper beats."""
    keeper = uuid4()
    began = await lease_db.now()
    await lease_db.register_many(10, keeper)
    await _touch_keeper(lease_db, keeper, began, began + SECOND)
    await sweeper.run_once(began + 61 * SECOND)
    assert await _lapsed(lease_db) == 0
    await _touch_keeper(lease_db, keeper, began + 62 * SECOND)
    await sweeper.run_once(began + 63 * SECOND)
    assert await _lapsed(lease_db) == 0


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clock_of_the_process_does_not_matter(
    lease_db: LeaseDatabase, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment of this process reaches the database: with a clock that is an hour off the same is written."""
    import time as clock

    real = clock.time
    monkeypatch.setattr(clock, "time", lambda: real() + 3600 * hours)
    keeper, sweeper = HeartbeatBatcher(lease_db.leases, "tests"), Sweeper(lease_db.leases, every=0)
    keeper.start()
    try:
        registered = await lease_db.register_many(10, keeper.keeper_id)
        for each in registered:
            assert (await keeper.submit(heartbeat_of(each))).outcome is Outcome.OK
        assert await sweeper.run_once() is SweepTurn.SWEPT
        left = await lease_db.owner.fetchval("select min(lease_expires_at) - clock_timestamp() from mcp.agent_leases")
        assert (await _lapsed(lease_db), timedelta(0) < left <= 15 * SECOND) == (0, True)
    finally:
        await keeper.stop()


class TestBrake:
    async def _dying(self, lease_db: LeaseDatabase, dying: int, of: int) -> None:
        registered = await lease_db.register_many(of)
        await lease_db.owner.execute(
            "update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '1 h' where registration_id = any ($1)",
            [each.registration_id for each in registered[dying:]],
        )

    async def test_a_brake_is_logged_with_its_set_when_it_engages_and_when_it_ends(
        self, lease_db: LeaseDatabase, sweeper: Sweeper
    ) -> None:
        await self._dying(lease_db, 3, 10)
        with capture_logs() as said:
            await sweeper.run_once(await lease_db.later(20))
            await sweeper.run_once(await lease_db.later(100))
        assert sweeper.last_result is not None
        assert (sweeper.last_result.braked_sets, sweeper.last_result.inactive) == (1, 0)
        (line,) = [each for each in said if each["log_level"] == "warning"]
        assert (line["agent_id"], line["stale"], line["total"], line["tenant_id"]) == ("ide", 3, 10, str(ORG_1))
        await lease_db.owner.execute(
            "update mcp.agent_leases set lapsed_at = null, health_status = 'healthy', lease_expires_at = clock_timestamp() + interval '1 h'"
        )
        with capture_logs() as said:
            await sweeper.run_once(await lease_db.later(120))
        assert [each["event"] for each in said] == ["brake released"]
        assert (await lease_db.leases.status()).brakes == 0

    async def test_a_brake_is_counted_and_logged_by_one_process_only(self, lease_db: LeaseDatabase) -> None:
        await self._dying(lease_db, 3, 10)
        before = samples(BRAKES_ENGAGED).get((), 0)
        processes = [Sweeper(lease_db.leases) for _ in range(4)]
        with capture_logs() as said:
            for seconds in (20, 21):
                first = await lease_db.later(seconds)
                moments = [
                    first + timedelta(microseconds=n) for n in range(len(processes))
                ]  # no two look at the same one
                await asyncio.gather(*(each.run_once(at) for each, at in zip(processes, moments, strict=True)))
            await self._lapse(lease_db, "i4", "i5")  # it is renewed: more of them lapse
            assert await Sweeper(lease_db.leases).run_once(await lease_db.later(22)) is SweepTurn.SWEPT
        assert samples(BRAKES_ENGAGED)[()] == before + 1
        assert [each["event"] for each in said if each["event"] != "instance lapsed"] == ["brake engaged"]
        lapsed = {(each["agent"], each["instance"]) for each in said if each["event"] == "instance lapsed"}
        assert len(lapsed) == 5, "one line for each"
        await lease_db.owner.execute("update mcp.agent_leases set lapsed_at = null, health_status = 'healthy'")
        await lease_db.owner.execute(
            "update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '1 h'"
        )
        with capture_logs() as said:
            for each in processes:
                await each.run_once(await lease_db.later(23))
        assert [each["event"] for each in said] == ["brake released"]

    async def _lapse(self, lease_db: LeaseDatabase, *instance_ids: str) -> None:
        await lease_db.owner.execute(
            "update mcp.agent_leases l set lease_expires_at = clock_timestamp() from mcp.agent_instances i"
            " where i.id = l.registration_id and i.instance_id = any ($1)",
            instance_ids,
        )

    @pytest.mark.parametrize(("dying", "of"), [(6, 6), (1, 7), (3, 20)])
    async def test_a_few_lapsed_instances_engage_no_brake(
        self, lease_db: LeaseDatabase, sweeper: Sweeper, dying: int, of: int
    ) -> None:
        await self._dying(lease_db, dying, of)
        await sweeper.run_once(await lease_db.later(20))
        assert sweeper.last_result is not None
        assert (sweeper.last_result.stale, sweeper.last_result.braked_sets) == (dying, 0)


async def test_readiness_reports_only_whether_the_registry_answers(
    lease_db: LeaseDatabase, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time as clock

    assert sweeper.report() == {"ok": False}
    await lease_db.register()
    await sweeper.run_once()
    assert sweeper.report() == {"ok": True}
    real = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: real() + 16)
    assert sweeper.report() == {"ok": False}


async def test_expired_leases_are_counted_by_reason_and_detection_time(
    lease_db: LeaseDatabase, sweeper: Sweeper
) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        return samples(LEASES_EXPIRED) | samples(LEASES_SWEPT) | {("brakes",): samples(BRAKES_ENGAGED).get((), 0)}

    began = await lease_db.now()
    living, dead = uuid4(), uuid4()
    for number, keeper in enumerate((living, dead, None)):
        await lease_db.register(f"i{number}", keeper=keeper)
    await _touch_keeper(lease_db, dead, began)
    for n in range(0, 132, 2):
        await _touch_keeper(lease_db, living, began + n * SECOND)
        if n < 14:
            assert await sweeper.run_once(began + n * SECOND) is SweepTurn.SWEPT
    await lease_db.owner.execute("update mcp.lease_pace set updated_at = $1", began + 130 * SECOND)
    before = counted()
    assert await sweeper.run_once(began + 131 * SECOND) is SweepTurn.SWEPT
    after = counted()
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {
        ("silent",): 1,
        ("keeper_gone",): 1,
        ("unkept",): 1,
        ("stale",): 3,
    }
    assert DETECTION_SECONDS.name


async def test_old_events_are_deleted_even_if_no_server_published_them(lease_db: LeaseDatabase) -> None:
    await lease_db.register_many(5)
    sweeper = Sweeper(lease_db.leases, Retention(timedelta(hours=1), 2))
    assert await sweeper.compact() == 4
    assert [
        row["position"] for row in await lease_db.owner.fetch("select position from mcp.agent_events order by 1")
    ] == [4, 5]


COMMAND = [sys.executable, "-m", "robyn_server", "sweep"]


async def test_the_command_sweeps_once_and_prints_the_result(lease_db: LeaseDatabase) -> None:
    await lease_db.register()
    await lease_db.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() - interval '1 s'")
    ran = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "--once"],
        env={"DATABASE_URL": lease_db.url},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (ran.returncode, ran.stdout) == (0, "stale 1, inactive 0, deleted 0; live 0, brakes 0\n"), ran.stderr


async def test_the_command_sweeps_until_it_gets_a_signal(lease_db: LeaseDatabase) -> None:
    await lease_db.register()
    await lease_db.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() - interval '1 s'")
    child = subprocess.Popen(COMMAND, env={"DATABASE_URL": lease_db.url}, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: _lapsed(lease_db))
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, DEADLINE) == 0
    finally:
        child.kill()
        child.wait()
