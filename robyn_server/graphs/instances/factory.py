"""Builds the graph of an agent that runs in instances.

Its node `agent` gives the state to an instance as a job, and passes on what the instance streams. The result of the job
is the node's update. A job that ends with interrupts sends one task to `ask` for each. Each task interrupts the run;
when all are answered, `agent` makes another job, with the answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import Topic
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from robyn_server.core.registry.instances import INSTANCES_GRAPH

from .agent_node import ANSWERS, run_agent
from .options import state_properties

_CACHED = 256
_typed_dict: Any = TypedDict
"""Type checkers take TypedDict with literal names only."""


def graph(config: RunnableConfig) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build the graph for the state schema of the agent that `config` names."""
    return _build(json.dumps(state_properties(config.get("configurable") or {}), sort_keys=True)).copy()


@lru_cache(maxsize=_CACHED)
def _build(properties: str) -> CompiledStateGraph[Any, Any, Any, Any]:
    public = _state_type(json.loads(properties))
    state = _typed_dict(
        "InstancesState", {**public.__annotations__, ANSWERS: Annotated[list[Any], Topic(dict)]}, total=False
    )
    builder: Any = StateGraph(state, input_schema=public, output_schema=public)
    builder.add_node("agent", run_agent, destinations=("ask", END))
    builder.add_node("ask", _ask)
    builder.add_edge(START, "agent")
    builder.add_edge("ask", "agent")
    compiled: CompiledStateGraph[Any, Any, Any, Any] = builder.compile(name=INSTANCES_GRAPH)
    return compiled


def _state_type(properties: Mapping[str, Any]) -> Any:
    """The state: messages, which are merged by their ids, and the properties of the agent's state schema."""
    own = {name: Annotated[Any, WithJsonSchema(schema)] for name, schema in properties.items() if name != "messages"}
    return _typed_dict("State", {"messages": Annotated[list[AnyMessage], add_messages], **own}, total=False)


def _ask(asked: dict[str, Any]) -> dict[str, Any]:
    """Interrupt the run with one question of an instance, and keep the answer."""
    return {ANSWERS: [{"id": asked.get("id"), "value": interrupt(asked["value"])}]}
