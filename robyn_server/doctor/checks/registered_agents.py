"""A check of registered agents: no graph has the name of one, and no other assistant its id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robyn_server.core.errors import Misconfigured
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.doctor.check import Check, check_async
from robyn_server.doctor.database import connect_as_system
from robyn_server.settings import load_settings
from robyn_server.storage.registry.agent_names import TakenNames

_SHOWN = 5
_IS_MIGRATED = "select to_regprocedure('mcp.effective_execution(text,text,text)') is not null"


def registered_agents_checks(dsn: str) -> Iterator[Check]:
    yield check_async("agents", _check(dsn))


async def _check(dsn: str) -> str:
    """Raises Misconfigured naming the agents that cannot be called."""
    async with connect_as_system(dsn, "agenthall.assistants", "registered agents") as connection:
        if connection is None or not await connection.fetchval(_IS_MIGRATED):
            return "none yet"
        taken = TakenNames(connection)
        names, ids = await taken.names_of_graphs(_graph_ids()), await taken.taken_ids(_SHOWN + 1)
    problems = []
    if names:
        problems.append(
            f"graphs have the names of the agents {_listed(names)}; runs of these names run the graphs. "
            "Rename the graphs, or register the agents with other names"
        )
    if ids:
        problems.append(
            f"other assistants have the ids of the configurations of {_listed(ids)}; create these configurations again"
        )
    if problems:
        raise Misconfigured("; ".join(problems))
    return "each agent that runs in instances is an assistant"


def _graph_ids() -> list[str]:
    """The names of graphs. With wrong settings, which are reported elsewhere, those that always exist."""
    try:
        return [*load_settings(host="127.0.0.1").graph_paths, INSTANCES_GRAPH]
    except Misconfigured:
        return [INSTANCES_GRAPH]


def _listed(names: Sequence[str]) -> str:
    more = " and others" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
