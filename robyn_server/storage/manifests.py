"""Manifests: types of agents. A tenant reads what row-level security shows it; administrators read and write as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from .agent_pages import AgentPage, agent_page
from .database import Pool
from .errors import translated
from .json import to_json
from .queries import load

_SQL = load("manifests")


class Manifests:
    """`tenant` None: all of them, as administrators see them."""

    def __init__(self, app: Pool, system: Pool) -> None:
        self._app = app
        self._system = system

    async def find(self, tenant: UUID | None, agent_id: str) -> str | None:
        """As JSON text."""
        async with translated():
            if tenant is None:
                body: str | None = await self._system.fetchval(_SQL["get_any"], agent_id)
            else:
                body = await self._app.fetchval(_SQL["get"], tenant, agent_id)
        return body

    async def search(self, tenant: UUID | None, *, after: str | None, limit: int) -> AgentPage:
        async with translated():
            if tenant is None:
                rows = await self._system.fetch(_SQL["search_any"], after or "", limit + 1)
            else:
                rows = await self._app.fetch(_SQL["search"], tenant, after or "", limit + 1)
        return agent_page(rows, limit)

    async def put(self, agent_id: str, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """The manifest as JSON text, and whether it is new. Raises Invalid."""
        async with translated():
            row = await self._system.fetchrow(_SQL["put"], agent_id, to_json(fields))
        assert row is not None  # noqa: S101 - an upsert that returns
        return row["body"], row["is_new"]

    async def update(self, agent_id: str, fields: Mapping[str, Any]) -> str | None:
        """None: there is no such manifest."""
        async with translated():
            body: str | None = await self._system.fetchval(_SQL["update"], agent_id, to_json(fields))
        return body
