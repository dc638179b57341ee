"""Bodies that hypothesis makes up for every route, out of the routes' own models: no answer is a 5xx but 503."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.live_server import LiveServer, until

from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes

WITH_BODY = [
    route for route in all_routes() if route.body is not None and not route.path.endswith(("/stream", "/wait"))
]

CLEAN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "echo", "*", "values", "asc", "id", "'; --", "%s", "\\u0000", "__proto__", "configurable"]
)
TEXT = CLEAN | st.sampled_from(["\0", "\ud800"])


def json_of(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalar = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | text
    scalar |= st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
    )


JSON = json_of(TEXT) | st.floats()
OBJECT = st.dictionaries(CLEAN, json_of(CLEAN), max_size=3)
REFUSED = {"ttl", "supersteps", "extract", "webhook", "feedback_keys", "langsmith_tracer", "strict_resume"}
"""Fields that are refused, because they are not offered: null, unless they are the one that may be anything."""

CHECKPOINT = "1f1e5e10-023e-69c3-8005-b819345e7831"
ORGANIZATION = {"x-organization-id": CHECKPOINT}

PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "assistant_id": st.sampled_from(["echo", "road", "approval", "agent", "context", CHECKPOINT]),
    "graph_id": st.sampled_from(["echo", "counter"]),
    "thread_id": st.just(CHECKPOINT) | st.uuids().map(str),
    "ids": st.lists(st.uuids().map(str), max_size=2),
    "input": OBJECT | st.just({"text": 1}) | st.just({"note": "a"}),
    "command": st.fixed_dictionaries(
        {},
        optional={
            "goto": st.sampled_from(["first", "siding", "nope", {"node": "siding"}]),
            "update": OBJECT,
            "resume": json_of(CLEAN),
        },
    ),
    "config": st.fixed_dictionaries(
        {},
        optional={
            "tags": st.lists(CLEAN, max_size=2),
            "recursion_limit": st.integers(-1, 30),
            "configurable": OBJECT,
            "metadata": OBJECT,
        },
    ),
    "checkpoint": st.fixed_dictionaries(
        {}, optional={"checkpoint_id": st.just(CHECKPOINT), "checkpoint_ns": CLEAN, "checkpoint_map": OBJECT}
    ),
    "before": st.just(CHECKPOINT) | st.just({"checkpoint_id": CHECKPOINT}),
    "checkpoint_id": st.just(CHECKPOINT),
    "interrupt_before": st.just("*") | st.lists(CLEAN, max_size=2),
    "interrupt_after": st.just("*") | st.lists(CLEAN, max_size=2),
    "stream_mode": st.lists(st.sampled_from(["values", "updates", "messages", "custom"]), max_size=3),
    "multitask_strategy": st.sampled_from(["reject", "enqueue"]),
    "if_not_exists": st.just("create"),
    "durability": st.sampled_from(["sync", "async", "exit"]),
    "after_seconds": st.just(0),
    "limit": st.integers(1, 1000),
    "offset": st.integers(0, 2**31 - 1),
    "select": st.lists(st.sampled_from(["thread_id", "assistant_id", "values", "name", "metadata"]), max_size=2),
    "sort_by": st.sampled_from(["created_at", "updated_at"]),
    "name": CLEAN,
    "description": CLEAN | st.none(),
    "if_exists": st.sampled_from(["raise", "do_nothing"]),
    "sort_order": st.sampled_from(["asc", "desc"]),
    "subgraphs": st.booleans(),
    "stream_subgraphs": st.booleans(),
    "stream_resumable": st.booleans(),
    "checkpoint_during": st.booleans(),
    "on_disconnect": st.sampled_from(["cancel", "continue"]),
    "on_completion": st.sampled_from(["delete", "keep"]),
    "status": st.sampled_from(["idle", "busy", "interrupted", "error"]),
    "agent_id": st.sampled_from(["ide-agent", "bot", CHECKPOINT]),
    "instance_id": st.sampled_from(["c1", "c2"]) | CLEAN,
    "epoch": st.integers(0, 3) | st.just(2**63 - 1),
    "health": st.sampled_from(["healthy", "degraded"]),
    "load": OBJECT
    | st.fixed_dictionaries({"workload": st.integers() | st.floats(allow_nan=False, allow_infinity=False)}),
    "capabilities": st.lists(CLEAN, max_size=3),
    "tags": st.lists(CLEAN, max_size=3),
    "zone": CLEAN,
    "version": CLEAN | st.sampled_from(["1.2.3", "v1-0", "9" * 30]),
    "published": st.booleans(),
    "enabled": st.booleans(),
    "temperature": st.floats(0, 2),
    "max_tokens": st.integers(1, 2**31 - 1),
    "max_workload": st.integers(0, 2**31 - 1),
}
WITHIN_BOUNDS = {"after_seconds": st.sampled_from([-1, "x", None, 10**20])}
"""A run that begins in a year would never end."""


@st.composite
def bodies(draw: st.DrawFn, route: Route) -> dict[str, Any]:
    """A plausible body, in which one field may be anything at all."""
    assert route.body is not None
    fields = {name: PLAUSIBLE.get(name, OBJECT) for name in route.body.model_fields}
    for name in REFUSED & fields.keys():
        fields[name] = st.none()
    needed = {name: fields.pop(name) for name, field in route.body.model_fields.items() if field.is_required()}
    body = draw(st.fixed_dictionaries(needed, optional=fields))
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(route.body.model_fields)))
        body[name] = draw(WITHIN_BOUNDS.get(name, JSON))
    return body


async def _busy_threads(http: httpx.AsyncClient) -> set[str]:
    found = await http.post("/threads/search", json={"status": "busy", "limit": 1000})
    return {each["thread_id"] for each in found.json()}


@pytest.fixture(scope="module", autouse=True)
async def busy_before(http: httpx.AsyncClient) -> set[str]:
    """Threads of other modules on this server, whose runs may begin in an hour."""
    return await _busy_threads(http)


@pytest.fixture(scope="module")
async def places(http: httpx.AsyncClient) -> dict[str, str]:
    """Ids of an assistant, a thread, an instance and an agent that are there."""
    assistant = (await http.post("/assistants", json={"graph_id": "road"})).json()["assistant_id"]
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "road", "input": {"note": "a"}})
    known = {"agent_id": "ide-agent", "instance_id": "c1"}
    instance = (await http.post("/agents/instances", json=known, headers=ORGANIZATION)).json()["registration_id"]
    ids = {"assistant_id": assistant, "thread_id": thread, "registration_id": instance}
    return {**ids, "agent_id": "ide-agent", "job_id": str(UUID(int=1)), "prefix": "a" * 10}


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_body_is_answered_with_a_500(
    http: httpx.AsyncClient, places: dict[str, str], route: Route, data: st.DataObject
) -> None:
    body = json.dumps(data.draw(bodies(route)))
    headers = ORGANIZATION if route.path.startswith("/agents/") else {}
    answer = await http.request(route.method, route.path.format_map(places), content=body, headers=headers)
    assert answer.status_code < 500 or answer.status_code == 503, (answer.status_code, body)
    if answer.status_code >= 400:
        assert isinstance(answer.json()["detail"], str)


async def test_what_was_started_ends_and_everybody_lives(
    http: httpx.AsyncClient, server: LiveServer, places: dict[str, str], busy_before: set[str]
) -> None:
    async def is_quiet() -> bool:
        return await _busy_threads(http) <= busy_before

    await until(is_quiet)
    server.check_alive()
    assert (await http.get(f"/threads/{places['thread_id']}/history")).status_code == 200
    assert (await http.get(f"/threads/{places['thread_id']}/state")).status_code == 200
    for process in server.processes:
        assert "request.failed" not in process.read_log(), process.read_log()[-2000:]
