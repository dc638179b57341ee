"""A state machine that hypothesis drives against the engine of jobs. After each step its rules must hold.

Every call gets its time as a parameter, so nothing waits. The machine knows what each instance has been told, and
checks each answer against the rows as they were before. It takes the choice of the instance from the database, and
checks that the choice was allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from job_database import Instance, JobDatabase, Ref
from registry_database import ORG_1, ORG_2

_EMPTY = "delete from mcp.agent_configurations; delete from mcp.agent_manifests; delete from mcp.lease_keepers"
USED = """
select s.registration_id, s.used, count(j.id) as held
  from mcp.agent_slots s left join mcp.agent_jobs j on j.registration_id = s.registration_id and j.holds_slot
 group by s.registration_id, s.used having s.used <> count(j.id)"""
OPEN_OFFERS = """
select j.id, j.state, count(o.job_id) filter (where o.outcome is null) as open
  from mcp.agent_jobs j left join mcp.agent_job_offers o on o.job_id = j.id
 group by j.id having count(o.job_id) filter (where o.outcome is null)
                      <> case when j.state in ('offered', 'running') then 1 else 0 end"""
ACCEPTED_TWICE = """
select job_id, attempt from mcp.agent_job_offers where accepted_at is not null
 group by job_id, attempt having count(*) > 1"""
_GAPS = """
select e.job_id, e.attempt from mcp.agent_job_events e
 group by e.job_id, e.attempt having count(*) <> max(e.seq)"""
_LOST_EVENTS = """
select j.id from mcp.agent_jobs j
 where j.applied_through <> (select count(*) from mcp.agent_job_events e where e.job_id = j.id and e.attempt = j.attempt)"""
_FORGOTTEN = """
select j.id, s.instance_id
  from mcp.agent_jobs j
  join mcp.agent_slots s on s.tenant_id = j.tenant_id and s.manifest_id = j.manifest_id
 where j.state = 'queued' and mcp.has_room(s, null, $1) and mcp.has_required(s, j) and mcp.may_take(s, j, $1)"""
_TOO_MANY = "select id from mcp.agent_jobs where attempt > max_attempts"

names = st.sampled_from([(ORG_1, "i0"), (ORG_1, "i1"), (ORG_1, "i2"), (ORG_2, "i0")])
choices = st.integers(0, 1000)


class JobStateMachine(RuleBasedStateMachine):
    """`wait` runs a coroutine."""

    def __init__(self, jobs: JobDatabase, wait: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self.jobs = jobs
        self.wait = wait
        self.instances: list[Instance] = []
        """Every registration that was made, of whatever epoch."""
        self.made: list[UUID] = []
        self.refs: list[Ref] = []
        """Every offer that an instance was sent."""
        self.ends: dict[UUID, Mapping[str, Any]] = {}

    @initialize()
    def empty(self) -> None:
        self.wait(self.jobs.registry.owner.execute(_EMPTY))
        self.jobs.at = None
        self.wait(self.jobs.later(0))
        for tenant in (ORG_1, ORG_2):
            self.instances.append(self.wait(self.jobs.serve("i9", slots=2, tenant=tenant)))

    # instances

    @rule(name=names, slots=st.sampled_from((None, 0, 1, 1, 3)), keeps=st.booleans())
    def register(self, name: tuple[UUID, str], slots: int | None, keeps: bool) -> None:
        tenant, text = name
        instance = self.wait(self.jobs.register(text, tenant))
        self.instances.append(instance)
        if slots is None:
            return
        held = [ref.job_id for ref in self.refs if ref.registration_id == instance.registration_id]
        before = {job_id: self._row(job_id) for job_id in held}
        opened = self.wait(self.jobs.open(instance, slots, held if keeps else ()))
        assert opened["outcome"] == "ok"
        for job_id, job in before.items():
            if job is not None and job["registration_id"] == instance.registration_id and job["state"] == "running":
                now = self._row(job_id)
                goes_on = (now["state"], now["epoch"], now["attempt"]) == ("running", instance.epoch, job["attempt"])
                assert goes_on == keeps

    @precondition(lambda self: self.instances)
    @rule(choice=choices, verb=st.sampled_from(("drain", "deregister", "disconnect")))
    def end(self, choice: int, verb: str) -> None:
        instance = self._pick(self.instances, choice)
        self.wait(self.jobs.end(verb, instance, 5.0 if verb == "disconnect" else "why"))

    @precondition(lambda self: self.instances)
    @rule(choice=choices, health=st.sampled_from(("healthy", "healthy", "degraded", "unhealthy")))
    def heartbeat(self, choice: int, health: str) -> None:
        self.wait(self.jobs.heartbeat(self._pick(self.instances, choice), health))

    @precondition(lambda self: self.instances)
    @rule(choice=choices, max_jobs=st.integers(1, 2), seconds=st.sampled_from((0, 10)))
    def poll(self, choice: int, max_jobs: int, seconds: int) -> None:
        self.wait(self.jobs.claim(self._pick(self.instances, choice), max_jobs, seconds))

    # callers

    @rule(
        tenant=st.sampled_from((ORG_1, ORG_1, ORG_2)),
        retry=st.sampled_from(("never", "if_silent", "always")),
        attempts=st.integers(1, 3),
        wait=st.sampled_from((None, 0, 20)),
        seconds=st.sampled_from((None, None, 45)),
        thread=st.sampled_from((None, UUID(int=1), UUID(int=2))),
    )
    def create(
        self, tenant: UUID, retry: str, attempts: int, wait: int | None, seconds: int | None, thread: UUID | None
    ) -> None:
        job_id = self.wait(
            self.jobs.create(
                tenant,
                retry=retry,
                max_attempts=attempts,
                start_within=None if wait is None else timedelta(seconds=wait),
                run_within=None if seconds is None else timedelta(seconds=seconds),
                thread_id=thread,
            )
        )
        self.made.append(job_id)

    @precondition(lambda self: self.made)
    @rule(choice=choices, grace=st.sampled_from((0, 10)))
    def cancel(self, choice: int, grace: int) -> None:
        job_id = self._pick(self.made, choice)
        before = self._row(job_id)
        outcome = self.wait(self.jobs.cancel(job_id, before["tenant_id"], grace))
        if before["ended_at"] is not None:
            assert outcome == "ended"
        elif before["state"] == "running":
            assert outcome == "requested" and self._row(job_id)["cancel_by"] is not None
        else:
            assert outcome == "cancelled" and self._row(job_id)["state"] == "cancelled"

    # messages of instances, also those that come late

    @precondition(lambda self: self.refs)
    @rule(choice=choices)
    def accept(self, choice: int) -> None:
        ref, before = self._message(choice)
        outcome = self.wait(self.jobs.accept(ref))
        assert outcome == ("ok" if self._holds(ref, before) and before["ended_at"] is None else "fenced")
        if outcome == "ok":
            assert self._row(ref.job_id)["state"] == "running"

    @precondition(lambda self: self.refs)
    @rule(choice=choices)
    def reject(self, choice: int) -> None:
        ref, before = self._message(choice)
        outcome = self.wait(self.jobs.reject(ref))
        assert outcome == ("ok" if self._holds(ref, before) and before["ended_at"] is None else "fenced")

    @precondition(lambda self: self.refs)
    @rule(choice=choices)
    def extend(self, choice: int) -> None:
        ref, before = self._message(choice)
        outcome, cancel = self.wait(self.jobs.extend(ref))
        is_ours = self._holds(ref, before) and before["state"] == "running"
        assert (outcome, cancel) == ("ok" if is_ours else "fenced", is_ours and before["cancel_by"] is not None)

    @precondition(lambda self: self.refs)
    @rule(choice=choices, back=st.integers(-1, 2), count=st.integers(1, 3))
    def append(self, choice: int, back: int, count: int) -> None:
        """`back`: events that are repeated; -1 leaves one out."""
        ref, before = self._message(choice)
        first = max(1, before["applied_through"] + 1 - back)
        texts = [f"{ref.attempt}.{number}" for number in range(first, first + count)]
        outcome, through = self.wait(self.jobs.append(ref, first, *texts))
        if not self._holds(ref, before) or before["state"] != "running":
            assert (outcome, through) == ("fenced", None)
        elif first > before["applied_through"] + 1:
            assert (outcome, through) == ("gap", before["applied_through"])
        else:
            assert (outcome, through) == ("ok", max(before["applied_through"], first + count - 1))

    @precondition(lambda self: self.refs)
    @rule(
        choice=choices, state=st.sampled_from(("succeeded", "succeeded", "failed", "cancelled")), more=st.integers(0, 1)
    )
    def finish(self, choice: int, state: str, more: int) -> None:
        ref, before = self._message(choice)
        error = '{"error": "E", "message": "m"}' if state == "failed" else None
        outcome = self.wait(self.jobs.finish(ref, state, before["applied_through"] + more, error=error))
        if not self._holds(ref, before) or before["state"] != "running":
            assert outcome == "fenced"
        else:
            assert outcome == ("gap" if more else "ok")
            assert self._row(ref.job_id)["state"] == ("running" if more else state)

    # time

    @rule(seconds=st.sampled_from((0.5, 2, 3, 10, 31)), alive=st.booleans())
    def pass_time(self, seconds: float, alive: bool) -> None:
        """Time passes; with `alive` the latest registrations send heartbeats."""
        self.wait(self.jobs.later(seconds))
        if alive:
            for instance in {(each.tenant, each.name): each for each in self.instances}.values():
                self.wait(self.jobs.heartbeat(instance))

    @rule()
    def sweep(self) -> None:
        self.wait(self.jobs.registry.sweep(self.jobs.at))
        self.wait(self.jobs.sweep())
        assert self.jobs.at is not None
        for row in self._rows("select * from mcp.agent_jobs where ended_at is null"):
            assert row["deadline"] is None or row["deadline"] > self.jobs.at
            assert row["state"] != "offered" or row["accept_by"] > self.jobs.at
            assert row["state"] != "running" or row["lease_expires_at"] > self.jobs.at
            assert row["cancel_by"] is None or row["cancel_by"] > self.jobs.at
            assert row["state"] != "queued" or row["start_by"] is None or row["start_by"] > self.jobs.at
        assert self._rows(_FORGOTTEN, self.jobs.at) == [], "a job waits although an instance could take it"

    # rules

    @invariant()
    def rules_hold(self) -> None:
        for query in (USED, OPEN_OFFERS, ACCEPTED_TWICE, _GAPS, _LOST_EVENTS, _TOO_MANY):
            assert self._rows(query) == [], query

    @invariant()
    def ended_jobs_stay_as_they_are(self) -> None:
        for row in self._rows(
            "select id, state, ended_at, result, error from mcp.agent_jobs where ended_at is not null"
        ):
            assert self.ends.setdefault(row["id"], dict(row)) == dict(row)

    @invariant()
    def new_offers_reach_their_instances(self) -> None:
        """Remember what instances were offered, so that they can answer, in time or late."""
        for row in self._rows("select * from mcp.agent_jobs where holds_slot"):
            ref = Ref(row["tenant_id"], row["id"], row["attempt"], row["registration_id"], row["epoch"])
            if ref not in self.refs:
                self.refs.append(ref)

    def _message(self, choice: int) -> tuple[Ref, Any]:
        """A message's reference, mostly of a job that is open, and the job before it."""
        live = [ref for ref in self.refs if self._row(ref.job_id)["ended_at"] is None]
        ref = self._pick(live if live and choice % 5 else self.refs, choice)
        return ref, self._row(ref.job_id)

    def _holds(self, ref: Ref, job: asyncpg.Record) -> bool:
        named = (job["attempt"], job["registration_id"], job["epoch"], job["holds_slot"])
        return named == (ref.attempt, ref.registration_id, ref.epoch, True) and bool(
            self._rows(
                "select from mcp.agent_leases where registration_id = $1 and epoch = $2", ref.registration_id, ref.epoch
            )
        )

    def _row(self, job_id: UUID) -> Any:
        return self.wait(self.jobs.job(job_id))

    def _rows(self, query: str, *arguments: Any) -> list[Any]:
        rows: list[Any] = self.wait(self.jobs.registry.owner.fetch(query, *arguments))
        return rows

    def _pick(self, among: list[Any], choice: int) -> Any:
        return among[-1 - choice % len(among)]
