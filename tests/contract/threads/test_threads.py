"""/threads: create, get, patch, delete, search."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError
from network.sse_client import problem_detail
from servers.live_server import until

NEW = ["thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "status", "config", "values"]


async def test_a_new_thread_is_idle_and_empty(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()
    assert list(thread) == NEW
    assert UUID(thread["thread_id"]).version == 7
    assert thread | {"metadata": {}, "status": "idle", "config": {}, "values": None} == thread
    assert thread["created_at"] == thread["updated_at"] == thread["state_updated_at"]


async def test_an_id_and_metadata_can_be_chosen(client: LangGraphClient) -> None:
    wanted = str(uuid4())
    thread = await client.threads.create(thread_id=wanted, metadata={"a": 1}, graph_id="echo")
    assert (thread["thread_id"], thread["metadata"]) == (wanted, {"a": 1, "graph_id": "echo"})
    assert await client.threads.get(wanted) == thread


async def test_a_second_one_with_the_same_id_is_409_unless_told_to_do_nothing(client: LangGraphClient) -> None:
    first = await client.threads.create(metadata={"a": 1})
    with pytest.raises(ConflictError, match=f"Thread with ID {first['thread_id']} already exists"):
        await client.threads.create(thread_id=first["thread_id"])
    again = await client.threads.create(thread_id=first["thread_id"], if_exists="do_nothing", metadata={"new": 1})
    assert again == first


async def test_a_missing_one_is_404_everywhere(http: httpx.AsyncClient) -> None:
    missing = f"/threads/{uuid4()}"
    said = f"Thread with ID {missing[9:]} not found"
    requests = [("GET", ""), ("DELETE", ""), ("GET", "/state"), ("GET", f"/state/{uuid4()}"), ("GET", "/history")]
    for method, path in [*requests, ("POST", "/history"), ("GET", "/runs"), ("GET", f"/runs/{uuid4()}")]:
        answer = await http.request(method, missing + path, json={})
        assert (answer.status_code, problem_detail(answer)) == (404, said), (method, path)
    patched = await http.patch(missing, json={"metadata": {}})
    assert (patched.status_code, problem_detail(patched)) == (404, "Not Found")


async def test_a_wrong_id_is_422(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/state"), ("POST", "/history")):
        answer = await http.request(method, f"/threads/zzz{path}", json={})
        assert (answer.status_code, problem_detail(answer)) == (422, "Invalid thread ID: must be a UUID")
    answer = await http.post("/threads", json={"thread_id": "zzz"})
    assert (answer.status_code, problem_detail(answer)) == (422, "Invalid thread ID: must be a UUID")


async def test_a_patch_merges_metadata_and_keeps_nulls(client: LangGraphClient) -> None:
    thread = (await client.threads.create(metadata={"a": 1, "b": {"c": 1}}))["thread_id"]
    patched = await client.threads.update(thread, metadata={"a": None, "b": {"d": 2}})
    assert patched["metadata"] == {"a": None, "b": {"d": 2}}
    assert patched["updated_at"] > patched["created_at"] == patched["state_updated_at"]


async def test_a_minimal_answer_to_a_patch_is_204(http: httpx.AsyncClient, thread: str) -> None:
    answer = await http.patch(f"/threads/{thread}", json={"metadata": {"c": 3}}, headers={"prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.get(f"/threads/{thread}")).json()["metadata"] == {"c": 3}


async def test_a_deleted_one_is_gone_with_its_runs_and_its_states(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "echo", input={"text": 1})
    await client.runs.join(thread, run["run_id"])
    assert await client.threads.delete(thread) is None
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, run["run_id"])
    await client.threads.create(thread_id=thread)
    assert await client.threads.get_history(thread) == []
    assert await client.runs.list(thread) == []


@pytest.fixture(scope="module")
async def mark(client: LangGraphClient) -> str:
    """The metadata `mark` of four threads: one that only exists, one that ran, one that failed, one that waits for an
    answer."""
    mark = uuid4().hex
    for graph in (None, "echo", "failing", "approval"):
        thread = await client.threads.create(metadata={"mark": mark, "graph": graph})
        if graph is not None:
            given = {"text": mark, "question": mark}
            await client.runs.wait(thread["thread_id"], graph, input=given, raise_error=False)
    return mark


async def found(http: httpx.AsyncClient, mark: str, **body: Any) -> list[dict[str, Any]]:
    answer = await http.post("/threads/search", json={"metadata": {"mark": mark}, **body})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_threads_are_found_by_metadata_values_ids_and_status(http: httpx.AsyncClient, mark: str) -> None:
    every = await found(http, mark)
    assert [each["metadata"]["graph"] for each in every] == ["approval", "failing", "echo", None]
    assert [each["status"] for each in every] == ["interrupted", "error", "idle", "idle"]
    assert len(await found(http, mark, values={"text": mark})) == 2
    assert [each["values"] for each in await found(http, mark, status="idle", values={"text": mark})] == [
        {"text": mark}
    ]
    ids = [every[0]["thread_id"], every[3]["thread_id"], str(uuid4())]
    assert len(await found(http, mark, ids=ids)) == 2
    assert await found(http, mark, ids=[]) == []


async def test_threads_are_found_by_words_of_their_messages(http: httpx.AsyncClient, mark: str) -> None:
    messages = [{"role": "user", "content": f"Where do {mark} walruses live?"}]
    run = {"assistant_id": "agent", "input": {"messages": messages}, "if_not_exists": "create"}
    (await http.post(f"/threads/{(thread := str(uuid4()))}/runs/wait", json=run)).raise_for_status()

    async def are_found() -> bool:
        answer = await http.post("/threads/search", json={"text": f"WALRUSES {mark}"})
        return [each["thread_id"] for each in answer.json()] == [thread]

    await until(are_found)
    for text, count in ((f"{mark} walr", 1), (f"{mark} walrus live", 0)):
        assert (await http.post("/threads/count", json={"text": text})).json() == count
        assert len((await http.post("/threads/search", json={"text": text, "status": "idle"})).json()) == count


@pytest.mark.parametrize("text", ["", "?!", "x" * 1001, 7, ["rent"]])
@pytest.mark.parametrize("path", ["/threads/search", "/threads/count"])
async def test_words_that_cannot_be_searched_for_are_refused(http: httpx.AsyncClient, path: str, text: Any) -> None:
    answer = await http.post(path, json={"text": text})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("text"), answer.text


async def test_a_thread_that_ran_has_its_error_and_its_interrupts(http: httpx.AsyncClient, mark: str) -> None:
    waiting, failed, ran, _ = await found(http, mark)
    assert list(waiting) == [*NEW, "error", "interrupts"]
    [[interrupt]] = waiting["interrupts"].values()
    assert interrupt["value"] == {"question": mark}
    assert failed["error"] == {"error": "ValueError", "message": "this graph always fails"}
    assert (ran["error"], ran["interrupts"]) == (None, {})
    assert ran["metadata"]["graph_id"] == "echo" and ran["metadata"]["assistant_id"]


async def test_threads_are_sorted_paged_and_cut_to_the_fields_asked_for(http: httpx.AsyncClient, mark: str) -> None:
    for column in ("thread_id", "status", "created_at", "updated_at", "state_updated_at"):
        rows = await found(http, mark, sort_by=column, sort_order="asc", select=["thread_id", column])
        assert all(set(row) == {"thread_id", column} for row in rows)
        assert [row[column] for row in rows] == sorted(row[column] for row in rows)
    page = await http.post("/threads/search", json={"metadata": {"mark": mark}, "limit": 3, "offset": 0})
    assert (page.headers["x-pagination-next"], page.headers["x-pagination-total"]) == ("3", "4")


FIELDS = [*NEW, "error", "interrupts"]


@pytest.mark.parametrize("field", FIELDS)
async def test_each_field_can_be_selected_alone(http: httpx.AsyncClient, mark: str, field: str) -> None:
    whole, cut = (
        await found(http, mark, status="interrupted"),
        await found(http, mark, status="interrupted", select=[field]),
    )
    assert cut == [{field: whole[0][field]}]


async def test_parts_of_threads_are_extracted_by_their_paths(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    mark = uuid4().hex
    thread = await client.threads.create(metadata={"mark": mark, "list": [{"a": 1}, {"a": [2, {"b.c": 3}]}]})
    await client.threads.create(metadata={"mark": mark})
    await client.runs.wait(thread["thread_id"], "counter", input={"until": 3})
    extract = {
        "last": "values.seen[-1]",
        "first": "values.seen[0]",
        "all": "values",
        "graph": "metadata.graph_id",
        "deep": "metadata.list[-1].a[0]",
        "none": "values.nope[3].at",
        "beyond": "values.seen[99]",
        "interrupts": "interrupts",
        "tags": "config.tags",
    }
    threads = await client.threads.search(metadata={"mark": mark}, select=["thread_id"], extract=extract)
    assert [list(each) for each in threads] == [["thread_id", "extracted"]] * 2
    wanted = {"last": 3, "first": 1, "all": {"until": 3, "count": 3, "seen": [1, 2, 3]}, "graph": "counter", "deep": 2}
    assert threads[0]["extracted"] == dict.fromkeys(extract) | wanted | {"interrupts": {}}
    assert threads[1]["extracted"] == dict.fromkeys(extract)
    assert list(threads[0]["extracted"]) == list(extract)
    whole = await found(http, mark, extract={"x": "values.count"})
    assert [list(each)[-1] for each in whole] == ["extracted"] * 2
    assert await found(http, mark, select=[], extract={"x": "values.count"}) == [
        {"extracted": {"x": 3}},
        {"extracted": {"x": None}},
    ]
    assert "extracted" not in (await found(http, mark, extract={}))[0]


@pytest.mark.parametrize(
    ("extract", "reason"),
    [
        ({"x": "bad.path"}, "Extract path 'bad.path' must start with one of: config, interrupts, metadata, values"),
        ({"x": ""}, "must start with one of"),
        ({"x": "valuesa.b"}, "must start with one of"),
        ({"x": "values."}, "must have at most 64 steps of the form .name or [0]"),
        ({"x": "values[a]"}, "must have at most 64 steps of the form .name or [0]"),
        ({"x": "values[1"}, "must have at most 64 steps of the form .name or [0]"),
        ({"x": "values" + ".a" * 65}, "must have at most 64 steps of the form .name or [0]"),
        ({"x": 1}, "x: must be a string"),
        ({str(number): "values" for number in range(11)}, "extract: at most 10 paths"),
        (["values"], "extract"),
    ],
    ids=repr,
)
async def test_a_wrong_path_is_refused_by_its_name(http: httpx.AsyncClient, extract: Any, reason: str) -> None:
    answer = await http.post("/threads/search", json={"extract": extract})
    assert answer.status_code == 422, answer.text
    assert reason in problem_detail(answer)
    assert "extract" in answer.json()["field"]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": "10"},
        {"offset": -1},
        {"sort_by": "metadata"},
        {"status": "asleep"},
        {"ids": ["zzz"]},
        {"ids": str(uuid4())},
        {"select": ["owner_id"]},
        {"values": []},
    ],
)
async def test_what_is_out_of_range_is_422(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/threads/search", json=body)
    assert answer.status_code == 422 and problem_detail(answer), answer.text
