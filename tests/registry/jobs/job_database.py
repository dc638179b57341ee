"""The SQL functions of jobs with short calls for tests, on connections with the roles of the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from registry_database import ORG_1, RegistryDatabase, open_registry

AGENT = "bot"


@dataclass(frozen=True, slots=True)
class Instance:
    """One registration of an instance."""

    tenant: UUID
    name: str
    registration_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Ref:
    """The job, attempt, registration and epoch that a message names."""

    tenant: UUID
    job_id: UUID
    attempt: int
    registration_id: UUID
    epoch: int


class JobDatabase:
    """Calls at the database's time, or at `at` when it is set."""

    def __init__(self, registry: RegistryDatabase) -> None:
        self.registry = registry
        self.at: datetime | None = None

    async def later(self, seconds: float) -> None:
        """Set the time of all further calls to so many seconds after the present or the last such time."""
        self.at = (self.at or await self.registry.now()) + timedelta(seconds=seconds)

    async def _row(self, call: str, *arguments: Any) -> asyncpg.Record:
        names = f"{call.rstrip(')')}{', ' if call[-1] == ')' and arguments else ''}now => ${len(arguments) + 1})"
        row = await self.registry.app.fetchrow(f"select * from mcp.{names}", *arguments, self.at)
        assert row is not None
        return row

    async def register(self, name: str = "i1", tenant: UUID = ORG_1, agent: str = AGENT, **more: Any) -> Instance:
        names = "".join(f", {key} => ${number}" for number, key in enumerate(more, start=4))
        call = f"register_agent_instance($1, $2, $3{names})"
        row = await self._row(call, tenant, agent, name, *more.values())
        return Instance(tenant, name, row["registration_id"], row["epoch"])

    async def open(self, instance: Instance, slots: int = 1, jobs: Sequence[UUID] = ()) -> asyncpg.Record:
        call = "open_agent_slots($1, $2, $3, $4, $5)"
        return await self._row(call, instance.tenant, instance.registration_id, instance.epoch, slots, list(jobs))

    async def serve(self, name: str = "i1", slots: int = 1, tenant: UUID = ORG_1, **more: Any) -> Instance:
        """Register an instance that takes jobs."""
        instance = await self.register(name, tenant, **more)
        assert (await self.open(instance, slots))["outcome"] == "ok"
        return instance

    async def create(self, tenant: UUID = ORG_1, agent: str = AGENT, **more: Any) -> UUID:
        job_id: UUID = more.pop("job_id", None) or uuid4()
        names = "".join(f", {key} => ${number}" for number, key in enumerate(more, start=4))
        await self._row(f"create_agent_job($1, $2, '{{}}', $3{names})", tenant, agent, job_id, *more.values())
        return job_id

    async def job(self, job_id: UUID) -> asyncpg.Record:
        row = await self.registry.owner.fetchrow("select * from mcp.agent_jobs where id = $1", job_id)
        assert row is not None
        return row

    async def state(self, job_id: UUID) -> str:
        return str((await self.job(job_id))["state"])

    async def ref(self, job_id: UUID) -> Ref:
        """The reference that the instance which has the job would name."""
        job = await self.job(job_id)
        return Ref(job["tenant_id"], job_id, job["attempt"], job["registration_id"], job["epoch"])

    async def offers(self, job_id: UUID) -> list[asyncpg.Record]:
        query = "select * from mcp.agent_job_offers where job_id = $1 order by ordinal"
        rows: list[asyncpg.Record] = await self.registry.owner.fetch(query, job_id)
        return rows

    async def slots(self, instance: Instance) -> asyncpg.Record:
        query = "select * from mcp.agent_slots where registration_id = $1"
        row = await self.registry.owner.fetchrow(query, instance.registration_id)
        assert row is not None
        return row

    async def accept(self, ref: Ref) -> str:
        return str((await self._row("accept_agent_job($1, $2, $3, $4, $5)", *_named(ref)))["outcome"])

    async def reject(self, ref: Ref, reason: str | None = None) -> str:
        return str((await self._row("reject_agent_job($1, $2, $3, $4, $5, $6)", *_named(ref), reason))["outcome"])

    async def extend(self, ref: Ref) -> tuple[str, bool]:
        row = await self.registry.system.fetchrow(
            "select * from mcp.extend_agent_jobs($1, $2, $3, $4, now => $5)",
            [ref.registration_id],
            [ref.epoch],
            [ref.job_id],
            [ref.attempt],
            self.at,
        )
        assert row is not None
        return row["outcome"], row["cancel"]

    async def append(self, ref: Ref, first_seq: int, *tokens: str) -> tuple[str, int | None]:
        call = "append_job_events($1, $2, $3, $4, $5, $6, $7, $8)"
        data = [f'"{token}"' for token in tokens]
        row = await self._row(call, *_named(ref), first_seq, ["token"] * len(tokens), data)
        return row["outcome"], row["applied_through"]

    async def events(self, job_id: UUID) -> list[tuple[int, int, str]]:
        query = "select attempt, seq, data from mcp.agent_job_events where job_id = $1 order by attempt, seq"
        return [(row[0], row[1], row[2].strip('"')) for row in await self.registry.owner.fetch(query, job_id)]

    async def finish(self, ref: Ref, state: str = "succeeded", through_seq: int = 0, **more: Any) -> str:
        names = "".join(f", {key} => ${number}" for number, key in enumerate(more, start=8))
        call = f"finish_agent_job($1, $2, $3, $4, $5, $6, $7{names})"
        return str((await self._row(call, *_named(ref), through_seq, state, *more.values()))["outcome"])

    async def fail(self, ref: Ref, message: str = "broken", **more: Any) -> str:
        error = '{"error": "Broken", "message": "' + message + '"}'
        return await self.finish(ref, "failed", error=more.get("error", error))

    async def cancel(self, job_id: UUID, tenant: UUID = ORG_1, grace: float = 10) -> str:
        row = await self._row("cancel_agent_job($1, $2, 'not needed', $3)", tenant, job_id, grace)
        return str(row["outcome"])

    async def claim(self, instance: Instance, max_jobs: int = 1, wait_seconds: float = 0) -> asyncpg.Record:
        call = "claim_agent_jobs($1, $2, $3, $4, $5)"
        return await self._row(call, instance.tenant, instance.registration_id, instance.epoch, max_jobs, wait_seconds)

    async def end(self, verb: str, instance: Instance, last: Any = "why") -> str:
        """deregister, drain, or disconnect (`last`: its grace)."""
        call = f"{verb}_agent_instance($1, $2, $3, $4)"
        row = await self._row(call, instance.tenant, instance.registration_id, instance.epoch, last)
        return str(row["outcome"])

    async def heartbeat(self, instance: Instance, health: str = "healthy") -> str:
        call = "heartbeat_agent_instance($1, $2, $3, $4)"
        row = await self._row(call, instance.tenant, instance.registration_id, instance.epoch, health)
        return str(row["outcome"])

    async def sweep(self) -> asyncpg.Record:
        row = await self.registry.system.fetchrow("select * from mcp.sweep_agent_jobs(now => $1)", self.at)
        assert row is not None
        return row

    async def run(self, job_id: UUID) -> Ref:
        """Accept the offer of a job."""
        ref = await self.ref(job_id)
        assert await self.accept(ref) == "ok"
        return ref


def _named(ref: Ref) -> tuple[Any, ...]:
    return ref.tenant, ref.job_id, ref.attempt, ref.registration_id, ref.epoch


def at_epoch(ref: Ref, epoch: int) -> Ref:
    return replace(ref, epoch=epoch)


@contextlib.asynccontextmanager
async def open_jobs(url: str, size: int = 4) -> AsyncIterator[JobDatabase]:
    async with open_registry(url, size) as registry:
        yield JobDatabase(registry)
