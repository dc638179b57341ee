"""Agents that run elsewhere, asked for over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx

from .wire import detail

INSTANCES, CONFIGURATIONS, MANIFESTS = "/agents/instances", "/agents/configurations", "/agents/manifests"


def name() -> str:
    """An agent_id of one's own."""
    return f"agent-{uuid4().hex[:12]}"


async def register(
    client: httpx.AsyncClient, agent_id: str, instance_id: str = "c1", status: int = 201, **said: Any
) -> Any:
    answer = await client.post(INSTANCES, json={"agent_id": agent_id, "instance_id": instance_id, **said})
    assert answer.status_code == status, answer.text
    return answer.json()


async def found(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    answer = await client.get(INSTANCES, params=wanted)
    assert answer.status_code == 200, answer.text
    return sorted(each["instance_id"] for each in answer.json()["instances"])


def said(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json" and detail(answer)
    return answer.status_code, answer.json()["code"], answer.json().get("field")
