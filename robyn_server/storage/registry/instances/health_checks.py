"""Which instances are to be checked over HTTP, and what the checks found. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/instances/health_checks")


@dataclass(frozen=True, slots=True)
class DueCheck:
    registration_id: UUID
    url: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`error`: None if the check passed."""

    check: DueCheck
    error: str | None


class HealthChecks:
    """`every`: time between two checks of an instance. Raises Unavailable."""

    def __init__(self, pool: Pool, every: timedelta) -> None:
        self._pool = pool
        self._every = every

    async def claim(self, most: int) -> list[DueCheck]:
        """Take the checks that are due. No other process gets them until they are due again."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["claim"].bind(most=most, every=self._every))
        return [DueCheck(**row) for row in rows]

    async def record(self, results: Sequence[CheckResult]) -> int:
        """Record results, and let them open and close circuit breakers. Return how many were of a current URL."""
        query = _SQL["record"].bind(
            registration_ids=[each.check.registration_id for each in results],
            urls=[each.check.url for each in results],
            errors=[each.error for each in results],
            every=self._every,
        )
        async with translated():
            return int(await self._pool.fetchval(*query))
