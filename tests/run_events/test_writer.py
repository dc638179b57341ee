"""Events and ends of runs are written in order and within bounds, and a failing run does not affect others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from deadlines import DEADLINE
from run_queue_database import MINUTE, SUCCESS, RunQueueDatabase, open_run_queue_database
from servers.live_server import until

from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, ClaimedRun, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.run_events import writer as event_writer
from robyn_server.run_events.run_writer import RunWriter
from robyn_server.run_events.writer import EventWriter, _Buffer
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.runs.queue import EndedRun, RunLease

WORKER = new_id()


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


class Bench:
    """A writer at work, and what it said to its worker."""

    def __init__(self, queue_db: RunQueueDatabase) -> None:
        self.lost: set[RunLease] = set()
        self.writer = EventWriter(queue_db.queue, Notifier(queue_db.url, "test"), WORKER, self.lost.update)


@pytest.fixture
async def bench(queue_db: RunQueueDatabase) -> AsyncIterator[Bench]:
    bench = Bench(queue_db)
    bench.writer.start()
    yield bench
    await bench.writer.stop()


async def test_events_are_numbered_on_and_the_end_comes_last(queue_db: RunQueueDatabase, bench: Bench) -> None:
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)
    for number in range(5):
        await writer.emit("custom", b"%d" % number)
    await writer.end(SUCCESS)
    rows = [(row["seq"], row["event"], row["data"]) for row in await queue_db.get_events(run.run_id)]
    assert rows[:5] == [(number + 1, "custom", str(number)) for number in range(5)]
    assert rows[5][:2] == (6, END)
    assert (await queue_db.get_run(run.run_id))["status"] == "success"


async def test_the_end_is_committed_when_it_returns_and_nul_is_left_out_of_columns_only(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    values = json.dumps({"text": "a\0b", "escaped": "\\u0000"}).encode()
    await RunWriter(bench.writer, run).end(RunEnd(RunStatus.SUCCESS, ThreadStatus.IDLE, values))
    (end,) = await queue_db.get_events(run.run_id)
    assert json.loads(end["data"])["values"] == {"text": "a\0b", "escaped": "\\u0000"}
    kept = await queue_db.admin.fetchval('select "values" from agenthall.threads where thread_id = $1', run.thread_id)
    assert json.loads(kept) == {"text": "ab", "escaped": "\\u0000"}


async def test_a_run_that_the_database_refuses_ends_in_an_error_and_the_others_do_not(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    bad, good = await queue_db.claim_new_run(WORKER), await queue_db.claim_new_run(WORKER)
    writing = [RunWriter(bench.writer, run) for run in (bad, good)]
    await asyncio.gather(*(writer.emit("custom", b'"fine"') for writer in writing))
    await writing[0].emit("custom", b'"with a raw \0"')
    await asyncio.gather(*(writer.end(SUCCESS) for writer in writing))
    refused, kept = await queue_db.get_run(bad.run_id), await queue_db.get_run(good.run_id)
    assert (refused["status"], json.loads(refused["error"])["error"]) == ("error", "RunNotRecorded")
    assert kept["status"] == "success"
    assert [row["event"] for row in await queue_db.get_events(good.run_id)] == ["custom", END]
    assert (await queue_db.get_events(bad.run_id))[-1]["event"] == END
    assert bench.lost == {(bad.run_id, 1)}


async def test_a_run_whose_very_end_is_refused_is_let_go_and_the_writer_writes_on(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    await queue_db.admin.execute("create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$")
    bad, good = await queue_db.claim_new_run(WORKER), await queue_db.claim_new_run(WORKER)
    await queue_db.admin.execute(
        f"create trigger no before insert on agenthall.run_events for each row when (new.run_id = '{bad.run_id}') execute function no()"
    )
    await RunWriter(bench.writer, bad).end(SUCCESS)
    await RunWriter(bench.writer, good).end(SUCCESS)
    assert bench.lost == {(bad.run_id, 1)}
    assert (await queue_db.get_run(bad.run_id))["status"] == "running"
    assert (await queue_db.get_run(good.run_id))["status"] == "success"


async def test_a_run_that_is_not_held_any_more_is_dropped_and_its_worker_is_told(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.queue.release(WORKER, drained=True)
    writer = RunWriter(bench.writer, run)
    await writer.emit("custom", b"1")
    await writer.end(SUCCESS)
    assert bench.lost == {(run.run_id, 1)}
    assert await queue_db.get_events(run.run_id) == []


async def _crash(queue_db: RunQueueDatabase, run: ClaimedRun, last_seq: int) -> None:
    """Do what a crash of the database does: undo the latest events, and empty unlogged tables."""
    undo = "delete from agenthall.run_events where run_id = $1 and seq > $2"
    await queue_db.admin.execute(undo, run.run_id, last_seq)
    await queue_db.admin.execute("truncate agenthall.crash_marks")


async def test_events_that_a_crash_of_the_database_has_undone_are_written_again(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)
    for number in range(5):
        await writer.emit("custom", b"%d" % number)
        await bench.writer.settle(DEADLINE)
    for last_seq in (2, 4):
        await _crash(queue_db, run, last_seq)
        await writer.emit("custom", b'"after it"')
        await bench.writer.settle(DEADLINE)
    rows = [(row["seq"], row["data"]) for row in await queue_db.get_events(run.run_id)]
    before = [(number + 1, str(number)) for number in range(5)]
    assert rows == [*before, (6, '"after it"'), (7, '"after it"')]
    assert bench.lost == set()


async def test_an_attempt_after_a_crash_uses_no_number_of_events_that_are_undone(queue_db: RunQueueDatabase) -> None:
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.queue.flush(WORKER, [(run, RunEvent(seq, 1, "custom", "1")) for seq in (1, 2, 3)], [])
    await _crash(queue_db, run, 1)
    await queue_db.queue.release(WORKER, drained=False)
    (again,) = await queue_db.queue.claim(WORKER, 1, MINUTE, ["echo"])
    assert (again.attempt, again.last_seq) == (2, 100_001)


async def test_an_attempt_without_a_crash_goes_on_with_the_numbers(queue_db: RunQueueDatabase) -> None:
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.queue.flush(WORKER, [(run, RunEvent(seq, 1, "custom", "1")) for seq in (1, 2, 3)], [])
    await queue_db.queue.release(WORKER, drained=False)
    (again,) = await queue_db.queue.claim(WORKER, 1, MINUTE, ["echo"])
    assert (again.attempt, again.last_seq) == (2, 3)


async def test_a_connection_that_was_cut_loses_nothing(queue_db: RunQueueDatabase, bench: Bench) -> None:
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)
    for number in range(20):
        await writer.emit("custom", b"%d" % number)
        if number % 5 == 0:
            await queue_db.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid() and datname = current_database() and query like '%flush_runs%'"
            )
    await writer.end(SUCCESS)
    assert [row["seq"] for row in await queue_db.get_events(run.run_id)] == list(range(1, 22))


async def test_runs_wait_when_the_database_does_not_keep_up(
    queue_db: RunQueueDatabase, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "_BACKLOG", 100)
    run = await queue_db.claim_new_run(WORKER)
    writer, said = RunWriter(bench.writer, run), 0

    async def talk() -> None:
        nonlocal said
        for number in range(400):
            await writer.emit("custom", b"%d" % number)
            said += 1
            await asyncio.sleep(0)

    async with queue_db.admin.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.runs where run_id = $1 for update", run.run_id)
        talking = asyncio.create_task(talk())
        await until(lambda: len(bench.writer._buffer.events) >= 100)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(bench.writer._buffer.events) == 100
        assert said < 400
    await talking
    await writer.end(SUCCESS)
    assert [row["seq"] for row in await queue_db.get_events(run.run_id)] == list(range(1, 402))


async def test_an_end_waits_for_its_own_events_and_not_for_those_of_others(queue_db: RunQueueDatabase) -> None:
    talker, quiet = await queue_db.claim_new_run(WORKER), await queue_db.claim_new_run(WORKER)
    loop = asyncio.get_running_loop()
    waiting = _Buffer([(talker, RunEvent(seq, 1, "custom", "1")) for seq in range(1, 2501)])
    waiting.endings = [(EndedRun(run, SUCCESS, b"{}"), loop.create_future()) for run in (talker, quiet)]
    flushes = [waiting.next_batch() for _ in range(3)]
    assert waiting.is_empty
    assert [len(flush.events) for flush in flushes] == [1000, 1000, 500]
    assert [[end.run for end in flush.ends] for flush in flushes] == [[quiet], [], [talker]]


async def test_events_after_a_flush_wait_for_more_and_an_end_waits_for_nothing(
    queue_db: RunQueueDatabase, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "pause_after", lambda _events: 3600.0)
    flushed = list[int]()
    flush = queue_db.queue.flush

    async def counted(worker_id: UUID, events: Sequence[Any], ends: Sequence[EndedRun]) -> Any:
        flushed.append(len(events))
        return await flush(worker_id, events, ends)

    monkeypatch.setattr(bench.writer, "_queue", SimpleNamespace(flush=counted))
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)
    await writer.emit("custom", b"1")
    await until(lambda: flushed)
    for _ in range(3):
        await writer.emit("custom", b"2")
        await asyncio.sleep(0)
    await writer.end(SUCCESS)
    assert flushed == [1, 3]


async def test_settling_returns_when_all_is_written_or_the_time_is_over(
    queue_db: RunQueueDatabase, bench: Bench
) -> None:
    await bench.writer.settle(10)
    run = await queue_db.claim_new_run(WORKER)
    async with queue_db.admin.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.runs where run_id = $1 for update", run.run_id)
        await RunWriter(bench.writer, run).emit("custom", b"1")
        await bench.writer.settle(0.05)
        assert not bench.writer._idle.is_set()
    await bench.writer.settle(10)
    assert len(await queue_db.get_events(run.run_id)) == 1


async def test_large_events_are_written_in_parts_and_wait_in_small_numbers(
    queue_db: RunQueueDatabase, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "_FLUSH_CHARACTERS", 2000)
    monkeypatch.setattr(event_writer, "_BACKLOG_CHARACTERS", 5000)
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)

    async def talk() -> None:
        for _ in range(40):
            await writer.emit("values", b"x" * 1000)

    async with queue_db.admin.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.runs where run_id = $1 for update", run.run_id)
        talking = asyncio.create_task(talk())
        await until(lambda: bench.writer._buffer.events)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(bench.writer._buffer.events) == 3, "five may wait, and two are on the way"
        assert not talking.done()
    talking.cancel()


async def test_large_events_are_written_completely(
    queue_db: RunQueueDatabase, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "_FLUSH_CHARACTERS", 2000)
    monkeypatch.setattr(event_writer, "_BACKLOG_CHARACTERS", 5000)
    run = await queue_db.claim_new_run(WORKER)
    writer = RunWriter(bench.writer, run)
    for _ in range(40):
        await writer.emit("values", b"x" * 1000)
    await writer.end(SUCCESS)
    assert [row["seq"] for row in await queue_db.get_events(run.run_id)] == list(range(1, 42))
    assert bench.writer._buffer.characters == 0
