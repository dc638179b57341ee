"""Checkpoints: LangGraph's own tables, in schema `langgraph`, through psycopg. They are the only truth about a thread's state.

Rules
  1. One saver for each run, over one shared pool: a shared saver holds a lock around every statement and so serialises all runs.
  2. A run's saver writes only while its worker holds the run in this attempt; the database decides, in the transaction of the
     write. A worker that was paused and woke up cannot put its old state on top of what another has made since.
  3. A database that is away is waited for: all that a saver does may be done twice.
  4. Of a task that failed or was cancelled its failure is stored, not what it had written so far: LangGraph takes a task with
     writes for a finished one, and of one that was stopped before its conditional edge had decided nothing would follow. The run
     that goes on would end there, successfully (github.com/langchain-ai/langgraph/issues/8834).
"""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # a checkpoint never imports what it likes

import psycopg
import structlog
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import ERROR, ERROR_SOURCE_NODE
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from robyn_server.core.errors import Conflict, Unavailable

_LOCK = 0x6C616E6767726170  # "langgrap"
_GRANT = "grant select, insert, update, delete on all tables in schema langgraph to agenthall_system"
_SEARCH_PATH = "set search_path = langgraph"
_ASSERT_HELD = "select agenthall.assert_held(%s, %s, %s)"
_NOT_HELD = "AH001"
_RETRY_SECONDS = 0.2
_READ_PATIENCE = 5.0
_RUN_PATIENCE = 120.0
"""A run waits longer: its worker stops it when its lease lapses."""

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class PatientSaver(AsyncPostgresSaver):
    """Waits for a database that is away, `patience` seconds; then it raises Unavailable."""

    patience = _READ_PATIENCE

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._insist(lambda: super(PatientSaver, self).aget_tuple(config))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._insist(lambda: super(PatientSaver, self).aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        kept = _without_half_a_task(writes)
        await self._insist(lambda: super(PatientSaver, self).aput_writes(config, kept, task_id, task_path))

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        give_up = time.monotonic() + self.patience
        while True:
            try:
                return await call()
            except psycopg.OperationalError as error:
                if time.monotonic() > give_up:
                    raise Unavailable("The database of checkpoints cannot be reached; try again") from error
                _log.warning("a checkpoint waits for the database", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)


def _without_half_a_task(writes: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """Rule 4. A failure that a node's error handler takes over stays as it is: the handler goes on with what was written."""
    channels = {channel for channel, _ in writes}
    if ERROR not in channels or ERROR_SOURCE_NODE in channels:
        return writes
    return [write for write in writes if write[0] in WRITES_IDX_MAP]


class HeldSaver(PatientSaver):
    """Writes only while `holder` (worker, run, attempt) is true. Raises Conflict when it is not."""

    patience = _RUN_PATIENCE

    def __init__(self, pool: AsyncConnectionPool[Any], holder: tuple[UUID, UUID, int]) -> None:
        super().__init__(pool)
        self._holder = holder

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[psycopg.AsyncCursor[Any]]:
        """LangGraph writes in a pipeline, which is one transaction, and does nothing else in one."""
        try:
            async with super()._cursor(pipeline=pipeline) as cursor:
                yield cursor
                if pipeline:
                    await cursor.execute(_ASSERT_HELD, self._holder)
        except psycopg.Error as error:
            if error.sqlstate != _NOT_HELD:
                raise
            raise Conflict("The run is not this worker's any more", code="run_lost") from error


class Checkpoints:
    """Owns the pool. `start()` before use, `stop()` after."""

    def __init__(self, dsn: str, *, size: int) -> None:
        self._dsn = dsn
        self._holder: tuple[UUID, UUID, int] | None = None
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            open=False,
            timeout=30,
            configure=_work_in_langgraph,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": 0,
                "application_name": "agenthall checkpoints",
            },
        )

    async def start(self) -> None:
        """Makes LangGraph's tables where they are missing, and opens the pool. Raises Unavailable when it cannot."""
        try:
            await set_up(self._dsn)
            await self._pool.open(wait=True, timeout=30)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Unavailable("The database of checkpoints cannot be reached; try again") from error

    async def stop(self) -> None:
        await self._pool.close()

    def held(self, worker_id: UUID, run_id: UUID, attempt: int) -> Checkpoints:
        """The same, with savers that write only while that worker holds that run in that attempt."""
        fenced = copy.copy(self)
        fenced._holder = (worker_id, run_id, attempt)  # noqa: SLF001 - of this very class
        return fenced

    def saver(self) -> AsyncPostgresSaver:
        return PatientSaver(self._pool) if self._holder is None else HeldSaver(self._pool, self._holder)


async def _work_in_langgraph(connection: psycopg.AsyncConnection[Any]) -> None:
    """By statement: of `options` in the startup packet a pooler may know nothing, and the tables would be looked for in `public`."""
    await connection.execute(_SEARCH_PATH)
    await connection.execute("set role agenthall_system")


async def set_up(dsn: str) -> None:
    """LangGraph's migrations, under a polled try-lock: its CREATE INDEX CONCURRENTLY waits for every session that waits for a lock."""
    connect = psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row, prepare_threshold=None)
    async with await connect as connection:
        await connection.execute(_SEARCH_PATH)
        if await _is_set_up(connection):
            return
        while not await _value(connection, "select pg_try_advisory_lock(%s) as v", _LOCK):
            await asyncio.sleep(0.1)
        try:
            await AsyncPostgresSaver(connection).setup()
            await connection.execute(_GRANT)
        finally:
            await connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


async def _is_set_up(connection: psycopg.AsyncConnection[Any]) -> bool:
    if await _value(connection, "select to_regclass('langgraph.checkpoint_migrations') as v") is None:
        return False
    newest = await _value(connection, "select max(v) as v from langgraph.checkpoint_migrations")
    return newest is not None and newest >= len(AsyncPostgresSaver.MIGRATIONS) - 1


async def _value(connection: psycopg.AsyncConnection[Any], query: Any, *arguments: object) -> Any:
    row = await (await connection.execute(query, arguments)).fetchone()
    return row["v"] if row else None
