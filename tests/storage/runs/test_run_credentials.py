"""The encrypted token of a run's caller: there from the run's start to its end, whatever ends it."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
from run_storage import RunStorage, ended_run, new_run

from robyn_server.core.access.principal import ADMIN, Principal
from robyn_server.core.errors import Forbidden
from robyn_server.core.ids import new_id
from robyn_server.core.runs import RunEnd, RunStatus, ThreadStatus
from robyn_server.storage.mcp.run_credentials import RunCredentials
from robyn_server.storage.postgres.pools import acting_as

SEALED = b"\x01" + bytes(60)
ADA, MIA = Principal("ada"), Principal("mia")
ONE, OTHER = new_id(), new_id()


async def kept(storage: RunStorage, run_id: UUID) -> bool:
    found = await RunCredentials(storage.system).find(run_id)
    assert found in (None, SEALED)
    return found is not None


async def test_it_stays_while_the_run_waits_runs_and_is_taken_by_another_worker(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE, principal=ADA, credential=SEALED)
    assert await kept(storage, run.run_id)
    await storage.expire_leases(run.run_id)
    assert await storage.queue.rescue() == (1, 0)
    assert await kept(storage, run.run_id)
    assert [each.attempt for each in await storage.claim(OTHER)] == [2]
    assert await kept(storage, run.run_id)


@pytest.mark.parametrize("status", [RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.INTERRUPTED])
async def test_every_end_of_a_run_deletes_it(storage: RunStorage, status: RunStatus) -> None:
    run = await storage.claim_new_run(ONE, principal=ADA, credential=SEALED)
    error = {"error": "E", "message": "m"}
    end = RunEnd(status, ThreadStatus.IDLE, None, error=None if status is RunStatus.SUCCESS else error)
    assert await storage.queue.flush(ONE, [], [ended_run(run, end)]) == (set(), False)
    assert not await kept(storage, run.run_id)


async def test_a_run_without_attempts_left_has_none(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE, principal=ADA, credential=SEALED, max_attempts=1)
    await storage.expire_leases(run.run_id)
    assert await storage.queue.rescue() == (0, 1)
    assert not await kept(storage, run.run_id)


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_pending_run_that_is_cancelled_has_none(storage: RunStorage, action: str) -> None:
    run_id = await storage.enqueue(new_id(), ADA, credential=SEALED)
    assert await storage.queue.cancel_pending(run_id, action)
    assert not await kept(storage, run_id)


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_that_another_replaces_has_none(storage: RunStorage, strategy: str) -> None:
    thread = new_id()
    run_id = await storage.enqueue(thread, ADA, credential=SEALED)
    latest = await storage.enqueue(thread, ADA, credential=SEALED, multitask_strategy=strategy)
    assert not await kept(storage, run_id) and await kept(storage, latest)


async def test_a_deleted_run_has_none(storage: RunStorage) -> None:
    thread = new_id()
    run_id = await storage.enqueue(thread, ADA, credential=SEALED)
    assert await storage.runs.delete(ADA, thread, run_id)
    assert not await kept(storage, run_id)


async def test_a_batch_keeps_one_for_each_of_its_runs(storage: RunStorage) -> None:
    batch = [new_run(new_id(), new_thread="ephemeral", credential=sealed) for sealed in (SEALED, None)]
    await storage.runs.enqueue_batch(ADA, batch)
    assert [await kept(storage, each.run_id) for each in batch] == [True, False]


async def test_a_refused_run_keeps_none(storage: RunStorage) -> None:
    new = new_run(new_id(), new_thread="reject", credential=SEALED)
    assert (await storage.runs.enqueue(ADA, new))[0] == "thread_missing"
    assert not await kept(storage, new.run_id)


async def test_no_principal_reads_a_ciphertext_or_writes_that_of_anothers_run(storage: RunStorage) -> None:
    run_id = await storage.enqueue(new_id(), ADA)
    for principal in (ADA, MIA, Principal("root", None, frozenset({ADMIN}))):
        async with acting_as(storage.app, principal) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("select sealed from agenthall.run_credentials")
    with pytest.raises(Forbidden):  # row-level security
        async with acting_as(storage.app, MIA) as connection:
            await connection.execute("insert into agenthall.run_credentials values ($1, $2)", run_id, SEALED)


@pytest.mark.parametrize("table", ["mcp_credentials", "mcp_authorizations", "mcp_clients"])
async def test_no_principal_reads_what_is_the_operators(storage: RunStorage, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await storage.app.fetch(f"select * from agenthall.{table}")
