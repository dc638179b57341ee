"""Malformed requests to each resource: no 5xx, a problem that says why, and no process that ends."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice

import httpx
import pytest

from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes

from .conftest import HostileTarget
from .long_version import times
from .malformed_requests import MalformedRequest, malformed_requests
from .plausible import PLAUSIBLE

REQUESTS = times(25, long=1_000)
"""To each resource."""

pytestmark = pytest.mark.timeout(times(600, long=7200))
METRICS = times(5, long=100)
"""A scrape takes as long as ten other requests."""


def _resources() -> dict[str, list[Route]]:
    found: dict[str, list[Route]] = defaultdict(list)
    for route in all_routes():
        if not route.not_built:
            _, first, *rest = route.path.split("/")
            found[f"{first}/{rest[0]}" if first == "agents" else first].append(route)
    return dict(found)


RESOURCES = _resources()


@pytest.fixture(scope="module")
async def ids(target: HostileTarget) -> dict[str, str]:
    """Of rows that exist."""
    http = target.http
    assistant = (await http.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}})
    (run,) = (await http.get(f"/threads/{thread}/runs")).json()
    known = {"agent_id": "ide-agent", "instance_id": "c1"}
    instance = (await http.post("/agents/instances", json=known)).json()["registration_id"]
    return {
        "assistant_id": assistant,
        "thread_id": thread,
        "run_id": run["run_id"],
        "registration_id": instance,
        "agent_id": "ide-agent",
    }


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_malformed_request_is_answered_with_a_problem(
    target: HostileTarget, ids: dict[str, str], resource: str
) -> None:
    seed = sorted(RESOURCES).index(resource)
    requests = malformed_requests(RESOURCES[resource], ids, PLAUSIBLE, seed)
    for sent in islice(requests, METRICS if resource == "metrics" else REQUESTS):
        answer, text = await _answer(target.http, sent)
        told = (answer.status_code, text[:500], sent)
        # an agent sync needs a catalogue, which this server does not have
        assert answer.status_code < 500 or (answer.status_code, resource) == (503, "agents/sync"), told
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", told
            problem = json.loads(text)
            assert isinstance(problem["detail"], str) and problem["code"] and problem["request_id"], told
    target.check_alive()


async def _answer(http: httpx.AsyncClient, sent: MalformedRequest) -> tuple[httpx.Response, bytes]:
    """The answer. A stream has no end, and is not read."""
    async with http.stream(sent.method, sent.path, content=sent.body, headers=dict(sent.headers)) as answer:
        is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        return answer, b"" if is_stream else await answer.aread()
