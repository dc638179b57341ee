"""Instances of agents that run elsewhere: one tenant's, through the verbs of schema mcp. Works as agenthall_app.

Every call is one round trip and one transaction; the statement itself says for which tenant it acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from robyn_server.core.registry import (
    READY,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
    RegistrationStatus,
)
from robyn_server.core.version_range import VersionRange

from .errors import translated
from .json import from_json, to_json
from .queries import load

_SQL = load("instances")
_FIRST = UUID(int=0)


class Session(Protocol):
    """What is asked here of a pool, or of a single connection."""

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None: ...

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class InstancePage:
    """`bodies`: JSON texts, in the order of their ids. `after`: the id to go on from, where there may be more."""

    bodies: list[str]
    after: UUID | None


class Instances:
    """Raises Invalid naming the field, Forbidden (code configuration_disabled), Unavailable."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def register(
        self, tenant: UUID, asked: Registering, *, registered_by: str, keeper_id: UUID | None
    ) -> Registered:
        async with translated():
            row = await self._session.fetchrow(
                _SQL["register"],
                tenant,
                asked.agent_id,
                asked.instance_id,
                asked.name,
                to_json(asked.connection_details),
                to_json(asked.runtime_config),
                asked.capabilities,
                asked.version,
                asked.agent_type,
                asked.zone,
                asked.tags,
                asked.idempotency_key,
                registered_by,
                keeper_id,
                asked.health,
            )
        assert row is not None  # noqa: S101 - one row, or an error
        return Registered(
            row["registration_id"],
            row["manifest_id"],
            row["config_id"],
            asked.instance_id,
            row["is_new"],
            row["message"],
            row["epoch"],
            row["lease_ttl_seconds"],
            row["heartbeat_interval_seconds"],
        )

    async def drain(self, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None) -> Outcome:
        return await self._outcome("drain", tenant, registration_id, epoch, reason)

    async def deregister(self, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None) -> Outcome:
        return await self._outcome("deregister", tenant, registration_id, epoch, reason)

    async def disconnect(self, tenant: UUID, registration_id: UUID, epoch: int, grace_seconds: float) -> Outcome:
        return await self._outcome("disconnect", tenant, registration_id, epoch, grace_seconds)

    async def update(self, tenant: UUID, registration_id: UUID, epoch: int, change: InstanceChange) -> Outcome:
        return await self._outcome(
            "update",
            tenant,
            registration_id,
            epoch,
            change.name,
            change.capabilities,
            change.version,
            change.zone,
            change.tags,
            to_json(change.connection_details),
            to_json(change.runtime_config),
        )

    async def _outcome(self, verb: str, *arguments: Any) -> Outcome:
        async with translated():
            return Outcome(await self._session.fetchval(_SQL[verb], *arguments))

    async def find_status(self, tenant: UUID, registration_id: UUID) -> RegistrationStatus | None:
        """The stored one, whether or not its lease lives; None: the tenant has no such registration."""
        async with translated():
            status = await self._session.fetchval(_SQL["status"], tenant, registration_id)
        return None if status is None else RegistrationStatus(status)

    async def find(self, tenant: UUID, registration_id: UUID) -> str | None:
        """As JSON text, secrets struck out."""
        async with translated():
            body: str | None = await self._session.fetchval(_SQL["get"], tenant, registration_id)
        return body

    async def find_said(self, tenant: UUID, registration_id: UUID) -> Registering | None:
        async with translated():
            row = await self._session.fetchrow(_SQL["said"], tenant, registration_id)
        return None if row is None else _said(row)

    async def search(
        self, tenant: UUID, wanted: InstanceFilter, versions: VersionRange, *, after: UUID | None, limit: int
    ) -> InstancePage:
        query, arguments = _search(wanted, versions)
        async with translated():
            rows = await self._session.fetch(
                _SQL[query], tenant, arguments[0], after or _FIRST, limit + 1, *arguments[1:]
            )
        more = len(rows) > limit
        return InstancePage([row["body"] for row in rows[:limit]], rows[limit - 1]["registration_id"] if more else None)


def _search(wanted: InstanceFilter, versions: VersionRange) -> tuple[str, list[Any]]:
    """The query for what is wanted, and its arguments: the second, and those from the fifth on."""
    if wanted.status is RegistrationStatus.INACTIVE:
        words = [wanted.capabilities, wanted.tags]
        return "search_ended", [wanted.agent_id, *words, *_ends(versions), wanted.zone]
    terms = _terms(wanted)
    status = wanted.status or RegistrationStatus.ACTIVE
    filters = [terms, status, _healths(wanted), *_ends(versions), wanted.free_slots]
    return ("search_by_terms" if terms else "search_current"), filters


def _healths(wanted: InstanceFilter) -> Sequence[HealthStatus] | None:
    """None: any."""
    if wanted.health is not None:
        return [wanted.health]
    return READY if wanted.status is None else None


def _terms(wanted: InstanceFilter) -> list[str]:
    """As mcp.agent_terms has them, each once."""
    named = [f"agent:{wanted.agent_id}"] if wanted.agent_id is not None else []
    named += [f"zone:{wanted.zone}"] if wanted.zone is not None else []
    words = [f"capability:{word}" for word in wanted.capabilities] + [f"tag:{word}" for word in wanted.tags]
    return list(dict.fromkeys(named + words))


def _ends(versions: VersionRange) -> list[Any]:
    low, high = versions.low, versions.high
    return [
        None if low is None else low.text,
        low is not None and low.inclusive,
        None if high is None else high.text,
        high is not None and high.inclusive,
    ]


def _said(row: asyncpg.Record) -> Registering:
    return Registering(
        agent_id=row["agent_id"],
        instance_id=row["instance_id"],
        name=row["name"],
        connection_details=from_json(row["connection_details"]),
        runtime_config=from_json(row["runtime_config"]),
        capabilities=tuple(row["capabilities"]),
        version=row["version"],
        agent_type=row["agent_type"],
        zone=row["zone"],
        tags=tuple(row["tags"]),
        health=HealthStatus.HEALTHY,
    )
