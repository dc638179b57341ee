"""Calls of the agent registry's REST API."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
from network.sse_client import problem_detail

INSTANCES, CONFIGURATIONS, MANIFESTS = "/agents/instances", "/agents/configurations", "/agents/manifests"


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
