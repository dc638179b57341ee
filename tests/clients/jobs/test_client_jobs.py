"""Jobs of the Python client, given by a scripted server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from agenthall_client import AgentInstance, Closed, JobLost, Refused
from bots.scripted_job_server import ScriptedJobServer
from deadlines import DEADLINE
from servers.live_server import until

Create = Callable[..., AgentInstance]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
async def _deadline() -> object:
    async with asyncio.timeout(DEADLINE):
        yield


async def test_a_block_accepts_a_job_reports_its_tokens_and_ends_it(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker", resume={"answer": 1})
        async for job in me.jobs():
            assert given.state == "offered"
            async with job:
                assert given.state == "running"
                assert (job.job_id, job.attempt, job.resume) == (given.job_id, 1, {"answer": 1})
                assert job.messages == [{"type": "human", "content": "hello"}]
                for token in ("a", "b", "c"):
                    await job.emit(token)
                await job.emit(("custom", {"done": 3}))
            break
        assert given.events == [("token", "a"), ("token", "b"), ("token", "c"), ("custom", {"done": 3})]
        assert given.end == {"result": None}


async def test_a_job_has_the_trace_of_its_run_if_there_is_one(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        jobs = me.jobs()
        await jobs_server.offer("worker", traceparent=PARENT, tracestate="vendor=x")
        async with await anext(jobs) as job:
            assert (job.traceparent, job.tracestate) == (PARENT, "vendor=x")
        await jobs_server.offer("worker")
        async with await anext(jobs) as job:
            assert (job.traceparent, job.tracestate) == (None, None)


async def test_the_result_of_a_job_is_set_or_given_to_finish(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        jobs = me.jobs()
        first = await jobs_server.offer("worker")
        async with await anext(jobs) as job:
            job.result = {"messages": []}
        second = await jobs_server.offer("worker")
        async with await anext(jobs) as job:
            await job.finish("the answer")
            assert second.end == {"result": "the answer"}
            with pytest.raises(Closed):
                await job.emit("late")
        assert first.end == {"result": {"messages": []}}


async def test_an_exception_of_the_block_is_the_error_of_the_job_and_the_next_one_is_taken(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        first = await jobs_server.offer("worker")
        async for job in me.jobs():
            async with job:
                if job.job_id == first.job_id:
                    await jobs_server.offer("worker")
                    raise LookupError("no such word")
            if job.job_id != first.job_id:
                break
        assert first.end == {"error": {"error": "LookupError", "message": "no such word"}}


async def test_an_interrupt_reports_its_values_and_ids(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            await job.interrupt([{"question": "Go?"}], ids=["one"])
        assert given.end == {"interrupts": [{"value": {"question": "Go?"}, "id": "one"}]}


async def test_a_job_can_be_rejected_before_it_begins_and_handed_back_later(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        first = await jobs_server.offer("worker")
        await (await anext(me.jobs())).reject("too large")
        second = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            await job.emit("a")
            await job.reject("no memory")
        assert (first.state, first.rejected) == ("rejected", "too large")
        assert (second.state, second.rejected) == ("handed_back", "no memory")


async def test_an_offer_that_waits_for_the_program_is_accepted_in_time(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance(slots=2) as me:
        jobs = me.jobs()
        first = await jobs_server.offer("worker")
        async with await anext(jobs):
            second = await jobs_server.offer("worker", accept_within_seconds=0.2)
            await second.reached("running")
            assert first.end is None
        async with await anext(jobs) as job:
            assert job.job_id == second.job_id
        assert second.end == {"result": None}


async def test_offers_of_an_instance_that_never_takes_jobs_are_rejected(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance():
        given = await jobs_server.offer("worker", accept_within_seconds=0.2)
        await given.reached("rejected")


async def test_what_is_emitted_meanwhile_travels_together(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            for number in range(50):
                await job.emit(str(number))
        assert given.tokens == "".join(map(str, range(50)))
        assert len(given.batches) <= 3


async def test_emitting_waits_while_the_window_is_full(jobs_server: ScriptedJobServer, instance: Create) -> None:
    emitted = 0

    async def emit_forever(me: AgentInstance) -> None:
        nonlocal emitted
        async with await anext(me.jobs()) as job:
            for _ in range(200):
                await job.emit("x")
                emitted += 1

    async with instance() as me:
        jobs_server.silent.add("job.events")
        given = await jobs_server.offer("worker")
        working = asyncio.create_task(emit_forever(me))
        await until(lambda: emitted == 64)
        await until(lambda: jobs_server.requests("job.events"))
        assert emitted == 64
        jobs_server.silent.clear()
        await until(lambda: me.epoch == 1)
        jobs_server.instance("worker").socket.transport.abort()
        await working
        assert given.tokens == "x" * 200


async def test_large_events_are_sent_apart_and_too_large_ones_are_refused(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            with pytest.raises(Refused) as refused:
                await job.emit("x" * 300_000)
            for _ in range(4):
                await job.emit("y" * 200_000)
        assert refused.value.reason == "too_large" and given.tokens == "y" * 800_000
        assert max(given.batches) == 1


@pytest.mark.parametrize("event", [("wish", 1), ("custom", {1, 2}), ("custom", float("nan"))])
async def test_what_is_no_event_is_an_error_of_the_program(
    jobs_server: ScriptedJobServer, instance: Create, event: tuple[str, object]
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            await job.emit(event)
        assert given.end["error"]["error"] in {"ValueError", "TypeError"}


async def test_a_result_that_cannot_be_sent_fails_the_job(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            job.result = {1, 2}
        assert given.end["error"]["error"] == "invalid_result"


async def test_a_cancelled_job_cancels_its_block_and_the_next_one_is_taken(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async for job in me.jobs():
            if job.job_id != given.job_id:
                break
            async with job:
                await jobs_server.cancel(given)
                try:
                    await asyncio.Event().wait()
                finally:
                    assert job.cancelled.is_set()
            assert given.end == {"cancelled": True}
            await jobs_server.offer("worker")


async def test_a_job_that_is_cancelled_while_it_waits_never_begins(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance(slots=2) as me:
        jobs = me.jobs()
        await jobs_server.offer("worker")
        async with await anext(jobs):
            given = await jobs_server.offer("worker", accept_within_seconds=0.1)
            await given.reached("running")
            await jobs_server.cancel(given)
            await given.reached("ended")
        await me.drain()
        assert [job async for job in jobs] == [] and given.end == {"cancelled": True}


async def test_a_heartbeat_names_the_running_jobs_and_learns_of_a_cancellation(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()):
            given.has_cancel = True
            await asyncio.Event().wait()
        named = [params["jobs"] for params in jobs_server.requests("agent.heartbeat") if "jobs" in params]
        assert named[-1] == [{"job_id": given.job_id, "attempt": 1}] and given.end == {"cancelled": True}


@pytest.mark.parametrize("how", ["notification", "heartbeat", "event"])
async def test_a_lost_job_cancels_its_block_and_ends_nothing(
    jobs_server: ScriptedJobServer, instance: Create, how: str
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            if how == "notification":
                await jobs_server.lose(given)
            else:
                given.state = "lost"
            if how == "event":
                await job.emit("x")
            await asyncio.Event().wait()
        assert given.end is None and job.cancelled.is_set() and jobs_server.requests("job.finish") == []
        with pytest.raises(JobLost):
            await job.finish()


async def test_an_offer_that_was_withdrawn_never_begins(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        job = await anext(me.jobs())
        given.state = "withdrawn"
        has_run = False
        async with job:
            await asyncio.sleep(0)
            has_run = True
        assert not has_run and given.end is None


async def test_a_job_whose_task_is_cancelled_by_the_program_is_handed_back(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async def work(me: AgentInstance) -> None:
        async with await anext(me.jobs()):
            await asyncio.Event().wait()

    async with instance() as me:
        given = await jobs_server.offer("worker")
        working = asyncio.create_task(work(me))
        await given.reached("running")
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await given.reached("handed_back")


async def test_a_draining_instance_ends_its_jobs_and_takes_no_more(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance(slots=2) as me:
        jobs = me.jobs()
        given = await jobs_server.offer("worker")
        async with await anext(jobs) as job:
            await me.drain("deploy")
            late = await jobs_server.offer("worker")
            await late.reached("rejected")
            await job.emit("done")
        assert [job async for job in jobs] == []
        assert (given.tokens, given.end, late.rejected) == ("done", {"result": None}, "the instance drains")


async def test_an_instance_without_slots_names_none_and_yields_no_jobs(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance(slots=None) as me:
        assert "slots" not in jobs_server.requests("agent.register")[0]
        with pytest.raises(ValueError, match="slots"):
            await anext(me.jobs())


async def test_a_refused_event_fails_the_job(jobs_server: ScriptedJobServer, instance: Create) -> None:
    from bots.scripted_job_server import Refusal

    async with instance() as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            jobs_server.refusals["job.events"] = Refusal("invalid", 4005, "events.0.data")
            await job.emit(("messages", "nonsense"))
            await asyncio.Event().wait()
        assert given.end["error"]["error"] == "invalid_event"


async def test_a_message_that_comes_too_soon_is_sent_again(jobs_server: ScriptedJobServer, instance: Create) -> None:
    from bots.scripted_job_server import Refusal

    async with instance() as me:
        given = await jobs_server.offer("worker")
        for method in ("job.accept", "job.events", "job.finish"):
            jobs_server.refusals[method] = Refusal("rate_limited", 4002, retryable=True)
        async with await anext(me.jobs()) as job:
            await job.emit("x")
        assert (given.tokens, given.end) == ("x", {"result": None})
