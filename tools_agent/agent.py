"""The tools agent: `graph(config)` makes the agent that a configuration describes.

Rules
- The configuration, the tools that its servers offer now and the agents that it may call are the only inputs of a
  build. Equal inputs share one build.
- `AgentGraph.notices` and the system prompt list tools that are configured but missing.
- `topology(config)` has the same nodes and channels for every configuration. It opens no connection and needs no key.
- A graph has no checkpointer. Use `compiled.copy({"checkpointer": …})` for each run; never assign the attribute, or
  later copies inherit it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from .configuration import AgentConfig, MCPConfig, MCPServerConfig, agent_config
from .conversation import ConversationState
from .credentials import ConnectionRequired
from .limits import Limits, set_limits
from .models.chat import load_model
from .models.offline import OfflineChatModel
from .models.providers import ProviderRules, rules_of
from .notices import Notice, collect, with_notices
from .tool_outcomes import ToolOutcomes
from .tools.agents import FoundAgents, find_agents
from .utils.token import fetch_tokens

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from .tools.mcp import DiscoveredTools

__all__ = [
    "AgentConfig",
    "AgentGraph",
    "Limits",
    "MCPConfig",
    "MCPServerConfig",
    "close_sessions",
    "graph",
    "set_limits",
    "topology",
]

MCP_MODULE = "tools_agent.tools.mcp"
MAX_CACHED_GRAPHS = 128


class AgentGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled agent with its `notices`, which `copy` and `with_config` keep."""

    keeps_finished_tasks = True
    """The results of calls that had finished when a run was stopped stay in the conversation when it goes on."""

    def __init__(self, *, notices: tuple[Notice, ...] = (), **pregel: Any) -> None:
        super().__init__(**pregel)
        self.notices = notices


async def graph(config: RunnableConfig) -> AgentGraph:
    """Build the agent of `config["configurable"]` (see AgentConfig), without a checkpointer.

    `graph(config).notices` is a tuple of Notice (plain JSON): `{kind, detail, server?, url?, names?}` with kind
    `mcp_server_unavailable`, `mcp_tools_not_found`, `mcp_tools_unusable` or `agent_tools_not_offered`. Write them into
    the run's metadata under `notices.METADATA_KEY`; the system prompt contains them already. Notices that arise during
    the run (`interaction_required`) are in its messages: `notices.collect(messages)`.

    Raises ConfigurationInvalid and the ModelUnavailable family; a tool server that fails is a notice, not an error.
    """
    agent = agent_config(config)
    discovered, others = await asyncio.gather(_discover_tools(agent, config), find_agents(agent.agent_tools, config))
    notices = (*(discovered.notices if discovered else ()), *others.notices)
    if discovered is not None and discovered.connections:  # with URLs that are used once
        return await _build(agent, discovered, others, notices)
    key = _key(agent, discovered, others, notices)
    built = _built.get(key)
    if built is None:
        built = await _build(agent, discovered, others, notices)
        _cache(key, built)
    else:
        _built.move_to_end(key)
    return built.copy()


def topology(config: RunnableConfig) -> AgentGraph:  # noqa: ARG001  the nodes and channels do not depend on it
    """Return the agent's nodes and channels, to read state and history. Do not run it: its model is a placeholder."""
    return _topology_graph().copy()


async def close_sessions() -> None:
    """Close the MCP sessions of the running event loop, as a worker does when it stops. They reopen when needed."""
    _built.clear()
    if MCP_MODULE in sys.modules:
        await import_module(MCP_MODULE).close_sessions()


def notices_of_turn(messages: Sequence[Any]) -> list[Notice]:
    """Collect the notices since the last message of the user: `interaction_required`, with the URL to open."""
    user_messages = [at for at, message in enumerate(messages) if getattr(message, "type", None) == "human"]
    return collect(messages[user_messages[-1] :] if user_messages else messages)


graph.topology = topology  # type: ignore[attr-defined]
graph.collect_notices = notices_of_turn  # type: ignore[attr-defined]
graph.close = close_sessions  # type: ignore[attr-defined]

_built: OrderedDict[Hashable, AgentGraph] = OrderedDict()


async def _build(
    agent: AgentConfig, discovered: DiscoveredTools | None, others: FoundAgents, notices: tuple[Notice, ...]
) -> AgentGraph:
    rules = rules_of(agent.model_name)
    # In threads: the first import of a provider's package takes seconds, and 250 schemas 0.4 s.
    model = await asyncio.to_thread(load_model, agent)
    if discovered is None:
        return _compile(model, others.tools(()), agent.system_prompt, notices, rules)
    offered = await asyncio.to_thread(discovered.offered, rules.with_room_for(len(others.agents)))
    tools = [*offered.tools, *others.tools([each.name for each in offered.tools])]
    every, connections = (*offered.notices, *notices), discovered.connections
    return await asyncio.to_thread(_compile, model, tools, agent.system_prompt, every, rules, connections)


async def _discover_tools(agent: AgentConfig, config: RunnableConfig) -> DiscoveredTools | None:
    servers = agent.mcp_config.servers
    if not servers:
        return None
    tokens = await fetch_tokens(config)
    if MCP_MODULE not in sys.modules:
        await asyncio.to_thread(import_module, MCP_MODULE)  # about a second, so not on the event loop
    user = (config.get("configurable") or {}).get("langgraph_auth_user_id")
    discovered: DiscoveredTools = await import_module(MCP_MODULE).discover(servers, tokens.credentials, str(user or ""))
    return discovered


def _key(
    agent: AgentConfig, discovered: DiscoveredTools | None, others: FoundAgents, notices: Sequence[Notice]
) -> Hashable:
    description = json.dumps([agent.model_dump(mode="json"), notices], sort_keys=True)
    return description, discovered.identity if discovered else (), others.agents


@cache
def _topology_graph() -> AgentGraph:
    return _compile(OfflineChatModel(), (), None, (), ProviderRules())


def _compile(
    model: BaseChatModel,
    tools: Sequence[BaseTool],
    system_prompt: str | None,
    notices: tuple[Notice, ...],
    rules: ProviderRules,
    connections: Sequence[ConnectionRequired] = (),
) -> AgentGraph:
    compiled: Any = create_agent(
        model,
        list(tools),
        system_prompt=with_notices(system_prompt, notices),
        middleware=[ToolOutcomes(rules, connections)],
        state_schema=ConversationState,
    )
    parts = {name: part for name, part in vars(compiled).items() if name != "__orig_class__"}  # as Pregel.copy does
    return AgentGraph(**parts, notices=notices)


def _cache(key: Hashable, built: AgentGraph) -> None:
    _built[key] = built
    while len(_built) > MAX_CACHED_GRAPHS:
        _built.popitem(last=False)
