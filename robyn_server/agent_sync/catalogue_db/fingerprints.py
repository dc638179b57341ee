"""Read the catalogue by fingerprint: a page of hashes first, and then only the agents that changed.

A fingerprint covers everything that the mapping reads of an agent: its row, tools, engine and model. It also covers the
version of the mapping, and the options and graphs that the mapping depends on. The catalogue's database computes it
over the query that reads agents, so everything that is read is covered. The column that sync writes back is not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.errors import ContractBroken
from robyn_server.agent_sync.options import AgentSyncOptions
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.core.json.canonical import content_hash

from .contract import CatalogueContract, last_found, probe_catalogue
from .fields import FIELDS
from .queries import agents_query, bound, scope_conditions
from .reader import read_under_contract
from .source import STANDARD, CataloguePool, CatalogueSource

MAPPING_VERSION = 1
"""Raise it with every change of reader.py or mapping.py by which the same row gives another assistant or failure."""

COVERED = tuple(field.name for field in FIELDS if field.fingerprinted)
NOT_COVERED = ("langgraph_assistant_id", "read_at")
"""Nor `registry_id`, which never changes."""

_HASHED = "row(:mapping::text, " + ", ".join(f'{column}::text collate "C"' for column in COVERED) + ")"
_FINGERPRINT = (
    f"int8send(hash_record_extended({_HASHED}, 0)) || int8send(hash_record_extended({_HASHED}, 1)) as fingerprint"
)
"""128 bits of PostgreSQL's own hash of rows (from version 14). SHA-256 of the row's text took longer than the read
itself. A collision is no attack: an editor who can make one can also leave the agent as it is. Columns are hashed as
text in collation "C", because in a citext, or a collation that ignores case, `Ada` and `ada` would be equal."""

_FINGERPRINTS = "select agent_id, langgraph_assistant_id, read_at, {fingerprint} from ({query}) as agent"
_ROWS = "select agent.*, {fingerprint} from ({query}) as agent"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`is_written_back`: the catalogue names the agent's assistant already, or has no column for it. `row`: read along
    with it.

    `read_at`: the catalogue database's clock, for the whole page.
    """

    agent_id: UUID
    value: bytes
    is_written_back: bool
    read_at: datetime | None = None
    row: Any = None


def mapping_fingerprint(options: AgentSyncOptions, graphs: Collection[str] | None) -> str:
    """Changes with everything that makes another assistant, or a failure, of the same row."""
    served = None if graphs is None else sorted(graphs)
    return content_hash([MAPPING_VERSION, options.default_model, options.tool_names, served])


class FingerprintedCatalogue:
    """The active agents of `scope`. Raises CatalogueUnavailable.

    `with_rows`: pages include the agents' rows. That is faster where most agents changed, as in the first sync.
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
        """All fingerprints, by id.

        The first page is half as long, so that the next steps can start early while the second page is read.
        """
        size, whole = max(1, size // 2), size
        after: UUID | None = None
        while True:
            conditions, values = scope_conditions(self._scope)
            if after is not None:
                conditions.append(f"{self._source.key} > :after")
                values["after"] = after
            with_rows = self.with_rows
            form = _ROWS if with_rows else _FINGERPRINTS
            rows = await self._fetch(form, conditions, values | {"size": size}, limit=":size")
            _check_keys(self._source, rows)
            if not rows and after is None:
                # a column of another type may make every agent inactive
                (await probe_catalogue(self._pool, self._source)).ensure_usable()
            if rows:
                yield [_fingerprint(row, with_row=with_rows) for row in rows]
            if len(rows) < size:
                return
            after, size = rows[-1]["agent_id"], whole

    async def rows(self, agent_ids: Sequence[UUID]) -> Sequence[Any]:
        """The agents that are still in the scope, as rows for `parse_agent`, each with the `fingerprint` of this
        read."""
        conditions, values = scope_conditions(self._scope)
        conditions.append(f"{self._source.key} = any (:agent_ids::uuid[])")
        return await self._fetch(_ROWS, conditions, values | {"agent_ids": agent_ids}, limit="all")

    async def _fetch(self, form: str, conditions: list[str], values: dict[str, Any], *, limit: str) -> Sequence[Any]:
        def ask(contract: CatalogueContract) -> Awaitable[Sequence[Any]]:
            query = agents_query(self._source, contract, conditions, limit=limit)
            text = form.format(query=query, fingerprint=_FINGERPRINT)
            return self._pool.fetch(*bound(text, **values, mapping=self._mapping))

        self._contract, rows = await read_under_contract(self._pool, self._source, self._contract, ask)
        return rows


def _check_keys(source: CatalogueSource, rows: Sequence[Any]) -> None:
    """Raises ContractBroken where a view returns an agent twice: it would be undefined which of the two is served."""
    if source.view is None:
        return
    twice = next((one["agent_id"] for one, next_ in pairwise(rows) if one["agent_id"] == next_["agent_id"]), None)
    if twice is not None:
        raise ContractBroken(f"The catalogue cannot be read: view {source.view} gives agent {twice} more than once")


def _fingerprint(row: Any, *, with_row: bool) -> Fingerprint:
    agent_id: UUID = row["agent_id"]
    is_written_back = row["langgraph_assistant_id"] == str(agent_id)
    return Fingerprint(agent_id, row["fingerprint"], is_written_back, row["read_at"], row if with_row else None)
