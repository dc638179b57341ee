"""Operations and fields that this server does not offer: each is refused by its name. None is ignored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from network.sse_client import problem_detail

import robyn_server
from robyn_server.web.routes import all_routes

UNBUILT = [(route.method, route.path) for route in all_routes() if route.not_built]


def test_the_table_knows_what_is_not_built() -> None:
    assert {("POST", "/runs/crons"), ("POST", "/threads/{thread_id}/stream/events")} <= set(UNBUILT)


@pytest.mark.parametrize(("method", "path"), UNBUILT)
async def test_an_operation_that_is_not_built_answers_405_and_is_named(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    named = path.format_map(
        dict.fromkeys(("assistant_id", "thread_id", "run_id", "cron_id", "namespace"), str(uuid4()))
    )
    answer = await http.request(method, named, json={})
    assert answer.status_code == 405
    assert method not in answer.headers["allow"].split(", ")
    assert answer.json()["code"] == "not_offered"
    assert f"{method} {path}" in problem_detail(answer)


RUN_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("webhook", {"webhook": "https://example.org/hook"}),
    ("feedback_keys", {"feedback_keys": ["thumbs"]}),
    ("langsmith_tracer", {"langsmith_tracer": {"project_name": "p"}}),
]


@pytest.mark.parametrize(("field", "given"), RUN_FIELDS)
@pytest.mark.parametrize("way", ["", "/stream", "/wait"])
async def test_a_field_of_a_run_that_is_not_built_answers_422_and_is_named(
    http: httpx.AsyncClient, thread: str, way: str, field: str, given: dict[str, Any]
) -> None:
    answer = await http.post(f"/threads/{thread}/runs{way}", json={"assistant_id": "echo", **given})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "not_offered", field)
    assert field in problem_detail(answer)
    assert (await http.get(f"/threads/{thread}/runs")).json() == [], "nothing was started"


@pytest.mark.parametrize("given", [{"feedback_keys": []}, {"webhook": None}, {"strict_resume": False}])
async def test_a_field_that_asks_for_nothing_is_no_reason_to_refuse(http: httpx.AsyncClient, given: Any) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}, **given})
    assert answer.json() == {"text": 1}


@pytest.mark.parametrize("mode", ["tools", "lifecycle", "zzz", ["values", "zzz"], 5])
async def test_a_stream_mode_that_the_api_does_not_have_is_422(http: httpx.AsyncClient, mode: Any) -> None:
    answer = await http.post("/runs/stream", json={"assistant_id": "echo", "stream_mode": mode})
    assert answer.status_code == 422


def test_only_operations_are_405_and_a_field_has_an_error_of_its_own() -> None:
    package = Path(robyn_server.__file__).parent
    raising = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"(?<!\w)(?:errors\.)?NotOffered\(f?[\"\n]", path.read_text(encoding="utf-8"))
    ]
    assert raising == ["web/http/routing.py"]
