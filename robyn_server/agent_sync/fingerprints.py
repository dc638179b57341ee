"""The catalogue by fingerprint: a page of hashes instead of a page of agents, and then only those agents that are asked for.

A fingerprint covers everything that the mapping reads of an agent (its row, tools, engine and model), and the mapping itself: its
version, the options and the graphs that it depends on. It is computed by the catalogue's database over the very query that reads
agents, so nothing can be read that it does not cover. What sync itself writes there is not in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from robyn_server.core.canonical import content_hash

from .catalogue import read_under_contract
from .catalogue_sql import agents_query
from .contract import CatalogueContract, last_found
from .errors import ContractBroken
from .options import AgentSyncOptions
from .protocols import CataloguePool
from .scope import AgentSyncScope
from .sharing import sharing_conditions
from .source import STANDARD, CatalogueSource

MAPPING_VERSION = 1
"""To be raised with every change of rows.py, sampling.py or payload.py by which the same row gives another assistant or failure."""

COVERED = (
    "agent_id",
    "organization_id",
    "name",
    "description",
    "is_global",
    "system_prompt",
    "sampling_params",
    "assistant_tool_ids",
    "graph_id",
    "engine_id",
    "engine_type",
    "engine_found",
    "runtime_model_name",
    "mcp_tools",
)
NOT_COVERED = ("langgraph_assistant_id", "read_at")
"""Nor `registry_id`, which never changes."""

_HASHED = "row({mapping}::text, " + ", ".join(f'{column}::text collate "C"' for column in COVERED) + ")"
_FINGERPRINT = (
    f"int8send(hash_record_extended({_HASHED}, 0)) || int8send(hash_record_extended({_HASHED}, 1)) as fingerprint"
)
"""128 bits of PostgreSQL's own hash of rows (version 14 on). SHA-256 of the row's text took longer than all the reading, and there
is nobody to defend against: who could find a collision could as well leave the agent as it is. As text in collation "C" what is
hashed is what is read: of a citext, or in a collation that ignores case, `Ada` and `ada` would be the same."""

_FINGERPRINTS = "select agent_id, langgraph_assistant_id, read_at, {fingerprint} from ({query}) as agent"
_ROWS = "select agent.*, {fingerprint} from ({query}) as agent"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`is_written_back`: the catalogue names the agent's assistant already, or has no column for it. `row`: read along with it.

    `read_at`: the catalogue database's clock, for the whole page.
    """

    agent_id: UUID
    value: bytes
    is_written_back: bool
    read_at: datetime | None = None
    row: Any = None


def mapping_fingerprint(options: AgentSyncOptions, graphs: Collection[str] | None) -> str:
    """Changes with whatever makes another assistant, or a failure, of the same row."""
    served = None if graphs is None else sorted(graphs)
    return content_hash([MAPPING_VERSION, options.default_model, options.tool_names, served])


class FingerprintedCatalogue:
    """The active agents of `scope`. Raises CatalogueUnavailable.

    `with_rows`: pages bring the agents' rows too. Better where most will be wanted: at the first sync of all, each is.
    """

    def __init__(
        self, pool: CataloguePool, scope: AgentSyncScope, mapping: str, source: CatalogueSource = STANDARD
    ) -> None:
        self._pool = pool
        self._source = source
        self._scope = scope
        self._mapping = mapping
        self._contract = last_found(pool, source)
        self.with_rows = False

    async def pages(self, size: int) -> AsyncGenerator[list[Fingerprint], None]:
        """All of them, by id. Pages go by key, as those of agents do.

        The first is half as long: the sooner it is there, the sooner something can be done with it while the next one is read.
        """
        size, whole = max(1, size // 2), size
        after: UUID | None = None
        while True:
            conditions, arguments = self._conditions()
            if after is not None:
                arguments.append(after)
                conditions.append(f"{self._source.key} > ${len(arguments)}")
            arguments.append(size)
            with_rows = self.with_rows
            form = _ROWS if with_rows else _FINGERPRINTS
            rows = await self._fetch(form, conditions, arguments, limit=f"${len(arguments)}")
            _check_keys(self._source, rows)
            if rows:
                yield [_fingerprint(row, with_row=with_rows) for row in rows]
            if len(rows) < size:
                return
            after, size = rows[-1]["agent_id"], whole

    async def rows(self, agent_ids: Sequence[UUID]) -> Sequence[Any]:
        """Those that are still in the scope, as rows for `parse_agent`, each with its `fingerprint` at this reading."""
        conditions, arguments = self._conditions()
        arguments.append(agent_ids)
        conditions.append(f"{self._source.key} = any (${len(arguments)}::uuid[])")
        return await self._fetch(_ROWS, conditions, arguments, limit="all")

    def _conditions(self) -> tuple[list[str], list[Any]]:
        conditions = sharing_conditions(self._scope)
        if self._scope.type == "org":
            return [*conditions, "a.organization_id = any ($2::uuid[])"], [self._mapping, self._scope.organization_ids]
        return conditions, [self._mapping]

    async def _fetch(self, form: str, conditions: list[str], arguments: list[Any], *, limit: str) -> Sequence[Any]:
        def ask(contract: CatalogueContract) -> Awaitable[Sequence[Any]]:
            query = agents_query(self._source, contract, conditions, limit=limit)
            return self._pool.fetch(form.format(query=query, fingerprint=_FINGERPRINT.format(mapping="$1")), *arguments)

        self._contract, rows = await read_under_contract(self._pool, self._source, self._contract, ask)
        return rows


def _check_keys(source: CatalogueSource, rows: Sequence[Any]) -> None:
    """Raises ContractBroken where a view gives an agent twice: which of the two would be served, nobody could say."""
    if source.view is None:
        return
    twice = next((one["agent_id"] for one, next_ in pairwise(rows) if one["agent_id"] == next_["agent_id"]), None)
    if twice is not None:
        raise ContractBroken(f"The catalogue cannot be read: view {source.view} gives agent {twice} more than once")


def _fingerprint(row: Any, *, with_row: bool) -> Fingerprint:
    agent_id: UUID = row["agent_id"]
    is_written_back = row["langgraph_assistant_id"] == str(agent_id)
    return Fingerprint(agent_id, row["fingerprint"], is_written_back, row["read_at"], row if with_row else None)
