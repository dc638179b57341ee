"""Jobs that the programs of `worker_programs` work on."""

from __future__ import annotations

from typing import Any

import asyncpg
from bots.server_jobs import ServerJob, create_job
from registry_server import ORGANIZATION, RegistryServer


async def create_count(
    connection: asyncpg.Connection,
    agent_id: str,
    *,
    tokens: int = 40,
    seconds: float = 0.05,
    retry: str = "if_silent",
    held_attempts: int = 0,
) -> ServerJob:
    """A job for `program_worker`."""
    request = {"input": {"tokens": tokens, "seconds": seconds, "held_attempts": held_attempts}}
    return await create_job(connection, ORGANIZATION, agent_id, request, retry=retry)


def options_of(server: RegistryServer, **options: Any) -> dict[str, Any]:
    return {"url": server.sockets_url, "api_key": server.key, "slots": 1, **options}
