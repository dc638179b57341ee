"""Telling the catalogue which assistant an agent became: one column, best effort."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog

from .memory_ledger import ledger_of
from .protocols import AssistantStorageProtocol, CataloguePool

_WRITE = """
update public.agents set langgraph_assistant_id = $2
 where id = $1 and langgraph_assistant_id::text is distinct from $3::text
"""
"""The id comes twice, as text: in `$2` the driver writes it as the column's type, be that uuid or text."""

RETRIES_AT_ONCE = 100
WRITE_SECONDS = 5.0
"""A row that the product holds locked longer than this is written later."""

_log = structlog.get_logger(__name__)


async def write_back(pool: CataloguePool, agent_id: UUID, assistant_id: str) -> bool:
    """Whether a row was written; False when it said so already. Raises whatever the catalogue's database raises."""
    async with asyncio.timeout(WRITE_SECONDS):
        status: Any = await pool.execute(_WRITE, agent_id, assistant_id, assistant_id)
    return bool(status == "UPDATE 1")


async def _write_back_langgraph_assistant_id(pool: CataloguePool, *, agent_id: UUID, assistant_id: str) -> bool:
    """Whether a row was written. Never raises: a failure is logged."""
    try:
        return await write_back(pool, agent_id, assistant_id)
    except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
        log_write_back_failure(agent_id, reason_of(error))
        return False


async def retry_write_backs(
    pool: CataloguePool, storage: AssistantStorageProtocol, *, limit: int = RETRIES_AT_ONCE
) -> int:
    """Tries up to `limit` owed write-backs again; returns how many are done. Stops at the first that fails: so would the rest."""
    ledger = ledger_of(storage)
    done: list[UUID] = []
    for agent_id, assistant_id in await ledger.pending_write_backs(limit):
        try:
            await write_back(pool, agent_id, str(assistant_id))
        except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
            log_write_back_failure(agent_id, reason_of(error))
            break
        done.append(agent_id)
    if done:
        await ledger.written_back(done)
    return len(done)


def reason_of(error: Exception) -> str:
    return str(error) or repr(error)


def log_write_back_failure(agent_id: UUID, reason: str) -> None:
    _log.warning("write-back failed; it will be tried again", agent_id=str(agent_id), reason=reason)
