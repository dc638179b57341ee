"""Jobs of the TypeScript client, given by a scripted server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from bots.scripted_job_server import Refusal, ScriptedJobServer
from deadlines import DEADLINE
from node_client import NodeClient, NodeError
from servers.live_server import until

Start = Callable[..., Awaitable[NodeClient]]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
async def _deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE):
        yield


async def test_a_job_is_accepted_reports_its_tokens_and_ends(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    given = await jobs_server.offer("worker", resume={"answer": 1}, deadline="2030-01-01T00:00:00+00:00")
    job = await me.take()
    assert given.state == "offered"
    await job.call("begin")
    assert given.state == "running"
    shown = {name: job.request[name] for name in ("jobId", "attempt", "resume", "messages", "user", "deadline")}
    assert shown == {
        "jobId": given.job_id,
        "attempt": 1,
        "resume": {"answer": 1},
        "messages": [{"type": "human", "content": "hello"}],
        "user": {"identity": "caller"},
        "deadline": "2030-01-01T00:00:00.000Z",
    }
    for event in ("a", "b", "c", ["custom", {"done": 3}]):
        await job.call("emit", event)
    await job.call("finish", {"messages": []})
    assert given.events == [("token", "a"), ("token", "b"), ("token", "c"), ("custom", {"done": 3})]
    assert given.end == {"result": {"messages": []}}
    for call in (("emit", "late"), ("finish",)):
        with pytest.raises(NodeError) as closed:
            await job.call(*call)
        assert closed.value.name == "Closed"


async def test_a_job_has_the_trace_of_its_run_if_there_is_one(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker(slots=2)
    await jobs_server.offer("worker", traceparent=PARENT, tracestate="vendor=x")
    traced = (await me.take()).request
    assert (traced["traceparent"], traced["tracestate"]) == (PARENT, "vendor=x")
    await jobs_server.offer("worker")
    untraced = (await me.take()).request
    assert (untraced["traceparent"], untraced["tracestate"]) == (None, None)


async def test_an_interrupt_reports_its_values_and_ids(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    given = await jobs_server.offer("worker")
    await (await me.take()).call("interrupt", [{"question": "Go?"}], ["one"])
    assert given.end == {"interrupts": [{"value": {"question": "Go?"}, "id": "one"}]}


async def test_a_job_can_be_rejected_before_it_begins_and_handed_back_later(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker()
    first = await jobs_server.offer("worker")
    await (await me.take()).call("reject", "too large")
    second = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    await job.call("emit", "a")
    await job.call("reject", "no memory")
    assert (first.state, first.rejected) == ("rejected", "too large")
    assert (second.state, second.rejected) == ("handed_back", "no memory")


async def test_an_offer_that_waits_for_the_program_is_accepted_in_time(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker(slots=2)
    await jobs_server.offer("worker")
    await (await me.take()).call("begin")
    second = await jobs_server.offer("worker", accept_within_seconds=0.2)
    await second.reached("running")
    assert (await me.take()).request["jobId"] == second.job_id


async def test_offers_of_an_instance_that_never_takes_jobs_are_rejected(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    await worker()
    given = await jobs_server.offer("worker", accept_within_seconds=0.2)
    await given.reached("rejected")


async def test_what_is_emitted_meanwhile_travels_together(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    me.serve("many")
    given = await jobs_server.offer("worker")
    await given.ended()
    assert given.tokens == "".join(f"{number} " for number in range(300))
    assert len(given.batches) <= 10 and max(given.batches) <= 64


async def test_emitting_waits_while_the_window_is_full(jobs_server: ScriptedJobServer, worker: Start) -> None:
    jobs_server.silent.add("job.events")
    me = await worker()
    given = await jobs_server.offer("worker")
    job = await me.take()
    emitted = [job.begin("emit", "x") for _ in range(100)]
    await until(lambda: sum(each.done() for each in emitted) == 64)
    await until(lambda: jobs_server.requests("job.events"))
    assert sum(each.done() for each in emitted) == 64
    jobs_server.silent.clear()
    jobs_server.instance("worker").socket.transport.abort()
    await asyncio.gather(*emitted)
    await job.call("finish")
    assert given.tokens == "x" * 100


async def test_large_events_are_sent_apart_and_too_large_ones_are_refused(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker()
    given = await jobs_server.offer("worker")
    job = await me.take()
    with pytest.raises(NodeError) as refused:
        await job.call("emit", "ü" * 150_000)
    for _ in range(4):
        await job.call("emit", "y" * 200_000)
    await job.call("finish")
    assert refused.value.members["reason"] == "too_large" and given.tokens == "y" * 800_000
    assert max(given.batches) == 1


async def test_what_is_no_event_is_an_error_of_the_program(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    await jobs_server.offer("worker")
    with pytest.raises(NodeError, match="wish") as refused:
        await (await me.take()).call("emit", ["wish", 1])
    assert refused.value.name == "TypeError"


async def test_a_cancelled_job_is_told_and_ends(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    me.serve("patient")
    given = await jobs_server.offer("worker")
    await until(lambda: given.tokens == "a")
    await jobs_server.cancel(given)
    assert await given.ended() == {"cancelled": True}


async def test_a_job_that_is_cancelled_while_it_waits_never_begins(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker(slots=2)
    await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    given = await jobs_server.offer("worker", accept_within_seconds=0.1)
    await given.reached("running")
    await jobs_server.cancel(given)
    await given.reached("ended")
    await me.call("drain")
    assert await me.send(take=True)[1] is None and given.end == {"cancelled": True}


async def test_a_heartbeat_names_the_running_jobs_and_learns_of_a_cancellation(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker()
    me.serve("patient")
    given = await jobs_server.offer("worker")
    given.has_cancel = True
    assert await given.ended() == {"cancelled": True}
    named = [params["jobs"] for params in jobs_server.requests("agent.heartbeat") if "jobs" in params]
    assert named[-1] == [{"job_id": given.job_id, "attempt": 1}]


@pytest.mark.parametrize("how", ["notification", "heartbeat", "event"])
async def test_a_lost_job_is_told_and_ends_nothing(jobs_server: ScriptedJobServer, worker: Start, how: str) -> None:
    me = await worker()
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    if how == "notification":
        await jobs_server.lose(given)
    else:
        given.state = "lost"
    if how == "event":
        await job.call("emit", "x")
    assert await job.stopped() == "JobLost"
    for call in (("emit", "late"), ("finish",)):
        with pytest.raises(NodeError) as lost:
            await job.call(*call)
        assert lost.value.name == "JobLost"
    assert given.end is None and jobs_server.requests("job.finish") == []


async def test_a_draining_instance_ends_its_jobs_and_takes_no_more(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker(slots=2)
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    await me.call("drain", "deploy")
    late = await jobs_server.offer("worker")
    await late.reached("rejected")
    await job.call("emit", "done")
    await job.call("finish")
    assert await me.send(take=True)[1] is None
    assert (given.tokens, given.end, late.rejected) == ("done", {"result": None}, "the instance drains")


async def test_an_instance_without_slots_names_none_and_yields_no_jobs(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker(slots=None)
    assert "slots" not in jobs_server.requests("agent.register")[0]
    with pytest.raises(NodeError, match="slots"):
        await me.take()


async def test_a_refused_event_fails_the_job(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    jobs_server.refusals["job.events"] = Refusal("invalid", 4005, "events.0.data")
    me.serve("endless")
    given = await jobs_server.offer("worker")
    assert (await given.ended())["error"]["error"] == "invalid_event"


async def test_a_message_that_comes_too_soon_is_sent_again(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    for method in ("job.accept", "job.events", "job.finish"):
        jobs_server.refusals[method] = Refusal("rate_limited", 4002, retryable=True)
    me.serve("tokens")
    given = await jobs_server.offer("worker")
    await given.ended()
    assert (given.tokens, given.end) == ("hello", {"result": None})


@pytest.mark.parametrize(
    ("handler", "end"),
    [
        ("tokens", {"result": None}),
        ("tokensAndResult", {"result": {"done": True}}),
        ("answer", {"result": "to hello"}),
        ("plainAnswer", {"result": "to hello"}),
    ],
)
async def test_handlers_are_generators_or_functions(
    jobs_server: ScriptedJobServer, worker: Start, handler: str, end: object
) -> None:
    me = await worker()
    serving = me.serve(handler)
    given = await jobs_server.offer("worker")
    assert await given.ended() == end
    if handler == "tokens":
        assert given.events == [("token", "he"), ("custom", {"half": True}), ("token", "llo")]
    await me.call("drain")
    await serving
    await me.call("close")
    assert await me.stopped() == 0


async def test_as_many_jobs_run_at_a_time_as_there_are_slots(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker(slots=3)
    me.serve("meet")
    given = [await jobs_server.offer("worker") for _ in range(3)]
    assert [await each.ended() for each in given] == [{"result": "met"}] * 3


async def test_the_error_of_a_handler_fails_one_job(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    me.serve("divide")
    failed = await jobs_server.offer("worker", input={"by": 0})
    assert await failed.ended() == {"error": {"error": "RangeError", "message": "division by zero"}}
    await until(lambda: any(re.match("job .* failed", each) for each in me.find("logged")))
    fine = await jobs_server.offer("worker", input={"by": 4})
    assert await fine.ended() == {"result": "0.25"}


async def test_a_cancelled_job_closes_its_generator(jobs_server: ScriptedJobServer, worker: Start) -> None:
    me = await worker()
    me.serve("endless")
    given = await jobs_server.offer("worker")
    await until(lambda: given.tokens)
    await jobs_server.cancel(given)
    assert await given.ended() == {"cancelled": True}
    await until(lambda: me.find("closed"))
