"""The queue's rules, one by one; `test_queue_machine.py` looks for what these do not think of."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest
from stored_runs import GRAPH, LEASE, Store, ended, new_run, said

from robyn_server.core.ids import new_id
from robyn_server.core.principal import LOCAL
from robyn_server.core.runs import END, RunEnd, RunStatus, ThreadStatus
from robyn_server.storage.runs import ONLY_END

ONE, OTHER = new_id(), new_id()


async def test_a_thread_is_handed_on_when_its_run_ends(store: Store) -> None:
    thread = new_id()
    first, second = [await store.enqueue(thread) for _ in range(2)]
    (run,) = await store.claim(ONE)
    assert run.run_id == first
    assert await store.claim(OTHER) == []
    lost, woke = await store.queue.flush(ONE, [said(run, 1)], [ended(run)])
    assert (lost, woke) == (set(), True)
    assert [each.run_id for each in await store.claim(OTHER)] == [second]
    assert await store.events(first) == [(1, "custom"), (2, END)]
    await store.check_books()


async def test_a_run_with_an_earlier_id_that_came_later_is_never_ready_beside_another(store: Store) -> None:
    """Two web processes with clocks apart; hand_on_thread() looked only at what runs, and made two claimable."""
    thread = new_id()
    earlier, latest = new_id(), None
    ready = await store.enqueue(thread)
    await store.enqueue(thread, run_id=earlier)
    latest = await store.enqueue(thread)
    assert await store.queue.cancel_pending(latest)
    assert [each.run_id for each in await store.claim(ONE)] == [ready]
    await store.check_books()


async def test_two_ready_runs_of_one_thread_cannot_be_stored(store: Store) -> None:
    thread = new_id()
    for _ in range(2):
        await store.enqueue(thread)
    with pytest.raises(asyncpg.UniqueViolationError, match="runs_one_ready"):
        await store.admin.execute("update agenthall.runs set ready = true")


async def test_a_worker_that_lost_its_lease_writes_nothing(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.lapse(run.run_id)
    assert await store.queue.rescue() == (1, 0)
    (again,) = await store.claim(OTHER)
    assert (again.run_id, again.attempt) == (run.run_id, 2)
    key = (run.run_id, 1)
    assert await store.queue.flush(ONE, [said(run, 1)], []) == ({key}, False)
    assert await store.queue.flush(ONE, [said(run, 1)], [ended(run)]) == ({key}, False)
    assert await store.queue.renew(ONE, [run.run_id], LEASE) == {}
    assert await store.queue.release(ONE, drained=True) == (0, 0)
    assert await store.events(run.run_id) == []
    assert (await store.run(run.run_id))["worker_id"] == OTHER


async def test_an_old_attempt_of_the_same_worker_is_lost_and_the_new_one_is_not(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.lapse(run.run_id)
    await store.queue.rescue()
    (again,) = await store.claim(ONE)
    lost, _ = await store.queue.flush(ONE, [said(run, 1), said(again, 1)], [])
    assert lost == {(run.run_id, 1)}
    assert await store.queue.renew(ONE, [run.run_id], LEASE) == {(run.run_id, 2): None}
    assert await store.value("select attempt from agenthall.run_events") == 2


async def test_a_new_attempt_numbers_on_after_what_the_last_one_wrote(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.queue.flush(ONE, [said(run, seq) for seq in (1, 2, 3)], [])
    await store.lapse(run.run_id)
    await store.queue.rescue()
    (again,) = await store.claim(OTHER)
    assert again.last_seq == 3


async def test_the_same_flush_again_changes_nothing(store: Store) -> None:
    run = await store.claimed(ONE)
    for _ in range(2):
        assert await store.queue.flush(ONE, [said(run, 1)], []) == (set(), False)
    assert await store.events(run.run_id) == [(1, "custom")]


async def test_attempts_are_bounded_and_the_last_loss_is_told(store: Store) -> None:
    run_id = await store.enqueue(new_id(), max_attempts=2)
    for outcome in ((1, 0), (0, 1)):
        await store.claim(ONE)
        await store.lapse(run_id)
        assert await store.queue.rescue() == outcome
    row = await store.run(run_id)
    assert (row["status"], row["attempt"]) == ("error", 2)
    assert await store.events(run_id) == [(1, "error"), (2, END)]
    assert (await store.thread(row["thread_id"]))["status"] == "error"


async def test_a_run_that_was_given_back_keeps_its_attempts(store: Store) -> None:
    run = await store.claimed(ONE, max_attempts=1)
    assert await store.queue.release(ONE, drained=True) == (1, 0)
    (again,) = await store.claim(OTHER)
    assert again.attempt == 2
    await store.lapse(run.run_id)
    assert await store.queue.rescue() == (0, 1)


async def test_what_a_dead_worker_had_counts_as_an_attempt(store: Store) -> None:
    last, first = await store.claimed(ONE, max_attempts=1), await store.claimed(ONE)
    assert await store.queue.release(ONE, drained=False) == (1, 1)
    assert (await store.run(last.run_id))["status"] == "error"
    (again,) = await store.claim(OTHER)
    assert (again.run_id, again.attempt) == (first.run_id, 2)
    await store.check_books()


async def test_a_run_that_was_to_be_cancelled_ends_when_it_is_given_back(store: Store) -> None:
    run = await store.claimed(ONE)
    following = await store.enqueue(run.thread_id)
    assert await store.runs.cancel(LOCAL, run.thread_id, run.run_id, "interrupt") == "running"
    assert await store.queue.release(ONE, drained=True) == (0, 1)
    assert (await store.run(run.run_id))["status"] == "interrupted"
    assert [each.run_id for each in await store.claim(OTHER)] == [following]
    await store.check_books()


async def test_a_run_that_was_to_be_cancelled_ends_when_its_worker_is_lost(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.runs.cancel(LOCAL, run.thread_id, run.run_id, "interrupt")
    assert await store.queue.renew(ONE, [run.run_id], LEASE) == {(run.run_id, 1): "interrupt"}
    await store.lapse(run.run_id)
    assert await store.queue.rescue() == (0, 1)
    assert (await store.run(run.run_id))["status"] == "interrupted"


async def test_cancelling_a_run_that_waits_leaves_the_one_that_runs_and_the_state(store: Store) -> None:
    running = await store.claimed(ONE)
    waiting = await store.enqueue(running.thread_id)
    assert await store.runs.cancel(LOCAL, running.thread_id, waiting, "interrupt") == "pending"
    assert await store.queue.cancel_pending(waiting)
    assert not await store.queue.cancel_pending(waiting)
    thread = await store.thread(running.thread_id)
    assert (thread["status"], thread["error"], thread["interrupts"]) == ("busy", None, None)
    assert await store.claim(OTHER) == []
    assert await store.queue.flush(ONE, [], [ended(running)]) == (set(), False)
    assert (await store.thread(running.thread_id))["status"] == "idle"
    await store.check_books()


async def test_cancelling_a_run_that_never_began_keeps_the_open_interrupts(store: Store) -> None:
    run = await store.claimed(ONE)
    stopped = RunEnd(RunStatus.SUCCESS, ThreadStatus.INTERRUPTED, b"{}", interrupts={"task": [{"value": "approve?"}]})
    await store.queue.flush(ONE, [], [ended(run, stopped)])
    waiting = await store.enqueue(run.thread_id)
    await store.queue.cancel_pending(waiting)
    thread = await store.thread(run.thread_id)
    assert (thread["status"], "approve?" in thread["interrupts"]) == ("interrupted", True)


async def test_reject_refuses_a_busy_thread_and_takes_an_idle_one(store: Store) -> None:
    run = await store.claimed(ONE)
    refused = new_run(run.thread_id, multitask_strategy="reject")
    assert await store.runs.enqueue(LOCAL, refused) == ("busy", None)
    await store.queue.flush(ONE, [], [ended(run)])
    assert (await store.runs.enqueue(LOCAL, refused))[0] == "enqueued"


async def test_a_stateless_run_goes_with_its_thread_and_its_end_stays(store: Store) -> None:
    run = await store.claimed(ONE, new_thread="ephemeral", keep_thread=False)
    await store.queue.flush(ONE, [said(run, 1)], [ended(run)])
    assert await store.run(run.run_id) is None
    assert await store.thread(run.thread_id) is None
    assert await store.events(run.run_id) == [(1, "custom"), (2, END)]


async def test_the_thread_of_a_stateless_run_that_is_kept_is_a_thread_like_any_other(store: Store) -> None:
    run = await store.claimed(ONE, new_thread="ephemeral", keep_thread=True)
    assert (await store.thread(run.thread_id))["ephemeral"] is False
    await store.queue.flush(ONE, [], [ended(run)])
    assert (await store.thread(run.thread_id))["values"] == '{"text": "done"}'


async def test_whoever_follows_a_deleted_thread_learns_the_end(store: Store) -> None:
    run = await store.claimed(ONE)
    waiting = await store.enqueue(run.thread_id)
    await store.queue.flush(ONE, [said(run, 1)], [])
    assert await store.threads.delete(LOCAL, run.thread_id)
    assert await store.events(run.run_id) == [(1, "custom"), (2, END)]
    assert await store.events(waiting) == [(1, END)]
    assert await store.queue.flush(ONE, [said(run, 2)], [ended(run)]) == ({(run.run_id, 1)}, False)
    await store.check_books()


async def test_a_deleted_thread_takes_its_checkpoints_with_it(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.admin.execute(
        """insert into langgraph.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
           values ($1, '', 'a', '{}', '{}'), ('another', '', 'a', '{}', '{}')""",
        str(run.thread_id),
    )
    await store.threads.delete(LOCAL, run.thread_id)
    assert await store.value("select array_agg(thread_id) from langgraph.checkpoints") == ["another"]


async def test_a_run_waits_until_its_time(store: Store) -> None:
    run_id = await store.enqueue(new_id(), after=timedelta(hours=1))
    assert await store.claim(ONE) == []
    await store.admin.execute("update agenthall.runs set run_at = now() where run_id = $1", run_id)
    assert len(await store.claim(ONE)) == 1


async def test_a_worker_claims_only_graphs_that_it_has_and_as_many_as_it_has_slots(store: Store) -> None:
    for graph in (GRAPH, GRAPH, "other"):
        await store.enqueue(new_id(), graph_id=graph)
    assert len(await store.queue.claim(ONE, 1, LEASE, [GRAPH])) == 1
    assert len(await store.queue.claim(ONE, 10, LEASE, [GRAPH])) == 1
    assert len(await store.queue.claim(ONE, 10, LEASE, [])) == 0


async def test_the_end_is_read_by_whoever_asks_past_it(store: Store) -> None:
    run = await store.claimed(ONE)
    await store.queue.flush(ONE, [said(run, seq) for seq in range(1, 4)], [])
    assert await store.queue.read_events({run.run_id: ONLY_END}, 10) == {}
    await store.queue.flush(ONE, [], [ended(run)])
    for after, seqs in ((ONLY_END, [4]), (4, [4]), (3, [4]), (1, [2, 3, 4]), (0, [1, 2, 3, 4])):
        found = await store.queue.read_events({run.run_id: after}, 10)
        assert [event.seq for event in found[run.run_id]] == seqs


async def test_events_are_swept_only_after_their_run_ended_long_ago(store: Store) -> None:
    going, gone = await store.claimed(ONE), await store.claimed(ONE)
    await store.queue.flush(ONE, [said(going, 1), said(gone, 1)], [ended(gone)])
    assert await store.queue.sweep_events(timedelta(hours=1)) == 0
    await store.admin.execute("update agenthall.run_events set created_at = now() - interval '2 hours'")
    assert await store.queue.sweep_events(timedelta(hours=1)) == 2
    assert await store.events(going.run_id) == [(1, "custom")]
    assert await store.queue.last_seq(gone.run_id) == 0
