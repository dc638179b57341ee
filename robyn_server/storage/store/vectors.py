"""How distances of the store's vectors are computed."""

from __future__ import annotations

import structlog

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import open_connection
from robyn_server.storage.postgres.queries import load

_SQL = load("store/vectors")

_log = structlog.get_logger(__name__)


async def use_pgvector(dsn: str) -> None:
    """Compute distances with pgvector.

    Without the extension, SQL computes them, some hundred times as slowly: that is logged.
    """
    connection = await open_connection(dsn, None, name="agenthall store index")
    try:
        async with translated():
            is_there = await connection.fetchval(*_SQL["use_pgvector"].bind())
    finally:
        await connection.close()
    if not is_there:
        _log.warning(
            "store index without pgvector", hint="install pgvector, and run `create extension vector` as a superuser"
        )
