"""Messages of instances about their jobs: accept, reject, events, finish, extend; fencing and new epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from job_database import JobDatabase, at_epoch
from registry_database import ORG_2

from robyn_server.core.registry.jobs import JOB_EVENTS, TRANSITIONS, JobState


async def test_the_transitions_of_the_database_are_those_of_the_code(jobs: JobDatabase) -> None:
    rows = await jobs.registry.app.fetch("select former, latter from mcp.agent_job_transitions()")
    assert {(row["former"], row["latter"]) for row in rows} == {
        (former, latter) for former, latters in TRANSITIONS.items() for latter in latters
    }


async def test_a_state_cannot_change_in_another_way(jobs: JobDatabase) -> None:
    await jobs.serve()
    job_id = await jobs.create()
    await jobs.finish(await jobs.run(job_id))
    with pytest.raises(asyncpg.CheckViolationError, match="succeeded cannot become running"):
        await jobs.registry.owner.execute("update mcp.agent_jobs set state = 'running' where id = $1", job_id)


async def test_a_job_is_offered_accepted_and_finished(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    job_id = await jobs.create()
    assert await jobs.state(job_id) == "offered"
    ref = await jobs.run(job_id)
    assert ref.registration_id == instance.registration_id
    assert await jobs.state(job_id) == "running"
    assert await jobs.append(ref, 1, "a", "b") == ("ok", 2)
    assert await jobs.finish(ref, through_seq=2, result='{"messages": []}') == "ok"
    job = await jobs.job(job_id)
    assert (job["state"], job["holds_slot"], job["result"]) == ("succeeded", False, '{"messages": []}')
    assert (await jobs.slots(instance))["used"] == 0


async def test_a_repeated_accept_is_ok_and_a_repeated_finish_is_fenced(jobs: JobDatabase) -> None:
    await jobs.serve()
    job_id = await jobs.create()
    ref = await jobs.run(job_id)
    assert await jobs.accept(ref) == "ok"
    assert await jobs.finish(ref) == "ok"
    assert await jobs.finish(ref, result='{"other": 1}') == "fenced"
    assert (await jobs.job(job_id))["result"] is None


@pytest.mark.parametrize("change", ["tenant", "job_id", "attempt", "registration_id", "epoch"])
async def test_a_message_that_names_another_one_changes_nothing(jobs: JobDatabase, change: str) -> None:
    await jobs.serve()
    job_id = await jobs.create()
    ref = await jobs.ref(job_id)
    wrong: dict[str, Any] = {
        "tenant": ORG_2,
        "job_id": uuid4(),
        "attempt": 2,
        "registration_id": uuid4(),
        "epoch": ref.epoch + 1,
    }
    other = replace(ref, **{change: wrong[change]})
    before = dict(await jobs.job(job_id))
    assert await jobs.accept(other) == "fenced"
    assert await jobs.reject(other) == "fenced"
    assert await jobs.append(other, 1, "a") == ("fenced", None)
    assert await jobs.finish(other) == "fenced"
    if change != "tenant":  # the server calls it for registrations that it holds
        assert await jobs.extend(other) == ("fenced", False)
    assert dict(await jobs.job(job_id)) == before


async def test_an_offer_cannot_be_finished_before_it_is_accepted(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.ref(await jobs.create())
    assert await jobs.append(ref, 1, "a") == ("fenced", None)
    assert await jobs.finish(ref) == "fenced"
    assert await jobs.state(ref.job_id) == "offered"


async def test_a_rejected_job_goes_to_another_instance_at_once(jobs: JobDatabase) -> None:
    one, two = await jobs.serve("i1"), await jobs.serve("i2")
    job_id = await jobs.create()
    first = await jobs.ref(job_id)
    assert await jobs.reject(first, "busy") == "ok"
    second = await jobs.ref(job_id)
    assert {first.registration_id, second.registration_id} == {one.registration_id, two.registration_id}
    assert second.attempt == 1
    assert [(row["outcome"], row["detail"]) for row in await jobs.offers(job_id)] == [
        ("rejected", "busy"),
        (None, None),
    ]


async def test_an_instance_is_not_offered_again_what_it_rejected(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    job_id = await jobs.create()
    await jobs.reject(await jobs.ref(job_id))
    await jobs.sweep()
    assert await jobs.state(job_id) == "queued"
    again = await jobs.serve()
    assert again.epoch == instance.epoch + 1
    assert await jobs.state(job_id) == "offered"


async def test_events_are_stored_once_and_without_gaps(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    assert await jobs.append(ref, 1, "a", "b") == ("ok", 2)
    assert await jobs.append(ref, 1, "a", "b") == ("ok", 2)
    assert await jobs.append(ref, 2, "b", "c") == ("ok", 3)
    assert await jobs.append(ref, 5, "e") == ("gap", 3)
    assert await jobs.append(ref, 4, "d") == ("ok", 4)
    assert [text for _, _, text in await jobs.events(ref.job_id)] == ["a", "b", "c", "d"]


async def test_a_job_does_not_end_before_its_events(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    await jobs.append(ref, 1, "a")
    assert await jobs.finish(ref, through_seq=2) == "gap"
    assert await jobs.state(ref.job_id) == "running"
    await jobs.append(ref, 2, "b")
    assert await jobs.finish(ref, through_seq=2) == "ok"


async def test_events_have_a_limit_of_bytes(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    async with jobs.registry.app.acquire() as connection, connection.transaction():
        await connection.execute("set local mcp.max_job_events = 100")
        with pytest.raises(asyncpg.InvalidParameterValueError, match="more than 100 bytes") as refused:
            await connection.execute(
                "select mcp.append_job_events($1, $2, $3, $4, $5, 1, '{token}', $6)",
                *(ref.tenant, ref.job_id, ref.attempt, ref.registration_id, ref.epoch),
                ["x" * 101],
            )
        assert refused.value.column_name == "events"


async def test_an_unknown_event_is_refused_by_name(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    with pytest.raises(asyncpg.InvalidParameterValueError, match="events must be token, messages"):
        await jobs.registry.app.execute(
            "select mcp.append_job_events($1, $2, $3, $4, $5, 1, '{tokens}', '{1}')",
            *(ref.tenant, ref.job_id, ref.attempt, ref.registration_id, ref.epoch),
        )
    constraint = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'agent_job_events_event'"
    definition = await jobs.registry.owner.fetchval(constraint)
    assert all(f"'{name}'" in definition for name in JOB_EVENTS) and definition.count("::text,") == len(JOB_EVENTS) - 1


async def test_a_running_job_goes_on_under_a_new_epoch_that_names_it(jobs: JobDatabase) -> None:
    instance = await jobs.serve(slots=2)
    kept, forgotten = await jobs.run(await jobs.create()), await jobs.run(await jobs.create())
    await jobs.append(kept, 1, "a")
    again = await jobs.register(instance.name)
    assert await jobs.append(kept, 2, "b") == ("fenced", None), "the newer epoch has not named its jobs yet"
    opened = await jobs.open(again, 2, [kept.job_id])
    assert opened["continued"] == (
        f'[{{"cancel": false, "job_id": "{kept.job_id}", "attempt": 1, "applied_through": 1}}]'
    )
    assert list(opened["changed"]) == [forgotten.job_id]
    assert await jobs.append(kept, 2, "b") == ("fenced", None)
    assert await jobs.append(at_epoch(kept, again.epoch), 2, "b") == ("ok", 2)
    assert await jobs.finish(at_epoch(kept, again.epoch), through_seq=2) == "ok"
    job = await jobs.job(forgotten.job_id)
    assert (job["state"], job["attempt"], job["epoch"]) == ("offered", 2, again.epoch)


async def test_a_job_of_another_instance_does_not_go_on(jobs: JobDatabase) -> None:
    await jobs.serve("i1")
    ref = await jobs.run(await jobs.create())
    other = await jobs.register("i2")
    opened = await jobs.open(other, 1, [ref.job_id])
    assert opened["continued"] == "[]"
    assert await jobs.finish(ref) == "ok"


async def test_opening_is_answered_by_the_epoch(jobs: JobDatabase) -> None:
    old = await jobs.serve()
    new = await jobs.serve()
    assert (await jobs.open(old))["outcome"] == "superseded"
    assert await jobs.end("deregister", new) == "ok"
    assert (await jobs.open(new))["outcome"] == "must_register"


async def test_handing_a_silent_job_back_is_no_failure(jobs: JobDatabase) -> None:
    await jobs.serve("i1")
    ref = await jobs.run(await jobs.create())
    assert await jobs.reject(ref, "shutting down") == "ok"
    assert await jobs.state(ref.job_id) == "queued"
    await jobs.serve("i2")
    job = await jobs.job(ref.job_id)
    assert (job["state"], job["attempt"], job["instance_id"]) == ("offered", 2, "i2")


@pytest.mark.parametrize(
    ("retry", "has_output", "state"),
    [
        ("never", False, "failed"),
        ("if_silent", False, "queued"),
        ("if_silent", True, "failed"),
        ("always", True, "queued"),
    ],
)
async def test_the_policy_decides_whether_a_lost_job_is_retried(
    jobs: JobDatabase, retry: str, has_output: bool, state: str
) -> None:
    instance = await jobs.serve()
    ref = await jobs.run(await jobs.create(retry=retry))
    if has_output:
        await jobs.append(ref, 1, "a")
    assert await jobs.end("deregister", instance) == "ok"
    job = await jobs.job(ref.job_id)
    assert job["state"] == state
    if state == "failed":
        assert '"error": "instance_lost"' in job["error"] and '"instance_id": "i1"' in job["error"]


async def test_attempts_have_a_limit(jobs: JobDatabase) -> None:
    await jobs.serve("i1")
    job_id = await jobs.create(retry="always", max_attempts=2)
    for name in ("i2", "i3"):
        await jobs.reject(await jobs.run(job_id), "handed back")
        await jobs.serve(name)
    assert await jobs.state(job_id) == "failed"


async def test_an_error_that_may_be_retried_is_retried(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    error = '{"error": "Busy", "message": "try again", "retryable": true}'
    assert await jobs.fail(ref, error=error) == "ok"
    job = await jobs.job(ref.job_id)
    assert (job["state"], job["attempt"]) == ("offered", 2), "the same instance may try again"
    assert await jobs.fail(await jobs.run(ref.job_id)) == "ok"
    assert '"error": "Broken"' in (await jobs.job(ref.job_id))["error"]


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("agent_id", {"agent": "nobody"}),
        ("retry", {"retry": "sometimes"}),
        ("max_attempts", {"max_attempts": 0}),
        ("version_low", {"version_low": "latest"}),
        ("zone", {"zone": ""}),
        ("affinity_key", {"affinity_key": ""}),
    ],
)
async def test_a_wrong_argument_is_refused_by_name(jobs: JobDatabase, field: str, more: dict[str, Any]) -> None:
    await jobs.serve()
    with pytest.raises(asyncpg.InvalidParameterValueError) as refused:
        await jobs.create(**more)
    assert refused.value.column_name == field


async def test_a_repeated_creation_finds_the_job(jobs: JobDatabase) -> None:
    await jobs.serve()
    job_id = await jobs.create()
    await jobs.run(job_id)
    assert await jobs.create(job_id=job_id) == job_id
    assert await jobs.state(job_id) == "running"


async def test_the_id_of_another_tenants_job_is_refused(jobs: JobDatabase) -> None:
    await jobs.serve()
    job_id = await jobs.create()
    await jobs.serve("i1", tenant=ORG_2)
    with pytest.raises(asyncpg.UniqueViolationError):
        await jobs.create(ORG_2, job_id=job_id)


def test_a_state_is_ended_when_nothing_follows() -> None:
    assert {state for state in JobState if state.is_ended} == {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
    }
