"""Checkpoints in LangGraph's own tables, in schema `langgraph`, through psycopg. They are the only source of a thread's
state.

Rules
  1. Each run has a saver of its own over one shared pool: a shared saver locks around every statement and serializes
     all runs.
  2. The saver of a run writes only while its worker holds the lease of this attempt. The database checks that in the
     transaction of the write, so a worker that was paused cannot overwrite what another has written since.
  3. A saver waits for an unavailable database and retries: all its operations are idempotent.
  4. For a task that failed or was cancelled, only the failure is stored, without its writes: LangGraph takes a task
     with writes for a finished one. If it was stopped before its conditional edge was evaluated, the resumed run would
     end there, successfully (github.com/langchain-ai/langgraph/issues/8834).
  5. A run can be rolled back. Its checkpoints name it, whatever wrote them. Before it writes beside a checkpoint of an
     earlier run, the database saves what stands there, in the same transaction.
  6. A checkpoint has a limited size. The state is read and written again with every step, and in every later run.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

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
from robyn_server.graphs.errors import StateTooLarge

from .serializer import checkpoint_serializer

_LOCK = 0x6C616E6767726170  # "langgrap"
_GRANT = "grant select, insert, update, delete on all tables in schema langgraph to agenthall_system"
_SEARCH_PATH = "set search_path = langgraph"
_ASSERT_LEASE = "select agenthall.assert_lease(%s, %s, %s)"
_SAVE_UNDO = "select agenthall.save_undo(%s, %s, %s, %s, %s)"
_LEASE_LOST = "AH001"
_RETRY_INTERVAL = 0.2
MAX_STATE_BYTES = 8 * 1024 * 1024
_READ_RETRY_SECONDS = 5.0
_RUN_RETRY_SECONDS = 120.0
"""Seconds that a run waits; its worker stops it earlier when its lease lapses."""

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class RetryingSaver(AsyncPostgresSaver):
    """Retries for `retry_seconds` while the database is unavailable. Raises Unavailable afterwards."""

    retry_seconds = _READ_RETRY_SECONDS

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        super().__init__(pool, serde=checkpoint_serializer())

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._retry(lambda: super(RetryingSaver, self).aget_tuple(config))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._retry(lambda: super(RetryingSaver, self).aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        kept = _without_partial_writes(writes)
        await self._retry(lambda: super(RetryingSaver, self).aput_writes(config, kept, task_id, task_path))

    async def _retry(self, call: Callable[[], Awaitable[_T]]) -> _T:
        deadline = time.monotonic() + self.retry_seconds
        while True:
            try:
                return await call()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Unavailable("The database of checkpoints cannot be reached; try again") from error
                _log.warning("a checkpoint waits for the database", error=repr(error))
                await asyncio.sleep(_RETRY_INTERVAL)


def _without_partial_writes(writes: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """Rule 4. The writes stay when the error handler of a node takes over: it continues with them."""
    channels = {channel for channel, _ in writes}
    if ERROR not in channels or ERROR_SOURCE_NODE in channels:
        return writes
    return [write for write in writes if write[0] in WRITES_IDX_MAP]


class LimitedSaver(RetryingSaver):
    """Writes states of at most `max_bytes`. Raises StateTooLarge."""

    def __init__(self, pool: AsyncConnectionPool[Any], max_bytes: int) -> None:
        super().__init__(pool)
        self._max_bytes = max_bytes

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        # LangGraph writes plain values into the checkpoint itself, and all others as blobs.
        self._check(sum(len(value) for value in checkpoint["channel_values"].values() if isinstance(value, str)))
        return await super().aput(config, checkpoint, metadata, new_versions)

    def _dump_blobs(self, *arguments: Any) -> Any:
        rows = super()._dump_blobs(*arguments)
        self._check(sum(len(row[-1] or b"") for row in rows))
        return rows

    def _dump_writes(self, *arguments: Any) -> Any:
        rows = super()._dump_writes(*arguments)
        self._check(sum(len(row[-1] or b"") for row in rows))
        return rows

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise StateTooLarge(self._max_bytes)


_CheckpointKey: TypeAlias = tuple[str, str]
"""Namespace and id of a checkpoint."""

_undo: ContextVar[_CheckpointKey | None] = ContextVar("undo", default=None)
"""The checkpoint of an earlier run beside which this task is about to write."""


def _writers(metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    """The run of a checkpoint: of one that a step has written, and of one that the run has written besides."""
    return metadata.get("run_id"), metadata.get("written_by_run")


def _key(config: RunnableConfig) -> _CheckpointKey:
    configurable = config.get("configurable", {})
    return configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"]


class LeasedSaver(LimitedSaver):
    """Writes only while `lease` (worker, run, attempt) is held. Raises Conflict otherwise, and StateTooLarge."""

    retry_seconds = _RUN_RETRY_SECONDS

    def __init__(self, pool: AsyncConnectionPool[Any], lease: tuple[UUID, UUID, int], max_bytes: int) -> None:
        super().__init__(pool, max_bytes)
        self._lease = lease
        self._run_id = str(lease[1])
        self._earlier: set[_CheckpointKey] = set()
        """Checkpoints of earlier runs that this one has read. It writes beside no others."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = await super().aget_tuple(config)
        if found is not None and self._run_id not in _writers(found.metadata):
            self._earlier.add(_key(found.config))
        return found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if self._run_id not in _writers(config.get("metadata", {})):
            # Not `run_id`: LangGraph would take a run that finds its own id there for one that goes on, and drop its
            # input.
            metadata = {**metadata, "written_by_run": self._run_id}  # type: ignore[typeddict-unknown-key]
        return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        key = _key(config)
        reset = _undo.set(key if key in self._earlier else None)
        try:
            await super().aput_writes(config, writes, task_id, task_path)
        finally:
            _undo.reset(reset)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[psycopg.AsyncCursor[Any]]:
        # LangGraph uses a pipeline, which is one transaction, for writes only.
        try:
            async with super()._cursor(pipeline=pipeline) as cursor:
                if pipeline and (key := _undo.get()) is not None:
                    await cursor.execute(_SAVE_UNDO, (*self._lease, *key))
                yield cursor
                if pipeline:
                    await cursor.execute(_ASSERT_LEASE, self._lease)
        except psycopg.Error as error:
            if error.sqlstate != _LEASE_LOST:
                raise
            raise Conflict("This worker has lost the lease of the run", code="run_lost") from error


class Checkpoints:
    """The pool that savers use. Call `start` before use and `stop` after."""

    def __init__(self, dsn: str, *, size: int, max_state_bytes: int = MAX_STATE_BYTES) -> None:
        self._dsn = dsn
        self.max_state_bytes = max_state_bytes
        self._lease: tuple[UUID, UUID, int] | None = None
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            open=False,
            timeout=30,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": 0,
                "application_name": "agenthall checkpoints",
            },
        )

    async def start(self) -> None:
        """Create LangGraph's tables where they are missing, and open the pool. Raises Unavailable."""
        try:
            await set_up(self._dsn)
            await self._pool.open(wait=True, timeout=30)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Unavailable("The database of checkpoints cannot be reached; try again") from error

    async def stop(self) -> None:
        await self._pool.close()

    def with_lease(self, worker_id: UUID, run_id: UUID, attempt: int) -> Checkpoints:
        """Return a copy whose savers write only while the worker holds the lease of the run in that attempt."""
        fenced = copy.copy(self)
        fenced._lease = (worker_id, run_id, attempt)  # noqa: SLF001 - of the same class
        return fenced

    def saver(self) -> AsyncPostgresSaver:
        return (
            LimitedSaver(self._pool, self.max_state_bytes)
            if self._lease is None
            else LeasedSaver(self._pool, self._lease, self.max_state_bytes)
        )


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # By statement: a pooler may ignore `options` of the startup packet, and the tables would be looked up in `public`.
    await connection.execute(_SEARCH_PATH)
    await connection.execute("set role agenthall_system")


async def set_up(dsn: str) -> None:
    """Run LangGraph's migrations.

    The lock is polled: CREATE INDEX CONCURRENTLY waits for every session that waits for a lock.
    """
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
    return newest is not None and newest >= newest_version()


def newest_version() -> int:
    """Return the number of the newest migration of LangGraph's tables that this build knows."""
    return len(AsyncPostgresSaver.MIGRATIONS) - 1


async def _value(connection: psycopg.AsyncConnection[Any], query: Any, *arguments: object) -> Any:
    row = await (await connection.execute(query, arguments)).fetchone()
    return row["v"] if row else None
