"""From an agent to an assistant: the payload, its projection and the projection's hash."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.agent_sync import (
    AgentRejected,
    AgentSyncData,
    AgentSyncMcpTool,
    AgentSyncOptions,
    _assistant_payload_for_agent,
    _build_assistant_configurable,
)
from robyn_server.agent_sync.mapping import _Sampling
from robyn_server.core.catalogue.fields import (
    CATALOGUE_KEYS,
    SAMPLING_KEYS,
    catalogue_hash,
    catalogue_projection,
    changed_fields,
)

AGENT, ORGANIZATION = UUID(int=7), UUID(int=8)


def agent(**fields):
    return AgentSyncData(**{"agent_id": AGENT, "organization_id": ORGANIZATION, "name": "Ada", **fields})


def tool(url, name, **fields):
    return AgentSyncMcpTool(tool_id=uuid4(), tool_name=name, endpoint_url=url, **fields)


def shuffled(value, order):
    if isinstance(value, dict):
        items = [(key, shuffled(inner, order)) for key, inner in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(inner, order) for inner in value] if isinstance(value, list) else value


def test_an_agent_that_says_little_gets_the_default_model_and_the_default_graph():
    payload = _assistant_payload_for_agent(agent(organization_id=None))
    assert payload["graph_id"] == "agent"
    assert payload["config"] == {"configurable": {"model_name": "openai:gpt-4o"}}
    assert set(payload["metadata"]) == {"supabase_agent_id", "synced_at"}


def test_everything_that_an_agent_says_is_in_its_payload():
    read_at = datetime(2026, 2, 22, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    other = UUID(int=9)
    payload = _assistant_payload_for_agent(
        agent(
            description="first",
            system_prompt="Be brief.",
            sampling_params={"temperature": 0, "stop": ["."], "seed": None},
            assistant_tool_ids=[other, other],
            runtime_model_name="offline:demo",
            graph_id="special",
            mcp_tools=[tool("http://legal:8002", "search_law")],
            read_at=read_at,
        )
    )
    assert payload == {
        "assistant_id": str(AGENT),
        "graph_id": "special",
        "name": "Ada",
        "description": "first",
        "config": {
            "configurable": {
                "model_name": "offline:demo",
                "system_prompt": "Be brief.",
                "temperature": 0,
                "stop": ["."],
                "agent_tools": [str(other)],
                "supabase_organization_id": str(ORGANIZATION),
                "mcp_config": {
                    "servers": [
                        {
                            "name": "server-1",
                            "url": "http://legal:8002",
                            "tools": ["search_law"],
                            "auth_required": False,
                        }
                    ]
                },
            }
        },
        "metadata": {
            "supabase_agent_id": str(AGENT),
            "supabase_organization_id": str(ORGANIZATION),
            "synced_at": "2026-02-22T12:00:00+00:00",
        },
    }


def test_an_agent_that_was_not_read_from_the_catalogue_is_synced_now():
    synced_at = _assistant_payload_for_agent(agent())["metadata"]["synced_at"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(synced_at)) < timedelta(minutes=1)


def test_an_empty_prompt_is_a_prompt():
    assert _build_assistant_configurable(agent(system_prompt=""))["system_prompt"] == ""


def test_tools_are_grouped_by_url_and_servers_sorted_and_numbered():
    servers = _build_assistant_configurable(
        agent(
            mcp_tools=[
                tool("http://z:1/mcp/", "b"),
                tool("http://a:1", "only", auth_required=True),
                tool("http://z:1/mcp", "a", auth_required=True),
                tool("http://z:1/mcp", "b"),
            ]
        )
    )["mcp_config"]["servers"]
    assert servers == [
        {"name": "server-1", "url": "http://a:1", "tools": ["only"], "auth_required": True},
        {"name": "server-2", "url": "http://z:1/mcp", "tools": ["a", "b"], "auth_required": True},
    ]


def test_where_tool_names_are_servers_names_all_tools_are_allowed():
    options = AgentSyncOptions(tool_names="servers")
    configurable = _build_assistant_configurable(agent(mcp_tools=[tool("http://a:1", None)]), options)
    assert configurable["mcp_config"]["servers"][0]["tools"] is None


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"mcp_tools": [tool("http://a:1", None)]}, "mcp_tools.tool_name"),
        ({"mcp_tools": [tool("npx some-server", "a")]}, "mcp_tools.endpoint_url"),
        ({"mcp_tools": [tool("http://[", "a")]}, "mcp_tools.endpoint_url"),
        ({"sampling_params": {"base_url": "http://evil"}}, "agents.sampling_params.base_url"),
        ({"sampling_params": {"model_name": "x"}}, "agents.sampling_params.model_name"),
        ({"sampling_params": {"temperature": "hot"}}, "agents.sampling_params.temperature"),
        ({"sampling_params": {"max_tokens": True}}, "agents.sampling_params.max_tokens"),
        ({"sampling_params": {"max_tokens": 100.5}}, "agents.sampling_params.max_tokens"),
        ({"sampling_params": {"seed": "7"}}, "agents.sampling_params.seed"),
        ({"sampling_params": {"seed": 1e30}}, "agents.sampling_params.seed"),
        ({"sampling_params": {"stop": [1]}}, "agents.sampling_params.stop"),
    ],
)
def test_what_cannot_be_served_is_refused_by_agent_and_column(fields, column):
    with pytest.raises(AgentRejected) as refusal:
        _build_assistant_configurable(agent(**fields))
    assert refusal.value.field == column
    assert str(AGENT) in str(refusal.value)
    assert "evil" not in str(refusal.value)


def test_a_whole_number_is_an_integer_however_jsonb_writes_it():
    given = {"max_tokens": 100.0, "top_k": 40.0, "seed": 10**30, "temperature": 1.0}
    configurable = _build_assistant_configurable(agent(sampling_params=given))
    read = {key: configurable[key] for key in given}
    assert read == given
    assert [type(value) for value in read.values()] == [int, int, int, float]


def test_the_allow_list_of_sampling_is_one_list():
    assert tuple(_Sampling.model_fields) == SAMPLING_KEYS


@given(st.randoms(use_true_random=False))
def test_the_hash_does_not_see_the_order_of_keys(order: random.Random):
    payload = _assistant_payload_for_agent(
        agent(sampling_params={"top_p": 0.5, "top_k": 3}, mcp_tools=[tool("http://a:1", "x")])
    )
    assert catalogue_hash(shuffled(payload, order)) == catalogue_hash(payload)


def test_the_hash_does_not_see_the_time_nor_what_members_added():
    payload = _assistant_payload_for_agent(agent())
    other = {
        **payload,
        "config": {"recursion_limit": 9, "configurable": {**payload["config"]["configurable"], "theirs": 1}},
        "metadata": {**payload["metadata"], "synced_at": "later", "tag": "x"},
    }
    assert catalogue_hash(other) == catalogue_hash(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bob"},
        {"description": "new"},
        {"graph_id": "other"},
        {"organization_id": uuid4()},
        {"system_prompt": ""},
        {"sampling_params": {"temperature": 0.1}},
        {"runtime_model_name": "offline:slow"},
        {"assistant_tool_ids": [uuid4()]},
        {"mcp_tools": [tool("http://a:1", "x")]},
    ],
)
def test_every_part_of_an_agent_changes_the_hash(change):
    before, after = _assistant_payload_for_agent(agent()), _assistant_payload_for_agent(agent(**change))
    assert catalogue_hash(before) != catalogue_hash(after)
    assert changed_fields(before, after)


def test_an_object_is_projected_like_a_mapping():
    payload = _assistant_payload_for_agent(agent())
    assert catalogue_projection(SimpleNamespace(**payload)) == catalogue_projection(payload)


def test_what_storage_does_not_return_cannot_differ():
    payload = _assistant_payload_for_agent(agent(description="said"))
    assert changed_fields({"config": payload["config"]}, payload) == []
    assert changed_fields({"config": None}, payload) == ["configurable"]


def test_configurable_holds_no_key_that_the_catalogue_does_not_own():
    full = agent(
        system_prompt="x",
        sampling_params=dict.fromkeys(["temperature", "top_p"], 1.0),
        assistant_tool_ids=[uuid4()],
        mcp_tools=[tool("http://a:1", "x")],
    )
    assert set(_build_assistant_configurable(full)) <= set(CATALOGUE_KEYS)
