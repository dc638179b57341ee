"""The tools agent: `graph(config)` makes the agent that a configuration describes.

Rules
- Only the configuration and the tools that its servers offer now decide what is built; equal ones share one build.
- What the agent was meant to have and has not is in `AgentGraph.notices`, in its system prompt, and nowhere hidden.
- `topology(config)` has the same nodes and channels for every configuration: it dials nothing and needs no key.
- A graph has no checkpointer: `compiled.copy({"checkpointer": …})` per run. Never assign it: the caller's copy is its
  own, yet a copy made later would inherit it.
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
from .limits import Limits, set_limits
from .models.chat import load_model
from .models.offline import OfflineChatModel
from .notices import Notice, agent_tools_not_offered, collect, with_notices
from .tool_outcomes import ToolOutcomes

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from .tools.mcp import Offer

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
MOST_GRAPHS = 128


class AgentGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled agent that knows what it lacks. `notices` survives `copy` and `with_config`."""

    def __init__(self, *, notices: tuple[Notice, ...] = (), **pregel: Any) -> None:
        super().__init__(**pregel)
        self.notices = notices


async def graph(config: RunnableConfig) -> AgentGraph:
    """The agent of `config["configurable"]` (see AgentConfig), without a checkpointer.

    `graph(config).notices` is a tuple of Notice (plain JSON): `{kind, detail, server?, url?, names?}` with kind
    `mcp_server_unavailable`, `mcp_tools_not_found` or `agent_tools_not_offered`. Write them into the run's metadata
    under `notices.METADATA_KEY`; the model has been told in its system prompt. Notices that arise while the run goes
    on (`interaction_required`) are in its messages: `notices.collect(messages)`.

    Raises ConfigurationInvalid and the ModelUnavailable family; a tool server that fails is a notice, not an error.
    """
    agent = agent_config(config)
    offer = await _offer(agent)
    notices = _notices(agent, offer)
    key = _key(agent, offer, notices)
    built = _built.get(key)
    if built is None:
        model = await asyncio.to_thread(load_model, agent)  # imports a provider's package: seconds, the first time
        built = _compile(model, offer.tools() if offer else (), with_notices(agent.system_prompt, notices), notices)
        _keep(key, built)
    else:
        _built.move_to_end(key)
    return built.copy()


def topology(config: RunnableConfig) -> AgentGraph:  # noqa: ARG001  every configuration has the same nodes and channels
    """The agent's nodes and channels, for reading state and history. Not to be run: its model is a stand-in."""
    return _shape().copy()


async def close_sessions() -> None:
    """Close the MCP sessions of the running event loop. For the end of a worker; they reopen when needed."""
    _built.clear()
    if MCP_MODULE in sys.modules:
        await import_module(MCP_MODULE).close_sessions()


def notices_of_turn(messages: Sequence[Any]) -> list[Notice]:
    """What arose since the user last spoke: `interaction_required`, with the address to go to."""
    spoken = [at for at, message in enumerate(messages) if getattr(message, "type", None) == "human"]
    return collect(messages[spoken[-1] :] if spoken else messages)


graph.topology = topology  # type: ignore[attr-defined]
graph.collect_notices = notices_of_turn  # type: ignore[attr-defined]
graph.close = close_sessions  # type: ignore[attr-defined]

_built: OrderedDict[Hashable, AgentGraph] = OrderedDict()


async def _offer(agent: AgentConfig) -> Offer | None:
    if not agent.mcp_config.servers:
        return None
    if MCP_MODULE not in sys.modules:
        await asyncio.to_thread(import_module, MCP_MODULE)  # about a second: not on the event loop
    offer: Offer = await import_module(MCP_MODULE).discover(agent.mcp_config.servers)
    return offer


def _notices(agent: AgentConfig, offer: Offer | None) -> tuple[Notice, ...]:
    missing = offer.notices if offer else ()
    return (*missing, agent_tools_not_offered(agent.agent_tools)) if agent.agent_tools else missing


def _key(agent: AgentConfig, offer: Offer | None, notices: Sequence[Notice]) -> Hashable:
    told = json.dumps([agent.model_dump(mode="json"), notices], sort_keys=True)
    return told, offer.identity if offer else ()


@cache
def _shape() -> AgentGraph:
    return _compile(OfflineChatModel(), (), None, ())


def _compile(
    model: BaseChatModel, tools: Sequence[BaseTool], system_prompt: str | None, notices: tuple[Notice, ...]
) -> AgentGraph:
    compiled: Any = create_agent(model, list(tools), system_prompt=system_prompt, middleware=[ToolOutcomes()])
    parts = {name: part for name, part in vars(compiled).items() if name != "__orig_class__"}  # as Pregel.copy does
    return AgentGraph(**parts, notices=notices)


def _keep(key: Hashable, built: AgentGraph) -> None:
    _built[key] = built
    while len(_built) > MOST_GRAPHS:
        _built.popitem(last=False)
