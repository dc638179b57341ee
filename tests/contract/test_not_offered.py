"""What this server does not offer (yet) answers 501 and is named. Nothing is accepted and dropped."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from robyn_server.web.routes import all_routes

from .wire import detail

UNBUILT = [(route.method, route.path) for route in all_routes() if route.unbuilt]


def test_the_table_knows_what_is_not_built() -> None:
    assert {("POST", "/runs/batch"), ("POST", "/threads/{thread_id}/state"), ("PUT", "/store/items")} <= set(UNBUILT)
    assert len(UNBUILT) >= 30


@pytest.mark.parametrize(("method", "path"), UNBUILT)
async def test_an_operation_that_is_not_built_answers_501_and_is_named(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    named = path.format_map(
        dict.fromkeys(("assistant_id", "thread_id", "run_id", "cron_id", "namespace"), str(uuid4()))
    )
    answer = await http.request(method, named, json={})
    assert answer.status_code == 501
    assert answer.json()["code"] == "not_offered"
    assert f"{method} {path}" in detail(answer)


RUN_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("webhook", {"webhook": "https://example.org/hook"}),
    ("feedback_keys", {"feedback_keys": ["thumbs"]}),
    ("langsmith_tracer", {"langsmith_tracer": {"project_name": "p"}}),
    ("strict_resume", {"strict_resume": True}),
    ("multitask_strategy", {"multitask_strategy": "rollback"}),
    ("multitask_strategy", {"multitask_strategy": "interrupt"}),
    *(("stream_mode", {"stream_mode": mode}) for mode in ("tasks", "checkpoints", "events", "debug")),
    ("stream_mode", {"stream_mode": ["values", "debug"]}),
]


@pytest.mark.parametrize(("field", "given"), RUN_FIELDS)
@pytest.mark.parametrize("way", ["", "/stream", "/wait"])
async def test_a_field_of_a_run_that_is_not_built_answers_501_and_is_named(
    http: httpx.AsyncClient, thread: str, way: str, field: str, given: dict[str, Any]
) -> None:
    answer = await http.post(f"/threads/{thread}/runs{way}", json={"assistant_id": "echo", **given})
    assert (answer.status_code, answer.json()["field"]) == (501, field)
    assert field in detail(answer)
    assert (await http.get(f"/threads/{thread}/runs")).json() == [], "nothing was started"


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/threads", {"ttl": {"ttl": 5}}, "ttl"),
        ("POST", "/threads", {"ttl": {}}, "ttl"),
        ("POST", "/threads", {"supersteps": [{"updates": []}]}, "supersteps"),
        ("PATCH", "/threads/{thread}", {"ttl": {"ttl": 5}}, "ttl"),
        ("POST", "/threads/search", {"extract": {"a": "values.a"}}, "extract"),
        ("GET", "/threads/{thread}?include=ttl", None, "include"),
        ("GET", "/threads/{thread}/state?select=values", None, "select"),
        ("POST", "/threads/{thread}/runs/{run}/cancel?action=rollback", None, "action"),
    ],
)
async def test_a_field_that_is_not_built_answers_501_and_is_named(
    http: httpx.AsyncClient, thread: str, method: str, path: str, body: Any, field: str
) -> None:
    answer = await http.request(method, path.format(thread=thread, run=uuid4()), json=body)
    assert (answer.status_code, answer.json()["field"]) == (501, field)


@pytest.mark.parametrize("given", [{"feedback_keys": []}, {"webhook": None}, {"strict_resume": False}])
async def test_a_field_that_asks_for_nothing_is_no_reason_to_refuse(http: httpx.AsyncClient, given: Any) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}, **given})
    assert answer.json() == {"text": 1}


@pytest.mark.parametrize("mode", ["tools", "lifecycle", "zzz", ["values", "zzz"], 5])
async def test_a_stream_mode_that_the_api_does_not_have_is_422(http: httpx.AsyncClient, mode: Any) -> None:
    answer = await http.post("/runs/stream", json={"assistant_id": "echo", "stream_mode": mode})
    assert answer.status_code == 422
