"""Telling the catalogue which assistant an agent became: one column, best effort."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog

from robyn_server.metrics.definitions import WRITE_BACK_FAILURES, WRITE_BACK_RETRIES

from .memory_ledger import ledger_of
from .protocols import AssistantStorageProtocol, CataloguePool
from .source import STANDARD, CatalogueSource

_WRITE = """
update {table} set {column} = $2
 where id = $1 and {column}::text is distinct from $3::text
"""
"""The id comes twice, as text: in `$2` the driver writes it as the column's type, be that uuid or text."""

RETRIES_AT_ONCE = 100
WRITE_SECONDS = 5.0
"""A row that the product holds locked longer than this is written later."""

_log = structlog.get_logger(__name__)


async def write_back(
    pool: CataloguePool, agent_id: UUID, assistant_id: str, source: CatalogueSource = STANDARD
) -> bool:
    """Whether a row was written; False when it said so already. Raises whatever the catalogue's database raises."""
    query = _WRITE.format(table=source.table, column=source.column)
    async with asyncio.timeout(WRITE_SECONDS):
        status: Any = await pool.execute(query, agent_id, assistant_id, assistant_id)
    return bool(status == "UPDATE 1")


async def _write_back_langgraph_assistant_id(
    pool: CataloguePool, *, agent_id: UUID, assistant_id: str, source: CatalogueSource = STANDARD
) -> bool:
    """Whether a row was written. Never raises: a failure is logged."""
    try:
        return await write_back(pool, agent_id, assistant_id, source)
    except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
        WRITE_BACK_FAILURES.inc()
        log_write_back_failure(agent_id, reason_of(error))
        return False


async def retry_write_backs(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    limit: int = RETRIES_AT_ONCE,
    source: CatalogueSource = STANDARD,
) -> int:
    """Tries up to `limit` owed write-backs again; returns how many are done. Stops at the first that fails: so would the rest."""
    ledger = ledger_of(storage)
    done: list[UUID] = []
    for agent_id, assistant_id in await ledger.pending_write_backs(limit):
        try:
            await write_back(pool, agent_id, str(assistant_id), source)
        except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
            WRITE_BACK_FAILURES.inc()
            log_write_back_failure(agent_id, reason_of(error))
            break
        done.append(agent_id)
        WRITE_BACK_RETRIES.inc()
    if done:
        await ledger.written_back(done)
    return len(done)


def reason_of(error: Exception) -> str:
    return str(error) or repr(error)


def log_write_back_failure(agent_id: UUID, reason: str) -> None:
    _log.warning("write-back failed; it will be tried again", agent_id=str(agent_id), reason=reason)
