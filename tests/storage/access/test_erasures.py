"""An erasure takes all rows of its subject, counts them, goes on after an interruption, and leaves others alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from databases import open_pools
from event_transports import open_redis, redis_options
from read_costs import fill
from remote.valkey_server import requires_valkey, valkey_server

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.erasure import Subject, SubjectType
from robyn_server.core.errors import Forbidden, Invalid, Unavailable
from robyn_server.core.runs import RunEvent
from robyn_server.services.erasure import ErasureService
from robyn_server.storage.erasures import STEPS, THREAD_STEPS, Erasures
from robyn_server.storage.postgres.pools import Pool

GONE, KEPT = "gone@example.org", "kept@example.org"
GONE_ORGANIZATION, KEPT_ORGANIZATION = UUID(int=0xDEAD << 96), UUID(int=0xBEEF << 96)
USER, ORGANIZATION = Subject.user(GONE), Subject.organization(GONE_ORGANIZATION)

_OF_ORGANIZATIONS = "belongs to an organization, and names no user"
NOT_OF_USERS = {
    "agenthall.agent_sync": _OF_ORGANIZATIONS,
    "agenthall.agent_sync_passes": _OF_ORGANIZATIONS,
    "mcp.agent_affinities": _OF_ORGANIZATIONS,
    "mcp.agent_brakes": _OF_ORGANIZATIONS,
    "mcp.agent_checks": "goes with its instance",
    "mcp.agent_configurations": _OF_ORGANIZATIONS,
    "mcp.agent_manifests": _OF_ORGANIZATIONS,
    "mcp.agent_instance_history": "goes with its instance",
    "mcp.agent_job_counts": "goes with its instance",
    "mcp.agent_leases": "goes with its instance",
    "mcp.agent_search_terms": "goes with its instance",
    "mcp.agent_slots": "goes with its instance",
}
_OF_USERS = "belongs to a user, who may be in several organizations"
NOT_OF_ORGANIZATIONS = {"agenthall.store_items": _OF_USERS, "agenthall.store_vectors": _OF_USERS}
_OF_THE_SERVER = "of the server itself"
NEITHER = {
    "agenthall.audit_log": "its entries stay, without the subject",
    "agenthall.checkpoint_retention": _OF_THE_SERVER,
    "agenthall.crash_marks": _OF_THE_SERVER,
    "agenthall.erasures": "forgets its subject at its end",
    "agenthall.mcp_clients": _OF_THE_SERVER,
    "agenthall.metrics_history": _OF_THE_SERVER,
    "agenthall.migrations": _OF_THE_SERVER,
    "agenthall.socket_keys": _OF_THE_SERVER,
    "agenthall.socket_tickets": "sealed, and ends after seconds",
    "agenthall.workers": _OF_THE_SERVER,
    "langgraph.checkpoint_migrations": _OF_THE_SERVER,
    "mcp.agent_event_log": _OF_THE_SERVER,
    "mcp.lease_keepers": _OF_THE_SERVER,
    "mcp.lease_pace": _OF_THE_SERVER,
}
_TABLES = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname in ('agenthall', 'mcp', 'langgraph') order by 1
"""
_FILL = """
create temp table made as
  select gen_random_uuid() as thread_id, gen_random_uuid() as run_id, n from generate_series(1, THREADS) n;
insert into agenthall.threads (thread_id, owner_id, organization_id, ephemeral, metadata, "values")
select thread_id, 'WHO', 'ORGANIZATION', n % 50 = 0, '{"owner": "WHO"}', '{"who": "WHO"}' from made;
insert into agenthall.thread_words (thread_id, owner_id, state_updated_at, words)
select t.thread_id, t.owner_id, t.state_updated_at, 'WHO' from agenthall.threads t join made using (thread_id);
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id,
                            status, kwargs, ready)
select run_id, thread_id, gen_random_uuid(), 1, 'echo', 'WHO', 'ORGANIZATION', 'success',
       '{"config": {"configurable": {"user_id": "WHO"}}}', false from made;
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select run_id, e, 1, 'values', '{"who": "WHO"}' from made, generate_series(1, 10) e;
insert into langgraph.checkpoints (thread_id, checkpoint_id, checkpoint, metadata)
select thread_id::text, lpad(c::text, 4, '0'), '{}', '{"user_id": "WHO"}' from made, generate_series(1, 4) c;
insert into langgraph.checkpoint_blobs (thread_id, channel, version, type, blob)
select thread_id::text, 'messages', c::text, 'msgpack', 'WHO'::bytea from made, generate_series(1, 3) c;
insert into langgraph.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob)
select thread_id::text, '0001', 'task', c, 'messages', 'msgpack', 'WHO'::bytea from made, generate_series(1, 3) c;
insert into agenthall.store_items (owner_id, namespace, key, value)
select 'WHO', array['notes'], run_id::text, '{"text": "of WHO"}' from made where n <= 50;
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, organization_id, visibility, metadata)
select gen_random_uuid(), 'echo', 'of WHO', 'WHO', 'ORGANIZATION', 'private', '{"owner": "WHO"}' from made where n <= 20;
insert into agenthall.api_keys (prefix, digest, name, identity, kind, organizations, created_by)
select translate(substr(md5(run_id::text), 1, 10), '0123456789', 'ghijklmnop'), sha256(run_id::text::bytea), 'of WHO',
       'WHO', 'service', array['ORGANIZATION'::uuid], 'WHO' from made where n <= 3;
insert into agenthall.run_credentials (run_id, sealed) select run_id, decode(repeat('00', 40), 'hex') from made;
insert into agenthall.mcp_credentials (organization_id, url, kind, options, sealed, updated_by)
select 'ORGANIZATION', 'https://mcp.test/' || run_id, 'encrypted', '{}', decode(repeat('00', 40), 'hex'), 'WHO' from made
 where n <= 3;
insert into agenthall.mcp_connections (owner_id, organization_id, url, issuer, sealed, expires_at)
select 'WHO', 'ORGANIZATION', 'https://mcp.test/' || run_id, 'https://as.test', decode(repeat('00', 40), 'hex'), now()
  from made where n <= 3;
insert into agenthall.mcp_authorizations (digest, owner_id, organization_id, url, sealed, expires_at)
select sha256(run_id::text::bytea), 'WHO', 'ORGANIZATION', 'https://mcp.test', decode(repeat('00', 40), 'hex'), now()
  from made where n <= 3;
insert into agenthall.agent_sync_passes (scope, replica, started_at, finished_at, seconds, counters)
values ('org:ORGANIZATION', 'r', now(), now(), 1, '{}');
select mcp.register_agent_instance(tenant_id => 'ORGANIZATION', agent_id => 'bot-of-' || left('WHO', 4),
                                   instance_id => 'i' || n, registered_by => 'WHO', tags => array['of WHO'])
  from made where n <= 10;
select mcp.create_agent_job(tenant_id => 'ORGANIZATION', agent_id => 'bot-of-' || left('WHO', 4),
                            thread_id => m.thread_id, run_id => m.run_id, input => '{"who": "WHO"}')
  from made m where n <= 10;
drop table made;
"""


async def _fill(login: Pool, who: str, organization: UUID, threads: int) -> None:
    script = _FILL.replace("WHO", who).replace("ORGANIZATION", str(organization)).replace("THREADS", str(threads))
    async with login.acquire() as connection, connection.transaction():
        await connection.execute("select agenthall.set_actor($$" + who + "$$, null)")
        await fill(connection, script)


async def tables(login: Pool) -> list[str]:
    return [row[0] for row in await login.fetch(_TABLES)]


async def mentions(login: Pool, text: str) -> dict[str, int]:
    """Rows of each table that hold `text`, as a dump would show them, also in binary values."""
    found = {}
    for table in await tables(login):
        query = f"select count(*) from {table} x where x::text ilike $1 or x::text ilike $2"
        count = await login.fetchval(query, f"%{text}%", f"%{text.encode().hex()}%")
        found |= {table: count} if count else {}
    return found


async def contents(login: Pool) -> dict[str, str]:
    """A checksum of what each table holds of the others."""
    found = {}
    for table in await tables(login):
        query = (
            f"select md5(coalesce(string_agg(x::text, '' order by x::text), '')) from {table} x where x::text ilike $1"
        )
        found[table] = await login.fetchval(query, f"%{KEPT}%")
    return found


def comparable(counts: dict[str, int]) -> dict[str, int]:
    """Counts without those of entries, which stay, and of events that the erasure itself causes."""
    left_out = {"agenthall.audit_log", "mcp.agent_event_inbox", "mcp.agent_events"}
    return {table: count for table, count in counts.items() if count and table not in left_out}


class Data:
    def __init__(self, system: Pool, login: Pool) -> None:
        self.system, self.login = system, login
        self.service = ErasureService(Erasures(system), stop_seconds=0.4)


@pytest.fixture
async def data(database: str) -> AsyncIterator[Data]:
    async with open_pools(database) as (_, system, login):
        await _fill(login, GONE, GONE_ORGANIZATION, 100)
        await _fill(login, KEPT, KEPT_ORGANIZATION, 100)
        yield Data(system, login)


async def test_every_table_is_erased_or_has_a_reason(database: str) -> None:
    async with open_pools(database) as (_, _, login):
        known = set(await tables(login))
    of_threads = {step.table for step in THREAD_STEPS}
    for kind, excused in ((SubjectType.USER, NOT_OF_USERS), (SubjectType.ORGANIZATION, NOT_OF_ORGANIZATIONS)):
        erased = of_threads | {step.table for step in STEPS[kind]}
        assert known - erased - set(excused) - set(NEITHER) == set(), f"add steps for {kind}, or a reason"
        assert (set(excused) | set(NEITHER)) & erased == set()
        assert erased | set(excused) | set(NEITHER) == known


@pytest.mark.parametrize(
    ("subject", "texts"),
    [(USER, (GONE,)), (ORGANIZATION, (str(GONE_ORGANIZATION),))],
    ids=["user", "organization"],
)
async def test_nothing_in_the_database_names_the_subject_and_others_are_unchanged(
    data: Data, subject: Subject, texts: tuple[str, ...]
) -> None:
    before = await contents(data.login)
    for text in texts:
        assert len(await mentions(data.login, text)) > 10
    expected = await data.service.count(LOCAL, subject)
    counts = await data.service.erase(LOCAL, subject)
    assert {text: await mentions(data.login, text) for text in texts} == {text: {} for text in texts}
    assert counts["agenthall.audit_log"] > 0
    assert comparable(counts) == comparable(expected)
    assert await contents(data.login) == before
    assert await data.service.count(LOCAL, subject) == {}


async def test_the_trail_keeps_the_entries_and_has_the_erasure_alone(data: Data) -> None:
    before = await data.login.fetchval("select count(*) from agenthall.audit_log")
    await data.service.erase(Principal("root", permissions=frozenset({"admin"})), USER)
    erasure = await data.login.fetchrow("select * from agenthall.erasures")
    rows = await data.login.fetch("select * from agenthall.audit_log order by audit_id offset $1", before)
    assert [(row["action"], row["actor"], row["resource_id"]) for row in rows] == [
        ("erasure.start", "root", str(erasure["erasure_id"])),
        ("erasure.finish", "root", str(erasure["erasure_id"])),
    ]
    hidden = f"erased:{erasure['erasure_id']}"
    assert await data.login.fetchval("select count(*) from agenthall.audit_log where actor = $1", hidden) > 20


async def test_an_erasure_within_one_organization_leaves_the_others(data: Data) -> None:
    thread = await data.login.fetchval(
        "insert into agenthall.threads (thread_id, owner_id, organization_id) values (gen_random_uuid(), $1, $2) returning thread_id",
        GONE,
        KEPT_ORGANIZATION,
    )
    await data.service.erase(LOCAL, Subject.user(GONE, GONE_ORGANIZATION))
    rows = await data.login.fetch("select thread_id from agenthall.threads where owner_id = $1", GONE)
    assert [row["thread_id"] for row in rows] == [thread]
    assert await data.login.fetchval("select count(*) from agenthall.store_items where owner_id = $1", GONE) == 50


async def test_a_key_of_several_organizations_loses_the_erased_one(data: Data) -> None:
    both = [GONE_ORGANIZATION, KEPT_ORGANIZATION]
    await data.login.execute(
        "insert into agenthall.api_keys (prefix, digest, name, identity, kind, organizations, created_by) "
        "values ('abcdefghij', sha256('x'), '', 'shared', 'service', $1, 'x')",
        both,
    )
    await data.service.erase(LOCAL, ORGANIZATION)
    query = "select organizations from agenthall.api_keys where identity = 'shared'"
    assert await data.login.fetchval(query) == [KEPT_ORGANIZATION]


class FailingPool:
    """Passes calls on until it has passed `calls`."""

    def __init__(self, pool: Pool, calls: int) -> None:
        self._pool, self._left = pool, calls

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ConnectionResetError("the process dies")
        return getattr(self._pool, name)


async def test_an_interrupted_erasure_goes_on_with_right_counts(data: Data) -> None:
    expected = await data.service.count(LOCAL, USER)
    for calls in (5, 10, 15, 20):
        pool: Any = FailingPool(data.system, calls)
        dying = ErasureService(Erasures(pool), stop_seconds=0)
        with pytest.raises(Unavailable):
            await dying.erase(LOCAL, USER)
    assert await data.login.fetchval("select count(*) from agenthall.erasures") == 1
    counts = await data.service.erase(LOCAL, USER)
    assert comparable(counts) == comparable(expected)
    assert await mentions(data.login, GONE) == {}


async def test_a_tenant_of_100_000_rows_goes_in_batches_while_others_write(data: Data) -> None:
    await _fill(data.login, GONE, GONE_ORGANIZATION, 4_500)
    expected = await data.service.count(LOCAL, ORGANIZATION)
    assert sum(expected.values()) > 100_000
    erasing = asyncio.create_task(data.service.erase(LOCAL, ORGANIZATION))
    written = 0
    while not erasing.done():
        await data.login.execute(
            "insert into agenthall.threads (thread_id, owner_id, organization_id) values (gen_random_uuid(), $1, $2)",
            KEPT,
            KEPT_ORGANIZATION,
            timeout=30,
        )
        written += 1
        await asyncio.sleep(0)
    counts = await erasing
    assert written > 10
    assert comparable(counts) == comparable(expected)


@requires_valkey
async def test_the_events_in_redis_go_with_their_runs(data: Data) -> None:
    query = "select run_id from agenthall.runs where owner_id = $1 limit 1"
    gone, kept = [await data.login.fetchval(query, who) for who in (GONE, KEPT)]
    with valkey_server() as valkey:
        async with open_redis(redis_options(valkey.url, "agenthall:")) as redis:
            for run_id in (gone, kept):
                await redis.streams.append([(run_id, 1, [RunEvent(1, 1, "values", "x")])])
            await ErasureService(Erasures(data.system), redis.streams.delete).erase(LOCAL, USER)
            assert [await redis.streams.has(run_id, 1) for run_id in (gone, kept)] == [False, True]


async def test_only_administrators_erase(data: Data) -> None:
    for call in (data.service.count, data.service.erase):
        with pytest.raises(Forbidden):
            await call(Principal("member"), USER)
    with pytest.raises(Invalid):
        Subject.user("system")


async def test_a_session_cannot_hide_changes_behind_an_erasure_that_does_not_run(data: Data) -> None:
    await data.service.erase(LOCAL, USER)
    erasure = await data.login.fetchval("select erasure_id from agenthall.erasures")
    before = await data.login.fetchval("select count(*) from agenthall.audit_log")
    async with data.login.acquire() as connection, connection.transaction():
        await connection.execute("select agenthall.set_erasure($1)", erasure)
        await connection.execute("update agenthall.api_keys set name = 'renamed'")
    assert await data.login.fetchval("select count(*) from agenthall.audit_log") == before + 3


async def test_a_role_of_the_server_can_not_forget_a_finished_subject_again(data: Data) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await data.system.execute("select agenthall.erase_from_audit_log($1, 10)", UUID(int=1))
