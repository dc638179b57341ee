"""kill -9, a pause, a drain: the run goes on where its last checkpoint is, and the client's stream with it.

With durability `sync`, LangGraph stores the checkpoint of a step before the next step starts. So the state has each
step exactly once, and only the step in progress may have run twice.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from typing import Any
from uuid import uuid4

from databases import fresh_database
from run_observer import DELAY, STEPS, StreamedRun, observe_database, start_streamed_run
from servers.live_server import LiveServer, live_server, until

ALL = list(range(1, STEPS + 1))


async def _seen(server: LiveServer, stream: StreamedRun) -> list[int]:
    """The steps in the thread's state, once its last run has ended well."""
    async with observe_database(server.database) as observer:
        await until(lambda: observer.last_run_in(stream.thread_id, "success"))
    state = await server.sdk().threads.get_state(stream.thread_id)
    return list(state["values"]["seen"])


def _check_stream(stream: StreamedRun, *, losses: int) -> None:
    """Nothing lost and in order; at most one step for each loss ran twice, and then its events come again."""
    assert [part for part in stream.parts if part.event == "error"] == []
    assert list(dict.fromkeys(stream.finished_steps)) == ALL == sorted(set(stream.finished_steps))
    assert len(stream.finished_steps) <= STEPS + losses
    assert sorted(set(stream.started_steps)) == ALL
    assert len(stream.started_steps) <= STEPS + losses
    assert len(stream.ids) == len(set(stream.ids))
    places = [int(each.partition("-")[2]) for each in stream.ids]
    assert places == list(range(places[0], places[0] + len(places)))


async def test_a_second_worker_goes_on_with_the_run_of_a_killed_one(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(3)
    killed = server.workers[0]
    server.add_worker()
    killed.kill()
    await stream.ended()
    _check_stream(stream, losses=1)
    assert await _seen(server, stream) == ALL


async def _goes_on_with_a_restarted_worker(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(4)
    server.workers[0].kill()
    await server.workers[0].ended()
    server.workers[0].start()
    await stream.ended()
    _check_stream(stream, losses=1)
    assert await _seen(server, stream) == ALL


async def test_a_restarted_worker_goes_on_with_the_run_that_it_was_killed_in(server: LiveServer) -> None:
    await _goes_on_with_a_restarted_worker(server)


async def test_a_worker_in_the_place_of_a_killed_one_does_not_wait_for_its_lease(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_RUN_LEASE": "3600", "AGENTHALL_KEEPER_ID": str(uuid4())}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        await _goes_on_with_a_restarted_worker(server)


async def test_a_client_s_stream_goes_on_after_the_web_was_killed(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(3)
    server.webs[0].kill()
    await server.webs[0].ended()
    server.webs[0].start()
    await stream.ended()
    _check_stream(stream, losses=0)
    assert await _seen(server, stream) == ALL


async def test_a_client_s_stream_goes_on_after_both_were_killed(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(3)
    for process in server.processes:
        process.kill()
        await process.ended()
        process.start()
    await stream.ended()
    _check_stream(stream, losses=1)
    assert await _seen(server, stream) == ALL


async def test_a_worker_that_slept_longer_than_its_lease_wakes_up_and_changes_nothing(server: LiveServer) -> None:
    """A worker is stopped in a step, and another one finishes the run. The later writes of the first are discarded."""
    stream = await start_streamed_run(server.sdk(), input={"until": STEPS, "delay": 0.25})
    await stream.reached(2)
    zombie = server.workers[0]
    zombie.kill(signal.SIGSTOP)
    server.add_worker()
    await stream.ended()
    async with observe_database(server.database) as observer:
        (run,) = await observer.rows("select * from agenthall.runs where thread_id = $1", stream.thread_id)
        before = (
            await observer.steps(stream.thread_id),
            await observer.rows("select * from agenthall.run_events order by 1, 2"),
        )
        zombie.kill(signal.SIGCONT)
        await until(lambda: "run dropped" in zombie.read_log())
        await server.sdk().runs.wait(None, "echo", input={"text": "the next"})
        after = (
            await observer.steps(stream.thread_id),
            await observer.rows("select * from agenthall.run_events order by 1, 2"),
        )
        assert after[0] == before[0]
        assert [row for row in after[1] if row["run_id"] == run["run_id"]] == [
            row for row in before[1] if row["run_id"] == run["run_id"]
        ]
    _check_stream(stream, losses=1)
    assert await _seen(server, stream) == ALL


async def test_a_sleeper_that_wakes_while_another_works_does_not_mix_in(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk(), input={"until": STEPS, "delay": 0.25})
    await stream.reached(2)
    zombie = server.workers[0]
    zombie.kill(signal.SIGSTOP)
    server.add_worker()
    async with observe_database(server.database) as observer:
        query = "select count(*) from agenthall.runs where thread_id = $1 and status = 'running' and attempt = 2"
        await until(lambda: observer.value(query, stream.thread_id))
    zombie.kill(signal.SIGCONT)
    await stream.ended()
    _check_stream(stream, losses=1)
    assert await _seen(server, stream) == ALL


async def test_a_drained_worker_finishes_what_is_short_and_gives_back_what_is_long(server: LiveServer) -> None:
    long = await start_streamed_run(server.sdk(), input={"until": STEPS, "delay": 1.0})
    await long.reached(1)
    short = await start_streamed_run(server.sdk(), input={"until": STEPS, "delay": 0.02})
    await short.reached(STEPS - 5)
    draining = server.workers[0]
    draining.kill(signal.SIGTERM)
    assert await draining.ended() == 0
    async with observe_database(server.database) as observer:
        status = "select status, attempt from agenthall.runs where thread_id = $1"
        assert await observer.rows(status, short.thread_id) == [("success", 1)]
        assert await observer.rows(status, long.thread_id) == [("pending", 1)], "given back, not lost with its lease"
    server.add_worker()
    await asyncio.gather(short.ended(), long.ended())
    _check_stream(short, losses=0)
    _check_stream(long, losses=1)
    assert await _seen(server, long) == ALL
    assert await _seen(server, short) == ALL


async def test_sixty_runs_under_random_kills_all_end_in_order_and_never_side_by_side(server: LiveServer) -> None:
    client, chance = server.sdk(), random.Random(60)
    server.add_worker()
    threads = [(await client.threads.create())["thread_id"] for _ in range(12)]
    given = {"until": 3, "delay": 0.1}
    runs: dict[str, list[Any]] = {thread: [] for thread in threads}
    for _ in range(5):
        for thread in threads:
            runs[thread].append(await client.runs.create(thread, "counter", input=given, durability="sync"))
    async with observe_database(server.database) as observer:
        left = "select count(*) from agenthall.runs where status in ('pending', 'running')"
        for _ in range(4):
            before = await observer.value(left)
            if not before:
                break
            await until(lambda at=before: _fewer(observer, left, at))
            victim = chance.choice(server.workers)
            victim.kill()
            await victim.ended()
            victim.start()
        await until(lambda: _fewer(observer, left, 1))
        for thread, created in runs.items():
            rows = await observer.rows("select * from agenthall.runs where thread_id = $1 order by run_id", thread)
            assert [str(row["run_id"]) for row in rows] == [run["run_id"] for run in created]
            assert {row["status"] for row in rows} == {"success"}
            spans = await observer.rows(_SPANS, thread)
            assert len(spans) == 5
            assert all(one["ended"] <= two["begun"] for one, two in itertools.pairwise(spans))
    for thread in threads:
        values = (await client.threads.get_state(thread))["values"]
        assert values["seen"][:3] == [1, 2, 3]
        assert values["seen"] == list(range(1, values["count"] + 1))


_SPANS = """
select min((c.checkpoint ->> 'ts')::timestamptz) as begun, max((c.checkpoint ->> 'ts')::timestamptz) as ended
  from langgraph.checkpoints c join agenthall.runs r on r.run_id::text = c.metadata ->> 'run_id'
 where c.thread_id = $1 group by r.run_id order by r.run_id"""


async def _fewer(observer: Any, query: str, than: int) -> bool:
    return bool(await observer.value(query) < than)


assert DELAY * STEPS < 3  # a test is over soon after the outage
