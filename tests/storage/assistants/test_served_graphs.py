"""Default assistants are in service as long as a living process serves their graph."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from databases import fresh_database
from run_storage import open_run_storage

from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.workers import ProcessKind, Workers


@pytest.mark.parametrize("kind", list(ProcessKind))
async def test_a_graph_is_served_until_the_last_announcement_of_it_lapses(
    postgres: str, template: str, kind: ProcessKind
) -> None:
    async with fresh_database(postgres, template) as url, open_run_storage(url, size=1) as storage:
        workers, store, process = Workers(storage.system), PostgresSyncStore(storage.system), uuid4()
        await store.ensure_default_assistants(["gone", "echo"])
        await workers.announce(process, ["gone"], timedelta(minutes=1), kind)
        assert await store.retire_default_assistants() == ["echo"]
        assert await store.retire_default_assistants() == []
        await workers.announce(process, ["gone"], -timedelta(seconds=1), kind)
        assert await store.retire_default_assistants() == ["gone"]
        await store.ensure_default_assistants(["gone"])
        await workers.announce(process, ["gone"], timedelta(minutes=1), kind)
        assert await storage.admin.fetchval("select agenthall.is_served('gone')") == (kind is ProcessKind.WORKER)
        await workers.withdraw(process)
        assert await store.retire_default_assistants() == ["gone"]
