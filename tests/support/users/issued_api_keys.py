"""Issue and revoke API keys as `agenthall keys` does."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from robyn_server.core.access.principal import ADMIN, Principal
from robyn_server.identity.api_keys import ApiKeyService, KeyRequest
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.postgres.pools import Role, open_pool

_OPERATOR = Principal("cli:tests", organizations=None, permissions=frozenset({ADMIN}))


@contextlib.asynccontextmanager
async def _service(database: str) -> AsyncIterator[ApiKeyService]:
    pool = await open_pool(database, Role.SYSTEM, size=1, name="tests")
    try:
        yield ApiKeyService(ApiKeys(pool))
    finally:
        await pool.close()


async def issue_api_key(database: str, tenant: str, scopes: tuple[str, ...] | None = None) -> str:
    async with _service(database) as service:
        issued = await service.create(
            _OPERATOR, KeyRequest(frozenset({UUID(tenant)}), "", scopes, None, None, "instance")
        )
    return issued.text.text


async def revoke_api_key(database: str, key: str) -> None:
    async with _service(database) as service:
        await service.revoke(_OPERATOR, key)
