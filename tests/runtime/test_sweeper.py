"""Lapsed instances are written down once, by whoever comes first, and never because the fault was ours."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from leased import T1, Leased, beat_of
from live_server import until
from structlog.testing import capture_logs

from robyn_server.core.registry import Outcome
from robyn_server.metrics.definitions import BRAKES_ENGAGED, DETECTION_SECONDS, LEASES_EXPIRED, LEASES_SWEPT
from robyn_server.metrics.exposition import samples
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.runtime.sweeper import Retention, Sweeper, Turn
from robyn_server.storage.leases import Leases

SECOND = timedelta(seconds=1)


@pytest.fixture
def sweeper(leased: Leased) -> Sweeper:
    return Sweeper(leased.leases)


async def _beat_keeper(leased: Leased, keeper: UUID, *moments: datetime) -> None:
    for moment in moments:
        await leased.leases.beat_keeper(keeper, "tests", now=moment)


async def _lapsed(leased: Leased) -> int:
    return int(await leased.owner.fetchval("select count(*) from mcp.agent_leases where lapsed_at is not null"))


async def test_what_lapsed_is_noted_ended_and_deleted_each_once(leased: Leased, sweeper: Sweeper) -> None:
    await leased.fill(3)
    steps = []
    for seconds in (0, 20, 21, 85, 86_500):
        assert await sweeper.run_once(await leased.later(seconds)) is Turn.SWEPT
        assert sweeper.last is not None
        steps.append((sweeper.last.stale, sweeper.last.inactive, sweeper.last.deleted))
    assert steps == [(0, 0, 0), (3, 0, 0), (0, 0, 0), (0, 3, 0), (0, 0, 3)]


async def test_a_running_sweeper_notes_what_lapses_within_two_seconds(leased: Leased) -> None:
    sweeper = Sweeper(leased.leases)
    registered = await leased.register()
    await leased.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '500 ms'")
    sweeper.start()
    try:
        await until(lambda: _lapsed(leased))
        lease = await leased.lease(registered)
        assert lease["lapsed_at"] - lease["lease_expires_at"] < 2 * SECOND
    finally:
        await sweeper.stop()


async def test_of_two_sweepers_at_once_one_sweeps(leased: Leased) -> None:
    await leased.fill(4)
    at = await leased.later(20)
    sweepers = [Sweeper(leased.leases) for _ in range(8)]
    turns = await asyncio.gather(*(each.run_once(at) for each in sweepers))
    assert set(turns) <= {Turn.SWEPT, Turn.SKIPPED}
    assert sum(each.last.stale for each in sweepers if each.last is not None) == 4
    assert (await leased.kinds()).count("stale") == 4


@pytest.mark.parametrize(("live", "recent"), [(0, [True, False, False]), (30_000, [True, True, False])])
async def test_a_crowd_that_beats_slowly_is_swept_less_often(leased: Leased, live: int, recent: list[bool]) -> None:
    at = await leased.now()
    pace = "update mcp.lease_pace set live = $1::int, interval_seconds = $1::int / 1000.0, updated_at = $2"
    await leased.owner.execute(pace, live, at)
    looks = [
        await leased.leases.look(now=at + timedelta(seconds=each), within=timedelta(seconds=0.7))
        for each in (0.5, 1.5, 2.5)
    ]
    assert [look.is_recent for look in looks] == recent


async def test_a_sweep_that_could_not_mark_all_is_followed_by_another(
    leased: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robyn_server.runtime.sweeper.MARKED_AT_ONCE", 3)
    sweeper = Sweeper(leased.leases)
    await leased.fill(3)
    await leased.owner.execute("update mcp.agent_leases set lease_expires_at = now() - interval '1 s'")
    assert [await sweeper.run_once() for _ in range(3)] == [Turn.SWEPT, Turn.SWEPT, Turn.RECENT]


async def test_processes_together_sweep_about_as_often_as_one_would(leased: Leased) -> None:
    first, second = Sweeper(leased.leases), Sweeper(leased.leases)
    assert [await first.run_once(), await second.run_once(), await first.run_once()] == [
        Turn.SWEPT,
        Turn.RECENT,
        Turn.RECENT,
    ]
    at_once = Sweeper(leased.leases, every=0)
    assert await at_once.run_once() is Turn.SWEPT


async def test_a_sweep_that_fails_is_tried_again(leased: Leased) -> None:
    class Failing(Leases):
        failures = 0

        async def look(self, **given: object) -> object:  # type: ignore[override]
            if self.failures < 1:
                self.failures += 1
                raise OSError("no")
            return await super().look(**given)  # type: ignore[arg-type]

    sweeper = Sweeper(Failing(leased.system), every=0.05)
    sweeper.start()
    try:
        await until(lambda: sweeper.last)
    finally:
        await sweeper.stop()


class TestOutages:
    """Keepers A and B beat once a second; then the database is away. All moments are given."""

    @pytest.fixture
    async def began(self, leased: Leased) -> datetime:
        return await leased.now()

    async def _lives(self, leased: Leased, began: datetime) -> tuple[UUID, UUID]:
        """Ten instances of each keeper, the last sign of whose life was just before the outage, as was the last sweep."""
        a, b = uuid4(), uuid4()
        for number, keeper in enumerate((a, b)):
            for each in range(10):
                await leased.register(f"i{number}-{each}", keeper=keeper)
            await _beat_keeper(leased, keeper, began - 100 * SECOND)
            await leased.owner.execute("update mcp.lease_keepers set last_beat = $2 where id = $1", keeper, began)
        assert await Sweeper(leased.leases).run_once(began) is Turn.SWEPT
        return a, b

    async def _steadily(self, leased: Leased, sweeper: Sweeper, keeper: UUID, began: datetime, *moments: int) -> None:
        """The keeper beats, and its process sweeps."""
        for n in moments:
            await _beat_keeper(leased, keeper, began + n * SECOND)
            assert await sweeper.run_once(began + n * SECOND) is Turn.SWEPT

    @pytest.mark.parametrize("seconds", [60, 110, 200, 4000])
    async def test_nobody_is_evicted_whichever_process_comes_back_first(
        self, leased: Leased, sweeper: Sweeper, began: datetime, seconds: int
    ) -> None:
        a, b = await self._lives(leased, began)
        back = began + seconds * SECOND
        await sweeper.run_once(back)  # before anybody beat
        assert await _lapsed(leased) == 0
        await _beat_keeper(leased, a, *(back + n * SECOND for n in range(1, 11)))
        for n in range(1, 11):  # B is slow to come back
            await sweeper.run_once(back + n * SECOND)
        assert await _lapsed(leased) == 0
        await _beat_keeper(leased, b, back + 11 * SECOND)
        assert await leased.living(back + 12 * SECOND) == 20
        await sweeper.run_once(back + 12 * SECOND)
        assert await _lapsed(leased) == 0

    async def test_right_after_it_all_are_in_routing_before_any_keeper_is_back(
        self, leased: Leased, sweeper: Sweeper, began: datetime
    ) -> None:
        await self._lives(leased, began)
        back = began + 200 * SECOND
        assert await sweeper.run_once(back) is Turn.SWEPT
        assert await leased.living(back) == 20

    async def test_after_the_grace_those_that_did_not_come_back_are_gone(
        self, leased: Leased, sweeper: Sweeper, began: datetime
    ) -> None:
        a, _ = await self._lives(leased, began)
        await self._steadily(leased, sweeper, a, began, *range(200, 230))
        assert await _lapsed(leased) == 0
        await self._steadily(leased, sweeper, a, began, *range(230, 235))
        assert await _lapsed(leased) == 20

    async def test_one_process_that_died_among_others_is_no_reason_to_wait(
        self, leased: Leased, sweeper: Sweeper, began: datetime
    ) -> None:
        a, b = await self._lives(leased, began)
        await self._steadily(leased, sweeper, a, began, *range(0, 120, 2))
        of_b = "select count(*) from mcp.agent_leases where lapsed_at is not null and keeper_id = $1"
        assert await leased.owner.fetchval(of_b, b) == 0
        await self._steadily(leased, sweeper, a, began, 121)
        assert await leased.owner.fetchval(of_b, b) == 10

    async def test_a_whole_server_that_was_killed_and_started_again_gives_its_instances_the_grace(
        self, leased: Leased, sweeper: Sweeper, began: datetime
    ) -> None:
        await self._lives(leased, began)
        fresh = uuid4()
        await self._steadily(leased, sweeper, fresh, began, 600, 615, 629)
        assert await _lapsed(leased) == 0
        await self._steadily(leased, sweeper, fresh, began, 631)
        assert await _lapsed(leased) == 20

    async def test_who_had_stopped_before_is_not_waited_for(
        self, leased: Leased, sweeper: Sweeper, began: datetime
    ) -> None:
        for keeper in await self._lives(leased, began):
            await leased.leases.stop_keeper(keeper)
        assert await sweeper.run_once(began + 200 * SECOND) is Turn.SWEPT
        assert await _lapsed(leased) == 20


async def test_a_paused_sweeper_evicts_nobody_when_it_goes_on(leased: Leased, sweeper: Sweeper) -> None:
    """Its own process stood still for 60 s, and it sweeps before the keeper beats."""
    keeper = uuid4()
    began = await leased.now()
    await leased.fill(10, keeper)
    await _beat_keeper(leased, keeper, began, began + SECOND)
    await sweeper.run_once(began + 61 * SECOND)
    assert await _lapsed(leased) == 0
    await _beat_keeper(leased, keeper, began + 62 * SECOND)
    await sweeper.run_once(began + 63 * SECOND)
    assert await _lapsed(leased) == 0


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clock_of_the_process_does_not_matter(
    leased: Leased, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment of this process reaches the database: with a clock that is an hour off the same is written."""
    import time as clock

    real = clock.time
    monkeypatch.setattr(clock, "time", lambda: real() + 3600 * hours)
    keeper, sweeper = LeaseKeeper(leased.leases, "tests"), Sweeper(leased.leases, every=0)
    keeper.start()
    try:
        registered = await leased.fill(10, keeper.id)
        for each in registered:
            assert (await keeper.beat(beat_of(each))).outcome is Outcome.OK
        assert await sweeper.run_once() is Turn.SWEPT
        left = await leased.owner.fetchval("select min(lease_expires_at) - clock_timestamp() from mcp.agent_leases")
        assert (await _lapsed(leased), timedelta(0) < left <= 15 * SECOND) == (0, True)
    finally:
        await keeper.stop()


class TestBrake:
    async def _dying(self, leased: Leased, dying: int, of: int) -> None:
        registered = await leased.fill(of)
        await leased.owner.execute(
            "update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '1 h' where registration_id = any ($1)",
            [each.registration_id for each in registered[dying:]],
        )

    async def test_it_engages_is_said_with_its_set_and_clears(self, leased: Leased, sweeper: Sweeper) -> None:
        await self._dying(leased, 3, 10)
        with capture_logs() as said:
            await sweeper.run_once(await leased.later(20))
            await sweeper.run_once(await leased.later(100))
        assert sweeper.last is not None
        assert (sweeper.last.braked_sets, sweeper.last.inactive) == (1, 0)
        (line,) = [each for each in said if each["log_level"] == "warning"]
        assert (line["agent_id"], line["stale"], line["total"], line["tenant_id"]) == ("ide", 3, 10, str(T1))
        await leased.owner.execute(
            "update mcp.agent_leases set lapsed_at = null, health_status = 'healthy', lease_expires_at = clock_timestamp() + interval '1 h'"
        )
        with capture_logs() as said:
            await sweeper.run_once(await leased.later(120))
        assert [each["event"] for each in said] == ["brake released"]
        assert (await leased.leases.look()).brakes == 0

    async def test_it_is_counted_and_said_once_over_all_processes_also_one_that_starts_anew(
        self, leased: Leased
    ) -> None:
        await self._dying(leased, 3, 10)
        before = samples(BRAKES_ENGAGED).get((), 0)
        processes = [Sweeper(leased.leases) for _ in range(4)]
        with capture_logs() as said:
            for seconds in (20, 21):
                first = await leased.later(seconds)
                moments = [
                    first + timedelta(microseconds=n) for n in range(len(processes))
                ]  # no two look at the same one
                await asyncio.gather(*(each.run_once(at) for each, at in zip(processes, moments, strict=True)))
            await self._lapse(leased, "i4", "i5")  # it is renewed: more of them lapse
            assert await Sweeper(leased.leases).run_once(await leased.later(22)) is Turn.SWEPT
        assert samples(BRAKES_ENGAGED)[()] == before + 1
        assert [each["event"][:6] for each in said] == ["brake:"]
        await leased.owner.execute("update mcp.agent_leases set lapsed_at = null, health_status = 'healthy'")
        await leased.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() + interval '1 h'")
        with capture_logs() as said:
            for each in processes:
                await each.run_once(await leased.later(23))
        assert [each["event"] for each in said] == ["brake released"]

    async def _lapse(self, leased: Leased, *instance_ids: str) -> None:
        await leased.owner.execute(
            "update mcp.agent_leases l set lease_expires_at = clock_timestamp() from mcp.agent_instances i"
            " where i.id = l.registration_id and i.instance_id = any ($1)",
            instance_ids,
        )

    @pytest.mark.parametrize(("dying", "of"), [(6, 6), (1, 7), (3, 20)])
    async def test_a_few_that_die_do_not_engage_it(self, leased: Leased, sweeper: Sweeper, dying: int, of: int) -> None:
        await self._dying(leased, dying, of)
        await sweeper.run_once(await leased.later(20))
        assert sweeper.last is not None
        assert (sweeper.last.stale, sweeper.last.braked_sets) == (dying, 0)


async def test_readiness_says_whether_the_registry_answers_and_nothing_of_what_is_in_it(
    leased: Leased, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time as clock

    assert sweeper.report() == {"ok": False}
    await leased.register()
    await sweeper.run_once()
    assert sweeper.report() == {"ok": True}
    real = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: real() + 16)
    assert sweeper.report() == {"ok": False}


async def test_expired_leases_are_counted_by_reason_and_their_detection_timed(leased: Leased, sweeper: Sweeper) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        return samples(LEASES_EXPIRED) | samples(LEASES_SWEPT) | {("brakes",): samples(BRAKES_ENGAGED).get((), 0)}

    began = await leased.now()
    living, dead = uuid4(), uuid4()
    for number, keeper in enumerate((living, dead, None)):
        await leased.register(f"i{number}", keeper=keeper)
    await _beat_keeper(leased, dead, began)
    for n in range(0, 132, 2):
        await _beat_keeper(leased, living, began + n * SECOND)
        if n < 14:
            assert await sweeper.run_once(began + n * SECOND) is Turn.SWEPT
    await leased.owner.execute("update mcp.lease_pace set updated_at = $1", began + 130 * SECOND)
    before = counted()
    assert await sweeper.run_once(began + 131 * SECOND) is Turn.SWEPT
    after = counted()
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {
        ("silent",): 1,
        ("keeper_gone",): 1,
        ("unkept",): 1,
        ("stale",): 3,
    }
    assert DETECTION_SECONDS.name


async def test_old_events_are_forgotten_those_of_a_server_that_does_not_run_as_well(leased: Leased) -> None:
    await leased.fill(5)
    sweeper = Sweeper(leased.leases, Retention(timedelta(hours=1), 2))
    assert await sweeper.compact() == 4
    assert [
        row["position"] for row in await leased.owner.fetch("select position from mcp.agent_events order by 1")
    ] == [4, 5]


COMMAND = [sys.executable, "-m", "robyn_server", "sweep"]


async def test_the_command_sweeps_once_and_says_what_it_did(leased: Leased) -> None:
    await leased.register()
    await leased.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() - interval '1 s'")
    ran = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "--once"],
        env={"DATABASE_URL": leased.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (0, "stale 1, inactive 0, deleted 0; live 0, brakes 0\n"), ran.stderr


async def test_the_command_sweeps_until_it_is_told_to_stop(leased: Leased) -> None:
    await leased.register()
    await leased.owner.execute("update mcp.agent_leases set lease_expires_at = clock_timestamp() - interval '1 s'")
    child = subprocess.Popen(COMMAND, env={"DATABASE_URL": leased.url}, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: _lapsed(leased))
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 20) == 0
    finally:
        child.kill()
        child.wait()
