"""Fingerprints: they change with everything that matters, and with nothing else."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from robyn_server.agent_sync import AgentRejected, AgentSyncOptions, AgentSyncScope, _assistant_payload_for_agent
from robyn_server.agent_sync.catalogue_db.contract import EXPECTED
from robyn_server.agent_sync.catalogue_db.fingerprints import (
    COVERED,
    MAPPING_VERSION,
    NOT_COVERED,
    FingerprintedCatalogue,
    mapping_fingerprint,
)
from robyn_server.agent_sync.catalogue_db.queries import agents_query
from robyn_server.agent_sync.catalogue_db.reader import parse_agent
from robyn_server.agent_sync.catalogue_db.source import STANDARD
from robyn_server.concurrency.prefetch import prefetch
from robyn_server.core.json.canonical import content_hash

ALL = AgentSyncScope("all")
MAPPED = {1: "0850e4f219e3c19e4b6ca602bb2d0419"}
"""Hashes of the mapped samples, by version of the mapping.

When the test fails, raise MAPPING_VERSION and add a line.
"""


async def fingerprints(pool, scope=ALL, mapping="m", size=100):
    return [each async for page in FingerprintedCatalogue(pool, scope, mapping).pages(size) for each in page]


async def one(pool):
    (found,) = await fingerprints(pool)
    return found.value


async def test_every_column_that_is_read_is_covered_but_what_sync_writes(real_pool, pool):
    async with real_pool.acquire() as connection:
        statement = await connection.prepare(agents_query(STANDARD, EXPECTED, ["true"], limit="1"))
        read = {attribute.name for attribute in statement.get_attributes()}
    assert read == set(COVERED) | set(NOT_COVERED)


@pytest.mark.parametrize(
    "change",
    [
        {"organization_id": uuid4()},
        {"organization_id": None},
        {"name": "Bob"},
        {"description": ""},
        {"is_global": True},
        {"system_prompt": "new"},
        {"sampling_params": json.dumps({"temperature": 0.5})},
        {"assistant_tool_ids": [uuid4()]},
        {"graph_id": "other"},
        {"engine_id": uuid4()},
        {"engine_type": "private"},
    ],
    ids="-".join,
)
async def test_a_change_of_an_agents_column_changes_it(pool, catalogue, change):
    agent_id = await catalogue.add_agent()
    before = await one(pool)
    await catalogue.update_agent(agent_id, **change)
    assert await one(pool) != before


@pytest.mark.parametrize(
    "statement",
    [
        "update public.mcp_tools set endpoint_url = 'http://b'",
        "update public.mcp_tools set tool_name = 'b'",
        "update public.mcp_tools set auth_required = true",
        "delete from public.mcp_tools",
        "delete from public.agent_mcp_tools",
        "update public.ai_models set runtime_model_name = 'b'",
        "update public.global_ai_engines set language_model_id = gen_random_uuid()",
        "delete from public.global_ai_engines",
    ],
)
async def test_a_change_of_its_tools_engine_or_model_changes_it(pool, catalogue, real_pool, statement):
    agent_id = await catalogue.add_agent(engine_id=await catalogue.add_engine("a"))
    await catalogue.add_tool(agent_id, "http://a", "a")
    before = await one(pool)
    await real_pool.execute(statement)
    assert await one(pool) != before


async def test_neither_time_nor_a_write_back_changes_it(pool, catalogue):
    agent_id = await catalogue.add_agent()
    before = await one(pool)
    await catalogue.update_agent(agent_id, langgraph_assistant_id=str(agent_id), updated_at=datetime.now(UTC))
    assert await one(pool) == before


async def test_agents_that_differ_only_in_their_id_differ(pool, catalogue):
    organization = uuid4()
    for _ in range(2):
        await catalogue.add_agent(organization_id=organization)
    first, second = await fingerprints(pool)
    assert first.value != second.value


async def test_pages_of_any_size_give_the_scope_once(pool, catalogue):
    organization = uuid4()
    inside = [await catalogue.add_agent(organization_id=organization) for _ in range(7)]
    await catalogue.add_agents(3)
    for size in (1, 3, 7, 8):
        found = await fingerprints(pool, AgentSyncScope.orgs([organization]), size=size)
        assert [each.agent_id for each in found] == sorted(inside)


async def test_rows_come_with_the_fingerprint_of_their_own_reading(pool, catalogue):
    agent_id = await catalogue.add_agent()
    source = FingerprintedCatalogue(pool, ALL, "m")
    before = await one(pool)
    await catalogue.update_agent(agent_id, name="Bob")
    (row,) = await source.rows([agent_id])
    assert (parse_agent(row).name, row["fingerprint"]) == ("Bob", await one(pool))
    assert row["fingerprint"] != before


async def test_the_mapping_is_part_of_it(pool, catalogue):
    await catalogue.add_agent()
    (first,), (second,) = await fingerprints(pool, mapping="a"), await fingerprints(pool, mapping="b")
    assert first.value != second.value


def test_the_mapping_is_its_options_and_graphs_in_any_order():
    plain = mapping_fingerprint(AgentSyncOptions(), None)
    assert mapping_fingerprint(AgentSyncOptions(concurrency=1, page_size=2, write_back=False), None) == plain
    assert mapping_fingerprint(AgentSyncOptions(), ["a", "b"]) == mapping_fingerprint(AgentSyncOptions(), {"b", "a"})
    others = [
        mapping_fingerprint(AgentSyncOptions(default_model="x"), None),
        mapping_fingerprint(AgentSyncOptions(tool_names="servers"), None),
        mapping_fingerprint(AgentSyncOptions(), []),
        mapping_fingerprint(AgentSyncOptions(), ["a"]),
    ]
    assert len({plain, *others}) == 5


def sample(**columns):
    row = {
        **dict.fromkeys((*COVERED, *NOT_COVERED)),
        "agent_id": UUID(int=1),
        "name": "Ada",
        "read_at": datetime(2026, 1, 1, tzinfo=UTC),
        **columns,
    }
    try:
        return _assistant_payload_for_agent(parse_agent(row))
    except AgentRejected as rejection:
        return rejection.field


def tool(number, url, name):
    return {"tool_id": number, "tool_found": True, "tool_name": name, "endpoint_url": url, "auth_required": number == 1}


def test_a_mapping_that_changed_has_a_new_version():
    samples = [
        sample(),
        sample(
            organization_id=UUID(int=2),
            description="text",
            system_prompt="prompt",
            sampling_params='{"temperature": 0.5, "top_p": null, "stop": ["x"]}',
            assistant_tool_ids=json.dumps([str(UUID(int=3))]),
            graph_id="other",
            engine_id="e",
            engine_type="global",
            engine_found=True,
            runtime_model_name="openai:other",
            is_global=True,
            mcp_tools=json.dumps(
                [tool(1, "http://b/", "y"), tool(2, "http://b", "x"), tool(3, "http://a/mcp?q=/", "z")]
            ),
        ),
        sample(name=""),
        sample(name=None),
        sample(sampling_params='{"api_key": 1}'),
        sample(sampling_params='{"temperature": "hot"}'),
        sample(sampling_params="[1]"),
        sample(engine_id="e", engine_type="private"),
        sample(engine_id="e", engine_found=False),
        sample(engine_id="e", engine_found=True),
        sample(mcp_tools=json.dumps([tool(1, "ftp://b", "x")])),
        sample(mcp_tools=json.dumps([tool(1, "http://b", "")])),
    ]
    assert content_hash(samples) == MAPPED[MAPPING_VERSION]


async def test_reading_ahead_gives_the_same_pages_and_is_one_prefetch():
    read, closed = [], []

    async def pages():
        try:
            for number in range(5):
                read.append(number)
                yield number
        finally:
            closed.append(True)

    seen = []
    async for page in prefetch(pages()):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert read[-1] <= page + 1
        seen.append(page)
    assert seen == read == [0, 1, 2, 3, 4]
    assert closed == [True]


async def test_reading_ahead_passes_on_an_error_after_the_pages_before_it():
    async def pages():
        yield 1
        raise ValueError("gone")

    reader = prefetch(pages())
    assert await anext(reader) == 1
    with pytest.raises(ValueError, match="gone"):
        await anext(reader)


async def test_reading_ahead_ends_its_reading_when_it_is_left():
    waiting, ended = asyncio.Event(), []

    async def pages():
        try:
            yield 1
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    reader = prefetch(pages())
    assert await anext(reader) == 1
    await waiting.wait()
    await reader.aclose()
    assert ended == [True]
