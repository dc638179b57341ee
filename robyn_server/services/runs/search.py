"""Use cases of runs of all threads: a caller lists the own ones, an administrator those of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.access.principal import Principal
from robyn_server.storage.runs.search import RunFilter, RunSearch


class RunSearchService:
    def __init__(self, search: RunSearch) -> None:
        self._search = search

    async def search(self, principal: Principal, where: RunFilter, after: UUID | None, limit: int) -> Mapping[str, Any]:
        """Return a page, the newest run first: `runs`, and `next_cursor` if there may be more. Raises TooLarge."""
        page = await self._search.search(principal, where, after=after, limit=limit)
        return {"runs": [orjson.Fragment(body) for body in page.bodies], "next_cursor": page.after and str(page.after)}
