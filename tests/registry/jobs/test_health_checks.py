"""Which instances are checked over HTTP, and what failed and passed checks do to the circuit breaker."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from job_database import Instance, JobDatabase
from read_costs import FEW, MANY, load, touched
from registry_database import ORG_1, ORG_2, open_registry

URL = "http://bot.example/health"
EVERY = timedelta(seconds=10)
_FILL = f"""
with made as (
  insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name)
  select i.tenant_id, i.manifest_id, i.agent_id, 'more-ROWS-' || n, 'more'
    from (select * from mcp.agent_instances limit 1) i, generate_series(1, ROWS) n
  returning id, tenant_id)
insert into mcp.agent_checks (registration_id, tenant_id, url, due_at)
select id, tenant_id, '{URL}', now() + interval '1 hour' * (random() - 0.1) from made;
"""


def details(url: Any = URL) -> str:
    return json.dumps({"health_check_url": url, "region": "eu"})


async def checked(jobs: JobDatabase) -> list[str]:
    rows = await jobs.registry.owner.fetch("select url from mcp.agent_checks order by url")
    return [row["url"] for row in rows]


async def claim(jobs: JobDatabase, most: int = 100) -> list[Any]:
    rows: list[Any] = await jobs.registry.system.fetch(
        "select * from mcp.claim_checks($1, $2, $3)", most, EVERY, jobs.at
    )
    return rows


async def record(jobs: JobDatabase, *instances: Instance, error: str | None = "HTTP 500", url: str = URL) -> int:
    """Record the same result for each of these instances, as workers do."""
    ids = [each.registration_id for each in instances]
    urls, errors = [url] * len(ids), [error] * len(ids)
    query = "select mcp.record_checks($1, $2, $3, $4, $5)"
    return int(await jobs.registry.system.fetchval(query, ids, urls, errors, EVERY, jobs.at))


async def breaker(jobs: JobDatabase, instance: Instance) -> str:
    query = "select mcp.breaker_state(s, $2) from mcp.agent_slots s where s.registration_id = $1"
    return str(await jobs.registry.owner.fetchval(query, instance.registration_id, jobs.at))


async def serve_checked(jobs: JobDatabase, name: str = "i1", **more: Any) -> Instance:
    await jobs.later(0)
    return await jobs.serve(name, connection_details=details(), **more)


async def test_an_instance_is_checked_from_its_registration_to_its_end(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve("plain")
    assert await checked(jobs) == []
    instance = await jobs.serve(connection_details=details())
    await jobs.serve("elsewhere", tenant=ORG_2, connection_details=details("https://[2001:db8::1]:8443/?deep=1"))
    assert await checked(jobs) == [URL, "https://[2001:db8::1]:8443/?deep=1"]
    await jobs.register(connection_details=details("http://bot.example"))
    assert (await checked(jobs))[0] == "http://bot.example"
    await jobs.register(connection_details="{}")
    assert len(await checked(jobs)) == 1
    instance = await jobs.register(connection_details=details())
    assert len(await checked(jobs)) == 2
    await jobs.end("deregister", instance)
    assert len(await checked(jobs)) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bot.example/health",
        "ftp://bot.example",
        "http://",
        "http:///x",
        "http://a:b@c/",
        "http://a b/",
        5,
        {},
        "http://a/" + 2048 * "x",
    ],
)
async def test_another_url_is_refused_with_the_registration(jobs: JobDatabase, url: Any) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await jobs.register(connection_details=details(url))
    assert caught.value.constraint_name == "agent_checks_url"
    assert await jobs.registry.owner.fetchval("select count(*) from mcp.agent_instances") == 0


async def test_each_check_is_claimed_once_until_it_is_due_again(jobs: JobDatabase) -> None:
    instances = [await serve_checked(jobs, f"i{n}") for n in range(5)]
    await jobs.later(1)
    taken = [*await claim(jobs, 3), *await claim(jobs, 3), *await claim(jobs, 3)]
    assert sorted(row["registration_id"] for row in taken) == sorted(each.registration_id for each in instances)
    await jobs.later(8.9)
    assert await claim(jobs) == []
    await jobs.later(2.2)
    assert len(await claim(jobs)) == 5


async def test_the_third_failed_check_in_a_row_ejects(jobs: JobDatabase) -> None:
    instance = await serve_checked(jobs)
    for error in ("HTTP 500", "HTTP 500", None, "HTTP 500", "HTTP 503"):
        assert await record(jobs, instance, error=error) == 1
        assert await breaker(jobs, instance) == "closed"
    await record(jobs, instance, error="HTTP 502")
    assert await breaker(jobs, instance) == "open"
    assert (await jobs.slots(instance))["ejection_reason"] == "health check: HTTP 502"
    assert await jobs.state(await jobs.create()) != "offered"


async def test_it_stays_out_while_checks_fail_and_is_probed_when_one_passes(jobs: JobDatabase) -> None:
    instance = await serve_checked(jobs)
    for _ in range(3):
        await record(jobs, instance)
    for _ in range(12):
        await jobs.later(10)
        assert await breaker(jobs, instance) == "open"
        await record(jobs, instance)
    await jobs.later(1)
    await jobs.heartbeat(instance)
    await record(jobs, instance, error=None)
    assert await breaker(jobs, instance) == "half_open"
    await jobs.finish(await jobs.run(await jobs.create()))
    assert await breaker(jobs, instance) == "closed"
    assert (await jobs.slots(instance))["ejections"] == 0


async def test_a_check_that_passes_does_not_end_an_ejection_by_jobs(jobs: JobDatabase) -> None:
    instance = await serve_checked(jobs, slots=9)
    for _ in range(3):
        await jobs.fail(await jobs.run(await jobs.create()))
    until = (await jobs.slots(instance))["ejected_until"]
    for error in ("HTTP 500", "HTTP 500", "HTTP 500", None):
        await record(jobs, instance, error=error)
        assert (await jobs.slots(instance))["ejected_until"] == until


async def test_a_failing_instance_is_not_probed_after_its_ejection_by_jobs(jobs: JobDatabase) -> None:
    instance = await serve_checked(jobs, slots=9)
    for _ in range(3):
        await jobs.fail(await jobs.run(await jobs.create()))
        await record(jobs, instance)
    await jobs.later(10)
    assert await breaker(jobs, instance) == "half_open"
    await record(jobs, instance)
    assert await breaker(jobs, instance) == "open"


async def test_checks_eject_half_of_a_set_at_most(jobs: JobDatabase) -> None:
    instances = [await serve_checked(jobs, f"i{n}") for n in range(5)]
    for _ in range(3):
        assert await record(jobs, *instances) == 5
    assert sorted([await breaker(jobs, each) for each in instances]) == ["closed"] * 3 + ["open"] * 2


async def test_an_answer_of_an_earlier_url_and_of_an_ended_instance_counts_for_nothing(jobs: JobDatabase) -> None:
    instance = await serve_checked(jobs)
    assert await record(jobs, instance, url="http://before.example/") == 0
    await jobs.end("deregister", instance)
    assert await record(jobs, instance) == 0


async def test_an_instance_without_jobs_is_checked_too(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.register(connection_details=details())
    for _ in range(4):
        await record(jobs, instance)
    row = await jobs.registry.owner.fetchrow("select * from mcp.agent_checks")
    assert (row["failures"], row["error"], row["ejected_until"]) == (4, "HTTP 500", None)


async def test_checks_of_others_are_not_visible(jobs: JobDatabase) -> None:
    await serve_checked(jobs)
    query = """select count(*) from mcp.act_for($1) as acting
                cross join lateral (select from mcp.agent_checks where acting offset 0) as found"""
    assert [await jobs.registry.app.fetchval(query, each) for each in (ORG_1, ORG_2)] == [1, 0]


async def test_claims_cost_the_same_among_many_instances(postgres: str, template: str) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_registry(url, size=1) as registry:
            await JobDatabase(registry).serve(connection_details=details())
            await load(registry.owner, _FILL.replace("ROWS", str(rows)), triggers=False)
            costs.append(await touched(registry.system, "select * from mcp.claim_checks($1, $2)", 10, EVERY))
    assert 10 < costs[1] <= 2 * costs[0] + 100, costs
