"""Grants in the database: each statement of a request with grants reaches the granted rows, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from databases import fresh_database
from run_storage import RunStorage, open_run_storage

from robyn_server.core.access.grants import Condition, Grants, parse_filter
from robyn_server.core.access.principal import ADMIN, Principal
from robyn_server.core.errors import Forbidden
from robyn_server.storage.postgres.pools import acting_as
from robyn_server.storage.runs.runs import Runs
from robyn_server.storage.threads import ThreadFilter, Threads

RED, BLUE, LISTED = UUID(int=1), UUID(int=2), UUID(int=3)
_FILL = """
insert into agenthall.threads (thread_id, owner_id, metadata) values
  ($1, 'ada', '{"team": "red", "place": {"city": "Rome"}}'),
  ($2, 'bob', '{"team": "blue", "place": {"city": "Rome", "street": "Via Appia"}, "members": ["red", "blue"]}'),
  ($3, 'eve', '{"team": ["red"], "members": "red"}')"""
_FILL_RUNS = """
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select t.thread_id, t.thread_id, t.thread_id, 1, 'echo', 'ada', '{}', false, 'success' from agenthall.threads t"""
_FILL_EVENTS = """
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select r.run_id, 1, 1, 'values', '{}' from agenthall.runs r"""
_FILL_ASSISTANTS = """
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility, origin, metadata) values
  ($1, 'echo', 'red', 'ada', 'private', 'client', '{"team": "red"}'),
  ($2, 'echo', 'blue', 'bob', 'private', 'client', '{"team": "blue"}'),
  ($3, 'echo', 'default', 'system', 'everyone', 'graph', '{}')"""


@pytest.fixture(scope="module")
async def storage(postgres: str, template: str) -> AsyncIterator[RunStorage]:
    async with fresh_database(postgres, template) as url, open_run_storage(url, size=1) as opened:
        await opened.admin.execute("delete from agenthall.assistants")
        await opened.admin.execute(_FILL, RED, BLUE, LISTED)
        await opened.admin.execute(_FILL_RUNS)
        await opened.admin.execute(_FILL_EVENTS)
        await opened.admin.execute(_FILL_ASSISTANTS, RED, BLUE, LISTED)
        yield opened


def user(threads: dict[str, Any] | None = None, **grants: Any) -> Principal:
    """Ada, an administrator, so that a grant must take rights away."""
    conditions = None if threads is None else (parse_filter(threads),)
    return Principal("ada", permissions=frozenset({ADMIN}), grants=Grants(threads=conditions, **grants))


async def seen(storage: RunStorage, principal: Principal, table: str, column: str) -> set[UUID]:
    async with acting_as(storage.app, principal) as connection:
        return {row[0] for row in await connection.fetch(f"select {column} from agenthall.{table}")}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"team": "red"}, {RED}),
        ({"team": {"$eq": "blue"}}, {BLUE}),
        ({"team": ["red"]}, {LISTED}),
        ({"members": {"$contains": "red"}}, {BLUE}),
        ({"members": {"$contains": ["blue", "red"]}}, {BLUE}),
        ({"members": {"$contains": ["blue", "green"]}}, set()),
        ({"members": "red"}, {LISTED}),
        ({"place": {"$eq": {"city": "Rome"}}}, {RED}),
        ({"team": "red", "place": {"$eq": {"city": "Oslo"}}}, set()),
        ({"team": None}, set()),
        ({"missing": "red"}, set()),
    ],
)
async def test_a_filter_lets_through_what_matches(
    storage: RunStorage, given: dict[str, Any], wanted: set[UUID]
) -> None:
    principal = user(given)
    for table, column in (("threads", "thread_id"), ("runs", "thread_id"), ("run_events", "run_id")):
        assert await seen(storage, principal, table, column) == wanted, table
    threads = Threads(storage.app)
    page = await threads.search(principal, ThreadFilter(), limit=10, offset=0)
    assert {UUID(each["thread_id"]) for each in json.loads(page.body)} == wanted
    assert await threads.count(principal, ThreadFilter()) == len(wanted)
    for thread_id in (RED, BLUE, LISTED):
        assert (await threads.find(principal, thread_id) is not None) == (thread_id in wanted)
        assert (await Runs(storage.app).find(principal, thread_id, thread_id) is not None) == (thread_id in wanted)


async def test_a_resource_without_a_grant_is_closed_even_to_its_owner_and_to_administrators(
    storage: RunStorage,
) -> None:
    principal = user(assistants=())
    for table, column in (("threads", "thread_id"), ("runs", "run_id"), ("run_events", "run_id")):
        assert await seen(storage, principal, table, column) == set()
    threads = Threads(storage.app)
    assert json.loads((await threads.search(principal, ThreadFilter(), limit=10, offset=0)).body) == []
    assert await threads.count(principal, ThreadFilter()) == 0
    assert await seen(storage, user({}), "assistants", "assistant_id") == set()
    assert await seen(storage, principal, "assistants", "assistant_id") == {RED, BLUE, LISTED}


async def test_two_filters_hold_both(storage: RunStorage) -> None:
    both = Grants(threads=(parse_filter({"place": {"$eq": {"city": "Rome"}}}), parse_filter({"team": "blue"})))
    assert await seen(storage, Principal("ada", grants=both), "threads", "thread_id") == set()


async def test_own_rows_are_those_of_the_owner_and_assistants_for_everyone(storage: RunStorage) -> None:
    own = (Condition(own="bob"),)
    principal = Principal("bob", grants=Grants(threads=own, assistants=own))
    assert await seen(storage, principal, "threads", "thread_id") == {BLUE}
    assert await seen(storage, principal, "assistants", "assistant_id") == {BLUE, LISTED}
    async with acting_as(storage.app, principal) as connection:
        changed = await connection.fetch(
            "update agenthall.assistants set name = 'mine', version = version + 1 returning assistant_id"
        )
        assert [row["assistant_id"] for row in changed] == [BLUE]


async def test_default_assistants_are_open_to_runs_and_not_to_changes(storage: RunStorage) -> None:
    condition = Condition('{"team":"blue"}', defaults=True)
    principal = Principal("bob", grants=Grants(assistants=(condition,)))
    assert await seen(storage, principal, "assistants", "assistant_id") == {BLUE, LISTED}
    async with acting_as(storage.app, principal) as connection:
        assert (
            await connection.fetch(
                "update agenthall.assistants set name = 'mine', version = version + 1 where origin = 'graph' returning 1"
            )
            == []
        )
    async with acting_as(storage.app, user(assistants=())) as connection:
        assert await connection.fetch("delete from agenthall.assistants where origin = 'graph' returning 1") == []


async def test_a_write_that_leaves_the_grant_is_refused(storage: RunStorage) -> None:
    threads, principal = Threads(storage.app), user({"team": "red"})
    with pytest.raises(Forbidden, match="filter does not match"):
        await threads.update(principal, RED, {"team": "blue"}, None)
    with pytest.raises(Forbidden, match="filter does not match"):
        await threads.create(principal, UUID(int=9), {"team": "blue"}, None)
    assert await threads.update(principal, BLUE, {"a": 1}, None) is None
    assert not await threads.delete(principal, BLUE)
    assert await threads.create(principal, BLUE, {"team": "red"}, None) is None, "the id is taken"


async def test_a_copy_reads_under_one_grant_and_creates_under_another(storage: RunStorage) -> None:
    threads = Threads(storage.app)
    closed = Principal(
        "ada", grants=Grants(threads=(parse_filter({"team": "red"}),), new_threads=(parse_filter({"copied": True}),))
    )
    with pytest.raises(Forbidden):
        await threads.copy(closed, RED, UUID(int=11))
    copied = await threads.copy(closed, RED, UUID(int=11), {"copied": True})
    assert json.loads(copied or "")["metadata"]["copied"] is True
    assert await threads.copy(closed, BLUE, UUID(int=12), {"copied": True}) is None
    assert await threads.delete(user({"copied": True}), UUID(int=11))


async def test_grants_end_with_their_transaction(storage: RunStorage) -> None:
    await seen(storage, user({}), "threads", "thread_id")
    assert await storage.app.fetchval("select agenthall.current_grants()") is None
    assert await seen(storage, Principal("bob"), "threads", "thread_id") == {BLUE}
