"""The operator's credentials for MCP servers. Works as agenthall_system: no other role may read the table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg
import orjson

from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind, StoredEntry
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Connection, Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("mcp/credentials")
_PAGE = 500


class McpCredentials:
    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool
        self.page = _PAGE

    async def put(self, entry: CredentialEntry, sealed: bytes, updated_by: str) -> StoredEntry:
        """Create the entry of the server and organization, or replace it."""
        query = _SQL["put"].bind(
            organization_id=entry.organization_id,
            url=entry.url,
            kind=entry.kind,
            options=orjson.dumps(dict(entry.options)).decode(),
            sealed=sealed,
            updated_by=updated_by,
        )
        async with translated():
            row = await self._pool.fetchrow(*query)
        assert row is not None  # noqa: S101 - an insert that returns
        return _stored(row)

    async def find_for(self, organization_id: UUID | None, urls: Sequence[str]) -> list[StoredEntry]:
        """The entries for these servers: those of the organization, and those for all."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["find_for"].bind(urls=urls, organization_id=organization_id))
        return [_stored(row) for row in rows]

    async def find_connectable(self, organization_id: UUID | None, url: str | None, limit: int) -> list[StoredEntry]:
        """Entries of servers that members of the organization connect to themselves, by URL. `url`: only that one."""
        query = _SQL["find_connectable"].bind(organization_id=organization_id, url=url, limit=limit)
        async with translated():
            rows = await self._pool.fetch(*query)
        return [_stored(row) for row in rows]

    async def passes_tokens(self) -> bool:
        """Whether any server gets the token of the caller, or one that is exchanged for it."""
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["passes_tokens"].bind()))

    async def passes_tokens_to(self, urls: Sequence[str]) -> bool:
        """As `passes_tokens`, of these servers."""
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["passes_tokens_to"].bind(urls=urls)))

    async def count_by_key(self) -> dict[str, int]:
        """Entries, connections and registered clients by the id of the key that encrypted them, in hex. Reads all."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["count_by_key"].bind())
        return {row["key"]: row["ciphertexts"] for row in rows}

    async def walk(self) -> AsyncIterator[StoredEntry]:
        """Yield all entries, by URL."""
        after = ("", "")
        while True:
            query = _SQL["walk"].bind(after_url=after[0], after_organization=after[1], limit=self.page)
            async with translated():
                rows = await self._pool.fetch(*query)
            for row in rows:
                yield _stored(row)
            if len(rows) < self.page:
                return
            after = (rows[-1]["url"], str(rows[-1]["organization_id"] or ""))

    async def delete(self, url: str, organization_id: UUID | None) -> bool:
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["delete"].bind(url=url, organization_id=organization_id)))

    async def reseal(self, stored: StoredEntry, sealed: bytes) -> bool:
        """Replace a ciphertext. Return False for one that was replaced meanwhile."""
        query = _SQL["reseal"].bind(
            url=stored.entry.url,
            organization_id=stored.entry.organization_id,
            before=stored.sealed,
            sealed=sealed,
        )
        async with translated():
            return bool(await self._pool.fetchval(*query))


def _stored(row: asyncpg.Record) -> StoredEntry:
    entry = CredentialEntry(
        row["organization_id"], row["url"], CredentialKind(row["kind"]), orjson.loads(row["options"])
    )
    return StoredEntry(entry, row["sealed"], row["updated_at"], row["updated_by"])
