"""Leases, keepers and heartbeats in SQL. Every call gets its time as a parameter, so nothing waits."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for
from servers.live_server import until

KEEPER = UUID(int=77)
DEAD, LIVE = ("inactive", "stale"), ("active", "healthy")


async def test_without_heartbeats_an_instance_leaves_routing_in_17_seconds_even_unswept(
    registry: RegistryDatabase,
) -> None:
    row = await registry.register()
    assert await registry.get_statuses(row, await registry.later(14)) == LIVE
    assert await registry.get_statuses(row, await registry.later(17)) == DEAD


async def test_a_heartbeat_extends_the_lease_and_stores_its_values(registry: RegistryDatabase) -> None:
    row = await registry.register()
    at = await registry.later(10)
    assert (
        await registry.heartbeat(row, health="degraded", load='{"workload": 3}', metrics='{"cpu": 0.5}', now=at) == "ok"
    )
    assert await registry.heartbeat(row, now=at) == "ok"
    assert await registry.get_statuses(row, await registry.later(24)) == ("active", "degraded")
    found = await registry.row("select workload, load, metrics, last_health_check from mcp.agent_registrations")
    assert tuple(found) == (3, '{"workload": 3}', '{"cpu": 0.5}', at)


@pytest.mark.parametrize(
    ("field", "value"),
    [("health", "stale"), ("load", '{"workload": -1}'), ("load", '{"workload": 1.5}'), ("load", '{"workload": "3"}'), ("load", "[]"),
     ("metrics", '{"x": "' + "y" * 9000 + '"}')],
)  # fmt: skip
async def test_a_bad_heartbeat_is_refused(registry: RegistryDatabase, field: str, value: str) -> None:
    row = await registry.register()
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f"^{field} "):
        await registry.heartbeat(row, **dict[str, Any]({field: value}))
    batch = f"select outcome from mcp.heartbeat_agent_instances($1, $2, {'healths' if field == 'health' else field.rstrip('s') + 's'} => $3)"
    assert await registry.system.fetchval(batch, [row["registration_id"]], [1], [value]) == "invalid"


@pytest.mark.parametrize("field", ["load", "metrics"])
@pytest.mark.parametrize("fill", ["1, " * 2000 + "1", '"' + "y" * 8000 + '"'])
async def test_load_and_metrics_are_measured_as_text(registry: RegistryDatabase, field: str, fill: str) -> None:
    """Not as they lie in memory or in the table: there numbers are longer, and words are compressed."""
    row, array = await registry.register(), field.rstrip("s") + "s"
    fits = f'{{"x": [{fill}], "z": ""}}'.replace('""}', '"' + "z" * (8192 - len(f'{{"x": [{fill}], "z": ""}}')) + '"}')
    for value, outcome in ((fits, "ok"), (fits.replace('z"}', 'zz"}'), "invalid")):
        batch = f"select outcome from mcp.heartbeat_agent_instances($1, $2, {array} => $3)"
        assert await registry.system.fetchval(batch, [row["registration_id"]], [1], [value]) == outcome
    assert await registry.heartbeat(row, **dict[str, Any]({field: fits})) == "ok"
    stored = f"select mcp.is_{field}({field} || '{{\"w\": 1}}') from mcp.agent_leases where registration_id = $1"
    assert await registry.owner.fetchval(stored, row["registration_id"]) is False
    assert await registry.heartbeat(row) == "ok"


async def test_late_messages_of_an_older_epoch_change_nothing(registry: RegistryDatabase) -> None:
    old, new = await registry.register(), await registry.register()
    before = await registry.row("select * from mcp.agent_leases")
    assert await registry.heartbeat(old, health="unhealthy") == "superseded"
    for verb, last in (("drain", "x"), ("deregister", "x"), ("disconnect", 0.0)):
        assert await registry.end(verb, old, last) == "superseded"
    assert await registry.row("select * from mcp.agent_leases") == before
    assert await registry.get_statuses(new) == LIVE


async def test_a_stale_instance_is_revived_by_a_heartbeat_and_an_inactive_one_must_register(
    registry: RegistryDatabase,
) -> None:
    row = await registry.register()
    await registry.sweep(await registry.later(20))
    assert await registry.get_statuses(row) == DEAD
    assert await registry.heartbeat(row) == "ok"
    assert await registry.get_statuses(row) == LIVE
    await registry.sweep(await registry.later(20))
    await registry.sweep(await registry.later(90))
    assert await registry.heartbeat(row) == "must_register"
    assert await registry.heartbeat({"registration_id": uuid4(), "epoch": 1}) == "must_register"  # type: ignore[arg-type]
    assert (await registry.register())["epoch"] == 2


async def test_a_batch_answers_heartbeats_in_their_order(registry: RegistryDatabase) -> None:
    one, two = await registry.register(instance_id="one"), await registry.register(instance_id="two", tenant=ORG_2)
    ended = await registry.register(instance_id="ended")
    await registry.end("deregister", ended)
    late, _ = await registry.register(instance_id="late"), await registry.register(instance_id="late")
    rows = [two, late, ended, one, one]
    healths = ["degraded", "healthy", "healthy", "unhealthy", "healthy"]
    answers = await registry.system.fetch(
        "select * from mcp.heartbeat_agent_instances($1, $2, $3, $4)",
        [row["registration_id"] for row in rows],
        [row["epoch"] for row in rows],
        healths,
        ['{"workload": 1}', None, None, '{"workload": 7}', None],
    )
    assert [answer["outcome"] for answer in answers] == ["ok", "superseded", "must_register", "ok", "ok"]
    assert [answer["registration_id"] for answer in answers] == [row["registration_id"] for row in rows]
    assert (await registry.get_statuses(one), await registry.get_statuses(two)) == (LIVE, ("active", "degraded"))


async def test_flushers_in_every_order_and_registrations_never_deadlock(registry: RegistryDatabase) -> None:
    rows = await asyncio.gather(*(registry.register(instance_id=f"i{n}") for n in range(60)))
    ids, epochs = [row["registration_id"] for row in rows], [1] * 60

    async def flush(turn: int) -> None:
        await registry.system.execute(
            "select from mcp.heartbeat_agent_instances($1, $2, $3)", ids[:: (-1) ** turn], epochs, ["degraded"] * 60
        )

    again = (registry.register(instance_id=f"i{n}") for n in range(60))
    await asyncio.gather(*(flush(n) for n in range(8)), *again, *(registry.sweep() for _ in range(4)))
    assert await registry.owner.fetchval("select count(*) from mcp.agent_liveness where alive") == 60


async def test_heartbeats_are_heap_only_updates(registry: RegistryDatabase) -> None:
    rows = await asyncio.gather(*(registry.register(instance_id=f"i{n}") for n in range(30)))
    arguments = [row["registration_id"] for row in rows], [1] * 30
    stats = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relid = 'mcp.agent_leases'::regclass"
    shares = []
    for _ in range(3):  # an analysis by autovacuum keeps dead rows while it lasts
        before = await _settled(registry, stats)
        for _ in range(6):
            await registry.system.execute("select from mcp.heartbeat_agent_instances($1, $2)", *arguments)
        after = await _settled(registry, stats, least=before[0] + 180)
        assert after[0] - before[0] == 180
        shares.append(after[1] - before[1])
    assert max(shares) >= 120, "a lease may pass into the next five minutes once, and its page be full then"


async def _settled(registry: RegistryDatabase, stats: str, least: int = 0) -> tuple[int, int]:
    """The statistics of all connections, after each has flushed its own."""

    async def counted() -> tuple[int, int] | None:
        for pool in (registry.app, registry.system):
            for connection in await asyncio.gather(*(pool.acquire() for _ in range(pool.get_idle_size()))):
                await connection.execute("select pg_stat_force_next_flush()")
                await pool.release(connection)
        row = await registry.row(stats)
        return (row[0], row[1]) if row[0] >= least else None

    found: tuple[int, int] = await until(counted)
    return found


TABLE = [
    # last check, expiry, keeper's last beat, outage began/ended, stopped; asked at → alive. Seconds; None: no such
    # moment.
    ("its lease lives", 0, 15, None, None, None, None, 14, True),
    ("its lease has lapsed and it has no keeper", 0, 15, None, None, None, None, 16, False),
    ("its keeper beats and it does not", 0, 15, 19, None, None, None, 20, False),
    ("its keeper is silent since it lived", 9, 24, 10, None, None, None, 60, True),
    ("its keeper is silent for too long", 9, 24, 10, None, None, None, 131, False),
    ("its keeper is silent, but it had lapsed before", 0, 15, 16, None, None, None, 60, False),
    ("its keeper is silent for a moment only", 0, 15, 14, None, None, None, 16, False),
    ("its keeper is silent, but it was heard later, elsewhere", 21, 36, 10, None, None, None, 60, False),
    (
        "its keeper took heartbeats again, and stood still before it wrote its own row",
        15,
        30,
        10,
        None,
        None,
        None,
        60,
        True,
    ),
    ("its keeper stopped politely", 9, 24, 10, None, None, 11, 60, False),
    ("its keeper is back since less than the grace", 9, 24, 75, 10, 70, None, 75, True),
    ("its keeper is back since more than the grace", 9, 24, 100, 10, 70, None, 101, False),
    ("its keeper is back, and it had lapsed before the outage", 0, 9, 75, 10, 70, None, 75, False),
    ("its keeper is back, and it was heard, and died then", 71, 86, 90, 10, 70, None, 90, False),
    ("its keeper was back and is silent again, within the grace", 9, 24, 99, 10, 70, None, 150, True),
    ("its keeper was back and is silent again, for too long", 9, 24, 99, 10, 70, None, 220, False),
    ("its keeper was back and is silent again, but it was heard in between", 71, 86, 90, 10, 70, None, 93.5, False),
    ("its keeper was back for longer than the grace, and is silent again", 9, 24, 101, 10, 70, None, 105, False),
    ("its keeper was back and stopped politely", 9, 24, 90, 10, 70, 90, 101, False),
]


@pytest.mark.parametrize("case", TABLE, ids=[case[0] for case in TABLE])
async def test_whether_a_lease_is_alive(registry: RegistryDatabase, case: tuple[object, ...]) -> None:
    _, check, expiry, beat, began, ended, stopped, at, alive = case
    row = await registry.register(keeper_id=KEEPER)
    zero = await registry.now()

    def moment(seconds: object) -> object:
        return None if seconds is None else zero + timedelta(seconds=float(str(seconds)))

    await registry.owner.execute(
        "update mcp.agent_leases set last_health_check = $1, lease_expires_at = $2", moment(check), moment(expiry)
    )
    if beat is not None:
        await registry.owner.execute(
            "insert into mcp.lease_keepers (id, kind, started_at, last_heartbeat, outage_began, outage_ended, stopped_at) values ($1, 'test', $2, $3, $4, $5, $6)",
            KEEPER, zero, moment(beat), moment(began), moment(ended), moment(stopped),
        )  # fmt: skip
    when = moment(at)
    assert await registry.get_statuses(row, when) == (LIVE if alive else DEAD)  # type: ignore[arg-type]
    assert (await registry.sweep(when))["stale"] == (0 if alive else 1)  # type: ignore[arg-type]
    floor = "select lease_bin >= mcp.oldest_live_bin($1) from mcp.agent_leases"
    assert not alive or await registry.owner.fetchval(floor, when), "what is read by bins misses nobody"


async def test_a_keeper_records_its_outage_when_it_is_back(registry: RegistryDatabase) -> None:
    beat = "select (mcp.heartbeat_lease_keeper($1, 'sockets', $2)).*"
    zero = await registry.now()
    moments = [zero + timedelta(seconds=each) for each in (0, 1, 3.5, 60, 61)]
    rows = [await registry.row(beat, KEEPER, moment) for moment in moments]
    assert [row["outage_began"] for row in rows] == [None, None, None, moments[2], moments[2]]
    assert [row["outage_ended"] for row in rows] == [None, None, None, moments[3], moments[3]]
    assert await registry.system.fetchval("select mcp.stop_lease_keeper($1)", KEEPER)
    assert not await registry.system.fetchval("select mcp.stop_lease_keeper($1)", uuid4())
    await registry.sweep(zero + timedelta(minutes=10))
    assert await registry.owner.fetchval("select count(*) from mcp.lease_keepers") == 0


async def _beaten(registry: RegistryDatabase, *moments: datetime) -> tuple[datetime | None, datetime | None]:
    """The keeper's outage after its beats."""
    rows = [
        await registry.row("select (mcp.heartbeat_lease_keeper($1, 'sockets', $2)).*", KEEPER, each) for each in moments
    ]
    return rows[-1]["outage_began"], rows[-1]["outage_ended"]


async def test_an_outage_within_the_grace_of_another_continues_it(registry: RegistryDatabase) -> None:
    zero = await registry.now()
    seconds = [zero + timedelta(seconds=each) for each in range(200)]
    assert await _beaten(registry, seconds[0]) == (None, None)
    rows = [await registry.register(instance_id=f"i{n}", keeper_id=KEEPER, now=zero) for n in range(20)]
    assert await _beaten(registry, seconds[60], seconds[61]) == (seconds[0], seconds[60])
    heard = await registry.register(instance_id="heard", keeper_id=KEEPER, now=seconds[62])
    await _beaten(registry, *seconds[63:80:2])
    assert (await registry.sweep(seconds[79]))["stale"] == 1, "it died between both, and nobody else did"
    assert await _beaten(registry, seconds[100]) == (seconds[0], seconds[100])
    assert (await registry.sweep(seconds[101]))["live"] == 20
    await _beaten(registry, *seconds[102:132:2])
    assert (await registry.sweep(seconds[129]))["live"] == 20
    assert await registry.get_statuses(rows[0], seconds[131]) == DEAD
    assert await registry.get_statuses(heard, seconds[101]) == DEAD


async def test_a_flapping_keeper_does_not_protect_leases_forever(registry: RegistryDatabase) -> None:
    zero = await registry.now()
    await _beaten(registry, zero)
    row = await registry.register(keeper_id=KEEPER, now=zero)
    for seconds in range(5, 400, 5):
        await _beaten(registry, zero + timedelta(seconds=seconds))
    assert await registry.get_statuses(row, zero + timedelta(seconds=396)) == DEAD


async def test_nobody_is_evicted_when_the_first_sweep_after_a_long_outage_is_before_the_keepers(
    registry: RegistryDatabase,
) -> None:
    zero = await registry.now()
    await _beaten(registry, zero)
    rows = [await registry.register(instance_id=f"i{n}", keeper_id=KEEPER, now=zero) for n in range(20)]
    await registry.sweep(zero + timedelta(seconds=1))
    back = zero + timedelta(hours=1)
    swept = await registry.sweep(back)
    assert (swept["stale"], swept["live"], swept["braked_sets"]) == (0, 20, 0)
    assert await _beaten(registry, back + timedelta(seconds=1)) == (zero, back + timedelta(seconds=1))
    await _beaten(registry, *(back + timedelta(seconds=seconds) for seconds in range(3, 33, 2)))
    assert await registry.get_statuses(rows[0], back + timedelta(seconds=30)) == LIVE
    assert await registry.get_statuses(rows[0], back + timedelta(seconds=32)) == DEAD


@pytest.mark.parametrize("last_sweep", [200, 3600 - 5])
async def test_instances_of_a_keeper_that_died_alone_are_swept(registry: RegistryDatabase, last_sweep: int) -> None:
    """The database was there: a sweep saw the keeper silent, be it the sweep of five seconds ago or one long ago."""
    zero = await registry.now()
    await _beaten(registry, zero)
    row = await registry.register(keeper_id=KEEPER, now=zero)
    await registry.owner.execute("update mcp.lease_pace set updated_at = $1", zero + timedelta(seconds=last_sweep))
    assert (await registry.sweep(zero + timedelta(hours=1)))["stale"] == 1
    assert await registry.get_statuses(row) == DEAD


async def test_instances_whose_keeper_does_not_return_are_evicted_after_the_grace(registry: RegistryDatabase) -> None:
    zero = await registry.now()
    await _beaten(registry, zero)
    await registry.register(keeper_id=KEEPER, now=zero)
    await registry.sweep(zero)
    steps = [(await registry.sweep(zero + timedelta(hours=1, seconds=seconds)))["stale"] for seconds in (0, 10, 29, 31)]
    assert steps == [0, 0, 0, 1]


async def test_nobody_is_evicted_in_a_minutes_outage(registry: RegistryDatabase) -> None:
    zero = await registry.now()
    beat = "select mcp.heartbeat_lease_keeper($1, 'sockets', $2)"
    await registry.system.execute(beat, KEEPER, zero)
    rows = [await registry.register(instance_id=f"i{n}", keeper_id=KEEPER, now=zero) for n in range(20)]
    back = zero + timedelta(seconds=60)
    assert (await registry.sweep(back))["stale"] == 0, "before the keeper is back"
    await registry.system.execute(beat, KEEPER, back)
    for seconds in range(2, 32, 2):
        await registry.system.execute(beat, KEEPER, back + timedelta(seconds=seconds))
        swept = await registry.sweep(back + timedelta(seconds=min(seconds, 29)))
        assert (swept["stale"], swept["live"]) == (0, 20)
    assert await registry.get_statuses(rows[0], back + timedelta(seconds=31)) == DEAD


async def test_a_dropped_connection_shortens_the_lease_to_the_grace(registry: RegistryDatabase) -> None:
    row = await registry.register(keeper_id=KEEPER)
    assert await registry.end("disconnect", row, 5.0) == "ok"
    assert await registry.get_statuses(row, await registry.later(4)) == LIVE
    assert await registry.get_statuses(row, await registry.later(6)) == DEAD
    assert await registry.heartbeat(row) == "ok"
    assert await registry.get_statuses(row, await registry.later(6)) == LIVE


async def test_a_clean_end_is_the_same_twice_and_stays_as_history(registry: RegistryDatabase) -> None:
    row = await registry.register()
    assert [await registry.end("deregister", row, "done") for _ in range(2)] == ["ok", "ok"]
    assert await registry.get_statuses(row) == DEAD
    found = await registry.row("select status_reason, last_health_check is not null from mcp.agent_registrations")
    assert tuple(found) == ("done", True)
    for verb, last in (("drain", "x"), ("disconnect", 1.0)):
        assert await registry.end(verb, row, last) == "unknown"
    assert await registry.event_kinds() == ["registered", "deregistered"]


async def test_a_draining_instance_stays_alive_until_it_registers_again(registry: RegistryDatabase) -> None:
    row = await registry.register()
    assert [await registry.end("drain", row) for _ in range(2)] == ["ok", "ok"]
    assert await registry.heartbeat(row) == "ok"
    assert await registry.get_statuses(row) == ("draining", "healthy")
    assert await registry.get_statuses(await registry.register()) == LIVE


async def test_an_operator_needs_no_epoch_and_nobody_ends_what_is_not_there(registry: RegistryDatabase) -> None:
    row = await registry.register()
    assert await registry.end("deregister", row, epoch=9) == "unknown"
    unknown = "select outcome from mcp.deregister_agent_instance($1, $2, null)"
    assert await registry.app.fetchval(unknown, ORG_1, uuid4()) == "unknown"
    assert await registry.app.fetchval(unknown, ORG_1, row["registration_id"]) == "ok"


async def test_an_update_changes_an_instance_without_a_new_epoch(registry: RegistryDatabase) -> None:
    row = await registry.register(capabilities=["a"], zone="eu")
    change = "select outcome from mcp.update_agent_instance($1, $2, 1, capabilities => array['b'], version => '2.0.0')"
    assert await registry.app.fetchval(change, ORG_1, row["registration_id"]) == "ok"
    found = await registry.row("select capabilities, version, zone, epoch from mcp.agent_registrations")
    assert tuple(found) == (["b"], "2.0.0", "eu", 1)
    terms = "select array_agg(term order by term) from mcp.agent_search_terms"
    assert await registry.owner.fetchval(terms) == ["agent:ide-agent", "capability:b", "zone:eu"]


async def test_the_heartbeat_interval_grows_with_the_number_of_instances(registry: RegistryDatabase) -> None:
    await registry.owner.execute("update mcp.lease_pace set interval_seconds = 20, ttl_seconds = 60")
    row = await registry.register()
    assert 18 <= row["heartbeat_interval_seconds"] <= 22
    assert row["lease_ttl_seconds"] == 60
    await registry.sweep()
    assert (await registry.register())["lease_ttl_seconds"] == 15


@pytest.mark.parametrize(("ttl", "interval"), [("1s", "5s"), ("-5s", "-1s"), ("0s", "0s"), ("3s", "1h")])
async def test_a_lease_lasts_for_three_heartbeats(registry: RegistryDatabase, ttl: str, interval: str) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute(f"set local mcp.lease_ttl = '{ttl}'; set local mcp.heartbeat_interval = '{interval}'")
        pace = await connection.fetchrow("select * from mcp.current_pace()")
    assert pace is not None
    assert pace["ttl_seconds"] >= 1
    assert 0 < pace["interval_seconds"] <= pace["ttl_seconds"] / 3


async def test_settings_are_read_where_the_call_runs(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("set local mcp.lease_ttl = '3s'; set local mcp.heartbeat_interval = '1s'")
        row = await connection.fetchrow(
            "select * from mcp.register_agent_instance($1, 'bot', 'x', null, '{}', '{}')", ORG_1
        )
    assert row["lease_ttl_seconds"] == 3
    assert 0.9 <= row["heartbeat_interval_seconds"] <= 1.1


async def test_heartbeats_within_an_outage_prove_that_their_keeper_was_alive(registry: RegistryDatabase) -> None:
    """One flush gets through while the keeper's own row cannot be written: who came with it must not be worse off than
    the others."""
    slipped, waiting = await registry.register(instance_id="slipped"), await registry.register(instance_id="waiting")
    beats = "select outcome from mcp.heartbeat_agent_instances($1, $2, keeper_id => $3, now => $4)"
    every = [slipped["registration_id"], waiting["registration_id"]]
    began = await registry.later(0)
    await registry.system.execute("select mcp.heartbeat_lease_keeper($1, 'sockets', $2)", KEEPER, began)
    await registry.system.fetch(beats, every, [1, 1], KEEPER, began)
    await registry.system.fetch(beats, every[:1], [1], KEEPER, began + timedelta(seconds=40))
    for seconds in (41, 56, 80, 100):  # cut off all the while
        at = began + timedelta(seconds=seconds)
        assert (
            (await registry.get_statuses(slipped, at))[0] == (await registry.get_statuses(waiting, at))[0] == "active"
        ), seconds
    for seconds in range(100, 133, 2):
        at = began + timedelta(seconds=seconds)
        await registry.system.execute("select mcp.heartbeat_lease_keeper($1, 'sockets', $2)", KEEPER, at)
    assert (await registry.get_statuses(waiting, began + timedelta(seconds=129)))[0] == "active"
    assert (await registry.get_statuses(waiting, began + timedelta(seconds=131)))[0] == "inactive", (
        "it has had its grace"
    )
