"""Map a page of the catalogue's rows to the payloads of their assistants, each row on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robyn_server.agent_sync.catalogue_db.reader import parse_agent
from robyn_server.core.catalogue.fields import SyncOutcome

from .single import SyncContext, failed

PARSED_AT_ONCE = 25
"""Rows between which the event loop gets its turn: some milliseconds."""


class MappedAgent(NamedTuple):
    """The payload of an assistant, and the row of the catalogue that it comes from."""

    # The agent between them is not kept: half of a page's objects would be its own, and the garbage collector visits
    # each.
    row: Any
    payload: Mapping[str, Any]


class MappedPage(NamedTuple):
    """The agents that can be served, and the failures of the others."""

    agents: list[MappedAgent]
    failures: list[SyncOutcome]


async def map_rows(context: SyncContext, rows: Sequence[Any]) -> MappedPage:
    page = MappedPage([], [])
    for number, row in enumerate(rows):
        if number % PARSED_AT_ONCE == 0:
            await asyncio.sleep(0)
        name = None
        try:
            agent = parse_agent(row, context.options.source)
            name = agent.name
            page.agents.append(MappedAgent(row, context.payload(agent)))
        except Exception as error:  # noqa: BLE001  a problem of one agent, of whatever kind, is one failure: its reason is kept
            page.failures.append(failed(row["agent_id"], error, name))
    return page
