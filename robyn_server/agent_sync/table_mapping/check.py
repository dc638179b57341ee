"""Try a mapping as the server would read it, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import asyncpg

from robyn_server.agent_sync.catalogue_db.contract import probe_catalogue
from robyn_server.agent_sync.catalogue_db.reader import agent_pages
from robyn_server.agent_sync.catalogue_db.source import CatalogueSource
from robyn_server.agent_sync.errors import AgentRejected
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.core.errors import Misconfigured

from .mapping import TableMapping
from .sql import select_sql

AGENTS = 500
"""How many are read. Reasons of more than a few are the same ones."""

_VIEW = "agenthall_mapping"


@dataclass(frozen=True, slots=True)
class MappingReport:
    """`problems`: why nothing could be read.

    `names`: of agents that can be served; `rejected`: reasons of the others.
    """

    problems: Sequence[str] = ()
    names: Sequence[str] = ()
    rejected: Sequence[str] = ()
    has_more: bool = False

    @property
    def is_usable(self) -> bool:
        return not self.problems


async def apply_mapping(connection: asyncpg.Connection[Any], sql: str) -> None:
    """Run the script, which is one transaction. Raises Misconfigured with what the database says against it."""
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError as error:
        await connection.execute("rollback")
        raise Misconfigured(f"--apply: nothing was changed: {error}") from None


async def check_mapping(connection: asyncpg.Connection[Any], mapping: TableMapping) -> MappingReport:
    """Make the view for this connection only, probe it, read the first agents, and take it back.

    Raises CatalogueUnavailable.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        try:
            await connection.execute(f"create temporary view {_VIEW} as {select_sql(mapping)}")
        except asyncpg.PostgresError as error:
            return MappingReport([str(error)])
        return await _read(connection)
    finally:
        await transaction.rollback()


async def _read(connection: asyncpg.Connection[Any]) -> MappingReport:
    source = CatalogueSource(view=f"pg_temp.{_VIEW}")
    contract = await probe_catalogue(connection, source)
    if contract.problems:
        return MappingReport([_without_view(problem) for problem in contract.problems])
    rejected, names = list[AgentRejected](), list[str]()
    async with aclosing(agent_pages(connection, AgentSyncScope("all"), rejected, size=AGENTS, source=source)) as pages:
        async for page in pages:
            names = [agent.name for agent in page]
            break
    reasons = [_without_view(str(each)) for each in rejected]
    return MappingReport((), names, reasons, len(names) + len(rejected) >= AGENTS)


def _without_view(text: str) -> str:
    """Name columns alone: this view is there for the check only."""
    return text.replace(f"pg_temp.{_VIEW}.", "")
