"""What runs say and how they end, on its way into the database: bounded, in order, and one run's trouble is its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from live_server import until
from surroundings import SUCCESS, Desk, open_desk

from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.runtime import event_writer
from robyn_server.runtime.channels import Notifier
from robyn_server.runtime.event_writer import EventWriter, RunWriter, _Waiting
from robyn_server.storage.runs import EndedRun, Held

WORKER = new_id()


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    async with open_desk(database) as desk:
        yield desk


class Bench:
    """A writer at work, and what it said to its worker."""

    def __init__(self, desk: Desk) -> None:
        self.lost: set[Held] = set()
        self.writer = EventWriter(desk.queue, Notifier(desk.url, "test"), WORKER, self.lost.update)


@pytest.fixture
async def bench(desk: Desk) -> AsyncIterator[Bench]:
    bench = Bench(desk)
    bench.writer.start()
    yield bench
    await bench.writer.stop()


async def test_events_are_numbered_on_and_the_end_comes_last(desk: Desk, bench: Bench) -> None:
    run = await desk.claimed(WORKER)
    writer = RunWriter(bench.writer, run)
    for number in range(5):
        await writer.emit("custom", b"%d" % number)
    await writer.end(SUCCESS)
    rows = [(row["seq"], row["event"], row["data"]) for row in await desk.events(run.run_id)]
    assert rows[:5] == [(number + 1, "custom", str(number)) for number in range(5)]
    assert rows[5][:2] == (6, END)
    assert (await desk.run(run.run_id))["status"] == "success"


async def test_the_end_is_committed_when_it_returns_and_nul_is_left_out_of_columns_only(
    desk: Desk, bench: Bench
) -> None:
    run = await desk.claimed(WORKER)
    values = json.dumps({"text": "a\0b", "escaped": "\\u0000"}).encode()
    await RunWriter(bench.writer, run).end(RunEnd(RunStatus.SUCCESS, ThreadStatus.IDLE, values))
    (end,) = await desk.events(run.run_id)
    assert json.loads(end["data"])["values"] == {"text": "a\0b", "escaped": "\\u0000"}
    kept = await desk.admin.fetchval('select "values" from agenthall.threads where thread_id = $1', run.thread_id)
    assert json.loads(kept) == {"text": "ab", "escaped": "\\u0000"}


async def test_a_run_that_the_database_refuses_ends_in_an_error_and_the_others_do_not(desk: Desk, bench: Bench) -> None:
    bad, good = await desk.claimed(WORKER), await desk.claimed(WORKER)
    writing = [RunWriter(bench.writer, run) for run in (bad, good)]
    await asyncio.gather(*(writer.emit("custom", b'"fine"') for writer in writing))
    await writing[0].emit("custom", b'"with a raw \0"')
    await asyncio.gather(*(writer.end(SUCCESS) for writer in writing))
    refused, kept = await desk.run(bad.run_id), await desk.run(good.run_id)
    assert (refused["status"], json.loads(refused["error"])["error"]) == ("error", "RunNotRecorded")
    assert kept["status"] == "success"
    assert [row["event"] for row in await desk.events(good.run_id)] == ["custom", END]
    assert (await desk.events(bad.run_id))[-1]["event"] == END
    assert bench.lost == {(bad.run_id, 1)}


async def test_a_run_whose_very_end_is_refused_is_let_go_and_the_writer_writes_on(desk: Desk, bench: Bench) -> None:
    await desk.admin.execute("create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$")
    bad, good = await desk.claimed(WORKER), await desk.claimed(WORKER)
    await desk.admin.execute(
        f"create trigger no before insert on agenthall.run_events for each row when (new.run_id = '{bad.run_id}') execute function no()"
    )
    await RunWriter(bench.writer, bad).end(SUCCESS)
    await RunWriter(bench.writer, good).end(SUCCESS)
    assert bench.lost == {(bad.run_id, 1)}
    assert (await desk.run(bad.run_id))["status"] == "running"
    assert (await desk.run(good.run_id))["status"] == "success"


async def test_a_run_that_is_not_held_any_more_is_dropped_and_its_worker_is_told(desk: Desk, bench: Bench) -> None:
    run = await desk.claimed(WORKER)
    await desk.queue.release(WORKER, drained=True)
    writer = RunWriter(bench.writer, run)
    await writer.emit("custom", b"1")
    await writer.end(SUCCESS)
    assert bench.lost == {(run.run_id, 1)}
    assert await desk.events(run.run_id) == []


async def test_a_connection_that_was_cut_loses_nothing(desk: Desk, bench: Bench) -> None:
    run = await desk.claimed(WORKER)
    writer = RunWriter(bench.writer, run)
    for number in range(20):
        await writer.emit("custom", b"%d" % number)
        if number % 5 == 0:
            await desk.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid() and datname = current_database() and query like '%flush_runs%'"
            )
    await writer.end(SUCCESS)
    assert [row["seq"] for row in await desk.events(run.run_id)] == list(range(1, 22))


async def test_runs_wait_when_the_database_does_not_keep_up(
    desk: Desk, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "_BACKLOG", 100)
    run = await desk.claimed(WORKER)
    writer, said = RunWriter(bench.writer, run), 0

    async def talk() -> None:
        nonlocal said
        for number in range(400):
            await writer.emit("custom", b"%d" % number)
            said += 1
            await asyncio.sleep(0)

    async with desk.admin.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.runs where run_id = $1 for update", run.run_id)
        talking = asyncio.create_task(talk())
        await until(lambda: len(bench.writer._waiting.events) >= 100)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(bench.writer._waiting.events) == 100
        assert said < 400
    await talking
    await writer.end(SUCCESS)
    assert [row["seq"] for row in await desk.events(run.run_id)] == list(range(1, 402))


async def test_an_end_waits_for_its_own_events_and_not_for_those_of_others(desk: Desk) -> None:
    talker, quiet = await desk.claimed(WORKER), await desk.claimed(WORKER)
    loop = asyncio.get_running_loop()
    waiting = _Waiting([(talker, RunEvent(seq, 1, "custom", "1")) for seq in range(1, 2501)])
    waiting.endings = [(EndedRun(run, SUCCESS, b"{}"), loop.create_future()) for run in (talker, quiet)]
    flushes = [waiting.take() for _ in range(3)]
    assert waiting.is_empty
    assert [len(flush.events) for flush in flushes] == [1000, 1000, 500]
    assert [[end.run for end in flush.ends] for flush in flushes] == [[quiet], [], [talker]]


async def test_settling_returns_when_all_is_written_or_the_time_is_over(desk: Desk, bench: Bench) -> None:
    await bench.writer.settle(10)
    run = await desk.claimed(WORKER)
    async with desk.admin.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.runs where run_id = $1 for update", run.run_id)
        await RunWriter(bench.writer, run).emit("custom", b"1")
        await bench.writer.settle(0.05)
        assert not bench.writer._idle.is_set()
    await bench.writer.settle(10)
    assert len(await desk.events(run.run_id)) == 1
