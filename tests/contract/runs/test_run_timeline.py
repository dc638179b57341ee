"""GET /threads/{thread_id}/runs/{run_id}/timeline of real runs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from servers.live_server import LiveServer, until
from users.demo_users import HARBOUR, MEADOW

from contract.conftest import UserClientFactory


async def timeline(client: httpx.AsyncClient, thread: str, run_id: str) -> dict[str, Any]:
    answer = await client.get(f"/threads/{thread}/runs/{run_id}/timeline")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def ended(client: LangGraphClient, thread: str, run_id: str) -> None:
    async def has_ended() -> bool:
        return (await client.runs.get(thread, run_id))["status"] not in ("pending", "running")

    await until(has_ended)


async def done(client: LangGraphClient, thread: str, graph: str, given: Any = None, **options: Any) -> str:
    run = await client.runs.create(thread, graph, input=given, **options)
    await ended(client, thread, run["run_id"])
    return str(run["run_id"])


def of_kind(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [span for span in found["spans"] if span["kind"] == kind]


async def test_a_run_has_its_wait_its_attempt_and_its_nodes(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    run_id = await done(client, thread, "road", {"seen": []})
    found = await timeline(http, thread, run_id)
    assert (found["run"]["run_id"], found["run"]["status"]) == (run_id, "success")
    assert [span["kind"] for span in found["spans"]][:2] == ["queue", "attempt"]
    (queue,), (attempt,), nodes = of_kind(found, "queue"), of_kind(found, "attempt"), of_kind(found, "node")
    assert queue["ended_at"] == attempt["started_at"] and attempt["status"] == "success"
    assert len(nodes) == 2 and {node["parent_id"] for node in nodes} == {attempt["id"]}
    assert nodes[0]["ended_at"] == nodes[1]["started_at"] >= attempt["started_at"]
    assert nodes[1]["ended_at"] <= attempt["ended_at"]
    assert found["events"]["count"] > 0 and found["events"]["bytes"] > 0 and not found["events_expired"]
    assert (found["tokens"], found["error"]) == ({"input": None, "output": None}, None)


async def test_a_failed_run_has_the_frames_of_its_code(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    found = await timeline(http, thread, await done(client, thread, "failing", {"text": 1}))
    assert found["error"]["type"] == "ValueError" and found["error"]["message"]
    (frame,) = found["error"]["frames"]
    assert (frame["file"], frame["function"]) == ("served/sample_graphs.py", "_fail") and frame["line"] > 0
    (node,) = of_kind(found, "node")
    assert node["status"] == "error"
    assert "frames" not in str((await client.threads.get(thread))["error"])


async def test_an_agent_has_its_model_calls_with_their_tokens(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    given = {"messages": [{"role": "user", "content": "hello"}]}
    found = await timeline(http, thread, await done(client, thread, "agent", given))
    (model,) = of_kind(found, "model")
    (parent,) = (span for span in of_kind(found, "node") if span["id"] == model["parent_id"])
    assert (model["started_at"], model["status"]) == (parent["started_at"], "success")
    assert model["detail"]["tokens"] == found["tokens"]


async def test_a_run_that_asks_is_interrupted_and_the_one_that_answers_goes_on(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    asking = await done(client, thread, "approval", {})
    assert [node["status"] for node in of_kind(await timeline(http, thread, asking), "node")] == ["interrupted"]
    resumed = await timeline(http, thread, await done(client, thread, "approval", command={"resume": True}))
    assert [node["status"] for node in of_kind(await timeline(http, thread, asking), "node")] == ["interrupted"]
    (node,) = of_kind(resumed, "node")
    assert node["status"] == "success" and node["started_at"] == of_kind(resumed, "attempt")[0]["started_at"]


async def test_a_run_that_waits_has_an_open_wait_alone(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    run = await client.runs.create(thread, "echo", after_seconds=600)
    found = await timeline(http, thread, run["run_id"])
    (span,) = found["spans"]
    assert (span["kind"], span["ended_at"], span["status"], found["events_expired"]) == (
        "queue",
        None,
        "running",
        False,
    )


async def test_events_that_were_deleted_are_told_and_spans_stay(
    client: LangGraphClient, http: httpx.AsyncClient, server: LiveServer, thread: str
) -> None:
    run_id = await done(client, thread, "echo", {"text": 1})
    connection = await asyncpg.connect(server.database)
    await connection.execute("delete from agenthall.run_events where run_id = $1", run_id)
    await connection.close()
    found = await timeline(http, thread, run_id)
    assert (found["events_expired"], found["events"]) == (True, {"count": None, "bytes": None})
    assert [span["kind"] for span in found["spans"]] == ["queue", "attempt", "node"]


async def test_the_timeline_of_another_tenant_is_not_found(person: UserClientFactory) -> None:
    ada = person("ada-of-timelines", HARBOUR)
    thread = await ada.thread()
    run = await ada.sdk.runs.create(thread, "echo", input={"text": 1})
    path = f"/threads/{thread}/runs/{run['run_id']}/timeline"
    for other in (person("colleague", HARBOUR), person("stranger", MEADOW)):
        assert (await other.http.get(path)).status_code == 404
    assert (await ada.http.get(path)).status_code == 200
    assert (await ada.http.get(f"/threads/{uuid4()}/runs/{run['run_id']}/timeline")).status_code == 404


@pytest.mark.parametrize("path", ["/threads/x/runs/{id}/timeline", "/threads/{id}/runs/x/timeline"])
async def test_an_id_that_is_none_is_refused(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path.format(id=uuid4()))).status_code in (400, 422)
