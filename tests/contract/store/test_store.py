"""/store and the store inside graphs: one set of items for each principal."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory


async def test_the_sdk_puts_gets_searches_lists_and_deletes(person: UserClientFactory) -> None:
    store = person("librarian", HARBOUR).sdk.store
    await store.put_item(["shelf", "a"], "one", {"title": "One", "pages": 100, "of": {"age": "old"}})
    await store.put_item(["shelf", "b"], "two", {"title": "Two", "pages": 200}, index=False)
    await store.put_item(["shelf", "b"], "three", {"title": "Three", "pages": 300}, ttl=60)
    item = await store.get_item(["shelf", "a"], "one")
    assert set(item) == {"namespace", "key", "value", "created_at", "updated_at"}
    assert (item["namespace"], item["key"], item["value"]["of"]) == (["shelf", "a"], "one", {"age": "old"})
    found = await store.search_items(["shelf"], filter={"pages": {"$gte": 200}})
    assert [each["key"] for each in found["items"]] == ["three", "two"]
    assert found["items"][0]["score"] is None
    nested = await store.search_items(["shelf"], filter={"of": {"age": "old"}})
    assert [each["key"] for each in nested["items"]] == ["one"]
    assert [each["key"] for each in (await store.search_items(["shelf"], limit=1, offset=1))["items"]] == ["three"]
    listed = await store.list_namespaces(prefix=["shelf"])
    assert listed["namespaces"] == [["shelf", "a"], ["shelf", "b"]]
    assert (await store.list_namespaces(suffix=["b"]))["namespaces"] == [["shelf", "b"]]
    assert (await store.list_namespaces(max_depth=1))["namespaces"] == [["shelf"]]
    await store.delete_item(["shelf", "a"], "one")
    await store.delete_item(["shelf", "a"], "one")
    assert await store.get_item(["shelf", "a"], "one") is None


async def test_a_second_put_replaces_the_value_and_keeps_the_time_of_creation(client: LangGraphClient) -> None:
    await client.store.put_item(["twice"], "k", {"a": 1, "b": 1})
    first = await client.store.get_item(["twice"], "k")
    await client.store.put_item(["twice"], "k", {"a": 2})
    second = await client.store.get_item(["twice"], "k")
    assert (second["value"], second["created_at"]) == ({"a": 2}, first["created_at"])
    assert second["updated_at"] > first["updated_at"]


async def test_integers_of_any_size_come_back(http: httpx.AsyncClient) -> None:
    item = {"namespace": ["big"], "key": "k", "value": {"n": 2**70}}
    body = json.dumps(item).encode()  # the SDK's encoder refuses it
    await http.put("/store/items", content=body, headers={"content-type": "application/json"})
    answer = await http.get("/store/items", params={"namespace": "big", "key": "k"})
    assert json.loads(answer.content)["value"] == item["value"]


ITEM = {"namespace": ["a"], "key": "k", "value": {}}
WRONG: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "no namespace": ("PUT", "items", {"key": "k", "value": {}}, 422, "namespace"),
    "an empty namespace": ("PUT", "items", ITEM | {"namespace": []}, 422, "Namespace cannot be empty"),
    "a period": (
        "PUT",
        "items",
        ITEM | {"namespace": ["a.b"]},
        422,
        "'a.b' must be a non-empty string without periods",
    ),
    "an empty label": ("PUT", "items", ITEM | {"namespace": [""]}, 422, "'' must be a non-empty string"),
    "a reserved label": ("PUT", "items", ITEM | {"namespace": ["langgraph"]}, 422, 'cannot be "langgraph"'),
    "too many labels": ("PUT", "items", ITEM | {"namespace": ["a"] * 33}, 422, "at most 32 labels"),
    "a long name": ("PUT", "items", ITEM | {"key": "k" * 1024}, 422, "at most 1024 bytes"),
    "an empty key": ("PUT", "items", ITEM | {"key": ""}, 422, "key: must be"),
    "a text as value": ("PUT", "items", ITEM | {"value": "x"}, 422, "value"),
    "null as value": ("PUT", "items", ITEM | {"value": None}, 422, "value"),
    "an index": ("PUT", "items", ITEM | {"index": ["a"]}, 422, "'index' needs an index by meaning"),
    "a negative ttl": ("PUT", "items", ITEM | {"ttl": -1}, 422, "ttl: more than 0"),
    "an endless ttl": ("PUT", "items", ITEM | {"ttl": 1e300}, 422, "ttl: more than 0"),
    "a text as namespace": ("POST", "items/search", {"namespace_prefix": "a"}, 422, "namespace_prefix"),
    "a query": (
        "POST",
        "items/search",
        {"namespace_prefix": ["a"], "query": "cats"},
        422,
        "'query' needs an index by meaning",
    ),
    "an operator": ("POST", "items/search", {"filter": {"a": {"$in": []}}}, 422, "filter.a: '$in' is no operator"),
    "a mixed filter": ("POST", "items/search", {"filter": {"a": {"b": {"$gt": 1, "c": 1}}}}, 422, "filter.a.b: "),
    "a large page": ("POST", "items/search", {"limit": 1001}, 422, "limit"),
    "no depth": ("POST", "namespaces", {"max_depth": 0}, 422, "max_depth"),
    "a suffix with a period": ("POST", "namespaces", {"suffix": ["a.b"]}, 422, "without periods"),
    "no key to delete": ("DELETE", "items", {"namespace": ["a"]}, 422, "key"),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "reason"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_refused_by_its_name(
    http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = await http.request(method, f"/store/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert reason in problem_detail(answer)


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("namespace=a", 400, "Key is required"),
        ("key=k", 422, "Namespace cannot be empty"),
        ("namespace=a&namespace=b&key=k", 400, "join the labels by dots"),
        ("namespace=a..b&key=k", 422, "'' must be a non-empty string"),
        ("namespace=a&key=k&refresh_ttl=maybe", 400, "refresh_ttl"),
    ],
)
async def test_a_get_without_a_name_is_refused(http: httpx.AsyncClient, query: str, status: int, reason: str) -> None:
    answer = await http.get(f"/store/items?{query}")
    assert answer.status_code == status, answer.text
    assert reason in problem_detail(answer)


async def test_an_empty_search_finds_everything_of_the_caller(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    await client.store.put_item(["any"], "k", {})
    found = (await http.post("/store/items/search", json={})).json()["items"]
    assert ["any"] in [each["namespace"] for each in found]


async def test_nobody_sees_the_items_of_another(person: UserClientFactory) -> None:
    """Not a colleague of the same organization, and no administrator either: it is the owner's memory."""
    anna, bert = person("store-anna", HARBOUR), person("store-bert", HARBOUR)
    root = person("store-root", permissions=("admin",))
    await anna.sdk.store.put_item(["diary"], "monday", {"text": "secret"})
    for other in (bert, root):
        assert await other.sdk.store.get_item(["diary"], "monday") is None
        assert (await other.sdk.store.search_items(["diary"]))["items"] == []
        assert ["diary"] not in (await other.sdk.store.list_namespaces())["namespaces"]
        await other.sdk.store.put_item(["diary"], "monday", {"text": "theirs"})
        await other.sdk.store.delete_item(["diary"], "monday")
    assert (await anna.sdk.store.get_item(["diary"], "monday"))["value"] == {"text": "secret"}


async def test_a_graph_has_the_items_of_the_user_that_runs_it(person: UserClientFactory) -> None:
    """Across threads, in nodes that are coroutines and in others; and a client sees what a graph has put."""
    carla, dora = person("store-carla", HARBOUR).sdk, person("store-dora", HARBOUR).sdk
    await carla.store.put_item(["notes"], "from a client", {"text": "hello"})
    first = await carla.runs.wait(None, "memory", input={"note": "tea"})
    thread = await carla.threads.create()
    second = await carla.runs.wait(thread["thread_id"], "memory", input={"note": "cake"})
    theirs = await dora.runs.wait(None, "memory", input={"note": "coffee"})
    assert (first["found"], first["count"]) == (["from a client", "tea"], 1)
    assert (second["found"], second["count"]) == (["cake", "from a client", "tea"], 2)
    assert (theirs["found"], theirs["count"]) == (["coffee"], 1)
    assert (await carla.store.get_item(["notes"], "cake"))["value"] == {"text": "cake"}
