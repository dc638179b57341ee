"""/assistants: create, get, patch, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError
from network.sse_client import problem_detail

FIELDS = [
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "created_at",
    "updated_at",
    "version",
    "description",
]
REFERENCE_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


async def made(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/assistants", json={"graph_id": "echo", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_new_assistant_has_the_defaults_of_the_reference_server_in_its_order(http: httpx.AsyncClient) -> None:
    assistant = await made(http)
    assert list(assistant) == FIELDS
    expected = {"config": {}, "context": {}, "metadata": {}, "name": "Untitled", "version": 1, "description": None}
    assert assistant | expected == assistant
    assert UUID(assistant["assistant_id"])
    assert assistant["created_at"].endswith("+00:00") and assistant["created_at"] == assistant["updated_at"]


async def test_all_fields_are_kept_and_configurable_is_mirrored_in_context(client: LangGraphClient) -> None:
    wanted = str(uuid4())
    config: Any = {"tags": ["t"], "recursion_limit": 30, "configurable": {"user": "bob"}}
    assistant = await client.assistants.create(
        "echo", config, assistant_id=wanted, metadata={"team": "x"}, name="My A", description="d"
    )
    assert assistant["assistant_id"] == wanted
    assert assistant["config"] == config
    assert assistant["context"] == {"user": "bob"}
    assert (assistant["metadata"], assistant["name"], assistant["description"]) == ({"team": "x"}, "My A", "d")
    assert await client.assistants.get(wanted) == assistant


async def test_context_is_mirrored_in_configurable(http: httpx.AsyncClient) -> None:
    assistant = await made(http, context={"user": "carol"}, config={"tags": ["t"]})
    assert assistant["config"] == {"tags": ["t"], "configurable": {"user": "carol"}}
    assert assistant["context"] == {"user": "carol"}


async def test_an_empty_context_beside_a_configurable_takes_nothing_away(http: httpx.AsyncClient) -> None:
    assistant = await made(http, context={}, config={"configurable": {"user": "bob"}})
    assert assistant["context"] == {"user": "bob"}


async def test_context_and_configurable_together_are_400(http: httpx.AsyncClient) -> None:
    body = {"graph_id": "echo", "context": {"a": 1}, "config": {"configurable": {"b": 1}}}
    answer = await http.post("/assistants", json=body)
    assert answer.status_code == 400
    assert problem_detail(answer).startswith(
        "Cannot specify both configurable and context. Prefer setting context alone."
    )


async def test_a_second_one_with_the_same_id_is_409_unless_told_to_do_nothing(client: LangGraphClient) -> None:
    first = await client.assistants.create("echo", name="first")
    with pytest.raises(ConflictError, match=f"Assistant {first['assistant_id']} already exists"):
        await client.assistants.create("echo", assistant_id=first["assistant_id"], name="second")
    again = await client.assistants.create(
        "echo", assistant_id=first["assistant_id"], name="second", if_exists="do_nothing"
    )
    assert again == first


async def test_an_unknown_graph_is_404_and_names_those_that_are_served(client: LangGraphClient) -> None:
    with pytest.raises(NotFoundError, match=r"Graph 'nope' not found. Expected one of: \['agent', 'approval'"):
        await client.assistants.create("nope")


@pytest.mark.parametrize("wrong", ["not-a-uuid", 5, ["x"], ""])
async def test_a_wrong_id_is_422_in_the_words_of_the_reference_server(http: httpx.AsyncClient, wrong: Any) -> None:
    answer = await http.post("/assistants", json={"graph_id": "echo", "assistant_id": wrong})
    assert (answer.status_code, problem_detail(answer)) == (422, "Invalid assistant ID: must be a UUID")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"graph_id": 5},
        {"graph_id": "echo", "if_exists": "zzz"},
        {"graph_id": "echo", "config": {"configurable": 5}},
        {"graph_id": "echo", "config": {"recursion_limit": "many"}},
        {"graph_id": "echo", "config": {"tags": "one"}},
        {"graph_id": "echo", "metadata": []},
        {"graph_id": "echo", "context": "x"},
    ],
)
async def test_a_field_of_the_wrong_type_is_422(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/assistants", json=body)
    assert answer.status_code == 422 and problem_detail(answer), answer.text


async def test_unknown_fields_are_ignored(http: httpx.AsyncClient) -> None:
    assert "extra_field" not in await made(http, extra_field=1)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_graphs_name_in_the_path_is_422(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/assistants/echo", json={})
    assert (answer.status_code, problem_detail(answer)) == (422, "Invalid assistant ID: must be a UUID")


async def test_a_missing_one_is_404_as_the_reference_server_words_it(http: httpx.AsyncClient) -> None:
    missing = uuid4()
    answers = {
        "GET": "Not Found",
        "PATCH": f"Assistant {missing} not found",
        "DELETE": f"Assistant with ID {missing} not found",
    }
    for method, words in answers.items():
        answer = await http.request(method, f"/assistants/{missing}", json={"name": "x"})
        assert (answer.status_code, problem_detail(answer)) == (404, words)


async def test_a_patch_merges_metadata_and_replaces_config(http: httpx.AsyncClient) -> None:
    config = {"tags": ["t"], "recursion_limit": 30, "configurable": {"user": "bob"}}
    path = "/assistants/" + (await made(http, config=config, metadata={"team": "x"}))["assistant_id"]
    merged = (await http.patch(path, json={"metadata": {"k2": "v2"}, "name": "My A2"})).json()
    assert merged["metadata"] == {"team": "x", "k2": "v2"}
    assert (merged["name"], merged["config"], merged["version"]) == ("My A2", config, 2)
    replaced = (await http.patch(path, json={"config": {"configurable": {"user": "zed"}}})).json()
    assert replaced["config"] == {"configurable": {"user": "zed"}}
    assert (replaced["context"], replaced["version"]) == ({"user": "zed"}, 3)


async def test_a_patch_of_the_context_alone_keeps_the_rest_of_the_config(http: httpx.AsyncClient) -> None:
    path = "/assistants/" + (await made(http, config={"tags": ["t"], "configurable": {"user": "bob"}}))["assistant_id"]
    patched = (await http.patch(path, json={"context": {"user": "zed"}})).json()
    assert patched["config"] == {"tags": ["t"], "configurable": {"user": "zed"}}


async def test_a_patch_of_the_config_without_configurable_empties_the_context_too(http: httpx.AsyncClient) -> None:
    path = "/assistants/" + (await made(http, context={"user": "bob"}))["assistant_id"]
    patched = (await http.patch(path, json={"config": {"tags": ["t"]}})).json()
    assert (patched["config"], patched["context"]) == ({"tags": ["t"]}, {})


async def test_every_patch_is_a_new_version_even_an_empty_one(http: httpx.AsyncClient) -> None:
    before = await made(http)
    patched = (await http.patch(f"/assistants/{before['assistant_id']}", json={})).json()
    assert patched["version"] == 2
    assert patched["updated_at"] > before["updated_at"]
    assert patched | {"version": 1, "updated_at": before["updated_at"]} == before


async def test_a_patch_can_clear_the_description_and_change_the_graph(http: httpx.AsyncClient) -> None:
    path = "/assistants/" + (await made(http, description="d"))["assistant_id"]
    assert (await http.patch(path, json={"description": None})).json()["description"] is None
    assert (await http.patch(path, json={"graph_id": "counter"})).json()["graph_id"] == "counter"
    assert (await http.patch(path, json={"graph_id": "nope"})).status_code == 404


async def test_a_deleted_one_is_gone(http: httpx.AsyncClient) -> None:
    path = "/assistants/" + (await made(http))["assistant_id"]
    answer = await http.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.get(path)).status_code == 404
    assert (await http.delete(path)).status_code == 404


async def test_delete_threads_takes_the_assistants_threads_along_and_only_when_asked(http: httpx.AsyncClient) -> None:
    for flag, left in (("false", 200), ("true", 404)):
        assistant = (await made(http))["assistant_id"]
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        ran = await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": assistant, "input": {"text": 1}})
        assert ran.json() == {"text": 1}
        assert (await http.delete(f"/assistants/{assistant}", params={"delete_threads": flag})).status_code == 204
        assert (await http.get(f"/threads/{thread}")).status_code == left


async def test_every_method_of_the_sdk_is_offered(client: LangGraphClient) -> None:
    assistants, used = client.assistants, set[str]()

    async def call(method: str, *arguments: Any, **named: Any) -> Any:
        used.add(method)
        return await getattr(assistants, method)(*arguments, **named)

    assistant_id = (await call("create", "family", name="every method"))["assistant_id"]
    assert (await call("update", assistant_id, metadata={"every": assistant_id}))["version"] == 2
    assert [each["version"] for each in await call("get_versions", assistant_id)] == [2, 1]
    assert (await call("set_latest", assistant_id, 1))["metadata"] == {}
    assert (await call("set_latest", assistant_id, 2))["version"] == 2
    assert (await call("get", assistant_id))["version"] == 2
    found = await call("search", metadata={"every": assistant_id}, response_format="object")
    assert ([each["assistant_id"] for each in found["assistants"]], found["next"]) == ([assistant_id], None)
    assert await call("count", metadata={"every": assistant_id}) == 1
    assert {"id": "__end__"} in (await call("get_graph", assistant_id))["nodes"]
    assert (await call("get_schemas", assistant_id))["graph_id"] == "family"
    assert list(await call("get_subgraphs", assistant_id)) == ["child"]
    await call("delete", assistant_id)
    assert await call("count", metadata={"every": assistant_id}) == 0
    assert used == {name for name in dir(assistants) if not name.startswith("_")} - {"http"}


async def test_each_graph_has_a_default_assistant_with_the_id_that_every_server_gives_it(
    client: LangGraphClient,
) -> None:
    assistant = await client.assistants.get(str(uuid5(REFERENCE_NAMESPACE, "echo")))
    assert (assistant["graph_id"], assistant["name"], assistant["version"]) == ("echo", "echo", 1)
    assert assistant["metadata"] == {"created_by": "system"}
