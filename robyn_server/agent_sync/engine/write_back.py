"""Tell the catalogue which assistant an agent became: one column, best effort.

Rules
  1. Nothing waits for a row that another transaction has locked. Such a write-back is pending: so may be one of two
     replicas that write the same row at once.
  2. A write-back that fails is pending too. A running server tries again soon (live/write_backs.py), and so does each
     pass.
  3. Where the catalogue may only be read, nothing is tried, and nothing is pending. The log says so once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import structlog

from robyn_server.agent_sync.catalogue_db.contract import last_found, probe_catalogue
from robyn_server.agent_sync.catalogue_db.source import STANDARD, CataloguePool, CatalogueSource
from robyn_server.agent_sync.options import AgentSyncOptions
from robyn_server.agent_sync.store import AssistantStorageProtocol, SyncStore, sync_store
from robyn_server.concurrency.bisect import bisect
from robyn_server.metrics.definitions import WRITE_BACK_FAILURES, WRITE_BACK_RETRIES

# The id comes twice, as text: in `$2` the driver writes it as the column's type, be that uuid or text.
_WRITE = """
with free as (
  select a.id from {table} a
   where a.id = $1 and a.{column}::text is distinct from $3::text
     for no key update skip locked
)
update {table} a set {column} = $2
  from free
 where a.id = free.id
"""
_DIFFERS = "select a.id from {table} a where a.id = $1 and a.{column}::text is distinct from $2::text"

# An agent's assistant has the agent's id, which is assigned as uuid: that fits a column of type uuid, text or varchar.
_WRITE_PAGE = """
with free as (
  select a.id from {table} a
   where a.id = any ($1::uuid[]) and a.{column}::text is distinct from a.id::text
   order by a.id
     for no key update skip locked
)
update {table} a set {column} = free.id
  from free
 where a.id = free.id
"""
_DIFFERENT = """
select a.id from {table} a
 where a.id = any ($1::uuid[]) and a.{column}::text is distinct from a.id::text
 order by a.id
"""

RETRIES_AT_ONCE = 100
WRITE_SECONDS = 0.5
"""For one agent, while a request or an edit waits: a locked table or a slow trigger makes the write-back pending."""

PAGE_SECONDS = 5.0
REFUSALS = 24
"""Statements that may fail for one page: enough to find a few rows that a trigger refuses, and soon over where all are
refused."""

_READ_ONLY = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
_log = structlog.get_logger(__name__)


class RowNotWritten(Exception):
    """Another transaction holds the agent's row, or a policy keeps an UPDATE from it."""

    def __str__(self) -> str:
        return "the row is locked by another transaction, or row-level security keeps an UPDATE from it"


def may_write_back(pool: CataloguePool, options: AgentSyncOptions) -> bool:
    """Whether write-back is on, and the last probe did not find that the catalogue may only be read."""
    return options.write_back and last_found(pool, options.source).can_write_back


async def write_back(
    pool: CataloguePool, agent_id: UUID, assistant_id: str, source: CatalogueSource = STANDARD
) -> bool:
    """Whether a row was written; False where it has the id already, and in a catalogue that may only be read.

    Raises RowNotWritten, TimeoutError, and whatever the catalogue's database raises.
    """
    write, differs = (query.format(table=source.table, column=source.column) for query in (_WRITE, _DIFFERS))
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            status: Any = await pool.execute(write, agent_id, assistant_id, assistant_id)
            if status == "UPDATE 0" and await pool.fetch(differs, agent_id, assistant_id):
                raise RowNotWritten
    except _READ_ONLY:
        if await _is_writable(pool, source):
            raise
    return bool(status == "UPDATE 1")


async def _is_writable(pool: CataloguePool, source: CatalogueSource) -> bool:
    """Probe after a refusal, which may also come from a trigger in the catalogue. The findings are remembered."""
    found = await probe_catalogue(pool, source)
    if not found.can_write_back:
        _log.warning(
            "the catalogue may only be read: no assistant ids are written back",
            column=f"{source.table}.{source.column}",
        )
    return found.can_write_back


async def _write_back_langgraph_assistant_id(
    pool: CataloguePool, *, agent_id: UUID, assistant_id: str, source: CatalogueSource = STANDARD
) -> bool:
    """Whether a row was written. Never raises: a failure is logged."""
    try:
        return await write_back(pool, agent_id, assistant_id, source)
    except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
        log_write_back_failure(agent_id, count_failure(error))
        return False


class RetriedPage(NamedTuple):
    """`agent_ids`: those that were tried, by id. `failures`: the reasons of those that stay pending."""

    agent_ids: Sequence[UUID]
    failures: Mapping[UUID, str]


async def retry_write_backs(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    limit: int = RETRIES_AT_ONCE,
    source: CatalogueSource = STANDARD,
) -> int:
    """Try up to `limit` pending write-backs again; returns how many are done. The others stay pending."""
    page = await retry_page(pool, sync_store(storage), None, limit, source)
    for agent_id, reason in page.failures.items():
        log_write_back_failure(agent_id, reason)
    return len(page.agent_ids) - len(page.failures)


async def retry_page(
    pool: CataloguePool, store: SyncStore, after: UUID | None, limit: int, source: CatalogueSource
) -> RetriedPage:
    """Try the pending write-backs of up to `limit` agents again, those whose id comes after `after`."""
    pending = [agent_id for agent_id, _ in await store.pending_write_backs(after, limit)]
    failures = await write_back_page(pool, pending, source) if pending else {}
    done = [agent_id for agent_id in pending if agent_id not in failures]
    WRITE_BACK_RETRIES.inc(by=len(done))
    if done:
        await store.written_back(done)
    return RetriedPage(pending, failures)


async def write_back_page(
    pool: CataloguePool, agent_ids: Sequence[UUID], source: CatalogueSource = STANDARD
) -> Mapping[UUID, str]:
    """Write where it differs; returns the reasons of those that could not be written.

    Never raises what the catalogue raises.
    """
    page = _Page(pool, source)
    # after a timeout the rest would take as long, and where nothing may be written the rest is refused as well
    await bisect(agent_ids, page.write, page.fail, max_refusals=REFUSALS - 1, fatal=(TimeoutError, *_READ_ONLY))
    return page.failures if page.is_writable else {}


class _Page:
    def __init__(self, pool: CataloguePool, source: CatalogueSource) -> None:
        self.failures: dict[UUID, str] = {}
        self.is_writable = True
        self._pool = pool
        self._source = source
        self._write, self._different = (
            query.format(table=source.table, column=source.column) for query in (_WRITE_PAGE, _DIFFERENT)
        )

    async def write(self, agent_ids: Sequence[UUID]) -> None:
        """Raises whatever the catalogue raises: a trigger of theirs may raise anything."""
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                status = await self._pool.execute(self._write, agent_ids)
                if status == f"UPDATE {len(agent_ids)}":
                    return
                skipped = [row["id"] for row in await self._pool.fetch(self._different, agent_ids)]
        except _READ_ONLY:
            self.is_writable = await _is_writable(self._pool, self._source)
            raise
        self.failures |= dict.fromkeys(skipped, str(RowNotWritten()))

    def fail(self, agent_ids: Sequence[UUID], error: Exception) -> None:
        if self.is_writable:
            self.failures |= dict.fromkeys(agent_ids, count_failure(error, by=len(agent_ids)))


def count_failure(error: Exception, by: int = 1) -> str:
    """Count write-backs that failed, and return the reason. A row that is locked is no failure."""
    if not isinstance(error, RowNotWritten):
        WRITE_BACK_FAILURES.inc(by=by)
    return str(error) or repr(error)


def log_write_back_failure(agent_id: UUID, reason: str) -> None:
    _log.warning("write-back failed; it will be tried again", agent_id=str(agent_id), reason=reason)
