"""/assistants/{assistant_id}/versions and /latest."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, PermissionDeniedError
from network.sse_client import problem_detail
from servers.live_server import LiveServer
from users.demo_users import HARBOUR, MEADOW, RESEARCHER

from contract.conftest import UserClientFactory
from robyn_server.core.ids import default_assistant_id

FIELDS = [
    "assistant_id",
    "version",
    "graph_id",
    "config",
    "context",
    "metadata",
    "created_at",
    "name",
    "description",
]


@pytest.fixture
async def edited(client: LangGraphClient) -> str:
    """The id of an assistant with three versions."""
    made = await client.assistants.create("echo", context={"user": "bob"}, metadata={"team": "x"}, name="one")
    await client.assistants.update(made["assistant_id"], metadata={"k": "v"}, name="two", description="d")
    await client.assistants.update(made["assistant_id"], graph_id="counter", context={"user": "zed"}, name="three")
    return str(made["assistant_id"])


async def test_versions_come_newest_first_with_the_fields_of_the_reference_server(
    client: LangGraphClient, edited: str
) -> None:
    versions: list[Any] = await client.assistants.get_versions(edited)
    assert [list(each) for each in versions] == [FIELDS] * 3
    assert [(each["version"], each["name"], each["graph_id"]) for each in versions] == [
        (3, "three", "counter"),
        (2, "two", "echo"),
        (1, "one", "echo"),
    ]
    assert [each["context"] for each in versions] == [{"user": "zed"}, {"user": "bob"}, {"user": "bob"}]
    assert [each["metadata"] for each in versions] == [{"team": "x", "k": "v"}] * 2 + [{"team": "x"}]
    assert [each["description"] for each in versions] == ["d", "d", None]
    assert versions[0]["created_at"] > versions[1]["created_at"] > versions[2]["created_at"]


async def test_versions_are_paged_and_found_by_metadata(client: LangGraphClient, edited: str) -> None:
    async def found(**query: Any) -> list[int]:
        return [each["version"] for each in await client.assistants.get_versions(edited, **query)]

    assert await found(limit=2) == [3, 2]
    assert await found(limit=2, offset=2) == [1]
    assert await found(offset=3) == []
    assert await found(metadata={"k": "v"}) == [3, 2]
    assert await found(metadata={"k": "v"}, offset=1) == [2]
    assert await found(metadata={"k": "w"}) == []


async def test_an_earlier_version_becomes_current_with_all_that_it_has(client: LangGraphClient, edited: str) -> None:
    before = await client.assistants.get(edited)
    latest = await client.assistants.set_latest(edited, 1)
    assert (latest["version"], latest["name"], latest["graph_id"]) == (1, "one", "echo")
    assert (latest["context"], latest["config"]) == ({"user": "bob"}, {"configurable": {"user": "bob"}})
    assert (latest["metadata"], latest["description"]) == ({"team": "x"}, None)
    assert latest["created_at"] == before["created_at"] and latest["updated_at"] > before["updated_at"]
    assert await client.assistants.get(edited) == latest
    assert await client.runs.wait(None, edited, input={"text": "as version 1"}) == {"text": "as version 1"}


async def test_the_update_after_an_earlier_version_gets_a_new_number(client: LangGraphClient, edited: str) -> None:
    await client.assistants.set_latest(edited, 2)
    updated = await client.assistants.update(edited, name="four")
    assert (updated["version"], updated["graph_id"], updated["description"]) == (4, "echo", "d")
    assert [each["version"] for each in await client.assistants.get_versions(edited)] == [4, 3, 2, 1]


async def test_the_current_version_may_be_set_again(client: LangGraphClient, edited: str) -> None:
    assert (await client.assistants.set_latest(edited, 3))["version"] == 3
    assert len(await client.assistants.get_versions(edited)) == 3


async def test_a_default_assistant_is_named_by_its_graph(client: LangGraphClient) -> None:
    (first,) = await client.assistants.get_versions("road")
    assert (first["assistant_id"], first["version"]) == (str(default_assistant_id("road")), 1)
    assert (await client.assistants.set_latest("road", 1))["name"] == "road"


async def test_a_missing_assistant_or_version_is_404_as_the_reference_server_words_it(
    http: httpx.AsyncClient, edited: str
) -> None:
    missing = uuid4()
    for path, body, words in (
        (f"{missing}/versions", {}, f"Assistant {missing} not found"),
        (f"{missing}/latest", {"version": 1}, f"Assistant {missing} not found"),
        (f"{edited}/latest", {"version": 77}, f"Version 77 not found for assistant {edited}"),
    ):
        answer = await http.post(f"/assistants/{path}", json=body)
        assert (answer.status_code, problem_detail(answer)) == (404, words)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("versions", None),
        ("versions", {"limit": 0}),
        ("versions", {"limit": 1001}),
        ("versions", {"offset": -1}),
        ("versions", {"metadata": []}),
        ("latest", {}),
        ("latest", {"version": 0}),
        ("latest", {"version": "1"}),
        ("latest", {"version": 2**31}),
    ],
)
async def test_a_wrong_body_is_422(http: httpx.AsyncClient, edited: str, path: str, body: Any) -> None:
    answer = await http.post(f"/assistants/{edited}/{path}", json=body)
    assert answer.status_code == 422 and problem_detail(answer)


async def test_a_name_that_is_no_graph_is_422(http: httpx.AsyncClient) -> None:
    for path, body in (("versions", {}), ("latest", {"version": 1})):
        answer = await http.post(f"/assistants/nope/{path}", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, "assistant_id")


async def test_a_version_of_a_graph_that_is_not_served_is_not_restored(
    server: LiveServer, client: LangGraphClient, http: httpx.AsyncClient, edited: str
) -> None:
    connection = await asyncpg.connect(server.database)
    await connection.execute(
        "update agenthall.assistant_versions set graph_id = 'gone' where assistant_id = $1 and version = 1",
        UUID(edited),
    )
    await connection.close()
    answer = await http.post(f"/assistants/{edited}/latest", json={"version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "graph_not_served")
    assert (await client.assistants.get(edited))["version"] == 3


async def test_versions_are_private_to_those_who_see_the_assistant(person: UserClientFactory) -> None:
    anna, mark = person("anna", HARBOUR), person("mark", MEADOW)
    own = (await anna.sdk.assistants.create("echo", context={"style": "of anna"}))["assistant_id"]
    assert len(await anna.sdk.assistants.get_versions(own)) == 1
    for assistant_id in (own, RESEARCHER):
        with pytest.raises(NotFoundError):
            await mark.sdk.assistants.get_versions(assistant_id)
        with pytest.raises(NotFoundError):
            await mark.sdk.assistants.set_latest(assistant_id, 1)


async def test_only_administrators_set_back_what_everybody_shares(person: UserClientFactory) -> None:
    anna, admin = person("anna", HARBOUR), person("root", permissions=("admin",))
    with pytest.raises(PermissionDeniedError, match="only its owner and administrators"):
        await anna.sdk.assistants.set_latest("echo", 1)
    assert (await admin.sdk.assistants.set_latest("echo", 1))["version"] == 1


async def test_an_agent_of_the_catalogue_is_not_set_back(person: UserClientFactory) -> None:
    admin = person("root", permissions=("admin",))
    assert await admin.sdk.assistants.get_versions(RESEARCHER)
    answer = await admin.http.post(f"/assistants/{RESEARCHER}/latest", json={"version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "catalogue_owned")


async def test_a_user_does_not_restore_what_only_an_administrator_may_configure(person: UserClientFactory) -> None:
    anna, admin = person("anna", HARBOUR), person("root", permissions=("admin",))
    own = (await anna.sdk.assistants.create("echo"))["assistant_id"]
    await admin.sdk.assistants.update(own, context={"mcp_config": {"servers": []}})
    await admin.sdk.assistants.update(own, context={"model_name": "openai:dear"})
    await anna.sdk.assistants.set_latest(own, 1)
    for version, field in ((2, "configurable.mcp_config"), (3, "config.configurable.model_name")):
        answer = await anna.http.post(f"/assistants/{own}/latest", json={"version": version})
        assert (answer.status_code, answer.json()["field"]) == (403, field)
    assert (await admin.sdk.assistants.set_latest(own, 3))["version"] == 3
