"""The queue's rules, one by one; `test_queue_state_machine.py` covers their combinations."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import orjson
import pytest
from run_storage import GRAPH, LEASE, RunStorage, custom_event, ended_run, new_run

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, RunEnd, RunStatus, ThreadStatus
from robyn_server.core.trace_context import TraceContext
from robyn_server.storage.runs.queue import ONLY_END

ONE, OTHER = new_id(), new_id()


async def test_a_thread_is_handed_on_when_its_run_ends(storage: RunStorage) -> None:
    thread = new_id()
    first, second = [await storage.enqueue(thread) for _ in range(2)]
    (run,) = await storage.claim(ONE)
    assert run.run_id == first
    assert await storage.claim(OTHER) == []
    lost, woke = await storage.queue.flush(ONE, [custom_event(run, 1)], [ended_run(run)])
    assert (lost, woke) == (set(), True)
    assert [each.run_id for each in await storage.claim(OTHER)] == [second]
    assert await storage.get_events(first) == [(1, "custom"), (2, END)]
    await storage.check_invariants()


async def test_a_run_with_an_earlier_id_that_came_later_is_never_ready_beside_another(storage: RunStorage) -> None:
    """Two web processes with clocks apart; ready_next_run() looked only at what runs, and made two claimable."""
    thread = new_id()
    earlier, latest = new_id(), None
    ready = await storage.enqueue(thread)
    await storage.enqueue(thread, run_id=earlier)
    latest = await storage.enqueue(thread)
    assert await storage.queue.cancel_pending(latest)
    assert [each.run_id for each in await storage.claim(ONE)] == [ready]
    await storage.check_invariants()


async def test_two_ready_runs_of_one_thread_cannot_be_stored(storage: RunStorage) -> None:
    thread = new_id()
    for _ in range(2):
        await storage.enqueue(thread)
    with pytest.raises(asyncpg.UniqueViolationError, match="runs_one_ready"):
        await storage.admin.execute("update agenthall.runs set ready = true")


async def test_a_worker_that_lost_its_lease_writes_nothing(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.expire_leases(run.run_id)
    assert await storage.queue.rescue() == (1, 0)
    (again,) = await storage.claim(OTHER)
    assert (again.run_id, again.attempt) == (run.run_id, 2)
    key = (run.run_id, 1)
    assert await storage.queue.flush(ONE, [custom_event(run, 1)], []) == ({key}, False)
    assert await storage.queue.flush(ONE, [custom_event(run, 1)], [ended_run(run)]) == ({key}, False)
    assert await storage.queue.renew(ONE, [run.run_id], LEASE) == {}
    assert await storage.queue.release(ONE, drained=True) == (0, 0)
    assert await storage.get_events(run.run_id) == []
    assert (await storage.get_run(run.run_id))["worker_id"] == OTHER


async def test_an_old_attempt_of_the_same_worker_is_lost_and_the_new_one_is_not(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.expire_leases(run.run_id)
    await storage.queue.rescue()
    (again,) = await storage.claim(ONE)
    lost, _ = await storage.queue.flush(ONE, [custom_event(run, 1), custom_event(again, 1)], [])
    assert lost == {(run.run_id, 1)}
    assert await storage.queue.renew(ONE, [run.run_id], LEASE) == {(run.run_id, 2): None}
    assert await storage.fetch_value("select attempt from agenthall.run_events") == 2


async def test_a_new_attempt_numbers_on_after_what_the_last_one_wrote(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.queue.flush(ONE, [custom_event(run, seq) for seq in (1, 2, 3)], [])
    await storage.expire_leases(run.run_id)
    await storage.queue.rescue()
    (again,) = await storage.claim(OTHER)
    assert again.last_seq == 3


async def test_the_same_flush_again_changes_nothing(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    for _ in range(2):
        assert await storage.queue.flush(ONE, [custom_event(run, 1)], []) == (set(), False)
    assert await storage.get_events(run.run_id) == [(1, "custom")]


async def test_attempts_are_bounded_and_the_last_loss_is_told(storage: RunStorage) -> None:
    run_id = await storage.enqueue(new_id(), max_attempts=2)
    for outcome in ((1, 0), (0, 1)):
        await storage.claim(ONE)
        await storage.expire_leases(run_id)
        assert await storage.queue.rescue() == outcome
    row = await storage.get_run(run_id)
    assert (row["status"], row["attempt"]) == ("error", 2)
    assert await storage.get_events(run_id) == [(1, "error"), (2, END)]
    assert (await storage.get_thread(row["thread_id"]))["status"] == "error"


async def test_a_run_that_was_given_back_keeps_its_attempts(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE, max_attempts=1)
    assert await storage.queue.release(ONE, drained=True) == (1, 0)
    (again,) = await storage.claim(OTHER)
    assert again.attempt == 2
    await storage.expire_leases(run.run_id)
    assert await storage.queue.rescue() == (0, 1)


async def test_what_a_dead_worker_had_counts_as_an_attempt(storage: RunStorage) -> None:
    last, first = await storage.claim_new_run(ONE, max_attempts=1), await storage.claim_new_run(ONE)
    assert await storage.queue.release(ONE, drained=False) == (1, 1)
    assert (await storage.get_run(last.run_id))["status"] == "error"
    (again,) = await storage.claim(OTHER)
    assert (again.run_id, again.attempt) == (first.run_id, 2)
    await storage.check_invariants()


async def test_of_a_stalled_workers_runs_only_the_one_that_held_it_loses_an_attempt(storage: RunStorage) -> None:
    culprit, bystander = await storage.claim_new_run(ONE), await storage.claim_new_run(ONE)
    assert sorted(await storage.queue.list_held(ONE)) == sorted([culprit.run_id, bystander.run_id])
    assert await storage.queue.release_stalled(ONE, [culprit.run_id], {"error": "LoopBlocked"}) == (2, 0)
    assert (await storage.get_run(culprit.run_id))["max_attempts"] == 3
    assert (await storage.get_run(bystander.run_id))["max_attempts"] == 4
    assert await storage.queue.list_held(ONE) == []
    await storage.check_invariants()


async def test_a_run_that_holds_its_worker_in_its_last_attempt_ends_with_that_error(storage: RunStorage) -> None:
    culprit = await storage.claim_new_run(ONE, max_attempts=1)
    following = await storage.enqueue(culprit.thread_id)
    assert await storage.queue.release_stalled(ONE, [culprit.run_id], {"error": "LoopBlocked"}) == (0, 1)
    row = await storage.get_run(culprit.run_id)
    assert (row["status"], orjson.loads(row["error"])) == ("error", {"error": "LoopBlocked"})
    assert await storage.get_events(culprit.run_id) == [(1, "error"), (2, END)]
    assert [each.run_id for each in await storage.claim(OTHER)] == [following]
    await storage.check_invariants()


async def test_a_run_that_was_to_be_cancelled_ends_when_it_is_given_back(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    following = await storage.enqueue(run.thread_id)
    assert await storage.runs.cancel(LOCAL, run.thread_id, run.run_id, "interrupt") == "running"
    assert await storage.queue.release(ONE, drained=True) == (0, 1)
    assert (await storage.get_run(run.run_id))["status"] == "interrupted"
    assert [each.run_id for each in await storage.claim(OTHER)] == [following]
    await storage.check_invariants()


async def test_a_run_that_was_to_be_cancelled_ends_when_its_worker_is_lost(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.runs.cancel(LOCAL, run.thread_id, run.run_id, "interrupt")
    assert await storage.queue.renew(ONE, [run.run_id], LEASE) == {(run.run_id, 1): "interrupt"}
    await storage.expire_leases(run.run_id)
    assert await storage.queue.rescue() == (0, 1)
    assert (await storage.get_run(run.run_id))["status"] == "interrupted"


async def test_cancelling_a_run_that_waits_leaves_the_one_that_runs_and_the_state(storage: RunStorage) -> None:
    running = await storage.claim_new_run(ONE)
    waiting = await storage.enqueue(running.thread_id)
    assert await storage.runs.cancel(LOCAL, running.thread_id, waiting, "interrupt") == "pending"
    assert await storage.queue.cancel_pending(waiting)
    assert not await storage.queue.cancel_pending(waiting)
    thread = await storage.get_thread(running.thread_id)
    assert (thread["status"], thread["error"], thread["interrupts"]) == ("busy", None, None)
    assert await storage.claim(OTHER) == []
    assert await storage.queue.flush(ONE, [], [ended_run(running)]) == (set(), False)
    assert (await storage.get_thread(running.thread_id))["status"] == "idle"
    await storage.check_invariants()


async def test_cancelling_a_run_that_never_began_keeps_the_open_interrupts(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    stopped = RunEnd(RunStatus.SUCCESS, ThreadStatus.INTERRUPTED, b"{}", interrupts={"task": [{"value": "approve?"}]})
    await storage.queue.flush(ONE, [], [ended_run(run, stopped)])
    waiting = await storage.enqueue(run.thread_id)
    await storage.queue.cancel_pending(waiting)
    thread = await storage.get_thread(run.thread_id)
    assert (thread["status"], "approve?" in thread["interrupts"]) == ("interrupted", True)


async def test_reject_refuses_a_busy_thread_and_takes_an_idle_one(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    refused = new_run(run.thread_id, multitask_strategy="reject")
    assert await storage.runs.enqueue(LOCAL, refused) == ("busy", None)
    await storage.queue.flush(ONE, [], [ended_run(run)])
    assert (await storage.runs.enqueue(LOCAL, refused))[0] == "enqueued"


async def test_a_stateless_run_goes_with_its_thread_and_its_end_stays(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE, new_thread="ephemeral", keep_thread=False)
    await storage.queue.flush(ONE, [custom_event(run, 1)], [ended_run(run)])
    assert await storage.get_run(run.run_id) is None
    assert await storage.get_thread(run.thread_id) is None
    assert await storage.get_events(run.run_id) == [(1, "custom"), (2, END)]


async def test_the_thread_of_a_stateless_run_that_is_kept_is_a_thread_like_any_other(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE, new_thread="ephemeral", keep_thread=True)
    assert (await storage.get_thread(run.thread_id))["ephemeral"] is False
    await storage.queue.flush(ONE, [], [ended_run(run)])
    assert (await storage.get_thread(run.thread_id))["values"] == '{"text": "done"}'


async def test_whoever_follows_a_deleted_thread_learns_the_end(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    waiting = await storage.enqueue(run.thread_id)
    await storage.queue.flush(ONE, [custom_event(run, 1)], [])
    assert await storage.threads.delete(LOCAL, run.thread_id)
    assert await storage.get_events(run.run_id) == [(1, "custom"), (2, END)]
    assert await storage.get_events(waiting) == [(1, END)]
    assert await storage.queue.flush(ONE, [custom_event(run, 2)], [ended_run(run)]) == ({(run.run_id, 1)}, False)
    await storage.check_invariants()


async def test_a_deleted_thread_takes_its_checkpoints_with_it(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.admin.execute(
        """insert into langgraph.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
           values ($1, '', 'a', '{}', '{}'), ('another', '', 'a', '{}', '{}')""",
        str(run.thread_id),
    )
    await storage.threads.delete(LOCAL, run.thread_id)
    assert await storage.fetch_value("select array_agg(thread_id) from langgraph.checkpoints") == ["another"]


async def test_a_run_waits_until_its_time(storage: RunStorage) -> None:
    run_id = await storage.enqueue(new_id(), after=timedelta(hours=1))
    assert await storage.claim(ONE) == []
    await storage.admin.execute("update agenthall.runs set run_at = now() where run_id = $1", run_id)
    assert len(await storage.claim(ONE)) == 1


async def test_a_worker_claims_only_graphs_that_it_has_and_as_many_as_it_has_slots(storage: RunStorage) -> None:
    for graph in (GRAPH, GRAPH, "other"):
        await storage.enqueue(new_id(), graph_id=graph)
    assert len(await storage.queue.claim(ONE, 1, LEASE, [GRAPH])) == 1
    assert len(await storage.queue.claim(ONE, 10, LEASE, [GRAPH])) == 1
    assert len(await storage.queue.claim(ONE, 10, LEASE, [])) == 0


async def test_the_end_is_read_by_whoever_asks_past_it(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    await storage.queue.flush(ONE, [custom_event(run, seq) for seq in range(1, 4)], [])
    assert await storage.queue.read_events({run.run_id: ONLY_END}, 10) == {}
    await storage.queue.flush(ONE, [], [ended_run(run)])
    for after, seqs in ((ONLY_END, [4]), (4, [4]), (3, [4]), (1, [2, 3, 4]), (0, [1, 2, 3, 4])):
        found = await storage.queue.read_events({run.run_id: after}, 10)
        assert [event.seq for event in found[run.run_id]] == seqs


async def test_events_are_swept_only_after_their_run_ended_long_ago(storage: RunStorage) -> None:
    going, gone = await storage.claim_new_run(ONE), await storage.claim_new_run(ONE)
    await storage.queue.flush(ONE, [custom_event(going, 1), custom_event(gone, 1)], [ended_run(gone)])
    assert await storage.queue.sweep_events(timedelta(hours=1)) == {}
    await storage.admin.execute("update agenthall.run_events set created_at = now() - interval '2 hours'")
    assert await storage.queue.sweep_events(timedelta(hours=1)) == {gone.run_id: 2}
    assert await storage.get_events(going.run_id) == [(1, "custom")]
    assert await storage.queue.last_seq(gone.run_id) == 0


async def test_large_events_are_read_in_parts_and_one_that_is_larger_alone(storage: RunStorage) -> None:
    run = await storage.claim_new_run(ONE)
    events = [custom_event(run, seq, f'"{"x" * 998}"') for seq in range(1, 6)]
    await storage.queue.flush(ONE, events, [])
    for max_bytes, seqs in ((1, [1]), (1000, [1]), (1001, [1, 2]), (3000, [1, 2, 3]), (10_000, [1, 2, 3, 4, 5])):
        found = await storage.queue.read_events({run.run_id: 0}, 10, max_bytes)
        assert [event.seq for event in found[run.run_id]] == seqs


@pytest.mark.parametrize("state", [None, "vendor=x"])
async def test_each_attempt_has_the_trace_that_its_run_was_enqueued_in(storage: RunStorage, state: str | None) -> None:
    trace = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", state)
    run = await storage.claim_new_run(ONE, trace=trace)
    assert run.trace == trace
    await storage.expire_leases(run.run_id)
    await storage.queue.rescue()
    (again,) = await storage.claim(OTHER)
    assert (again.attempt, again.trace) == (2, trace)
    assert (await storage.claim_new_run(ONE)).trace is None


async def test_the_database_refuses_what_is_no_trace(storage: RunStorage) -> None:
    run_id = await storage.enqueue(new_id())
    for column, text in (("traceparent", "x"), ("tracestate", "a=1")):
        with pytest.raises(asyncpg.CheckViolationError, match=f"runs_{column}"):
            await storage.admin.execute(f"update agenthall.runs set {column} = $1 where run_id = $2", text, run_id)
