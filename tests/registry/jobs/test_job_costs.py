"""The statements of a job read as much of many instances and jobs as of a thousand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, load
from registry_database import ORG_1, RegistryDatabase, open_registry

from robyn_server.core.registry.job_events import JobEvents, SentEvent
from robyn_server.core.registry.job_filter import JobFilter
from robyn_server.core.registry.jobs import JobConditions, JobEnd, JobPolicy, JobRef, JobState, NewJob
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import Jobs
from robyn_server.storage.registry.jobs.lists import JobLists
from robyn_server.storage.registry.jobs.messages import JobMessages

SLACK = 200
INSTANCE = UUID(int=7)
"""Had all jobs that have ended."""
_FILL = f"""
select mcp.register_agent_instance('{ORG_1}', 'bot', 'first');
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name)
select c.tenant_id, c.manifest_id, 'bot', 'i' || n, 'i' from mcp.agent_configurations c, generate_series(1, INSTANCES) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check,
                              lease_ttl)
select i.id, i.tenant_id, i.manifest_id, i.epoch, now() + interval '1 day', now(), '1 day' from mcp.agent_instances i
on conflict do nothing;
insert into mcp.agent_slots (registration_id, tenant_id, manifest_id, instance_id, epoch, slots, is_open, is_degraded)
select i.id, i.tenant_id, i.manifest_id, i.instance_id, i.epoch, 10, true, false from mcp.agent_instances i;
insert into mcp.agent_jobs (id, tenant_id, manifest_id, agent_id, thread_id, run_id, state, input, created_at, ended_at,
                            registration_id)
select gen_random_uuid(), c.tenant_id, c.manifest_id, 'bot', gen_random_uuid(), gen_random_uuid(), 'succeeded', '{{}}',
       now() - interval '1 hour', now() - interval '1 hour', '{INSTANCE}'
  from mcp.agent_configurations c, generate_series(1, JOBS) n;
insert into mcp.agent_job_events (job_id, attempt, seq, tenant_id, event, data)
select j.id, 1, 1, j.tenant_id, 'token', '""' from mcp.agent_jobs j;
insert into mcp.agent_affinities (tenant_id, manifest_id, key, registration_id, used_on)
select c.tenant_id, c.manifest_id, 'key-' || n, gen_random_uuid(), now()::date
  from mcp.agent_configurations c, generate_series(1, JOBS) n;
"""


@contextlib.asynccontextmanager
async def _loaded(postgres: str, template: str, jobs: int) -> AsyncIterator[RegistryDatabase]:
    async with fresh_database(postgres, template) as url, open_registry(url, size=1) as registry:
        instances = min(jobs, 10_000)
        await load(registry.owner, _FILL.replace("INSTANCES", str(instances)).replace("JOBS", str(jobs)))
        yield registry


@pytest.fixture(scope="module")
async def few(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with _loaded(postgres, template, FEW) as registry:
        yield registry


@pytest.fixture(scope="module")
async def many(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with _loaded(postgres, template, MANY) as registry:
        yield registry


class _UndoingPool(CountingPool):
    """Undoes the executions that it counts, so that the one whose result is used is the first."""

    async def _count(self, query: str, arguments: Any) -> None:
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            await super()._count(query, arguments)
        finally:
            await transaction.rollback()


async def _costs(registry: RegistryDatabase) -> dict[str, int]:
    """Buffers that each statement of a job's life touches."""
    async with registry.system.acquire() as connection:
        counting: Any = _UndoingPool(connection)
        jobs, assigned, messages = Jobs(counting), AssignedJobs(counting), JobMessages(counting)
        costs = dict[str, int]()

        async def count(name: str, work: Any) -> Any:
            before = counting.buffers
            result = await work
            costs[name] = counting.buffers - before
            return result

        new = NewJob(uuid4(), ORG_1, "bot", {}, thread_id=uuid4(), run_id=uuid4(), policy=JobPolicy(run_within=None))
        await count("create", jobs.create(new))
        ref = await _ref(connection, new.job_id)
        await count("list_notices", assigned.list_notices([ref.registration_id]))
        await count("accept", jobs.accept(ref))
        await count("append_events", messages.append_events([JobEvents(ref, 1, [SentEvent("token", "1")])]))
        await count("extend", messages.extend([ref]))
        await count("find_lost", messages.find_lost([ref]))
        await count("follow", assigned.follow({ref.job_id: (0, 0)}))
        await count("list_of_run", assigned.list_of_run(new.run_id or uuid4()))
        await count("finish", jobs.finish(ref, JobEnd(JobState.SUCCEEDED), 1))
        await count("sweep", assigned.sweep())
        await count("list_orphans", assigned.list_orphans())
        await count("delete_ended", assigned.delete_ended())
        conditions = JobConditions(zone="nowhere")
        zoned = NewJob(uuid4(), ORG_1, "bot", {}, conditions=conditions, policy=JobPolicy(start_within=timedelta(9)))
        await count("create in a zone", jobs.create(zoned))
        await count("cancel", jobs.cancel(ORG_1, zoned.job_id, None, 10))
        await count("claim", jobs.claim(ORG_1, ref.registration_id, ref.epoch, 1, 0))
        await count("take", jobs.take(ORG_1, ref.registration_id, ref.epoch, 1, is_last=True))
        await count("open_slots", jobs.open_slots(ORG_1, ref.registration_id, ref.epoch, 1, []))
        await count("dispatch_of", messages.dispatch_of([ref.registration_id]))
        lists = JobLists(counting)
        for each in _FILTERS:
            after = datetime.now(UTC), uuid4()
            await count(f"search by {each}", lists.search(ORG_1, JobFilter(**each), after=after, limit=10))
        await count("find", lists.find(ORG_1, ref.job_id))
        return costs


_FILTERS: list[dict[str, Any]] = [
    {},
    {"agent_id": "bot"},
    {"agent_id": "bot", "state": JobState.FAILED},
    *({"state": state} for state in JobState),
    {"thread_id": UUID(int=1)},
    {"run_id": UUID(int=1), "state": JobState.SUCCEEDED},
    {"registration_id": INSTANCE},
    *({"registration_id": INSTANCE, "state": state} for state in JobState),
]


async def _ref(connection: Any, job_id: UUID) -> JobRef:
    row = await connection.fetchrow("select registration_id, epoch from mcp.agent_jobs where id = $1", job_id)
    return JobRef(ORG_1, job_id, 1, row["registration_id"], row["epoch"])


@pytest.mark.timeout(1800)
async def test_a_job_costs_the_same_among_many(few: RegistryDatabase, many: RegistryDatabase) -> None:
    small, large = await _costs(few), await _costs(many)
    grown = {name: (small[name], cost) for name, cost in large.items() if cost > 2 * small[name] + SLACK}
    assert grown == {}
