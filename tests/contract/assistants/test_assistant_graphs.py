"""/assistants/{assistant_id}/graph, /schemas and /subgraphs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from databases import fresh_database
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from network.sse_client import problem_detail
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW, RESEARCHER

from contract.conftest import UserClientFactory
from robyn_server.core.ids import default_assistant_id

SERVED = {name: f"{SAMPLES}:{name}" for name in ("family", "nested", "chosen", "broken")}
SCHEMAS = ["input_schema", "output_schema", "state_schema", "config_schema", "context_schema"]


@pytest.fixture(scope="module")
async def graphs(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    served = orjson.dumps(GRAPHS | SERVED | {"lost": "no_such_module:graph"}).decode()
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=served) as running:
        yield running


@pytest.fixture(scope="module")
async def sdk(graphs: LiveServer) -> LangGraphClient:
    return graphs.sdk()


@pytest.fixture(scope="module")
async def web(graphs: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with graphs.http() as client:
        yield client


def nodes(drawing: Any) -> set[str]:
    return {node["id"] for node in drawing["nodes"]} - {"__start__", "__end__"}


@pytest.mark.parametrize("name", ["echo", str(default_assistant_id("echo"))])
async def test_a_drawing_has_the_nodes_and_edges_of_the_reference_server(sdk: LangGraphClient, name: str) -> None:
    assert await sdk.assistants.get_graph(name) == {
        "nodes": [
            {"id": "__start__", "type": "runnable", "data": {"name": "__start__"}},
            {"id": "echo", "type": "runnable", "data": {"name": "echo"}},
            {"id": "__end__"},
        ],
        "edges": [{"source": "__start__", "target": "echo"}, {"source": "echo", "target": "__end__"}],
    }


async def test_xray_is_a_flag_or_a_depth(sdk: LangGraphClient) -> None:
    assert nodes(await sdk.assistants.get_graph("nested")) == {"family", "after"}
    assert nodes(await sdk.assistants.get_graph("nested", xray=True)) == {"family:child:ask", "after"}
    assert nodes(await sdk.assistants.get_graph("nested", xray=1)) == {"family:child", "after"}


@pytest.mark.parametrize("xray", ["zz", "-1", "0", "1.5", "", "9" * 40, "٣"])
async def test_another_xray_is_422(web: httpx.AsyncClient, xray: str) -> None:
    answer = await web.get("/assistants/nested/graph", params={"xray": xray})
    assert (answer.status_code, problem_detail(answer)) == (422, "Invalid xray value")


async def test_the_agent_that_is_served_by_default_is_drawn(sdk: LangGraphClient) -> None:
    assert {"model", "tools"} & nodes(await sdk.assistants.get_graph("agent"))
    assert "messages" in (await sdk.assistants.get_schemas("agent"))["input_schema"]["properties"]


async def test_the_schemas_are_those_of_the_graph(sdk: LangGraphClient) -> None:
    schemas: Any = await sdk.assistants.get_schemas("nested")
    assert list(schemas) == ["graph_id", *SCHEMAS]
    assert schemas["graph_id"] == "nested"
    assert set(schemas["input_schema"]["properties"]) == {"question", "answer"}
    assert schemas["context_schema"]["properties"] == {
        "name": {"default": "somebody", "title": "Name", "type": "string"}
    }
    assert schemas["config_schema"] == schemas["context_schema"]
    without: Any = await sdk.assistants.get_schemas("echo")
    assert (without["config_schema"], without["context_schema"]) == ({}, None)


async def test_subgraphs_are_listed_by_their_path(sdk: LangGraphClient) -> None:
    assert list(await sdk.assistants.get_subgraphs("nested")) == ["family"]
    every: Any = await sdk.assistants.get_subgraphs("nested", recurse=True)
    assert list(every) == ["family", "family|child"]
    assert list(every["family"]) == SCHEMAS
    assert await sdk.assistants.get_subgraphs("nested", "family|child") == {"family|child": every["family|child"]}
    assert await sdk.assistants.get_subgraphs("nested", "nope") == {}
    assert await sdk.assistants.get_subgraphs("echo") == {}


async def test_a_wrong_recurse_is_400(web: httpx.AsyncClient) -> None:
    assert (await web.get("/assistants/nested/subgraphs", params={"recurse": "zz"})).status_code == 400


async def test_a_factory_draws_the_graph_of_the_assistants_own_configuration(sdk: LangGraphClient) -> None:
    for names in (["a", "b"], ["c"]):
        made = await sdk.assistants.create("chosen", context={"nodes": names})
        assert nodes(await sdk.assistants.get_graph(made["assistant_id"])) == set(names)
        changed = await sdk.assistants.update(made["assistant_id"], context={"nodes": ["other"]})
        assert nodes(await sdk.assistants.get_graph(changed["assistant_id"])) == {"other"}


@pytest.mark.parametrize("path", ["graph", "graph?xray=true", "schemas", "subgraphs", "subgraphs/a"])
@pytest.mark.parametrize(
    ("graph_id", "words"),
    [
        ("broken", "Graph 'broken' cannot be built: LookupError: the blueprint is lost"),
        ("chosen", "Graph 'chosen' cannot be built: KeyError: 'nodes'"),
        ("lost", "cannot be loaded from 'no_such_module:graph': No module named 'no_such_module'"),
    ],
)
async def test_a_graph_that_fails_says_why_and_that_no_retry_helps(
    web: httpx.AsyncClient, path: str, graph_id: str, words: str
) -> None:
    answer = await web.get(f"/assistants/{graph_id}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (409, "graph_unbuildable")
    assert words in problem_detail(answer)


@pytest.mark.parametrize("path", ["graph", "schemas", "subgraphs", "subgraphs/a"])
async def test_an_assistant_that_does_not_exist_is_404_and_a_name_that_is_no_graph_422(
    web: httpx.AsyncClient, path: str
) -> None:
    answer = await web.get(f"/assistants/{uuid4()}/{path}")
    assert (answer.status_code, problem_detail(answer)) == (404, "Not Found")
    answer = await web.get(f"/assistants/nope/{path}")
    assert (answer.status_code, answer.json()["field"]) == (422, "assistant_id")


async def test_graphs_are_private_to_those_who_see_the_assistant(person: UserClientFactory) -> None:
    anna, mark = person("anna", HARBOUR), person("mark", MEADOW)
    own = (await anna.sdk.assistants.create("road"))["assistant_id"]
    for assistant_id in (own, RESEARCHER):
        assert await anna.sdk.assistants.get_graph(assistant_id)
        assert (await anna.sdk.assistants.get_schemas(assistant_id))["graph_id"]
        assert await anna.sdk.assistants.get_subgraphs(assistant_id) == {}
        for ask in (mark.sdk.assistants.get_graph, mark.sdk.assistants.get_schemas, mark.sdk.assistants.get_subgraphs):
            with pytest.raises(NotFoundError):
                await ask(assistant_id)
