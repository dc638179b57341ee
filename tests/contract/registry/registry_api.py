"""Calls of the agent registry's REST API."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from network.sse_client import problem_detail

INSTANCES, CONFIGURATIONS, MANIFESTS = "/agents/instances", "/agents/configurations", "/agents/manifests"


async def add_brake(connection: asyncpg.Connection[Any], tenant: str, agent_id: str) -> None:
    """Put a brake on an agent's instances. No sweep releases it until the connection is closed."""
    await connection.execute("select pg_advisory_lock(7168880, 1)")  # that of mcp.sweep_agent_instances
    await connection.execute(
        "insert into mcp.agent_brakes (tenant_id, manifest_id, since, stale, total) "
        "select $1, id, now(), 1, 1 from mcp.agent_manifests where agent_id = $2",
        UUID(tenant),
        agent_id,
    )


def new_agent_id() -> str:
    """An unused agent_id."""
    return f"agent-{uuid4().hex[:12]}"


async def register(
    client: httpx.AsyncClient, agent_id: str, instance_id: str = "c1", status: int = 201, **fields: Any
) -> Any:
    answer = await client.post(INSTANCES, json={"agent_id": agent_id, "instance_id": instance_id, **fields})
    assert answer.status_code == status, answer.text
    return answer.json()


async def list_instance_ids(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    answer = await client.get(INSTANCES, params=wanted)
    assert answer.status_code == 200, answer.text
    return sorted(each["instance_id"] for each in answer.json()["instances"])


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json" and problem_detail(answer)
    return answer.status_code, answer.json()["code"], answer.json().get("field")
