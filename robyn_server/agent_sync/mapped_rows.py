"""A page of the catalogue's rows as what their assistants must be, every row judged on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robyn_server.core.catalogue import SyncOutcome

from .payload import _assistant_payload_for_agent, check_graph
from .rows import parse_agent
from .single import SyncContext, failed

PARSED_AT_ONCE = 25
"""Rows between which the event loop gets its turn: some milliseconds."""


class Item(NamedTuple):
    """What an assistant must be, and the row of the catalogue that says so.

    The agent between them is not kept: half of the objects of a page would be its, and the garbage collector looks at each.
    """

    row: Any
    payload: Mapping[str, Any]


class Batch(NamedTuple):
    """Those that can be served, and the failures of the others."""

    items: list[Item]
    failures: list[SyncOutcome]


async def map_rows(context: SyncContext, rows: Sequence[Any]) -> Batch:
    batch = Batch([], [])
    for number, row in enumerate(rows):
        if number % PARSED_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            agent = parse_agent(row)
            check_graph(agent, context.graphs)
            batch.items.append(Item(row, _assistant_payload_for_agent(agent, context.options)))
        except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, is one failure: its reason is kept
            batch.failures.append(failed(row["agent_id"], error))
    return batch
