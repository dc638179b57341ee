"""graph(), topology() and the configuration."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID

import pytest
from deadlines import DEADLINE
from langgraph.checkpoint.memory import InMemorySaver

from robyn_server.agent import get_agent_tool_info
from tools_agent import agent
from tools_agent.agent import AgentConfig, MCPConfig, MCPServerConfig, graph, topology
from tools_agent.configuration import agent_config, check_mcp_config
from tools_agent.errors import ConfigurationInvalid
from tools_agent.utils.token import fetch_tokens


def test_defaults_of_the_configuration_are_those_of_the_contract():
    assert MCPServerConfig(url="http://h").model_dump() == {
        "name": "default",
        "url": "http://h",
        "tools": None,
        "auth_required": False,
    }
    assert MCPConfig().servers == []
    assert AgentConfig().model_name == "openai:gpt-4o"


def test_nulls_and_unknown_keys_in_configurable_are_ignored():
    config = {"model_name": None, "mcp_config": None, "agent_tools": None, "thread_id": "t", "base_url": "http://evil"}
    assert agent_config({"configurable": config}) == AgentConfig()
    assert agent_config({}) == agent_config(None) == AgentConfig()


def test_a_bad_field_is_named_and_its_value_is_not():
    with pytest.raises(ConfigurationInvalid) as caught:
        agent_config({"configurable": {"temperature": "sk-secret", "mcp_config": {"servers": [{"name": "x"}]}}})
    assert "temperature" in str(caught.value)
    assert "mcp_config.servers.0.url" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


SERVER = {"url": "http://a/mcp", "tools": ["x"], "auth_required": False}


@pytest.mark.parametrize(
    ("mcp_config", "servers"),
    [
        (SERVER, [MCPServerConfig(url="http://a/mcp", tools=["x"])]),
        ({"url": "http://a"}, [MCPServerConfig(url="http://a")]),
        ({**SERVER, "name": None, "tools": None, "auth_required": None}, [MCPServerConfig(url="http://a/mcp")]),
        ({"url": None, "tools": None, "auth_required": False}, []),
        ({"servers": [{"name": "s", **SERVER}]}, [MCPServerConfig(name="s", url="http://a/mcp", tools=["x"])]),
        ({"servers": None}, []),
        ({"servers": []}, []),
        ({}, []),
        (None, []),
    ],
)
def test_an_mcp_config_is_a_list_of_servers_or_a_single_one(mcp_config, servers):
    assert agent_config({"configurable": {"mcp_config": mcp_config}}).mcp_config.servers == servers
    shown = get_agent_tool_info({"mcp_config": mcp_config})["servers"]
    assert shown == [server.model_dump() for server in servers]


@pytest.mark.parametrize(
    ("mcp_config", "field"),
    [
        ({"mcpServers": {"a": SERVER}}, "mcp_config.mcpServers"),
        ({"server": SERVER}, "mcp_config.server"),
        ({**SERVER, "transport": "stdio"}, "mcp_config.transport"),
        ({"servers": [], **SERVER}, "mcp_config.url"),
        ({"servers": [SERVER, {**SERVER, "headers": {}}]}, "mcp_config.servers.1.headers"),
        ({"tools": ["x"]}, "mcp_config.url"),
        ({"url": 5}, "mcp_config.url"),
        ({"url": None, "token": "sk-secret"}, "mcp_config.token"),
        ({"servers": {"a": SERVER}}, "mcp_config.servers"),
        ({"servers": [None]}, "mcp_config.servers.0"),
        ([SERVER], "mcp_config"),
        ("http://a", "mcp_config"),
    ],
)
def test_another_member_of_an_mcp_config_is_refused_by_name(mcp_config, field):
    with pytest.raises(ConfigurationInvalid) as caught:
        agent_config({"configurable": {"mcp_config": mcp_config}})
    assert f"{field}: " in str(caught.value)
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(ConfigurationInvalid) as checked:
        check_mcp_config(mcp_config)
    assert str(checked.value) == str(caught.value)


@pytest.mark.parametrize("given", [100.0, 100, "100"])
def test_a_whole_number_is_an_integer_however_it_is_written(given):
    assert agent_config({"configurable": {"max_tokens": given, "seed": 7.0}}).sampling() == {
        "max_tokens": 100,
        "seed": 7,
    }


async def test_a_graph_has_no_checkpointer_and_takes_one_for_a_run(configure):
    compiled = await graph(configure(agent_tools=["6ba7b821-9dad-11d1-80b4-00c04fd430c8"]))
    assert compiled.checkpointer is None
    mine = compiled.copy({"checkpointer": InMemorySaver()})
    assert mine.notices == compiled.notices != ()
    thread = {"configurable": {"thread_id": "1"}}
    await mine.ainvoke({"messages": [("user", "my dog is called Rex")]}, thread)
    state = await mine.ainvoke({"messages": [("user", "what did I say first?")]}, thread)
    assert "Rex" in state["messages"][-1].content
    assert (await graph(configure(agent_tools=["6ba7b821-9dad-11d1-80b4-00c04fd430c8"]))).checkpointer is None


async def test_what_one_run_does_to_its_graph_is_not_seen_by_another(configure):
    first = await graph(configure())
    first.checkpointer = InMemorySaver()
    assert (await graph(configure())).checkpointer is None


async def test_topology_reads_the_state_that_a_run_with_tools_wrote(shared_toolbox, configure):
    config = configure(("server-1", shared_toolbox.url))
    saver = InMemorySaver()
    thread = {"configurable": {"thread_id": "t"}}
    running = (await graph(config)).copy({"checkpointer": saver})
    await running.ainvoke({"messages": [("user", 'use the tool echo with {"text": "hi"}')]}, thread)
    reading = topology(config).copy({"checkpointer": saver})
    state = await reading.aget_state(thread)
    assert [message.type for message in state.values["messages"]] == ["human", "ai", "tool", "ai"]
    assert state.next == ()
    assert [step.next async for step in reading.aget_state_history(thread)] == [
        step.next async for step in running.aget_state_history(thread)
    ]


async def test_topology_has_the_structure_of_every_agent(shared_toolbox, configure):
    for config in (configure(), configure(("s", shared_toolbox.url)), configure(("dead", "http://127.0.0.1:1"))):
        compiled, shape = await graph(config), topology(config)
        assert list(compiled.nodes) == list(shape.nodes) == ["__start__", "model", "tools"]
        assert set(compiled.channels) == set(shape.channels)
        assert compiled.get_input_jsonschema() == shape.get_input_jsonschema()


def test_topology_needs_no_key_no_server_and_no_valid_configuration(configure):
    assert topology(configure(("s", "http://127.0.0.1:1"), model_name="nobody:nothing", temperature="warm"))
    assert graph.topology is topology


async def test_equal_agents_share_one_build_and_unequal_ones_do_not(configure):
    agent._built.clear()
    for prompt in ("a", "b", "a"):
        await graph(configure(system_prompt=prompt))
    assert len(agent._built) == 2


async def test_builds_are_bounded(configure):
    for number in range(agent.MAX_CACHED_GRAPHS + 5):
        await graph(configure(system_prompt=str(number)))
    assert len(agent._built) == agent.MAX_CACHED_GRAPHS


async def test_fetch_tokens_finds_the_servers_that_need_one():
    servers = [{"url": "http://a"}, {"name": "b", "url": "http://b", "auth_required": True}]
    needed = await fetch_tokens({"configurable": {"mcp_config": {"servers": servers}}})
    assert [server.name for server in needed.servers] == ["b"]
    assert needed.first_url == "http://b"
    assert not await fetch_tokens({})


def test_tool_info_reads_servers_from_any_shape():
    configurable = {
        "mcp_config": {"servers": [{"name": "s", "url": "http://a", "tools": ["x"]}, {"url": "http://b"}, "odd", {}]},
        "agent_tools": [UUID(int=1)],
    }
    expected = {
        "servers": [
            {"name": "s", "url": "http://a", "tools": ["x"], "auth_required": False},
            {"name": "default", "url": "http://b", "tools": None, "auth_required": False},
        ],
        "agent_tools": [str(UUID(int=1))],
    }

    class Assistant:
        config = {"configurable": configurable}  # noqa: RUF012  the shape of a row, not a class to use

    for shape in (
        Assistant(),
        {"config": {"configurable": configurable}},
        {"configurable": configurable},
        configurable,
    ):
        assert get_agent_tool_info(shape) == expected
    for nothing in (None, {}, {"config": None}, {"configurable": {"mcp_config": {"servers": None}}}):
        assert get_agent_tool_info(nothing) == {"servers": [], "agent_tools": []}


def test_heavy_packages_are_imported_only_by_what_needs_them():
    code = (
        "import sys, asyncio, robyn_server.agent, tools_agent.configuration, tools_agent.notices, tools_agent.utils.token;"
        "heavy = [m for m in ('langgraph', 'langchain', 'langchain_core', 'mcp') if m in sys.modules];"
        "import tools_agent.agent as a;"
        "asyncio.run(a.graph({'configurable': {'model_name': 'offline:x'}}));"
        "print(heavy, [m for m in ('mcp', 'langchain_mcp_adapters', 'langchain_openai', 'robyn_server.core') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert ran.stdout.strip() == "[] []"
