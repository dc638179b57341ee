"""An agent that registered is an assistant of its organization, whose content its configuration decides."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from users.demo_users import HARBOUR

from contract.registry.registry_api import CONFIGURATIONS, MANIFESTS, new_agent_id, problem, register


class Bot:
    """An agent that has just registered with Harbour."""

    def __init__(self, agent_id: str, registration: dict[str, Any]) -> None:
        self.agent_id = agent_id
        self.id = str(registration["config_id"])
        self.path = f"/assistants/{self.id}"
        self.configuration = f"{CONFIGURATIONS}/{agent_id}"


@pytest.fixture
async def bot(ada: httpx.AsyncClient) -> Bot:
    agent_id = new_agent_id()
    return Bot(agent_id, await register(ada, agent_id, name="My bot"))


async def test_a_registration_makes_an_assistant_at_once(ada: httpx.AsyncClient, bot: Bot) -> None:
    assistant = (await ada.get(bot.path)).json()
    assert (assistant["graph_id"], assistant["name"], assistant["version"]) == ("instances", "My bot", 1)
    named = {"agent_source": "configuration", "agent_id": bot.agent_id}
    assert assistant["metadata"].items() >= named.items()
    for body in ({"metadata": named}, {"graph_id": "instances", "name": "My bot", "metadata": named}):
        found = (await ada.post("/assistants/search", json=body)).json()
        assert [each["assistant_id"] for each in found] == [bot.id]
    assert (await ada.post("/assistants/count", json={"metadata": named})).json() == 1


async def test_it_is_its_organizations_alone(mia: httpx.AsyncClient, root: httpx.AsyncClient, bot: Bot) -> None:
    assert problem(await mia.get(bot.path))[0] == 404
    assert (await mia.post("/assistants/search", json={"metadata": {"agent_id": bot.agent_id}})).json() == []
    run = await mia.post("/runs/wait", json={"assistant_id": bot.id, "input": {}})
    assert problem(run)[0] == 404
    assert (await root.get(bot.path)).status_code == 200


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": "mine"}),
        ("graph_id", {"graph_id": "echo"}),
        ("description", {"description": "mine"}),
        ("description", {"description": None}),
        ("metadata.agent_id", {"metadata": {"agent_id": "other"}}),
        ("metadata.agent_source", {"metadata": {"agent_source": "catalogue"}}),
    ],
)
async def test_what_the_configuration_decides_is_changed_there(
    ada: httpx.AsyncClient, root: httpx.AsyncClient, bot: Bot, field: str, change: dict[str, Any]
) -> None:
    refused = await root.patch(bot.path, json=change)
    assert problem(refused) == (409, "configuration_owned", field)
    assert bot.configuration in refused.json()["detail"]
    assert problem(await ada.patch(bot.path, json=change))[0] == 403


async def test_administrators_add_to_it_and_the_server_keeps_its_own_keys(root: httpx.AsyncClient, bot: Bot) -> None:
    before = (await root.get(bot.path)).json()["config"]["configurable"]
    assert before["agenthall_agent_id"] == bot.agent_id
    given = {"style": "short", "agenthall_agent_id": "other", "agenthall_jobs": {}}
    for change in ({"config": {"configurable": given, "tags": ["a"]}}, {"context": given}):
        changed = (await root.patch(bot.path, json={**change, "metadata": {"mine": 1}})).json()
        assert changed["config"]["configurable"] == before | {"style": "short"}
        assert changed["metadata"]["mine"] == 1
    renamed = await root.patch(bot.configuration, json={"name": "New"}, headers={"x-organization-id": HARBOUR})
    assert renamed.status_code == 200, renamed.text
    after = (await root.get(bot.path)).json()
    assert (after["name"], after["metadata"]["mine"], after["version"]) == ("New", 1, 4)
    assert after["config"]["configurable"] == before | {"style": "short"}


async def test_it_is_neither_deleted_nor_set_back(ada: httpx.AsyncClient, root: httpx.AsyncClient, bot: Bot) -> None:
    assert problem(await ada.delete(bot.path))[0] == 403
    refused = await root.delete(bot.path)
    assert (problem(refused), bot.configuration in refused.json()["detail"]) == (
        (409, "configuration_owned", None),
        True,
    )
    await root.patch(bot.path, json={"metadata": {"mine": 1}})
    refused = await root.post(f"{bot.path}/latest", json={"version": 1})
    assert (problem(refused)[:2], bot.configuration in refused.json()["detail"]) == ((409, "configuration_owned"), True)
    versions = (await root.post(f"{bot.path}/versions", json={})).json()
    assert [each["version"] for each in versions] == [2, 1]


async def test_it_goes_out_of_service_with_its_configuration_and_comes_back(ada: httpx.AsyncClient, bot: Bot) -> None:
    await ada.patch(bot.configuration, json={"enabled": False})
    gone = await ada.get(bot.path)
    assert (problem(gone), "'My bot'" in gone.json()["detail"]) == ((404, "agent_retired", "assistant_id"), True)
    assert problem(await ada.post("/runs/wait", json={"assistant_id": bot.id}))[0] == 404
    await ada.patch(bot.configuration, json={"enabled": True})
    assert (await ada.get(bot.path)).json()["version"] == 1
    await ada.delete(bot.configuration)
    assert problem(await ada.get(bot.path))[1] == "agent_retired"


async def test_clients_give_the_built_in_graph_to_no_assistant(ada: httpx.AsyncClient, http: httpx.AsyncClient) -> None:
    assert problem(await ada.post("/assistants", json={"graph_id": "instances"})) == (404, "not_found", "graph_id")
    own = (await ada.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
    refused = await ada.patch(f"/assistants/{own}", json={"graph_id": "instances"})
    assert problem(refused) == (404, "not_found", "graph_id")
    assert problem(await ada.post("/runs/wait", json={"assistant_id": "instances"}))[0] == 422
    assert (
        await http.post("/assistants/search", json={"graph_id": "instances", "metadata": {"created_by": "system"}})
    ).json() == []


async def test_a_client_cannot_take_its_id(ada: httpx.AsyncClient, bot: Bot) -> None:
    body = {"graph_id": "echo", "assistant_id": bot.id}
    assert problem(await ada.post("/assistants", json=body))[:2] == (409, "conflict")
    kept = await ada.post("/assistants", json=body | {"if_exists": "do_nothing"})
    assert kept.json()["graph_id"] == "instances"


async def test_its_graph_is_drawn_and_has_schemas(ada: httpx.AsyncClient, bot: Bot) -> None:
    drawing = (await ada.get(f"{bot.path}/graph")).json()
    assert "agent" in {each["id"] for each in drawing["nodes"]}
    schemas = (await ada.get(f"{bot.path}/schemas")).json()
    assert (schemas["graph_id"], "messages" in schemas["state_schema"]["properties"]) == ("instances", True)


async def test_the_state_schema_of_its_manifest_is_in_its_schemas_and_its_config(
    ada: httpx.AsyncClient, root: httpx.AsyncClient, bot: Bot
) -> None:
    manifest = f"{MANIFESTS}/{bot.agent_id}"
    schema = {"type": "object", "properties": {"score": {"type": "number", "minimum": 0}}}
    put = await root.put(manifest, json={"state_schema": schema})
    assert (put.status_code, put.json()["state_schema"]) == (200, schema)
    assert (await ada.get(manifest)).json()["state_schema"] == schema
    assistant = (await ada.get(bot.path)).json()
    assert (assistant["version"], assistant["config"]["configurable"]["agenthall_state_schema"]) == (2, schema)
    for name in ("input_schema", "output_schema", "state_schema"):
        shown = (await ada.get(f"{bot.path}/schemas")).json()[name]
        assert shown["properties"].keys() >= {"messages", "score"}
    assert (await root.patch(manifest, json={"version": "2"})).json()["state_schema"] == schema
    assert (await root.patch(manifest, json={"state_schema": None})).json()["state_schema"] is None
    assert "agenthall_state_schema" not in (await ada.get(bot.path)).json()["config"]["configurable"]


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("state_schema", []),
        ("state_schema.type", {"type": "array"}),
        ("state_schema.required", {"type": "object", "required": []}),
        ("state_schema.properties.messages", {"type": "object", "properties": {"messages": {}}}),
        ("state_schema", {"type": "object", "description": "x" * 70_000}),
    ],
)
async def test_a_state_schema_that_makes_no_sense_is_422(
    root: httpx.AsyncClient, bot: Bot, field: str, schema: Any
) -> None:
    for method in ("PUT", "PATCH"):
        refused = await root.request(method, f"{MANIFESTS}/{bot.agent_id}", json={"state_schema": schema})
        assert problem(refused) == (422, "invalid", field)
