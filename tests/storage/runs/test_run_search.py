"""The list of runs of all threads: whose they are, which filters there are, and what a page costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

from databases import fresh_database, open_pools
from read_costs import FEW, MANY, CountingPool, load
from run_storage import RunStorage, ended_run

from robyn_server.core.access.grants import Grants
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.core.runs import RunStatus
from robyn_server.storage.runs.search import RunFilter, RunSearch

ADA, BEN = Principal("ada"), Principal("ben")
SLACK = 150
_FILL = """
insert into agenthall.threads (thread_id, owner_id, status)
select lpad(to_hex(n), 32, '0')::uuid, case when n % 500 = 0 then 'ada' else 'ben' end, 'idle'
  from generate_series(1, {rows}) n;
insert into agenthall.runs (
  run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status, created_at)
select overlay(agenthall.lowest_id(now() - n * interval '1 s')::text placing lpad(to_hex(n), 12, '0') from 25)::uuid,
       lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 900), 32, '0')::uuid, 1, 'echo',
       case when n % 500 = 0 then 'ada' else 'ben' end, '{{}}', false, case when n % 700 = 0 then 'error' else 'success' end,
       now() - n * interval '1 s'
  from generate_series(1, {rows}) n;
analyze agenthall.runs;
"""


def _filters() -> dict[str, RunFilter]:
    """Made after the rows, whose times are those of the last seconds."""
    now = datetime.now(UTC)
    return {
        "none": RunFilter(),
        "status": RunFilter(status=RunStatus.SUCCESS),
        "rare status": RunFilter(status=RunStatus.ERROR),
        "no such status": RunFilter(status=RunStatus.TIMEOUT),
        "rare assistant": RunFilter(assistant_id=UUID(int=7)),
        "thread": RunFilter(thread_id=UUID(int=500)),
        "last minutes": RunFilter(created_after=now - timedelta(minutes=5)),
        "before": RunFilter(created_before=now - timedelta(minutes=5)),
    }


async def ids(storage: RunStorage, principal: Principal, **where: Any) -> list[UUID]:
    page = await RunSearch(storage.app).search(principal, RunFilter(**where), after=None, limit=50)
    assert page.after is None
    return [UUID(json.loads(body)["run_id"]) for body in page.bodies]


async def test_a_caller_sees_the_own_runs_and_an_administrator_all(storage: RunStorage) -> None:
    of_ada = [await storage.enqueue(new_id(), ADA) for _ in range(2)]
    of_ben = await storage.enqueue(new_id(), BEN)
    assert await ids(storage, ADA) == of_ada[::-1]
    assert await ids(storage, BEN) == [of_ben]
    assert await ids(storage, LOCAL) == [of_ben, *of_ada[::-1]]
    thread = (await storage.get_run(of_ada[0]))["thread_id"]
    assert await ids(storage, ADA, thread_id=thread) == [of_ada[0]]
    assert await ids(storage, BEN, thread_id=thread) == []


async def test_with_handlers_the_rows_must_be_own_and_granted(storage: RunStorage) -> None:
    run = await storage.enqueue(new_id(), ADA)
    assert await ids(storage, Principal("ada", grants=Grants())) == []
    await storage.enqueue(new_id(), BEN)
    assert run in await ids(storage, LOCAL)


async def test_filters_are_combined(storage: RunStorage) -> None:
    worker, assistant = new_id(), new_id()
    ended = await storage.claim_new_run(worker, assistant_id=assistant)
    await storage.queue.flush(worker, [], [ended_run(ended)])
    waiting = await storage.enqueue(new_id(), assistant_id=assistant)
    other = await storage.enqueue(new_id())
    assert await ids(storage, LOCAL, assistant_id=assistant) == [waiting, ended.run_id]
    assert await ids(storage, LOCAL, assistant_id=assistant, status=RunStatus.SUCCESS) == [ended.run_id]
    between = (await storage.get_run(waiting))["created_at"]
    assert await ids(storage, LOCAL, created_after=between) == [other, waiting]
    assert await ids(storage, LOCAL, created_before=between) == [ended.run_id]


async def test_pages_have_every_run_once(storage: RunStorage) -> None:
    made = [await storage.enqueue(new_id(), ADA) for _ in range(7)]
    found, after = list[UUID](), None
    while True:
        page = await RunSearch(storage.app).search(ADA, RunFilter(), after=after, limit=3)
        found += [UUID(json.loads(body)["run_id"]) for body in page.bodies]
        if (after := page.after) is None:
            break
    assert found == made[::-1]


async def test_a_run_has_its_times_and_its_error(storage: RunStorage) -> None:
    worker = new_id()
    run = await storage.claim_new_run(worker)
    before = await RunSearch(storage.app).find(LOCAL, run.thread_id, run.run_id)
    assert before is not None and before.ended_at is None and len(before.claims) == 1
    await storage.admin.execute(
        "update agenthall.runs set run_at = claimed_at[1] - interval '4 s' where run_id = $1", run.run_id
    )
    await storage.queue.flush(worker, [], [ended_run(run)])
    record = await RunSearch(storage.app).find(LOCAL, run.thread_id, run.run_id)
    assert record is not None and record.ended_at is not None
    body = json.loads(record.body)
    assert (body["attempts"], body["wait_seconds"], body["error"]) == (1, 4.0, None)
    assert body["run_seconds"] >= 0 and body["ended_at"] >= body["started_at"] >= body["created_at"]
    assert await RunSearch(storage.app).find(ADA, run.thread_id, run.run_id) is None


async def test_a_page_costs_the_same_among_many_runs(postgres: str, template: str) -> None:
    costs: dict[int, dict[Any, int]] = {}
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_pools(url, size=1) as (app, _, login):
            await load(login, _FILL.format(rows=rows), triggers=False)
            async with app.acquire() as connection:
                costs[rows] = {}
                for principal, (name, where) in product((ADA, BEN, LOCAL), _filters().items()):
                    pool = CountingPool(connection)
                    search = RunSearch(pool)  # type: ignore[arg-type]
                    page = await search.search(principal, where, after=None, limit=50)
                    if page.after is not None:
                        await search.search(principal, where, after=page.after, limit=50)
                    costs[rows][principal.identity, name] = pool.buffers // pool.statements
    # A walk reads at most 5,000 runs, of which a table of a thousand has a fifth.
    most = max(costs[FEW].values()) * 5 + SLACK
    dear = {case: cost for case, cost in costs[MANY].items() if cost > most}
    assert not dear, f"{dear} buffers, with {FEW} rows {costs[FEW]}"
    for case, cost in costs[MANY].items():
        if case[1] in ("none", "status", "thread", "last minutes", "before"):
            assert cost <= costs[FEW][case] + 2 * SLACK, (case, cost, costs[FEW][case])
