"""Bodies and paths that nobody should send: each gets an answer that says why, and never a 500."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from network.sse_client import problem_detail
from servers.live_server import until

from robyn_server.web.routes import all_routes
from robyn_server.web.schemas.fields import MAX_DEPTH

NOBODY = UUID(int=1)
WITH_BODY = [(route.method, route.path) for route in all_routes() if route.body is not None]
EVERY = [(route.method, route.path) for route in all_routes()]

NO_JSON = {
    "nothing": b"",
    "an open brace": b"{",
    "no JSON": b"hello",
    "no UTF-8": b'{"metadata": {"a": "\xff\xfe"}}',
    "a lone surrogate": rb'{"metadata": {"a": "\ud800"}}',
    "NaN": b'{"limit": NaN}',
    "a number beyond all": b'{"limit": 1e999}',
    "very deep": b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
NO_OBJECT = {"an array": b"[]", "a string": b'"x"', "null": b"null", "a number": b"5", "true": b"true"}

PARAMETERS = {name for route in all_routes() for name in route.parameters}


def named(path: str, value: object = NOBODY) -> str:
    return path.format_map(dict.fromkeys(PARAMETERS, value))


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_what_is_no_json_is_422_in_the_words_of_the_reference_server(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    for what, body in NO_JSON.items():
        answer = await http.request(method, named(path), content=body)
        assert (answer.status_code, problem_detail(answer)) == (422, "Invalid JSON in request body"), what


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_what_is_no_object_is_422(http: httpx.AsyncClient, method: str, path: str) -> None:
    for what, body in NO_OBJECT.items():
        answer = await http.request(method, named(path), content=body)
        assert answer.status_code == 422 and problem_detail(answer), what


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_over_the_limit_is_413(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, named(path), json={"metadata": {"a": "x" * 10 * 1024 * 1024}})
    assert answer.status_code == 413 and problem_detail(answer)


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize("value", ["%00", "zzz", "%F0%9F%98%80", "1'--", "%25s", "..%2F..", "a" * 3000])
async def test_an_id_in_a_path_that_is_none_is_never_a_500(
    http: httpx.AsyncClient, method: str, path: str, value: str
) -> None:
    if "{" not in path:
        return
    body = None if method in ("GET", "DELETE") else {"assistant_id": "echo", "checkpoint": {}}
    answer = await http.request(method, named(path, value), json=body)
    assert answer.status_code in (400, 404, 405, 422), answer.text
    assert problem_detail(answer)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/threads/{thread_id}/runs", ["limit", "offset", "status", "select"]),
        ("/threads/{thread_id}/history", ["limit", "before"]),
        ("/threads/{thread_id}/state", ["subgraphs", "select"]),
        ("/threads/{thread_id}/runs/{run_id}/stream", ["stream_mode", "cancel_on_disconnect"]),
        ("/threads/{thread_id}/runs/{run_id}/join", ["cancel_on_disconnect"]),
    ],
)
@pytest.mark.parametrize(
    "value", ["%00", "-1", "9" * 40, "1.5", "%FF", "null", "[]", '["', "{}", "%F0%9F%98%80", "", "٣"]
)
async def test_a_strange_query_is_never_a_500(
    http: httpx.AsyncClient, thread: str, path: str, parameters: list[str], value: str
) -> None:
    where = path.format(thread_id=thread, run_id=NOBODY)
    for parameter in parameters:
        answer = await http.get(f"{where}?{parameter}={value}", headers={"last-event-id": value.encode()})
        assert answer.status_code in (200, 400, 404, 422), (parameter, answer.text)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/threads", {"metadata": {"a": "b\0"}}, "metadata.a"),
        ("/threads", {"metadata": {"a\0": 1}}, r"metadata.a\u0000"),
        ("/threads/search", {"metadata": {"a": "\0"}}, "metadata.a"),
        ("/assistants", {"graph_id": "echo", "name": "a\0"}, "name"),
        ("/assistants", {"graph_id": "echo", "description": "\\\0"}, "description"),
        ("/assistants", {"graph_id": "echo", "context": {"deep": [1, {"a": "\0"}]}}, "context.deep.1.a"),
        ("/assistants/search", {"name": "\0"}, "name"),
        ("/runs/wait", {"assistant_id": "echo", "input": {"text": "a\0b"}}, "input.text"),
        (
            "/runs/wait",
            {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "a\0b"}]}},
            "input.messages.0.content",
        ),
        ("/runs/wait", {"assistant_id": "ec\0ho"}, "assistant_id"),
        ("/agents/instances", {"agent_id": "a", "instance_id": "b", "tags": ["c", "\0"]}, "tags.1"),
    ],
)
async def test_the_character_nul_is_refused_since_it_cannot_be_stored_and_its_field_named(
    http: httpx.AsyncClient, path: str, body: Any, field: str
) -> None:
    answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "nul", field)
    assert problem_detail(answer) == rf"{field}: Text must not contain the character NUL (\u0000)"


async def test_text_that_only_looks_like_nul_is_kept(http: httpx.AsyncClient) -> None:
    text = "\\u0000 \\\\u0000"
    assert (await http.post("/threads", json={"metadata": {"a": text}})).json()["metadata"] == {"a": text}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


async def test_a_body_may_be_deep_but_not_deeper(http: httpx.AsyncClient, thread: str) -> None:
    within = {"assistant_id": "echo", "input": {"text": nested(MAX_DEPTH - 2)}}
    waited = await http.post(f"/threads/{thread}/runs/wait", json=within)
    assert waited.json() == within["input"]
    assert (await http.get(f"/threads/{thread}/state")).json()["values"] == within["input"]
    assert (await http.post("/threads", json={"metadata": {"a": nested(MAX_DEPTH - 2)}})).status_code == 200
    for path, field in (("/runs/wait", "input"), ("/threads", "metadata"), ("/assistants", "context")):
        answer = await http.post(path, json={"assistant_id": "echo", "graph_id": "echo", field: {"a": nested(300)}})
        assert (answer.status_code, answer.json()["code"]) == (422, "too_deep")


@pytest.mark.parametrize("number", [2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1, 2**80, -(2**80), 1.5e300])
async def test_numbers_of_any_size_are_taken(http: httpx.AsyncClient, thread: str, number: float) -> None:
    metadata = (await http.post("/threads", json={"metadata": {"n": number}})).json()["metadata"]
    assert metadata["n"] == pytest.approx(number)
    body = {"assistant_id": "echo", "input": {"text": number}}
    waited = (await http.post(f"/threads/{thread}/runs/wait", json=body)).json()
    assert waited["text"] == pytest.approx(number)
    search = await http.post("/threads/search", json={"metadata": {"n": number}, "values": {"n": number}})
    assert search.status_code == 200


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63) - 1, 2**80, -(10**30), 10**400])
async def test_integers_are_exact_wherever_they_are_stored(http: httpx.AsyncClient, number: int) -> None:
    given = {"n": [number]}
    thread = (await http.post("/threads", json={"metadata": given})).json()
    body = {"assistant_id": "echo", "input": {"text": given}, "metadata": given}
    for path in ("/runs/wait", f"/threads/{thread['thread_id']}/runs/wait"):
        assert json.loads((await http.post(path, json=body)).text) == {"text": given}
    state = await http.get(f"/threads/{thread['thread_id']}/state")
    assert json.loads(state.text)["values"] == {"text": given}
    [run] = json.loads((await http.get(f"/threads/{thread['thread_id']}/runs")).text)
    assert run["metadata"]["n"] == run["kwargs"]["input"]["text"]["n"] == [number]
    assert thread["metadata"] == given
    found = await http.post("/threads/search", json={"metadata": given})
    assert [each["metadata"]["n"] for each in json.loads(found.text)] == [[number]]
    made = await http.post("/assistants", json={"graph_id": "echo", "context": given, "metadata": given})
    assert json.loads(made.text)["context"] == given


async def test_an_integer_of_too_many_digits_is_refused_by_name(http: httpx.AsyncClient) -> None:
    body = b'{"assistant_id": "echo", "input": {"a": [1, %s]}}' % (b"9" * 4301)
    answer = await http.post("/runs/wait", content=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "input.a.1")
    assert "4300 digits" in problem_detail(answer)


@pytest.mark.parametrize(
    "given", [5, "x", [1], True, {"messages": 5}, {"messages": [5]}, {"messages": [{"role": "nobody"}]}, {"x": 1}]
)
async def test_an_input_that_the_graph_does_not_take_is_told_by_the_run(http: httpx.AsyncClient, given: Any) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "agent", "input": given})
    assert answer.status_code == 200
    assert "__error__" in answer.json() or given == {"x": 1}


async def test_a_checkpoint_of_wrong_parts_is_told_and_never_a_500(http: httpx.AsyncClient, thread: str) -> None:
    await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "family", "input": {"question": "?"}})
    for checkpoint in (
        {"checkpoint_ns": "child"},
        {"checkpoint_ns": "child:x|child:y"},
        {"checkpoint_ns": "|||"},
        {"checkpoint_ns": "x" * 5000},
        {"checkpoint_map": {"": 5}},
        {"checkpoint_map": {"child": str(uuid4())}, "checkpoint_ns": "child:1"},
        {"checkpoint_id": str(uuid4()), "thread_id": "somebody else's"},
    ):
        at = await http.post(f"/threads/{thread}/state/checkpoint", json={"checkpoint": checkpoint, "subgraphs": True})
        before = await http.post(f"/threads/{thread}/history", json={"checkpoint": checkpoint, "before": checkpoint})
        run = await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "family", "checkpoint": checkpoint})
        assert {at.status_code, before.status_code, run.status_code} <= {200, 422}, checkpoint


async def test_after_all_of_this_the_server_works(http: httpx.AsyncClient) -> None:
    async def works() -> bool:
        answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": "still"}})
        return bool(answer.json() == {"text": "still"})

    assert await until(works)
