"""POST /threads/prune and GET /threads/{id}/storage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from network.sse_client import problem_detail
from servers.live_server import LiveServer, until
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory


@pytest.fixture(scope="module")
async def database(server: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(server.database)
    yield connection
    await connection.close()


async def _bytes(database: asyncpg.Connection[Any], thread: str) -> int:
    return int(
        await database.fetchval(
            "select coalesce(sum(pg_column_size(blob)), 0) from langgraph.checkpoint_blobs where thread_id = $1", thread
        )
    )


async def _thread(client: LangGraphClient, graph: str | None = "counter") -> str:
    thread = (await client.threads.create())["thread_id"]
    if graph is not None:
        await client.runs.wait(thread, graph, input={"until": 20, "question": "leave?"})
    return thread


async def test_keep_latest_frees_the_bytes_of_older_states_and_the_conversation_goes_on(
    client: LangGraphClient, database: asyncpg.Connection[Any]
) -> None:
    thread = await _thread(client)
    state, before = await client.threads.get_state(thread), await _bytes(database, thread)
    assert await client.threads.prune([thread], strategy="keep_latest") == {"pruned_count": 1}
    left = await client.threads.get_history(thread, limit=100)
    assert [each["values"] for each in left] == [state["values"]]
    assert left[0]["parent_checkpoint"] is None
    assert await _bytes(database, thread) * 5 < before
    done = await client.runs.wait(thread, "counter", input={"until": 22})
    assert done["seen"] == list(range(1, 23))


async def test_an_agent_remembers_what_was_said_before_a_prune(
    client: LangGraphClient, thread: str, database: asyncpg.Connection[Any]
) -> None:
    for number in range(8):
        asked = {"messages": [{"role": "user", "content": f"question {number} {'and so on ' * 50}"}]}
        await client.runs.wait(thread, "agent", input=asked)
    said: Any = (await client.threads.get_state(thread))["values"]
    before = await _bytes(database, thread)
    await client.threads.prune([thread], strategy="keep_latest")
    assert await _bytes(database, thread) * 4 < before
    assert (await client.threads.get_state(thread))["values"] == said
    await client.runs.wait(thread, "agent", input={"messages": [{"role": "user", "content": "and now?"}]})
    state: Any = await client.threads.get_state(thread)
    assert state["values"]["messages"][:16] == said["messages"]
    assert [each["type"] for each in state["values"]["messages"][16:]] == ["human", "ai"]


@pytest.mark.parametrize("graph", ["approval", "family"])
async def test_an_open_question_can_be_answered_after_a_prune(client: LangGraphClient, graph: str) -> None:
    thread = await _thread(client, graph)
    before = await client.threads.get_state(thread, subgraphs=True)
    await client.threads.prune([thread], strategy="keep_latest")
    after = await client.threads.get_state(thread, subgraphs=True)
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (after["values"], after["next"], after["interrupts"]) == (
        before["values"],
        before["next"],
        before["interrupts"],
    )
    done = await client.runs.wait(thread, graph, command={"resume": "yes"})
    assert done["answer"] == "yes"


async def test_a_pruned_checkpoint_is_not_taken_for_an_empty_one(client: LangGraphClient) -> None:
    """LangGraph would begin with an empty state, and make it the latest one."""
    thread = await _thread(client)
    early = (await client.threads.get_history(thread, limit=100))[9]["checkpoint"]
    await client.threads.prune([thread], strategy="keep_latest")
    before = await client.threads.get_state(thread)
    named: Any = early["checkpoint_id"]
    with pytest.raises(NotFoundError, match=f"The thread has no checkpoint {named}; it may have been pruned"):
        await client.threads.update_state(thread, {"count": 1}, as_node="step", checkpoint_id=named)
    end: Any = await client.runs.wait(thread, "counter", input=None, checkpoint_id=named, raise_error=False)
    assert end["__error__"]["error"] == "CheckpointNotFound"
    assert await client.threads.get_state(thread) == before


async def test_threads_are_deleted_and_missing_ones_are_skipped(
    client: LangGraphClient, database: asyncpg.Connection[Any]
) -> None:
    thread, other = await _thread(client), await _thread(client, None)
    assert await client.threads.prune([thread, other, str(uuid4()), thread]) == {"pruned_count": 2}
    for each in (thread, other):
        with pytest.raises(NotFoundError):
            await client.threads.get(each)
    assert await _bytes(database, thread) == 0
    assert await client.threads.prune([thread]) == {"pruned_count": 0}
    assert await client.threads.prune([]) == {"pruned_count": 0}


@pytest.mark.parametrize("strategy", ["delete", "keep_latest"])
async def test_a_thread_with_a_run_is_skipped(client: LangGraphClient, strategy: Any) -> None:
    thread = await _thread(client, None)
    run = await client.runs.create(thread, "counter", input={"until": 1000, "delay": 0.05})
    assert await client.threads.prune([thread], strategy=strategy) == {"pruned_count": 0}
    await until(lambda: _is_running(client, thread, run["run_id"]))
    assert await client.threads.prune([thread], strategy=strategy) == {"pruned_count": 0}
    await client.runs.cancel(thread, run["run_id"], wait=True)
    assert await client.threads.prune([thread], strategy=strategy) == {"pruned_count": 1}


async def _is_running(client: LangGraphClient, thread: str, run: str) -> bool:
    return (await client.runs.get(thread, run))["status"] == "running"


async def test_the_threads_of_others_are_skipped(person: UserClientFactory) -> None:
    mine, other = person("prune-anna", HARBOUR), person("prune-bert", HARBOUR)
    thread = await _thread(mine.sdk)
    for strategy in ("delete", "keep_latest"):
        assert await other.sdk.threads.prune([thread], strategy=strategy) == {"pruned_count": 0}  # type: ignore[arg-type]
    assert len(await mine.sdk.threads.get_history(thread, limit=100)) > 20
    assert await mine.sdk.threads.prune([thread], strategy="keep_latest") == {"pruned_count": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "thread_ids"),
        ({"thread_ids": "all"}, "thread_ids"),
        ({"thread_ids": ["zzz"]}, "thread"),
        ({"thread_ids": [str(UUID(int=1))] * 1001}, "thread_ids"),
        ({"thread_ids": [], "strategy": "archive"}, "strategy"),
    ],
    ids=["nothing", "a text", "no id", "too many", "another strategy"],
)
async def test_what_is_wrong_is_refused_by_its_name(http: httpx.AsyncClient, body: Any, field: str) -> None:
    answer = await http.post("/threads/prune", json=body)
    assert answer.status_code == 422, answer.text
    assert field in problem_detail(answer)


# storage


async def test_the_bytes_of_a_thread_are_shown_by_channel_and_shrink_with_a_prune(
    client: LangGraphClient, http: httpx.AsyncClient, database: asyncpg.Connection[Any]
) -> None:
    thread = await _thread(client)
    shown = (await http.get(f"/threads/{thread}/storage")).json()
    assert list(shown) == ["thread_id", "total_bytes", "checkpoints", "channel_values", "pending_writes"]
    assert shown["thread_id"] == thread
    assert shown["checkpoints"]["count"] == len(await client.threads.get_history(thread, limit=100))
    assert shown["channel_values"]["by_channel"]["seen"]["versions"] == 20
    assert shown["channel_values"]["bytes"] == await _bytes(database, thread)
    await client.threads.prune([thread], strategy="keep_latest")
    left = (await http.get(f"/threads/{thread}/storage")).json()
    assert left["channel_values"]["by_channel"]["seen"]["versions"] == 1
    assert left["total_bytes"] * 5 < shown["total_bytes"]


async def test_a_thread_that_never_ran_takes_nothing(http: httpx.AsyncClient, thread: str) -> None:
    nothing = {"count": 0, "bytes": 0}
    assert (await http.get(f"/threads/{thread}/storage")).json() == {
        "thread_id": thread,
        "total_bytes": 0,
        "checkpoints": nothing,
        "channel_values": nothing | {"by_channel": {}},
        "pending_writes": nothing,
    }


async def test_the_bytes_of_a_missing_thread_or_of_one_of_others_are_404(person: UserClientFactory) -> None:
    mine, other = person("storage-anna", HARBOUR), person("storage-bert", HARBOUR)
    thread = await mine.thread()
    for wanted in (thread, str(uuid4())):
        answer = await other.http.get(f"/threads/{wanted}/storage")
        assert (answer.status_code, problem_detail(answer)) == (404, f"Thread with ID {wanted} not found")
    assert (await mine.http.get(f"/threads/{thread}/storage")).status_code == 200
    assert (await mine.http.get("/threads/zzz/storage")).status_code == 422
