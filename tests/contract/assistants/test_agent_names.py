"""An agent's name is accepted wherever an assistant's id is, in the organizations of the caller."""

from __future__ import annotations

import httpx
import pytest
from langgraph_sdk.errors import ConflictError
from servers.live_server import LiveServer
from users.demo_users import HARBOUR, MEADOW, bearer

from contract.registry.registry_api import CONFIGURATIONS, INSTANCES, MANIFESTS, new_agent_id, problem, register

_IN_HARBOUR, _IN_MEADOW = {"x-organization-id": HARBOUR}, {"x-organization-id": MEADOW}


@pytest.fixture
async def bot(ada: httpx.AsyncClient) -> tuple[str, str]:
    """The name of an agent of Harbour, and the id of its assistant. Its runs fail at once: no instance takes jobs."""
    name = new_agent_id()
    await ada.put(f"{CONFIGURATIONS}/{name}", json={"jobs": {"schedule_to_start_seconds": 0}})
    return name, str((await register(ada, name))["config_id"])


@pytest.fixture
def both(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    """A member of both organizations."""
    return clients["both"]


async def test_the_sdk_finds_an_assistant_by_the_agents_name(jwt_server: LiveServer, bot: tuple[str, str]) -> None:
    name, assistant_id = bot
    sdk = jwt_server.sdk(**bearer("ada", HARBOUR))
    assert (await sdk.assistants.get(name))["assistant_id"] == assistant_id
    assert "agent" in {each["id"] for each in (await sdk.assistants.get_graph(name))["nodes"]}
    assert (await sdk.assistants.get_schemas(name))["graph_id"] == "instances"
    assert await sdk.assistants.get_subgraphs(name) == {}
    assert [each["assistant_id"] for each in await sdk.assistants.get_versions(name)] == [assistant_id]
    with pytest.raises(ConflictError, match="configuration"):
        await jwt_server.sdk(**bearer("root", permissions=("admin",))).assistants.set_latest(name, 1)


async def test_each_way_to_start_a_run_takes_the_agents_name(jwt_server: LiveServer, bot: tuple[str, str]) -> None:
    name, assistant_id = bot
    sdk = jwt_server.sdk(**bearer("ada", HARBOUR))
    thread = (await sdk.threads.create())["thread_id"]
    made = [await sdk.runs.create(thread, name), *await sdk.runs.create_batch([{"assistant_id": name}])]
    parts = [part async for part in sdk.runs.stream(thread, name, multitask_strategy="enqueue")]
    made.append(await sdk.runs.get(thread, parts[0].data["run_id"]))
    await sdk.runs.wait(None, name, raise_error=False)
    await sdk.runs.wait(thread, name, raise_error=False)
    assert {each["assistant_id"] for each in made} == {assistant_id} and len(made) == 3
    assert (await sdk.threads.get(thread))["metadata"]["assistant_id"] == assistant_id


async def test_another_organizations_agent_is_answered_as_a_name_that_nobody_has(
    mia: httpx.AsyncClient, bot: tuple[str, str]
) -> None:
    for method, path in (("GET", "/assistants/{}"), ("GET", "/assistants/{}/schemas"), ("POST", "/runs/wait")):
        answers = [
            await mia.request(method, path.format(name), json={"assistant_id": name}) for name in (bot[0], "nobody")
        ]
        told = [(each.status_code, each.json()["detail"].replace(bot[0], "nobody")) for each in answers]
        assert told[0] == told[1] and told[0][0] == 422


async def test_a_name_that_several_organizations_have_needs_one_of_them(
    ada: httpx.AsyncClient,
    mia: httpx.AsyncClient,
    both: httpx.AsyncClient,
    root: httpx.AsyncClient,
    bot: tuple[str, str],
) -> None:
    name, in_harbour = bot
    assert (await both.get(f"/assistants/{name}")).json()["assistant_id"] == in_harbour
    in_meadow = str((await register(mia, name))["config_id"])
    for client in (both, root):
        refused = await client.get(f"/assistants/{name}")
        assert problem(refused) == (400, "organization_required", "X-Organization-Id")
        for headers, wanted in ((_IN_HARBOUR, in_harbour), (_IN_MEADOW, in_meadow)):
            assert (await client.get(f"/assistants/{name}", headers=headers)).json()["assistant_id"] == wanted
    run = await both.post("/runs", json={"assistant_id": name, "input": {}})
    assert problem(run)[:2] == (400, "organization_required")
    assert (await ada.get(f"/assistants/{name}")).json()["assistant_id"] == in_harbour
    await ada.patch(f"{CONFIGURATIONS}/{name}", json={"enabled": False})
    assert (await both.get(f"/assistants/{name}")).json()["assistant_id"] == in_meadow, "the only one in service"


async def test_a_disabled_agent_is_named_in_the_answer(ada: httpx.AsyncClient, bot: tuple[str, str]) -> None:
    await ada.patch(f"{CONFIGURATIONS}/{bot[0]}", json={"enabled": False})
    for answer in (
        await ada.get(f"/assistants/{bot[0]}"),
        await ada.post("/runs/wait", json={"assistant_id": bot[0]}),
    ):
        assert problem(answer) == (404, "agent_retired", "assistant_id")


@pytest.mark.parametrize("name", ["my bot", "Ünïcode-bot", "a.b:c", "50%-bot", "slash/bot"])
async def test_a_name_may_have_characters_that_an_address_escapes(ada: httpx.AsyncClient, name: str) -> None:
    assistant_id = (await register(ada, name, f"c-{name}"))["config_id"]
    quoted = httpx.QueryParams({"x": name})["x"].encode().hex()
    path = "".join(f"%{quoted[at : at + 2]}" for at in range(0, len(quoted), 2))
    assert (await ada.get(f"/assistants/{path}")).json()["assistant_id"] == assistant_id
    run = await ada.post("/runs", json={"assistant_id": name, "input": {}, "after_seconds": 3600})
    assert run.json()["assistant_id"] == assistant_id
    await ada.delete(f"{CONFIGURATIONS}/{path}")


@pytest.mark.parametrize("name", ["agent", "echo", "instances"])
async def test_no_agent_gets_the_name_of_a_graph(ada: httpx.AsyncClient, root: httpx.AsyncClient, name: str) -> None:
    refused = (
        await ada.post(INSTANCES, json={"agent_id": name, "instance_id": "c1"}),
        await ada.put(f"{CONFIGURATIONS}/{name}", json={}),
        await root.put(f"{MANIFESTS}/{name}", json={}),
    )
    for answer in refused:
        assert problem(answer) == (422, "invalid", "agent_id")
        assert f'"{name}"' in answer.json()["detail"]


async def test_an_unknown_name_is_told_what_may_be_named(ada: httpx.AsyncClient) -> None:
    refused = await ada.post("/runs/wait", json={"assistant_id": "nobody"})
    assert problem(refused) == (422, "invalid", "assistant_id")
    assert "agent_id of an agent of your organization" in refused.json()["detail"]
