"""POST /assistants/search."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail


@pytest.fixture(scope="module")
async def mark(client: LangGraphClient) -> str:
    """The metadata `mark` of three assistants: two of graph echo, one of graph counter."""
    mark = uuid4().hex
    for graph, name in (("echo", "Bread & Butter"), ("echo", "100% butter_milk"), ("counter", "alpha")):
        await client.assistants.create(graph, metadata={"mark": mark, "deep": {"a": [1, 2]}}, name=f"{name} {mark}")
    return mark


async def found(http: httpx.AsyncClient, mark: str, **body: Any) -> list[dict[str, Any]]:
    answer = await http.post("/assistants/search", json={"metadata": {"mark": mark}, **body})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_metadata_is_matched_by_containment(http: httpx.AsyncClient, mark: str) -> None:
    assert len(await found(http, mark)) == 3
    assert len(await found(http, mark, metadata={"mark": mark, "deep": {"a": [2]}})) == 3
    assert await found(http, mark, metadata={"mark": mark, "deep": {"a": [3]}}) == []


async def test_graph_and_name_narrow_it_down(http: httpx.AsyncClient, mark: str) -> None:
    assert len(await found(http, mark, graph_id="echo")) == 2
    assert len(await found(http, mark, name="BUTTER")) == 2
    assert len(await found(http, mark, name="butter_")) == 1, "an underscore is only itself"
    assert len(await found(http, mark, name="0% b")) == 1, "a percent sign too"


async def test_an_unknown_graph_is_404(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants/search", json={"graph_id": "unknown"})
    assert answer.status_code == 404
    assert problem_detail(answer).startswith("Graph 'unknown' not found. Expected one of: ['agent'")


async def test_the_newest_come_first_and_any_order_can_be_asked_for(http: httpx.AsyncClient, mark: str) -> None:
    assert [each["name"][0] for each in await found(http, mark)] == ["a", "1", "B"]
    assert [each["name"][0] for each in await found(http, mark, sort_order="asc")] == ["B", "1", "a"]
    for column in ("assistant_id", "updated_at", "graph_id"):
        values = [each[column] for each in await found(http, mark, sort_by=column, sort_order="asc")]
        assert values == sorted(values)


async def test_select_gives_these_fields_only(http: httpx.AsyncClient, mark: str) -> None:
    assert [set(each) for each in await found(http, mark, select=["assistant_id", "name"])] == [
        {"assistant_id", "name"}
    ] * 3


async def test_pages_are_linked_by_headers(http: httpx.AsyncClient, mark: str) -> None:
    body = {"metadata": {"mark": mark}, "limit": 2}
    first = await http.post("/assistants/search", json=body)
    assert (first.headers["x-pagination-next"], first.headers["x-pagination-total"]) == ("2", "3")
    last = await http.post("/assistants/search", json=body | {"offset": 2})
    assert len(last.json()) == 1
    assert "x-pagination-next" not in last.headers
    assert last.headers["x-pagination-total"] == "3"


async def test_the_sdk_walks_through_the_pages(client: LangGraphClient, mark: str) -> None:
    page = await client.assistants.search(metadata={"mark": mark}, limit=2, response_format="object")
    assert (len(page["assistants"]), page["next"]) == (2, "2")


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "5"},
        {"limit": True},
        {"limit": 1.5},
        {"limit": 10**30},
        {"offset": -1},
        {"offset": 10**12},
        {"sort_by": "zzz"},
        {"sort_by": "name; drop table"},
        {"sort_order": "up"},
        {"select": ["zzz"]},
        {"select": "name"},
        {"metadata": 5},
    ],
)
async def test_what_is_out_of_range_is_422(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/assistants/search", json=body)
    assert answer.status_code == 422 and problem_detail(answer), answer.text


@pytest.mark.parametrize(
    "filters",
    [{}, {"graph_id": "echo"}, {"name": "BUTTER"}, {"name": "butter_"}, {"metadata": {"deep": {"a": [3]}}}],
)
async def test_a_count_is_the_number_of_those_that_a_search_finds(
    client: LangGraphClient, http: httpx.AsyncClient, mark: str, filters: dict[str, Any]
) -> None:
    wanted = {**filters, "metadata": {"mark": mark, **filters.get("metadata", {})}}
    assert await client.assistants.count(**wanted) == len(await found(http, mark, limit=100, **wanted))


async def test_a_count_of_an_unknown_graph_is_404_and_of_none_is_0(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants/count", json={"graph_id": "unknown"})
    assert answer.status_code == 404
    assert problem_detail(answer).startswith("Graph 'unknown' not found. Expected one of: ['agent'")
    assert (await http.post("/assistants/count", json={"metadata": {"mark": uuid4().hex}})).text == "0"
