"""Statements for many jobs do what those for one do, and polls take each offer once."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from job_database import Instance, JobDatabase, Ref
from registry_database import ORG_1, ORG_2

from robyn_server.core.registry.job_events import JobEvents, SentEvent
from robyn_server.core.registry.jobs import JobOutcome, JobRef, JobState
from robyn_server.storage.registry.jobs.jobs import Jobs
from robyn_server.storage.registry.jobs.messages import JobMessages


@pytest.fixture
def messages(jobs: JobDatabase) -> JobMessages:
    return JobMessages(jobs.registry.system)


def _named(ref: Ref) -> JobRef:
    return JobRef(ref.tenant, ref.job_id, ref.attempt, ref.registration_id, ref.epoch)


def _tokens(ref: Ref, first_seq: int, *tokens: str) -> JobEvents:
    return JobEvents(_named(ref), first_seq, [SentEvent("token", f'"{token}"') for token in tokens])


async def _run(jobs: JobDatabase, count: int, slots: int = 100) -> list[Ref]:
    await jobs.serve(slots=slots)
    return [await jobs.run(await jobs.create()) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
async def test_events_of_many_jobs_are_stored_as_those_of_one(
    jobs: JobDatabase, messages: JobMessages, seed: int
) -> None:
    choose = random.Random(seed)
    one, *many = await _run(jobs, 4)
    for step in range(12):
        first, count = choose.randint(1, 8), choose.randint(1, 4)
        tokens = [f"{step}.{number}" for number in range(count)]
        expected = await jobs.append(one, first, *tokens)
        answers = await messages.append_events([_tokens(ref, first, *tokens) for ref in many])
        assert {tuple(answers[ref.job_id]) for ref in many} == {expected}
    stored = await jobs.job(one.job_id)
    columns = ("applied_through", "event_bytes", "has_output", "state")
    for ref in many:
        assert await jobs.events(ref.job_id) == await jobs.events(one.job_id)
        assert [(await jobs.job(ref.job_id))[name] for name in columns] == [stored[name] for name in columns]


async def test_each_job_of_a_statement_has_its_own_outcome(jobs: JobDatabase, messages: JobMessages) -> None:
    good, gap, full, old, foreign, unaccepted = await _run(jobs, 6)
    await jobs.registry.owner.execute(
        "update mcp.agent_jobs set event_bytes = mcp.max_job_events() - 2 where id = $1", full.job_id
    )
    unaccepted = await jobs.ref(await jobs.create())
    answers = await messages.append_events(
        [
            _tokens(good, 1, "a"),
            _tokens(gap, 3, "a"),
            _tokens(full, 1, "a"),
            _tokens(replace(old, epoch=7), 1, "a"),
            _tokens(replace(foreign, tenant=ORG_2), 1, "a"),
            _tokens(unaccepted, 1, "a"),
        ]
    )
    assert {job_id: (answer.outcome, answer.applied_through) for job_id, answer in answers.items()} == {
        good.job_id: (JobOutcome.OK, 1),
        gap.job_id: (JobOutcome.GAP, 0),
        full.job_id: (JobOutcome.FULL, 0),
        old.job_id: (JobOutcome.FENCED, None),
        foreign.job_id: (JobOutcome.FENCED, None),
        unaccepted.job_id: (JobOutcome.FENCED, None),
    }
    stored = await jobs.registry.owner.fetch("select distinct job_id from mcp.agent_job_events")
    assert [row["job_id"] for row in stored] == [good.job_id]


async def test_events_of_many_jobs_extend_their_leases(jobs: JobDatabase, messages: JobMessages) -> None:
    (ref,) = await _run(jobs, 1)
    await jobs.registry.owner.execute("update mcp.agent_jobs set lease_expires_at = now()")
    await messages.append_events([_tokens(ref, 1, "a")])
    left = "select lease_expires_at > now() + interval '20 s' from mcp.agent_jobs"
    assert await jobs.registry.owner.fetchval(left)


async def test_events_after_a_later_registration_are_fenced(jobs: JobDatabase, messages: JobMessages) -> None:
    (ref,) = await _run(jobs, 1)
    await jobs.register()  # it has not stated its jobs yet
    assert (await messages.append_events([_tokens(ref, 1, "a")]))[ref.job_id].outcome is JobOutcome.FENCED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"job_ids": [UUID(int=1)] * 2}, "job_ids"),
        ({"events": ["shout"]}, "events"),
        ({"positions": [1, 1]}, "events"),
    ],
)
async def test_a_malformed_statement_is_refused(jobs: JobDatabase, change: dict[str, Any], field: str) -> None:
    columns: dict[str, Any] = {
        "tenant_ids": [ORG_1], "job_ids": [uuid4()], "attempts": [1], "registration_ids": [uuid4()], "epochs": [1],
        "first_seqs": [1], "positions": [1], "events": ["token"], "data": ['"a"'],
    }  # fmt: skip
    columns |= change
    names = ", ".join(f"{name} => ${number}" for number, name in enumerate(columns, start=1))
    with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
        await jobs.registry.system.fetch(f"select * from mcp.append_events_of_jobs({names})", *columns.values())
    assert caught.value.column_name == field


async def test_an_extension_of_two_epochs_at_once_tells_each_its_own(jobs: JobDatabase, messages: JobMessages) -> None:
    (ref,) = await _run(jobs, 1)
    refs = [_named(ref), _named(replace(ref, epoch=9)), _named(replace(ref, tenant=ORG_2))]
    extended = await messages.extend(refs)
    assert [extended[each].outcome for each in refs] == [JobOutcome.OK, JobOutcome.FENCED, JobOutcome.FENCED]


async def test_a_lost_job_is_found_with_its_state(jobs: JobDatabase, messages: JobMessages) -> None:
    kept, finished, moved = await _run(jobs, 3)
    await jobs.finish(finished)
    deleted = replace(kept, job_id=uuid4())
    refs = [_named(kept), _named(finished), _named(replace(moved, epoch=9)), _named(deleted)]
    assert await messages.find_lost(refs) == {
        (finished.job_id, 1): JobState.SUCCEEDED,
        (moved.job_id, 1): JobState.RUNNING,
        (deleted.job_id, 1): None,
    }


async def test_jobs_of_an_instance_that_left_are_offered_to_another(jobs: JobDatabase, messages: JobMessages) -> None:
    one = await jobs.serve("i1")
    job_id = (await jobs.run(await jobs.create())).job_id
    two = await jobs.serve("i2")
    await jobs.end("deregister", one)
    assert await jobs.state(job_id) == "queued"
    assert list((await messages.dispatch_of([one.registration_id])).offered) == [two.registration_id]
    assert await jobs.state(job_id) == "offered"


# polls


async def _take(jobs: JobDatabase, instance: Instance, max_jobs: int = 1, *, is_last: bool = True) -> list[UUID]:
    rows = await jobs.registry.app.fetch(
        "select job_id from mcp.take_agent_offers($1, $2, $3, $4, $5, now => $6)",
        instance.tenant,
        instance.registration_id,
        instance.epoch,
        max_jobs,
        is_last,
        jobs.at,
    )
    return [row["job_id"] for row in rows]


async def _polling(jobs: JobDatabase, slots: int = 5) -> Instance:
    instance = await jobs.register()
    opened = await Jobs(jobs.registry.app).open_slots(
        ORG_1, instance.registration_id, instance.epoch, slots, [], polls=True
    )
    assert opened.outcome == "ok"
    return instance


async def test_an_instance_that_polls_is_offered_nothing_before(jobs: JobDatabase) -> None:
    instance = await _polling(jobs)
    first, second = await jobs.create(), await jobs.create()
    assert await jobs.state(first) == "queued"
    await jobs.claim(instance)
    assert await _take(jobs, instance) == [first]
    assert await jobs.state(second) == "queued"


async def test_polls_add_up_and_each_gives_back_what_it_did_not_get(jobs: JobDatabase) -> None:
    instance = await _polling(jobs)
    await jobs.claim(instance, max_jobs=2, wait_seconds=30)
    await jobs.claim(instance, max_jobs=1, wait_seconds=30)
    assert (await jobs.slots(instance))["credit"] == 3
    first = await jobs.create()
    assert await _take(jobs, instance, 2, is_last=False) == [first]
    assert (await jobs.slots(instance))["credit"] == 1, "of the other poll"
    assert await _take(jobs, instance, 1, is_last=False) == []
    assert (await jobs.slots(instance))["credit"] == 1
    assert await _take(jobs, instance, 1, is_last=True) == []
    assert (await jobs.slots(instance))["credit"] == 0


async def test_a_poll_whose_client_has_gone_gives_all_back(jobs: JobDatabase) -> None:
    instance = await _polling(jobs)
    await jobs.claim(instance, max_jobs=2, wait_seconds=30)
    await Jobs(jobs.registry.app).end_poll(ORG_1, instance.registration_id, instance.epoch, 2)
    assert await jobs.state(await jobs.create()) == "queued"


async def test_an_offer_is_taken_again_after_a_second(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await _polling(jobs)
    job_id = await jobs.create()
    await jobs.claim(instance, wait_seconds=30)
    assert await _take(jobs, instance) == [job_id]
    assert await _take(jobs, instance) == []
    await jobs.later(1)
    assert await _take(jobs, instance) == [job_id]
    ref = await jobs.ref(job_id)
    await jobs.accept(ref)
    await jobs.later(1)
    assert await _take(jobs, instance) == []


async def test_another_organization_or_epoch_takes_nothing(jobs: JobDatabase) -> None:
    instance = await _polling(jobs)
    await jobs.create()
    await jobs.claim(instance, wait_seconds=30)
    assert await _take(jobs, replace(instance, tenant=ORG_2)) == []
    assert await _take(jobs, replace(instance, epoch=9)) == []
    assert len(await _take(jobs, instance)) == 1
