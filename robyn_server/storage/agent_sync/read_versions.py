"""Which version of an agent was read last, so that an older one is never applied over it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.queries import load

from .rows import agent_of
from .source_storage import SourceStorage

_SQL = load("agent_sync/read_versions")


class ReadVersions(SourceStorage):
    """A version is `metadata.synced_at`, the time of the read on the clock of the source's database."""

    async def claim(self, payload: Mapping[str, Any]) -> bool:
        """Whether `payload` was read after everything that was applied; nothing that was read earlier is applied from
        now on.

        Waits for a replica that applies another version of the agent at this moment.
        """
        read_at = datetime.fromisoformat(payload["metadata"]["synced_at"])
        async with translated():
            query = _SQL["claim"].bind(agent_id=agent_of(payload), source=self.source, read_at=read_at)
            is_latest: bool = await self._pool.fetchval(*query)
        return is_latest
