"""Agents as tools: an agent of a run calls other assistants, within the same run.

Rules
  1. A called assistant is one that the run's owner may use. It is looked up again for each call. A run of an API key
     that is bound to assistants calls no others.
  2. It runs as a subgraph of the calling tool: under the run's identity, streamed and checkpointed with the run, and
     cancelled with it. It takes no slot of a worker, so calls cannot wait for each other.
  3. An assistant that is already being called is not offered to those that it calls, and calls have a depth. So every
     chain of calls ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langgraph.errors import GraphBubbleUp

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.users import user_of
from robyn_server.core.errors import AgenthallError
from robyn_server.core.json import exact_json
from robyn_server.core.runs import ClaimedRun
from robyn_server.graphs.loading.contexts import context_for
from robyn_server.graphs.loading.factories import run_runtime
from robyn_server.storage.assistants import Assistants, CallableAssistant
from tools_agent.errors import AgentFailed, ToolsAgentError
from tools_agent.tools.agents import MissingAgent, OtherAgent

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.store.base import BaseStore

    from robyn_server.graphs.loading.served_graphs import Graphs

PATH = "agenthall_agent_path"
"""Key of `configurable`: ids of the assistants that are being called, from the run's own. Clients cannot set it."""

_OF_THE_RUN = ("thread_id", "run_id", "user_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
_INTERNAL = ("__", "langgraph_")


@dataclass(frozen=True, slots=True)
class _ActiveRun:
    run: ClaimedRun
    store: BaseStore
    principal: Principal

    def may_call(self, agent_id: UUID) -> bool:
        """Whether the API key of the run is bound to the agent, or to none."""
        bound = self.run.kwargs.get("bound_assistants")
        return not bound or str(agent_id) in bound


class RunAgentHost:
    """The AgentHost of a worker.

    `max_depth`: calls within calls. `is_open`: everybody may use every assistant, as without authentication.
    """

    def __init__(self, graphs: Graphs, assistants: Assistants, *, max_depth: int, is_open: bool = False) -> None:
        self._graphs = graphs
        self._assistants = assistants
        self._max_depth = max_depth
        self._is_open = is_open
        self._active: dict[str, _ActiveRun] = {}

    @contextlib.contextmanager
    def of(self, run: ClaimedRun, store: BaseStore) -> Iterator[None]:
        """Within the block the agents of the run can call others."""
        active = self._active[str(run.run_id)] = _ActiveRun(run, store, self._principal_of(run))
        try:
            yield
        finally:
            if self._active.get(str(run.run_id)) is active:  # else a later attempt has begun
                del self._active[str(run.run_id)]

    def _principal_of(self, run: ClaimedRun) -> Principal:
        """The run's owner, as a member of the run's organization alone."""
        if self._is_open:
            return Principal(run.owner_id, None)
        return Principal(run.owner_id, frozenset({run.organization_id} - {None}))  # type: ignore[arg-type]

    async def find(
        self, agent_ids: Sequence[UUID], config: RunnableConfig
    ) -> tuple[Sequence[OtherAgent], Sequence[MissingAgent]]:
        active = self._run_of(config)
        if active is None:  # the graph is built to be drawn or read
            return [], []
        path = _path(active.run, config)
        if len(path) > self._max_depth:
            why = f"{self._max_depth} agents already call one another (AGENTHALL_AGENT_DEPTH)"
            return [], [MissingAgent(each, why) for each in agent_ids]
        callable_ids = [each for each in agent_ids if str(each) not in path]
        found = await self._find_callable(active, callable_ids)
        missing = [
            MissingAgent(each, "it is already being called" if str(each) in path else _why_missing(active, each))
            for each in agent_ids
            if each not in found
        ]
        return [
            OtherAgent(each, found[each].name, found[each].description) for each in agent_ids if each in found
        ], missing

    async def ask(self, agent_id: UUID, message: str, config: RunnableConfig) -> str:
        active = self._run_of(config)
        if active is None:
            raise AgentFailed("the run has ended")
        found = (await self._find_callable(active, [agent_id])).get(agent_id)
        if found is None:
            raise AgentFailed("it does not exist any more")
        try:
            return await self._call(active, found, message, config)
        except (GraphBubbleUp, AgentFailed):
            raise
        except (AgenthallError, ToolsAgentError) as error:
            raise AgentFailed(error.detail) from error
        except Exception as error:
            raise AgentFailed(f"{type(error).__name__}: {error}") from error

    async def _find_callable(self, active: _ActiveRun, agent_ids: Sequence[UUID]) -> dict[UUID, CallableAssistant]:
        allowed = [each for each in agent_ids if active.may_call(each)]
        return await self._assistants.find_callable(active.principal, allowed)

    async def _call(self, active: _ActiveRun, found: CallableAssistant, message: str, config: RunnableConfig) -> str:
        run = active.run
        called = _called_config(found, config, [*_path(run, config), str(found.agent_id)])
        runtime = run_runtime(active.store, found.context, user_of(run.auth))
        async with self._graphs.opened(found.graph_id, called, runtime) as graph:
            if "messages" not in graph.channels:
                raise AgentFailed(f"its graph '{found.graph_id}' takes no messages")
            given = {"messages": [{"role": "user", "content": message}]}
            return _answer(await graph.ainvoke(given, called, context=context_for(graph.context_schema, found.context)))

    def _run_of(self, config: RunnableConfig) -> _ActiveRun | None:
        return self._active.get(str((config.get("configurable") or {}).get("run_id")))


def _why_missing(active: _ActiveRun, agent_id: UUID) -> str:
    return "it does not exist" if active.may_call(agent_id) else "the API key of the run is bound to other assistants"


def _path(run: ClaimedRun, config: RunnableConfig) -> list[str]:
    return list((config.get("configurable") or {}).get(PATH) or [str(run.assistant_id)])


def _called_config(found: CallableAssistant, config: RunnableConfig, path: list[str]) -> RunnableConfig:
    """The config of a called assistant: its own configuration, within the run and the task that calls it."""
    of_caller = config.get("configurable") or {}
    kept = {key: value for key, value in of_caller.items() if key in _OF_THE_RUN or key.startswith(_INTERNAL)}
    names = {"assistant_id": str(found.assistant_id), "graph_id": found.graph_id, PATH: path}
    own: Mapping[str, Any] = found.config.get("configurable") or {}
    metadata = {**(config.get("metadata") or {}), "assistant_id": str(found.assistant_id), "graph_id": found.graph_id}
    called: RunnableConfig = {**config, "configurable": {**own, **kept, **names}, "metadata": metadata}
    if "recursion_limit" in found.config:
        called["recursion_limit"] = found.config["recursion_limit"]
    return called


def _answer(output: Any) -> str:
    """The text of the last message; of a graph without messages, its output as JSON."""
    messages = output.get("messages") if isinstance(output, dict) else None
    if messages:
        return str(getattr(messages[-1], "text", messages[-1]))
    return exact_json.dumps(output, default=str).decode()
