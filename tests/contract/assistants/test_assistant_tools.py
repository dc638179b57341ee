"""GET /assistants/{assistant_id}/tools asks the assistant's MCP servers, with the credentials of the caller."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall
from databases import fresh_database
from remote.guarded_mcp import GuardedMcp
from remote.raw_mcp import Raw, RawMcp, tool
from servers.live_server import LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW, SECRET

from contract.conftest import UserClient, UserClientFactory, user_clients
from robyn_server.credentials.key_ring import new_key
from robyn_server.egress.network import REFUSED

KEY = new_key()
STORED = "credential-stored-19c2"


class CountingMcp(RawMcp):
    """`asked`: how many sessions were opened."""

    asked = 0

    def answer(self, message: Any) -> Any:
        self.asked += message["method"] == "initialize"
        return super().answer(message)


@pytest.fixture
def mcp() -> Iterator[CountingMcp]:
    running = CountingMcp([tool("echo", description="Say it.")])
    yield running
    running.close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}/mcp"


async def assistant(http: httpx.AsyncClient, **configurable: Any) -> str:
    made = await http.post("/assistants", json={"graph_id": "agent", "config": {"configurable": configurable}})
    assert made.status_code == 200, made.text
    return str(made.json()["assistant_id"])


def servers(*urls: str) -> dict[str, Any]:
    return {"servers": [{"name": "tools", "url": url} for url in urls]}


async def test_each_server_has_its_status_its_tools_and_no_secret_in_its_url(
    http: httpx.AsyncClient, mcp: CountingMcp, hanging: str
) -> None:
    refusing = CountingMcp([tool("never")])
    refusing.initialized = Raw(b"no", status=401)
    urls = [f"{mcp.url}?key=s3cret", hanging, refusing.url]
    named = await assistant(http, mcp_config=servers(*urls))
    answer = await http.get(f"/assistants/{named}/tools")
    refusing.close()
    assert answer.status_code == 200, answer.text
    good, slow, closed = answer.json()["servers"]
    assert (good["name"], good["url"], good["status"], good["error"]) == ("tools", mcp.url, "reachable", None)
    assert [(each["name"], each["description"]) for each in good["tools"]] == [("echo", "Say it.")]
    assert good["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert (slow["status"], slow["tools"]) == ("unreachable", []) and "did not answer" in slow["error"]
    assert (closed["status"], closed["error"]) == ("auth_required", "it answered 401 Unauthorized")
    assert "s3cret" not in answer.text


async def test_callers_at_once_share_one_question_and_another_version_is_asked_again(
    http: httpx.AsyncClient, mcp: CountingMcp
) -> None:
    named = await assistant(http, mcp_config=servers(mcp.url))
    answers = await asyncio.gather(*(http.get(f"/assistants/{named}/tools") for _ in range(8)))
    assert {each.text for each in answers} == {answers[0].text} and mcp.asked == 1
    changed = {"configurable": {"mcp_config": {"servers": [{"name": "other", "url": mcp.url}]}}}
    assert (await http.patch(f"/assistants/{named}", json={"config": changed})).status_code == 200
    [found] = (await http.get(f"/assistants/{named}/tools")).json()["servers"]
    assert (found["name"], mcp.asked) == ("other", 2)


async def test_agents_that_it_may_call_are_tools_of_another_kind(http: httpx.AsyncClient) -> None:
    called, missing = await assistant(http), str(uuid4())
    named = await assistant(http, agent_tools=[called, missing])
    shown = (await http.get(f"/assistants/{named}/tools")).json()
    assert shown["servers"] == []
    assert [(each["kind"], each["assistant_id"], each["name"]) for each in shown["tools"]] == [
        ("agent", called, "Untitled"),
        ("agent", missing, None),
    ]


async def test_an_assistant_without_tools_and_one_that_is_not_there(http: httpx.AsyncClient) -> None:
    assert (await http.get("/assistants/echo/tools")).json() == {"servers": [], "tools": []}
    assert (await http.get(f"/assistants/{uuid4()}/tools")).status_code == 404


async def test_a_server_that_the_egress_policy_does_not_allow_is_refused(
    postgres: str, template: str, mcp: CountingMcp
) -> None:
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, AGENTHALL_EGRESS="public") as running,
        httpx.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        named = await assistant(http, mcp_config=servers(mcp.url))
        [found] = (await http.get(f"/assistants/{named}/tools")).json()["servers"]
    assert (found["status"], mcp.asked) == ("refused", 0) and REFUSED in found["error"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedMcp]:
    running = GuardedMcp()
    yield running
    running.close()


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str, guarded: GuardedMcp) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        for query, *options in (
            ("?mine", "--tenant", HARBOUR),
            ("?passed", "--pass-through", "--audience", "tools"),
            ("?connected", "--connect"),
        ):
            done = agenthall(
                "credentials",
                "put",
                guarded.url + query,
                *options,
                given=f"{STORED}\n" if query == "?mine" else None,
                DATABASE_URL=url,
                AGENTHALL_SECRET_KEY=KEY,
            )
            assert done.returncode == 0, done.stderr
        settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, "AGENT_SYNC_SCOPE": "all"}
        async with live_server(url, **settings, AGENTHALL_SECRET_KEY=KEY) as running:
            yield running


async def asked(user: UserClient, agent_id: str) -> dict[str, Any]:
    answer = await user.http.get(f"/assistants/{agent_id}/tools")
    assert answer.status_code == 200 and STORED not in answer.text, answer.text
    [found] = answer.json()["servers"]
    return dict(found)


async def test_a_server_gets_the_credential_of_the_organization_of_the_caller(
    user: UserClientFactory, catalogue_writer: CatalogueWriter, guarded: GuardedMcp
) -> None:
    for organization, status in ((HARBOUR, "reachable"), (MEADOW, "auth_required")):
        agent_id = await catalogue_writer.add_agent(organization_id=organization)
        await catalogue_writer.add_tool(UUID(agent_id), f"{guarded.url}?mine", "fingerprint", auth_required=True)
        found = await asked(user("eve", organization), agent_id)
        assert found["status"] == status, found
        assert [each["name"] for each in found["tools"]] == (["fingerprint"] if status == "reachable" else [])


async def test_an_answer_is_kept_for_nobody_but_its_caller(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, guarded: GuardedMcp
) -> None:
    agent_id = await catalogue_writer.add_agent(organization_id=HARBOUR)
    await catalogue_writer.add_tool(UUID(agent_id), f"{guarded.url}?passed", "fingerprint", auth_required=True)
    async with user_clients(product_server) as make:
        entitled, other = make("ada", HARBOUR, aud="tools"), make("bob", HARBOUR)
        assert (await asked(entitled, agent_id))["status"] == "reachable"
        found = await asked(other, agent_id)
        assert (found["status"], found["tools"]) == ("auth_required", [])
        assert found["error"] == "the token of the caller is for none of the audiences that may be passed to it"


async def test_asking_begins_no_connection_of_the_user(
    anna: UserClient, catalogue_writer: CatalogueWriter, guarded: GuardedMcp, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(organization_id=HARBOUR)
    await catalogue_writer.add_tool(UUID(agent_id), f"{guarded.url}?connected", "fingerprint", auth_required=True)
    found = await asked(anna, agent_id)
    assert (found["status"], found["error"]) == ("auth_required", "the user has not connected it")
    assert await product_database.fetchval("select count(*) from agenthall.mcp_authorizations") == 0


async def test_nobody_learns_of_the_agents_of_another_organization(
    user: UserClientFactory, catalogue_writer: CatalogueWriter, guarded: GuardedMcp
) -> None:
    agent_id = await catalogue_writer.add_agent(organization_id=HARBOUR)
    await catalogue_writer.add_tool(UUID(agent_id), f"{guarded.url}?mine", "fingerprint", auth_required=True)
    assert (await user("mia", MEADOW).http.get(f"/assistants/{agent_id}/tools")).status_code == 404
