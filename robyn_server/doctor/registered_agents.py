"""A check of registered agents: no other assistant has the id of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robyn_server.core.errors import Misconfigured
from robyn_server.storage.registry.agent_names import TakenNames

from .checks import Check, check_async
from .database import connect_as_system

_SHOWN = 5
_IS_MIGRATED = "select to_regprocedure('mcp.effective_execution(text,text,text)') is not null"


def registered_agents_checks(dsn: str) -> Iterator[Check]:
    yield check_async("agents", _check(dsn))


async def _check(dsn: str) -> str:
    """Raises Misconfigured naming the agents that cannot be called."""
    async with connect_as_system(dsn, "agenthall.assistants", "registered agents") as connection:
        if connection is None or not await connection.fetchval(_IS_MIGRATED):
            return "none yet"
        taken = await TakenNames(connection).taken_ids(_SHOWN + 1)
    if taken:
        raise Misconfigured(
            f"other assistants have the ids of the configurations of {_listed(taken)}; create these configurations again"
        )
    return "each agent that runs in instances is an assistant"


def _listed(names: Sequence[str]) -> str:
    more = " and others" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
